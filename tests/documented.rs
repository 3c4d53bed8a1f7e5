//! What programs rely on is in the manual.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use csihost::model::checks::{CHECKS, is_check};
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_manual_has_every_check_with_what_it_asks() {
    let manual = read("packaging/man/csihost.8");
    let table = manual.split(".Sh CHECKS").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let mut documented = Vec::new();
    let mut lines = table.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix(".It Cm ") {
            let mut text = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with(".It") && !line.starts_with(".El"))
            {
                text.push(line);
            }
            documented.push((name.replace(" Ns Ar ", ""), text.join(" ").trim_end_matches('.').to_owned()));
        }
    }
    let known: Vec<_> = CHECKS
        .iter()
        .map(|(name, asks)| {
            let mut asks = (*asks).to_owned();
            asks.replace_range(..1, &asks[..1].to_uppercase());
            (name.replace("NAME", "name"), asks)
        })
        .collect();
    assert_eq!(documented, known);
}

/// Every name that a check gives its finding in the sources.
#[test]
fn every_name_in_the_sources_is_in_the_list() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for begin in ["Finding::new(\"", "Finding::new(\n            \"", "ID: &str = \""] {
                let found = text.split(begin).skip(1).filter_map(|rest| rest.split('"').next());
                names.extend(found.map(str::to_owned));
            }
        }
    }
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(is_check(&name), "{name} is in src/checks and not in src/model/checks.rs");
    }
}

/// The keys of a TOML text, with their tables.
fn keys(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    let mut keys: Vec<String> = table
        .iter()
        .flat_map(|(table, values)| {
            values.as_table().unwrap().keys().map(move |key| format!("{table}.{key}"))
        })
        .collect();
    keys.sort();
    keys
}

#[test]
fn every_setting_is_in_the_manual_and_in_the_readme_where_all_are_right() {
    let readme = read("README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    csihost::settings::parse([("README.md", example.as_bytes())]).unwrap();

    let manual = read("packaging/man/csihost.8");
    let section = manual.split(".Sh SETTINGS").nth(1).unwrap().split("\n.Sh ").next().unwrap();
    let items = section.lines().filter_map(|line| line.strip_prefix(".It Ic "));
    let mut documented: Vec<String> = items.flat_map(|item| item.split(" , ").map(str::to_owned)).collect();
    documented.sort();
    assert_eq!(documented, keys(example));

    // Of the tables in the source only what is a key of one is optional.
    let source = read("src/settings/fragment.rs");
    let known = source.lines().filter(|line| line.contains(": Option<") && line.starts_with("    ")).count();
    assert_eq!(known, documented.len(), "a setting is missing in both");
}

#[test]
fn a_setting_where_a_table_belongs_is_told_in_the_words_of_toml() {
    let error = csihost::settings::parse([("csihost.toml", &b"iscsi = false\n"[..])]).unwrap_err();
    assert!(error.to_string().contains("expected a table, [iscsi]"), "{error}");
}
