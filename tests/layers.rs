//! Who may import whom (the contract in `src/lib.rs`), checked from the sources.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may call on.
const MAY: [(&str, &[&str]); 14] = [
    ("model", &[]),
    ("settings", &["model"]),
    ("profile", &["model", "settings"]),
    ("detect", &["model"]),
    ("iscsi", &["model"]),
    ("mounts", &["model"]),
    ("plan", &["model", "settings", "profile", "detect", "iscsi", "mounts"]),
    ("checks", &["model", "settings", "profile", "detect", "iscsi", "mounts"]),
    ("scene", &["model", "profile", "iscsi"]),
    ("host", &["model"]),
    ("systemd", &["model"]),
    ("nri", &["model"]),
    ("report", &["model"]),
    (
        "engine",
        &[
            "model", "settings", "profile", "detect", "iscsi", "mounts", "plan", "checks", "host", "systemd",
            "nri", "report", "scene",
        ],
    ),
];

/// Crates that only one room may use.
const ONLY: [(&str, &str); 11] = [
    ("zbus", "systemd"),
    ("prost", "nri"),
    ("nix", "host"),
    ("procfs", "host"),
    ("inotify", "host"),
    ("xattr", "host"),
    ("rustix", "host"),
    ("tracing_journald", "report"),
    ("clap", "cli"),
    ("tar", "scene"),
    ("ruzstd", "scene"),
];

/// What the pure rooms must not touch, in any form.
const IMPURE: [&str; 8] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::time::SystemTime",
    "std::time::Instant",
    "tokio",
    "/proc/self/mountinfo",
];
/// Files are host's; report looks only at its own stderr and control group.
const ONLY_HOST_HAS_FILES: &str = "std::fs::read";
const PURE: [&str; 9] =
    ["model", "settings", "profile", "detect", "iscsi", "mounts", "plan", "checks", "scene"];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

/// Room → (file, text without comments and without its tests).
fn rooms() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut rooms: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for path in sources(&src) {
        let room = path.strip_prefix(&src).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests may do what they like, beside the code or in a file of their own.
        let is_test = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
        let text = if is_test { "" } else { text.as_str() };
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        rooms.entry(room).or_default().push((path, code.collect::<Vec<_>>().join("\n")));
    }
    rooms
}

fn imports(text: &str) -> BTreeSet<String> {
    let word =
        |rest: &str| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap().to_owned();
    let mut all: BTreeSet<_> = text.split("crate::").skip(1).map(word).collect();
    // `use crate::{a, b::c}` names several at once.
    for group in text.split("crate::{").skip(1) {
        all.extend(group.split('}').next().unwrap().split(',').map(|part| word(part.trim())));
    }
    all.remove("");
    all
}

#[test]
fn each_room_calls_only_on_rooms_that_it_may() {
    let rooms = rooms();
    for (room, may) in MAY {
        assert!(rooms.contains_key(room), "there is no src/{room}");
        for (path, text) in &rooms[room] {
            for import in imports(text) {
                assert!(
                    import == room || may.contains(&import.as_str()),
                    "{} imports {import}; {room} may import {may:?}",
                    path.display()
                );
            }
        }
    }
    for (path, text) in rooms["cli"].iter().chain(&rooms["main.rs"]) {
        let may = ["cli", "engine", "report", "model"];
        for import in imports(text) {
            assert!(
                may.contains(&import.as_str()),
                "{} imports {import}; cli may import {may:?}",
                path.display()
            );
        }
    }
}

#[test]
fn each_crate_of_the_edges_is_used_in_one_room() {
    for (room, files) in rooms() {
        for (path, text) in files {
            for (name, owner) in ONLY {
                let used = text.match_indices(name).any(|(at, _)| {
                    let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
                    !word(text[..at].chars().next_back()) && text[at + name.len()..].starts_with("::")
                });
                assert!(!used || room == owner, "{} uses {name}, which is {owner}'s", path.display());
            }
        }
    }
}

#[test]
fn the_pure_rooms_touch_nothing() {
    let rooms = rooms();
    for room in PURE {
        for (path, text) in &rooms[room] {
            for impure in IMPURE {
                assert!(!text.contains(impure), "{} uses {impure}", path.display());
            }
        }
    }
}

#[test]
fn only_the_edges_read_files() {
    for (room, files) in rooms() {
        for (path, text) in files {
            let edge = room == "host" || room == "report";
            assert!(edge || !text.contains(ONLY_HOST_HAS_FILES), "{} reads a file itself", path.display());
        }
    }
}

#[test]
fn every_file_says_what_room_it_is() {
    for files in rooms().into_values() {
        for (path, _) in files {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//! "), "{} does not begin with what it is", path.display());
        }
    }
}
