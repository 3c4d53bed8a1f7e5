//! A kubelet in a container, as RKE runs it: what its container has not from the host is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

#[path = "scenes/format.rs"]
mod format;

use serde_json::Value;
use std::process::Command;

const RKE: &str = "
host
file /etc/os-release
  ID=ubuntu
  VERSION_ID=\"20.04\"
file /etc/csihost/csihost.toml
  [features]
  flexvolume = true
process 900 kubelet --root-dir=/opt/rke/var/lib/kubelet --volume-plugin-dir=/var/lib/kubelet/volumeplugins
  cgroup /docker/0123456789abcdef
  mnt-ns 4026532700
  listens /opt/rke/var/lib/kubelet
  mount 300 299 0:60 / / rw - overlay overlay rw
  mount 301 300 8:1 /opt/rke/var/lib/kubelet /opt/rke/var/lib/kubelet rw shared:1 - ext4 /dev/sda1 rw
";

/// The check `flexvolume-dir` of the scene with these more mounts of the kubelet.
fn checked(more: &str) -> Value {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    format::unpack(&format!("{RKE}{more}"), &root);
    let output = Command::new(env!("CARGO_BIN_EXE_csihost"))
        .args(["check", "--json", "--root", root.to_str().unwrap()])
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(json["node"]["kubelet"]["volume_plugin_dir"], "/var/lib/kubelet/volumeplugins");
    let checks = json["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == "flexvolume-dir").unwrap().clone()
}

#[test]
fn a_flexvolume_directory_in_the_container_alone_fails() {
    let check = checked("");
    assert_eq!(check["status"], "fail", "{check}");
    let remedy = check["remedy"].as_str().unwrap();
    let bind =
        "\"/var/lib/kubelet/volumeplugins:/var/lib/kubelet/volumeplugins\" to services.kubelet.extra_binds";
    assert!(remedy.contains(bind), "{remedy}");
}

#[test]
fn one_that_is_another_of_the_host_fails_too() {
    let check =
        checked("  mount 302 300 8:1 /srv/flex /var/lib/kubelet/volumeplugins rw - ext4 /dev/sda1 rw\n");
    assert_eq!(check["status"], "fail", "{check}");
    let summary = "/var/lib/kubelet/volumeplugins of the kubelet is /srv/flex of the host";
    assert_eq!(check["summary"], summary);
}

#[test]
fn one_that_is_the_same_for_both_passes() {
    let same = "/var/lib/kubelet/volumeplugins";
    let check = checked(&format!("  mount 302 300 8:1 {same} {same} rw - ext4 /dev/sda1 rw\n"));
    assert_eq!(check["status"], "pass", "{check}");
}
