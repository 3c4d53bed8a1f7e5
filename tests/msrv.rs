//! The Rust that csihost says it takes is the oldest that its crates take.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// `1.89` and `1.89.0` are the same.
fn version(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.split('.').map(|number| number.parse().unwrap()).collect();
    numbers.resize(3, 0);
    numbers
}

#[test]
fn the_rust_that_is_declared_is_what_the_newest_of_the_crates_needs() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .args(["--filter-platform", "aarch64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let needs =
        metadata["packages"].as_array().unwrap().iter().filter(|package| !package["source"].is_null());
    let needs = needs
        .filter_map(|package| Some((version(package["rust_version"].as_str()?), package["name"].as_str()?)));
    let (newest, by) = needs.max().unwrap();
    assert_eq!(version(env!("CARGO_PKG_RUST_VERSION")), newest, "it is {by} that needs {newest:?}");
}

#[test]
fn who_builds_it_is_told_that_version() {
    let declared = env!("CARGO_PKG_RUST_VERSION");
    for (page, says) in [
        ("README.md", format!("Rust {declared} or later")),
        ("CONTRIBUTING.md", format!("Rust {declared} or\nlater")),
        ("Makefile", format!("Rust >= {declared}.\n")),
    ] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
        assert!(text.contains(&says), "{page}: {says}");
    }
}
