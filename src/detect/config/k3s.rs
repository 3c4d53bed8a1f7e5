//! Pure: k3s and RKE2, which share all of this but their names.
//!
//! Set up where a unit runs `k3s server` or `k3s agent` (a unit of any name), or an OpenRC script
//! does; or, where there is neither, where a configuration file lies in its place: the installer is to
//! come. A program alone is not, for `k3s kubectl` needs no more.
//!
//! A rootful k3s since 0.10.0 has the standard root whatever its data directory; up to 0.9.1 it was
//! `<data-dir>/agent/kubelet`, as it still is for a rootless one. Which version a host has is seen from
//! what it left: see [`is_of_the_first_versions`].

use super::flags::{flags, is_true};
use super::k3s_file::{self, FileFlag};
use super::{Found, Given, Start, absolute, file_name, is_masked, openrc};
use crate::detect::unit::get;
use crate::model::bytes::shown;
use crate::model::file::FileFact;
use crate::model::kubelet::{Distribution, KubeletRoot};
use crate::model::path::HostPath;
use std::collections::BTreeMap;

/// What differs between k3s and RKE2.
#[derive(Debug, PartialEq)]
pub(super) struct Names {
    distribution: Distribution,
    program: &'static str,
    config: &'static str,
    config_variable: &'static str,
    data_dir: &'static str,
    data_dir_variable: &'static str,
    units: [&'static str; 2],
}

pub(super) static K3S: Names = Names {
    distribution: Distribution::K3s,
    program: "k3s",
    config: "/etc/rancher/k3s/config.yaml",
    config_variable: "K3S_CONFIG_FILE",
    data_dir: "/var/lib/rancher/k3s",
    data_dir_variable: "K3S_DATA_DIR",
    units: ["k3s.service", "k3s-agent.service"],
};

pub(super) static RKE2: Names = Names {
    distribution: Distribution::Rke2,
    program: "rke2",
    config: "/etc/rancher/rke2/config.yaml",
    config_variable: "RKE2_CONFIG_FILE",
    data_dir: "/var/lib/rancher/rke2",
    data_dir_variable: "RKE2_DATA_DIR",
    units: ["rke2-server.service", "rke2-agent.service"],
};

/// Flags that take a value, of those that matter.
const TAKE: [&str; 5] = ["kubelet-arg", "data-dir", "d", "config", "c"];

/// What a service declares.
pub(super) fn declare(found: &mut Found<'_>, names: &Names, start: &Start<'_>) {
    let argv = &start.expanded.argv;
    let program = argv.iter().position(|word| file_name(word) == names.program.as_bytes());
    let args = argv.get(program.map_or(argv.len(), |at| at + 1)..).unwrap_or_default();
    // Before these words no file is read, and other commands start no kubelet.
    let role = args.iter().position(|word| word == b"server" || word == b"agent");
    let Some((role, args)) = args.get(role.unwrap_or(args.len())..).and_then(<[_]>::split_first) else {
        return;
    };
    settle(found, names, start, role == b"server", args);
}

/// The main configuration file that a service reads; `None` where that cannot be known.
pub(super) fn main_file(names: &Names, start: &Start<'_>) -> Option<HostPath> {
    let argv = &start.expanded.argv;
    let role = argv.iter().position(|word| word == b"server" || word == b"agent")?;
    config_file(names, start, argv.get(role + 1..)?).ok()
}

/// What files declare where no unit is there.
pub(super) fn declare_without_unit(found: &mut Found<'_>, names: &Names) {
    let files = found.files;
    let scripts = openrc::scripts(files, names.program);
    if !scripts.is_empty() {
        for mut script in scripts {
            found.declared.unread.append(&mut script.expanded.unread);
            let start = Start { service: None, script: Some(script.path), expanded: script.expanded };
            declare(found, names, &start);
        }
        return;
    }
    if k3s_file::paths(files, &HostPath::from(names.config)).is_empty()
        || names.units.iter().any(|unit| is_masked(files, unit))
    {
        return;
    }
    // An agent knows no `disable-agent`, and has it in no file.
    settle(found, names, &Start::default(), true, &[]);
}

fn settle(found: &mut Found<'_>, names: &Names, start: &Start<'_>, server: bool, args: &[Vec<u8>]) {
    let typed = typed(args, start);
    // Whether what the files say cannot be known; the command line may still decide.
    let mut unknown = start.expanded.unknown;
    let written = match config_file(names, start, args) {
        Ok(path) => k3s_file::flags(found.files, &path),
        Err((path, error)) => {
            found.unread(path, None, error);
            Err(Vec::new())
        }
    };
    let mut all = written.unwrap_or_else(|unread| {
        found.declared.unread.extend(unread);
        unknown = true;
        Vec::new()
    });
    all.extend(typed);
    let last = |wanted: &[&str]| {
        all.iter().rev().find(|flag| wanted.contains(&flag.name.as_str())).map(|flag| &flag.given)
    };
    let on = |name: &str| last(&[name]).is_some_and(|given| is_true(&given.value));
    if server && on("disable-agent") {
        return;
    }
    let args = all.iter().filter(|flag| flag.name == "kubelet-arg").map(|flag| &flag.given);
    let args = match KubeletArgs::read(args) {
        Ok(args) => args,
        Err(wrong) => {
            let value = shown(&wrong.value);
            let error = format!("expected kubelet-arg as root-dir=PATH, not \"{value}\"");
            return found.undecided(&wrong.path, wrong.line, error);
        }
    };
    let root = args.get("root-dir");
    if unknown && root.is_none() {
        found.declared.undecided = true;
        return;
    }
    let data_dir = last(&["data-dir", "d"]).filter(|given| !given.value.is_empty()).cloned().or_else(|| {
        let value = get(&start.expanded.environment, names.data_dir_variable)?.to_vec();
        (!value.is_empty()).then(|| Given { value, source: start.source(), path: start.place(), line: None })
    });
    let (root, default) = match root {
        Some(root) => (Some(root.clone()), KubeletRoot::standard()),
        None => match moved(found, names, data_dir, on("rootless")) {
            Ok(moved) => moved,
            Err((path, line, error)) => {
                let path = if path.is_empty() { start.place() } else { path };
                return found.undecided(path, line, error);
            }
        },
    };
    let plugins = args.get("volume-plugin-dir").map(|given| given.value.clone());
    found.declare(names.distribution, start.unit(), root, default, plugins);
}

/// What is wrong, on which line of what.
type Wrong = (String, Option<usize>, String);

/// The root that a data directory gives, and what it is if nothing does.
fn moved(
    found: &Found<'_>,
    names: &Names,
    data_dir: Option<Given>,
    rootless: bool,
) -> Result<(Option<Given>, KubeletRoot), Wrong> {
    let below = |path: &HostPath| path.join("agent/kubelet").as_bytes().to_vec();
    let directory = match &data_dir {
        Some(given) => absolute(&given.value, "data-dir")
            .map_err(|error| (given.path.clone(), given.line, error))
            .map(Some),
        None => Ok(None),
    };
    if rootless {
        let home = "a rootless kubelet's root lies in the home of its user, which is not known here";
        let directory = directory?.ok_or_else(|| (String::new(), None, home.to_owned()))?;
        return Ok((
            data_dir.map(|given| Given { value: below(&directory), ..given }),
            KubeletRoot::standard(),
        ));
    }
    // A data directory that cannot be read moves nothing since 0.10.0.
    let directory = directory.ok().flatten();
    let at = directory.clone().unwrap_or_else(|| HostPath::from(names.data_dir));
    if !is_of_the_first_versions(found, &at) {
        return Ok((None, KubeletRoot::standard()));
    }
    let root = below(&at);
    let default = KubeletRoot::parse(&root).map_err(|error| (String::new(), None, error.to_string()))?;
    Ok((data_dir.filter(|_| directory.is_some()).map(|given| Given { value: root, ..given }), default))
}

/// Whether a k3s of version 0.9.1 or earlier is what ran here last. The program is not asked (it is
/// 50 MB and more, and running it is not for detection). What it left tells: a kubelet writes its
/// state into its root, and k3s since 1.18 keeps the link `data/current`. A host on which k3s never ran
/// has neither, and gets a version of today.
fn is_of_the_first_versions(found: &Found<'_>, data_dir: &HostPath) -> bool {
    let is_there = |path: HostPath| found.files.file(&path) != FileFact::Absent;
    is_there(data_dir.join("agent/kubelet/cpu_manager_state"))
        && !is_there(KubeletRoot::standard().as_path().join("cpu_manager_state"))
        && found.files.link(&data_dir.join("data/current")).is_none()
}

/// The flags of the command line.
fn typed(args: &[Vec<u8>], start: &Start<'_>) -> Vec<FileFlag> {
    let flags = flags(args, &TAKE).into_iter().filter_map(|flag| {
        let name = String::from_utf8(flag.name.to_vec()).ok()?;
        // A switch needs no value, and the next word is none of its.
        let value = match flag.value {
            Some(value) if !flag.apart || TAKE.contains(&name.as_str()) => value,
            None if TAKE.contains(&name.as_str()) => return None,
            _ => b"true",
        };
        let given = Given { value: value.to_vec(), source: start.source(), path: start.place(), line: None };
        Some(FileFlag { name, given })
    });
    flags.collect()
}

/// `findConfigFileFlag`: the variable, or the first flag, or the usual place.
fn config_file(names: &Names, start: &Start<'_>, args: &[Vec<u8>]) -> Result<HostPath, (String, String)> {
    let flag = || {
        let flags = flags(args, &TAKE);
        flags.iter().find(|flag| flag.name == b"config" || flag.name == b"c").and_then(|flag| flag.value)
    };
    let variable = get(&start.expanded.environment, names.config_variable).filter(|path| !path.is_empty());
    let Some(path) = variable.or_else(flag) else { return Ok(HostPath::from(names.config)) };
    let lower = path.to_ascii_lowercase();
    if lower.starts_with(b"http://") || lower.starts_with(b"https://") {
        // It may hold a token.
        let end = path.iter().position(|&byte| byte == b'?').unwrap_or(path.len());
        let path = shown(path.get(..end).unwrap_or_default());
        return Err((
            path,
            "configuration at a URL cannot be known, and csihost does not fetch it".to_owned(),
        ));
    }
    absolute(path, "the configuration file").map_err(|error| (start.place(), error))
}

/// What is passed on to the kubelet: `GetArgs` of k3s' pkg/util/args.go.
///
/// Of each name the last value, which the kubelet takes; no flag that matters here is a list.
struct KubeletArgs(BTreeMap<String, Given>);

impl KubeletArgs {
    /// Reads the values of `kubelet-arg`; gives back the one that was to be a root and is not.
    fn read<'a>(values: impl Iterator<Item = &'a Given>) -> Result<Self, &'a Given> {
        let mut args: BTreeMap<String, Given> = BTreeMap::new();
        for given in values {
            let text = given.value.strip_prefix(b"--").unwrap_or(&given.value);
            let at = text.iter().position(|&byte| byte == b'=');
            let name = String::from_utf8_lossy(text.get(..at.unwrap_or(text.len())).unwrap_or_default());
            let clean = name.trim_end_matches(['-', '+']);
            let is_root = clean == "root-dir" || clean == "root_dir";
            if is_root && at.is_none() || !is_root && means_root(clean) {
                return Err(given);
            }
            let value = at.and_then(|at| text.get(at + 1..)).unwrap_or(b"true").to_vec();
            let given = Given { value, ..given.clone() };
            // With a minus it goes before the others, so that an earlier one stays the last.
            match name.ends_with('-') {
                true => _ = args.entry(clean.to_owned()).or_insert(given),
                false => _ = args.insert(clean.to_owned(), given),
            }
        }
        Ok(Self(args))
    }

    /// The value that the kubelet takes: names are sorted, and `_` comes after `-`.
    fn get(&self, name: &str) -> Option<&Given> {
        let underscores = name.replace('-', "_");
        [underscores.as_str(), name].iter().find_map(|name| self.0.get(*name))
    }
}

/// Whether this was to be the name of the root's flag: `root-dir /x`, `-root-dir`, or a map.
fn means_root(name: &str) -> bool {
    let name = name.replace('_', "-");
    name.split_once("root-dir").is_some_and(|(before, after)| {
        let alone = !before.contains(|c: char| c.is_ascii_alphanumeric());
        (alone || before == "map[") && !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
    })
}
