//! The files for Ignition say what the Butane files beside them say, with the units of the package.
//!
//! `CSIHOST_GOLDEN=write cargo test --test boot_files` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic: that is how it fails.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// What `butane --files-dir units` makes of the file: the parts of Butane that ours use.
fn translated(butane: &str, specification: &str) -> Value {
    let value = |key: &str| {
        let key = format!("{key}: ");
        butane.lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(&key)).unwrap()
    };
    let mut units = Vec::new();
    for unit in butane.split("\n    - name: ").skip(1) {
        let (name, rest) = unit.split_once('\n').unwrap();
        let dropin = rest.split("          contents: |\n").nth(1).unwrap();
        let contents: Vec<_> = dropin.lines().map_while(|line| line.strip_prefix("            ")).collect();
        assert!(
            rest.contains(&format!("contents_local: {name}")) && rest.contains("enabled: true"),
            "{rest}"
        );
        assert!(rest.contains("- name: program.conf"), "{rest}");
        units.push(json!({
            "name": name,
            "enabled": true,
            "contents": read(&format!("units/{name}")),
            "dropins": [{"name": "program.conf", "contents": contents.join("\n") + "\n"}],
        }));
    }
    assert_eq!(value("mode"), "0755");
    json!({
        "ignition": {"version": specification},
        "storage": {"files": [{
            "path": value("path"),
            "contents": {"source": value("source"), "verification": {"hash": value("hash")}},
            "mode": 0o755,
        }]},
        "systemd": {"units": units},
    })
}

#[test]
fn the_files_for_ignition_say_what_those_for_butane_do() {
    for (name, variant, specification) in
        [("flatcar", "flatcar", "3.3.0"), ("fedora-coreos", "fcos", "3.3.0")]
    {
        let butane = read(&format!("packaging/boot/{name}.bu"));
        assert!(butane.contains(&format!("variant: {variant}\n")));
        let ignition = serde_json::to_string_pretty(&translated(&butane, specification)).unwrap() + "\n";
        let file = format!("packaging/boot/{name}.ign");
        if std::env::var_os("CSIHOST_GOLDEN").is_some_and(|word| word == "write") {
            std::fs::write(path(&file), &ignition).unwrap();
        }
        assert_eq!(read(&file), ignition, "{file}");
        // The program in the drop-ins is the one that is put there.
        let program = butane.lines().find_map(|line| line.trim().strip_prefix("- path: ")).unwrap();
        assert_eq!(butane.matches(&format!("ExecStart={program} ")).count(), 2, "{name}");
    }
}

#[test]
fn the_version_in_the_boot_files_and_in_the_pages_is_the_programs() {
    let names = ["flatcar.bu", "fedora-coreos.bu", "rancheros.yml"];
    for name in names.map(|name| format!("packaging/boot/{name}")) {
        assert!(read(&name).contains(concat!("csihost-", env!("CARGO_PKG_VERSION"), "-x86_64")), "{name}");
    }
    assert!(read("packaging/boot/cloud-init.yml").contains(concat!(
        "version=",
        env!("CARGO_PKG_VERSION"),
        "\n"
    )));
    for name in ["rancheros-rke", "flatcar-rke", "rke2", "kubeadm"] {
        assert!(read(&format!("docs/{name}.md")).contains(env!("CARGO_PKG_VERSION")), "{name}");
    }
}
