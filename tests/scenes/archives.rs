//! Archives that were captured from real kubelets: `CSIHOST_SCENES` names the directory that has
//! them; without it there is nothing to try.

use super::detect;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn archives() -> Option<PathBuf> {
    match std::env::var_os("CSIHOST_SCENES") {
        Some(directory) => Some(directory.into()),
        None => {
            eprintln!("not tried: CSIHOST_SCENES names no archives");
            None
        }
    }
}

/// The answer for the archive `name`.
#[track_caller]
fn answer(directory: &Path, name: &str) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let archive = directory.join(format!("{name}.tar.gz"));
    let tar = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(scratch.path()).status().unwrap();
    assert!(tar.success(), "{}", archive.display());
    // An archive holds its directory, or what is in it.
    let below = scratch.path().join(name);
    let root = if below.exists() { below } else { scratch.path().to_owned() };
    let (mut json, code) = detect(&root);
    assert_eq!(code, 0, "{json}");
    json["kubelet"].take()
}

#[test]
fn a_kubelet_with_rkes_root_is_certain_by_its_listener() {
    let Some(directory) = archives() else { return };
    let kubelet = answer(&directory, "kubelet-1.36-rke-root");
    assert_eq!(kubelet["root_dir"], "/opt/rke/var/lib/kubelet");
    assert_eq!(kubelet["host_dir"], "/opt/rke/var/lib/kubelet");
    assert_eq!((&kubelet["pid"], &kubelet["confidence"]), (&json!(11190), &json!("certain")));
    assert_eq!(kubelet["distribution"], "rke");
}

#[test]
fn a_kubelet_without_the_flag_has_the_standard_root() {
    let Some(directory) = archives() else { return };
    let kubelet = answer(&directory, "kubelet-1.20-default-root");
    assert_eq!(kubelet["root_dir"], "/var/lib/kubelet");
    assert_eq!((&kubelet["pid"], &kubelet["confidence"]), (&json!(12176), &json!("certain")));
}

#[test]
fn a_kubelet_before_the_listener_is_known_by_its_arguments() {
    let Some(directory) = archives() else { return };
    let kubelet = answer(&directory, "kubelet-1.12-k0s-root");
    assert_eq!(kubelet["root_dir"], "/var/lib/k0s/kubelet");
    assert_eq!(kubelet["pid"], 13300);
    // Volume mounts below the root confirm it; inode numbers of the watch mean nothing elsewhere.
    assert_ne!(kubelet["confidence"], "declared");
}

#[test]
fn a_k3s_that_wiped_its_arguments_is_certain_by_its_listener() {
    let Some(directory) = archives() else { return };
    let kubelet = answer(&directory, "k3s-1.21-data-dir-moved");
    assert_eq!(kubelet["root_dir"], "/var/lib/kubelet");
    assert_eq!((&kubelet["pid"], &kubelet["confidence"]), (&json!(19970), &json!("certain")));
    assert_eq!(kubelet["distribution"], "k3s");
}
