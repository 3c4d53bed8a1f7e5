//! Scenes: hosts as texts, and what `csihost detect --root` must say of each.
//!
//! Each `NAME.scene` (format.rs says how it is written) is named by what it shows; `NAME.json` is
//! the whole answer, compared exactly, but for prose: a string that begins with `…` asks only
//! that the rest be part of what is said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

mod archives;
mod contracts;
mod format;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `csihost detect --root DIR --json` prints, and its exit code.
pub(crate) fn detect(root: &Path) -> (Value, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_csihost"))
        .args(["detect", "--json", "--root"])
        .arg(root)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (json, output.status.code().unwrap())
}

/// What differs, each with where it is.
pub(crate) fn differences(at: &str, now: &Value, expected: &Value, out: &mut Vec<String>) {
    match (now, expected) {
        (Value::String(now), Value::String(text)) if text.starts_with('…') => {
            let part = text.trim_start_matches('…');
            if !now.contains(part) {
                out.push(format!("{at} is {now:?}, without {part:?}"));
            }
        }
        (Value::Object(now), Value::Object(expected)) => {
            for key in now.keys().chain(expected.keys().filter(|key| !now.contains_key(*key))) {
                let (now, expected) = (now.get(key), expected.get(key));
                let at = format!("{at}.{key}");
                match (now, expected) {
                    (Some(now), Some(expected)) => differences(&at, now, expected, out),
                    (Some(now), None) => out.push(format!("{at} is {now}, and was not expected")),
                    (None, _) => out.push(format!("{at} is missing, not {}", expected.unwrap())),
                }
            }
        }
        (Value::Array(now), Value::Array(expected)) if now.len() == expected.len() => {
            for (index, (now, expected)) in now.iter().zip(expected).enumerate() {
                differences(&format!("{at}[{index}]"), now, expected, out);
            }
        }
        (now, expected) if now == expected => {}
        (now, expected) => out.push(format!("{at} is {now}, not {expected}")),
    }
}

/// What is wrong about a scene; nothing if all is right.
fn faults(scene: &Path) -> Vec<String> {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    if !format::unpack(&std::fs::read_to_string(scene).unwrap(), &root) {
        eprintln!("{}: not tried: only root can make its files", scene.display());
        return Vec::new();
    }
    let expected = std::fs::read_to_string(scene.with_extension("json")).unwrap();
    let expected: Value =
        serde_json::from_str(&expected).unwrap_or_else(|e| panic!("{}: {e}", scene.display()));
    let (now, code) = detect(&root);
    let mut faults = Vec::new();
    differences("", &now, &expected, &mut faults);
    let answered = if now["kubelet"].is_null() { 3 } else { 0 };
    if code != answered {
        faults.push(format!("exit code {code}, not {answered}"));
    }
    faults
}

fn scenes() -> Vec<PathBuf> {
    named("tests/scenes")
}

/// The scenes in a directory of the project.
pub(crate) fn named(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut scenes: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ext| ext == "scene")).collect();
    scenes.sort();
    scenes
}

#[test]
fn each_scene_has_the_answer_that_is_written_beside_it() {
    let scenes = scenes();
    assert!(scenes.len() >= 40, "only {} scenes", scenes.len());
    let mut wrong = Vec::new();
    for scene in &scenes {
        let faults = faults(scene);
        if !faults.is_empty() {
            let name = scene.file_stem().unwrap().to_string_lossy();
            wrong.push(format!("{name}\n    {}", faults.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} scenes:\n{}", wrong.len(), scenes.len(), wrong.join("\n"));
}

#[test]
fn each_scene_says_what_it_shows() {
    for scene in scenes().into_iter().chain(named("tests/scenes/contracts")) {
        let text = std::fs::read_to_string(&scene).unwrap();
        assert!(text.starts_with("# "), "{} does not begin with what it shows", scene.display());
    }
}
