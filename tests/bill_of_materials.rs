//! What packages say of the crates that are in the program (packaging/generate.rs).

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

#[test]
fn the_bill_lists_what_is_in_the_program_with_licence_and_digest_and_is_the_same_each_time() {
    let scratch = tempfile::tempdir().unwrap();
    let bill = |name: &str| {
        let directory = scratch.path().join(name);
        // With it, cargo would compile anew every crate that looks at it. tests/run sets it for libtest alone.
        let made = Command::new(env!("CARGO"))
            .env_remove("RUSTC_BOOTSTRAP")
            .args(["run", "--quiet", "--locked", "--example", "generate", "--"])
            .arg(&directory)
            .arg("x86_64-unknown-linux-gnu")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::read_to_string(directory.join("csihost.cdx.json")).unwrap()
    };
    let text = bill("once");
    assert_eq!(text, bill("twice"));

    let bill: Value = serde_json::from_str(&text).unwrap();
    let lock = include_str!("../Cargo.lock");
    let mut names = BTreeSet::new();
    for component in bill["components"].as_array().unwrap() {
        let name = component["name"].as_str().unwrap();
        names.insert(name);
        assert!(
            component["licenses"][0]["expression"].as_str().is_some_and(|text| !text.is_empty()),
            "{name}"
        );
        let digest = component["hashes"][0]["content"].as_str().unwrap();
        assert!(lock.contains(&format!("checksum = \"{digest}\"")), "{name}: {digest}");
    }
    for name in ["zbus", "tokio", "clap", "ruzstd"] {
        assert!(names.contains(name), "{name} is missing");
    }
    // What only tests and this program use is not in csihost.
    for name in ["proptest", "tempfile", "clap_complete", "roxmltree"] {
        assert!(!names.contains(name), "{name} is not in the program");
    }
}
