//! Pure: the configuration files of k3s and RKE2, as the command line that they stand for
//! (`readConfigFile`, k3s' pkg/configfilearg/parser.go).

use super::yaml::{Node, Value, document};
use super::{Files, Given, Text, text};
use crate::model::file::FileFact;
use crate::model::kubelet::{Source, Unread};
use crate::model::path::HostPath;

/// What bears on a kubelet's root; other keys are not kept, of which a file may have thousands.
const KEYS: [&str; 5] = ["kubelet-arg", "data-dir", "d", "disable-agent", "rootless"];

/// A flag that stands in a file, without its dashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFlag {
    pub(super) name: String,
    pub(super) given: Given,
}

/// The files that configuration is read from: the main one, then those beside it in `<main>.d`, by
/// name, with or without the main one.
pub(super) fn paths(files: &dyn Files, main: &HostPath) -> Vec<HostPath> {
    let mut paths = Vec::new();
    if files.file(main) != FileFact::Absent {
        paths.push(main.clone());
    }
    let directory = beside(main);
    let mut names = files.list(&directory);
    names.sort();
    let yaml = |name: &Vec<u8>| {
        let name = name.to_ascii_lowercase();
        name.ends_with(b".yaml") || name.ends_with(b".yml")
    };
    let paths_beside = names.into_iter().filter(yaml).map(|name| directory.join(name));
    paths.extend(paths_beside.filter(|path| files.file(path) != FileFact::Directory));
    paths
}

fn beside(main: &HostPath) -> HostPath {
    let name = [main.file_name(), b".d"].concat();
    main.parent().unwrap_or_else(HostPath::root).join(name)
}

/// The flags that the files stand for, in the order of their first appearance; or what of them
/// cannot be read: k3s does not start then.
pub(super) fn flags(files: &dyn Files, main: &HostPath) -> Result<Vec<FileFlag>, Vec<Unread>> {
    let (mut keys, mut unread) = (Vec::new(), Vec::new());
    for path in paths(files, main) {
        if let Err((line, error)) = add(files, &path, &mut keys) {
            let line = line.map_or_else(String::new, |line| format!("line {line}: "));
            unread.push(Unread { path: path.to_string(), error: format!("{line}{error}") });
        }
    }
    if !unread.is_empty() {
        return Err(unread);
    }
    let flags = keys.into_iter().flat_map(|key: Key| {
        let name = key.name;
        key.values.into_iter().map(move |given| FileFlag { name: name.clone(), given })
    });
    Ok(flags.collect())
}

/// A key of all files together.
struct Key {
    name: String,
    values: Vec<Given>,
}

type Wrong = (Option<usize>, String);

fn add(files: &dyn Files, path: &HostPath, keys: &mut Vec<Key>) -> Result<(), Wrong> {
    let text = match text(files, path) {
        Text::Read(text) => text,
        Text::Absent => return Ok(()),
        Text::Unread(error) => return Err((None, error)),
    };
    let Some(node) = document(&text).map_err(|wrong| (Some(wrong.line), wrong.error))? else {
        return Ok(());
    };
    let map = match node.value {
        Value::Map(map) => map,
        _ if node.text() == Some("") => return Ok(()),
        _ => return Err((Some(node.line), "expected keys and values".to_owned())),
    };
    for (key, value) in map {
        let name = scalar(&key);
        let (name, append) = match name.strip_suffix('+') {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        if !KEYS.contains(&name) {
            continue;
        }
        let given = |node: &Node| Given {
            value: scalar(node).into_bytes(),
            source: Source::ConfigFile,
            path: path.to_string(),
            line: Some(node.line),
        };
        let mut values: Vec<Given> = match &value.value {
            Value::List(list) => list.iter().map(given).collect(),
            _ => vec![given(&value)],
        };
        match keys.iter_mut().find(|key| key.name == name) {
            Some(key) if append => {
                // Where lists are made of scalars, nothing is no element.
                let scalar = !matches!(value.value, Value::List(_));
                values.retain(|given| !scalar || !given.value.is_empty());
                key.values.append(&mut values);
            }
            Some(key) => key.values = values,
            None => keys.push(Key { name: name.to_owned(), values }),
        }
    }
    Ok(())
}

/// What k3s makes a string of: yaml.v2 reads the switches of YAML 1.1, and Go prints maps.
fn scalar(node: &Node) -> String {
    match &node.value {
        Value::Scalar(text, true) => match text.as_str() {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "True" | "TRUE" => "true".to_owned(),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "False" | "FALSE" => "false".to_owned(),
            _ => node.text().unwrap_or_default().to_owned(),
        },
        Value::Scalar(text, false) => text.clone(),
        Value::List(list) => format!("[{}]", list.iter().map(scalar).collect::<Vec<_>>().join(" ")),
        Value::Map(map) => {
            let pair = |(key, value): &(Node, Node)| format!("{}:{}", scalar(key), scalar(value));
            format!("map[{}]", map.iter().map(pair).collect::<Vec<_>>().join(" "))
        }
    }
}
