//! What packages hold beside the program and is made of it: `generate DIR TRIPLE`.
//!
//! Completions for bash, zsh and fish, from the command line itself, and a bill of materials
//! (CycloneDX 1.5): every crate that is compiled into the program for that target, with its version,
//! licence and digest, from `cargo metadata` and Cargo.lock. No time and no random number is in
//! any of it: packages are to have equal bytes when they are built again.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use anyhow::{Context, Result, bail};
use clap_complete::{Shell, generate_to};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, triple] = arguments.as_slice() else {
        bail!("usage: generate DIR TRIPLE");
    };
    let directory = Path::new(directory);
    std::fs::create_dir_all(directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut csihost::cli::command(), "csihost", directory)?;
    }
    let bill = serde_json::to_string_pretty(&bill(triple)?)?;
    std::fs::write(directory.join("csihost.cdx.json"), bill + "\n")?;
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One crate, as CycloneDX has it.
fn component(kind: &str, package: &Value, digests: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(package, "name"), text(package, "version"));
    let mut component = json!({
        "type": kind,
        "bom-ref": format!("pkg:cargo/{name}@{version}"),
        "name": name,
        "version": version,
        "purl": format!("pkg:cargo/{name}@{version}"),
        // What Cargo once allowed: a slash for "or".
        "licenses": [{"expression": text(package, "license").replace('/', " OR ")}],
    });
    if let (Some(digest), Some(map)) =
        (digests.get(&(name.to_owned(), version.to_owned())), component.as_object_mut())
    {
        map.insert("hashes".into(), json!([{"alg": "SHA-256", "content": digest}]));
    }
    component
}

fn bill(triple: &str) -> Result<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--locked", "--format-version", "1", "--filter-platform", triple])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"))?;
    let lock: toml::Table = lock.parse()?;
    let locked = lock.get("package").and_then(toml::Value::as_array).context("no package in Cargo.lock")?;
    let digests: BTreeMap<(String, String), String> = locked
        .iter()
        .filter_map(|package| {
            let key = |key| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            Some(((key("name")?, key("version")?), key("checksum")?))
        })
        .collect();

    let packages: BTreeMap<&str, &Value> =
        list(&metadata, "packages").iter().map(|package| (text(package, "id"), package)).collect();
    let resolve = metadata.get("resolve").context("cargo metadata has no resolve")?;
    // What a crate needs itself and to be built; not what its tests need.
    let needs: BTreeMap<&str, BTreeSet<&str>> = list(resolve, "nodes")
        .iter()
        .map(|node| {
            let needed = list(node, "deps").iter().filter(|dependency| {
                list(dependency, "dep_kinds").iter().any(|kind| text(kind, "kind") != "dev")
            });
            (text(node, "id"), needed.map(|dependency| text(dependency, "pkg")).collect())
        })
        .collect();

    let root = text(resolve, "root");
    let (mut seen, mut next) = (BTreeSet::from([root]), vec![root]);
    while let Some(id) = next.pop() {
        for &needed in needs.get(id).into_iter().flatten() {
            if seen.insert(needed) {
                next.push(needed);
            }
        }
    }
    let reference = |id: &&str| {
        let package = packages.get(id)?;
        Some(format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version")))
    };
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for id in &seen {
        let package = packages.get(id).with_context(|| format!("cargo metadata does not describe {id}"))?;
        if *id != root {
            components.push(component("library", package, &digests));
        }
        let on: BTreeSet<_> = needs.get(id).into_iter().flatten().filter_map(reference).collect();
        dependencies.push(json!({"ref": reference(id), "dependsOn": on}));
    }
    let program = packages.get(root).context("cargo metadata does not describe csihost")?;
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": component("application", program, &digests),
            "properties": [{"name": "csihost:target", "value": triple}],
        },
        "components": components,
        "dependencies": dependencies,
    }))
}
