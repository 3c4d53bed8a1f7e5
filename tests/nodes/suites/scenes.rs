//! A node's capture, made on real systemd with the kubelet's stand-in, and what detection and
//! checks say of it elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use crate::support::container;
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the script in a node, which leaves `live.json`, `checks.json` and `scene` in /out.
fn captured(script: &str) -> (tempfile::TempDir, PathBuf) {
    let out = tempfile::tempdir().unwrap();
    let rest = "csihost detect --json >/out/live.json
         csihost check --json >/out/checks.json || :
         csihost capture --output /out/scene
         status 1 csihost capture --output /out/scene";
    container()
        .shared_root()
        .option(&["--out", out.path().to_str().unwrap()])
        .run(&format!("{script}\n{rest}"));
    let archive = fs::read(out.path().join("scene")).unwrap();
    let mode = out.path().join("scene").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let mut tar = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(archive.as_slice()).unwrap().read_to_end(&mut tar).unwrap();
    assert!(!tar.windows(7).any(|part| part == b"hunter2"), "a secret is in it");
    let unpacked = out.path().join("unpacked");
    let mut archive = tar::Archive::new(tar.as_slice());
    archive.set_preserve_permissions(true);
    archive.unpack(&unpacked).unwrap();
    let scene = fs::read_dir(&unpacked).unwrap().next().unwrap().unwrap().path();
    (out, scene)
}

fn json(verb: &str, root: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_csihost"))
        .args([verb, "--json", "--root"])
        .arg(root)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The answer without what another machine cannot know: inode numbers of watches mean nothing
/// there, and the program that was asked for its version is not in the scene.
fn elsewhere(mut answer: Value) -> Value {
    answer["kubelet"]["version"] = Value::Null;
    answer["evidence"].as_array_mut().unwrap().retain(|evidence| evidence["source"] != "inotify-watch");
    answer
}

#[test]
#[ignore = "boots a node: make node"]
fn a_live_nodes_capture_gives_the_same_answer_as_the_node() {
    let (out, scene) = captured(
        "broken_node; install_program
         mkdir -p /etc/systemd/system/kubelet.service.d
         printf '[Service]\\nEnvironment=API_TOKEN=hunter2\\n' >/etc/systemd/system/kubelet.service.d/token.conf
         systemctl daemon-reload
         systemctl restart kubelet
         sed -i '1i node.session.auth.password = hunter2' /etc/iscsi/iscsid.conf",
    );
    let live = read(out.path().join("live.json"));
    assert_eq!(live["kubelet"]["root_dir"], "/opt/rke/var/lib/kubelet");
    assert_eq!(live["kubelet"]["confidence"], "certain");
    assert_eq!(elsewhere(json("detect", &scene)), elsewhere(live.clone()));
    // The scene knows what was said on the node.
    let told = &read(scene.join("capture.json"))["detection"];
    assert_eq!((&told["kubelet"], &told["evidence"]), (&live["kubelet"], &live["evidence"]));

    // A startup line that names nothing fails on the node and in the scene.
    let failing = |checks: &Value| -> Vec<String> {
        let all = checks["checks"].as_array().unwrap().iter();
        all.filter(|check| check["status"] == "fail").map(|check| check["id"].to_string()).collect()
    };
    let (live, in_scene) = (failing(&read(out.path().join("checks.json"))), failing(&json("check", &scene)));
    // Offline nothing runs, and so nothing that runs can fail.
    assert!(in_scene.iter().all(|id| live.contains(id)), "{in_scene:?}, and not {live:?}");
    assert!(in_scene.iter().any(|id| id.contains("iscsid-conf")), "{in_scene:?}");
}

#[test]
#[ignore = "boots a node: make node"]
fn a_node_that_csihost_has_made_ready_is_captured_as_that() {
    let (_out, scene) = captured("broken_node; install_program; csihost apply");
    let plan = json("plan", &scene);
    // Which kernel will run is not known offline, so modules are asked for all the same.
    let steps = plan["steps"].as_array().unwrap().iter();
    let others: Vec<_> = steps.filter(|step| step["target"] != "/etc/modules-load.d/csihost.conf").collect();
    assert!(others.is_empty(), "{others:?}");
}
