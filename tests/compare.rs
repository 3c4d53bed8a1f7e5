//! `check --npd` and `compare` as programs call them: exit codes, lines, files, and bad input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn csihost(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_csihost")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A tree of a Debian whose name, root and initiator are given; without `daemon` open-iscsi is
/// not installed.
fn tree(root: &Path, initiator: &str, kubelet_root: &str, daemon: bool) {
    let write = |name: &str, content: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = if name.contains("bin/") { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n");
    write("etc/machine-id", &format!("{:032x}\n", initiator.len()));
    write(
        "etc/csihost/csihost.toml",
        &format!("[kubelet]\nroot-dir = \"{kubelet_root}\"\n[bridge]\nenabled = false\n"),
    );
    write("usr/bin/systemctl", "");
    write("usr/lib/systemd/systemd", "");
    if daemon {
        write("usr/sbin/iscsid", "");
        write("bin/systemctl", "");
        write("etc/iscsi/iscsid.conf", "iscsid.startup = /bin/systemctl start iscsid.socket\n");
        write("etc/iscsi/initiatorname.iscsi", &format!("InitiatorName={initiator}\n"));
        write(
            "usr/lib/systemd/system/iscsid.socket",
            "[Socket]\nListenStream=@x\n[Install]\nWantedBy=sockets.target\n",
        );
        write("usr/lib/systemd/system/iscsid.service", "[Service]\nExecStart=/usr/sbin/iscsid\n");
        let wants = root.join("etc/systemd/system/sockets.target.wants");
        fs::create_dir_all(&wants).unwrap();
        std::os::unix::fs::symlink("/usr/lib/systemd/system/iscsid.socket", wants.join("iscsid.socket"))
            .unwrap();
    }
}

/// The report of a tree, in a file.
fn report(scratch: &Path, name: &str, initiator: &str, kubelet_root: &str, daemon: bool) -> PathBuf {
    let root = scratch.join(name);
    tree(&root, initiator, kubelet_root, daemon);
    let output = csihost(&["check", "--json", "--root", root.to_str().unwrap()]);
    let file = scratch.join(format!("{name}.json"));
    fs::write(&file, &output.stdout).unwrap();
    file
}

fn compare(files: &[&Path]) -> Output {
    let names = files.iter().map(|file| file.to_str().unwrap());
    csihost(&["compare"].into_iter().chain(names).collect::<Vec<_>>())
}

#[test]
fn npd_gets_one_short_line_and_the_code_that_it_knows() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    tree(&at("good"), "iqn.a", "/var/lib/kubelet", true);
    tree(&at("bad"), "iqn.a", "/var/lib/kubelet", false);
    tree(&at("config"), "iqn.a", "/var/lib/kubelet", true);
    fs::write(at("config/etc/csihost/csihost.toml"), "[checks]\nignore = [\"nonsense\"]\n").unwrap();
    for (root, expected, begins) in [
        ("good", 0, "ready"),
        ("bad", 1, "iscsi-package: open-iscsi is not installed"),
        ("config", 2, "csihost: /etc/csihost/csihost.toml:2: checks.ignore: there is no"),
        ("nowhere", 2, "csihost: cannot open"),
    ] {
        let output = csihost(&["check", "--npd", "--root", at(root).to_str().unwrap()]);
        let line = text(&output.stdout);
        assert_eq!(code(&output), expected, "{root}: {line}");
        assert!(line.starts_with(begins), "{root}: {line}");
        assert!(
            line.ends_with('\n') && line.trim_end().len() < 80 && line.lines().count() == 1,
            "{root}: {line}"
        );
        assert!(!line.contains('\x1b'), "{root}: {line}");
    }
    // A line that cannot be written is no problem of the node.
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_csihost"))
        .args(["check", "--npd", "--root", at("bad").to_str().unwrap()])
        .stdout(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
    assert_eq!(code(&csihost(&["check", "--npd", "--json"])), 2, "not both");
}

#[test]
fn an_ignored_check_does_not_make_check_fail() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("bad");
    tree(&root, "iqn.a", "/var/lib/kubelet", false);
    let check = || csihost(&["check", "--root", root.to_str().unwrap()]);
    assert_eq!(code(&check()), 3);
    fs::write(root.join("etc/csihost/csihost.toml"), "[checks]\nignore = [\"iscsi-package\"]\n").unwrap();
    let output = check();
    assert_eq!(code(&output), 0, "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("skip  iscsi-package            ignored by the settings"));
}

#[test]
fn reports_of_two_trees_are_compared() {
    let scratch = tempfile::tempdir().unwrap();
    let one = report(scratch.path(), "one", "iqn.2024-01.org.example:a", "/var/lib/kubelet", true);
    let twin = report(scratch.path(), "twin", "iqn.2024-01.org.example:a", "/srv/kubelet", true);
    let other = report(scratch.path(), "other", "iqn.2024-01.org.example:bb", "/var/lib/kubelet", true);
    let json: Value = serde_json::from_slice(&fs::read(&one).unwrap()).unwrap();
    assert_eq!(json["node"]["initiator_name"], "iqn.2024-01.org.example:a");
    assert_eq!(json["node"]["kubelet"]["root_dir"], "/var/lib/kubelet");
    assert_eq!(json["node"]["os"], "Debian 12");

    let fine = compare(&[&one, &other]);
    assert_eq!((code(&fine), text(&fine.stdout).as_str()), (0, "2 nodes: alike where they have to be\n"));
    let output = compare(&[&one, &twin, &other]);
    let shown = text(&output.stdout);
    assert_eq!(code(&output), 3, "{shown}");
    for part in [
        "FAIL  initiator-name  2 nodes share the initiator name iqn.2024-01.org.example:a",
        "FAIL  machine-id      2 nodes share the machine id",
        "FAIL  kubelet-root    2 different kubelet roots",
        "/srv/kubelet",
        "3 nodes: not fit for one cluster as they are",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let names = [&one, &twin].map(|file| file.to_str().unwrap());
    let output = csihost(&["compare", "--json", names[0], names[1]]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["schema"].as_u64(), json["ready"].as_bool()), (Some(1), Some(false)));
    assert_eq!(json["findings"][0]["id"], "initiator-name");
    assert_eq!(json["findings"][0]["groups"][0]["nodes"].as_array().unwrap().len(), 2);
}

#[test]
fn bad_input_is_an_error_that_names_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    let good = report(scratch.path(), "good", "iqn.a", "/var/lib/kubelet", true);
    let file = |name: &str, content: &[u8]| {
        let path = scratch.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let large = scratch.path().join("large.json");
    fs::File::create(&large).unwrap().set_len((16 << 20) + 1).unwrap();
    let link = scratch.path().join("link.json");
    std::os::unix::fs::symlink(&good, &link).unwrap();
    for (bad, expected) in [
        (file("text.json", b"{\"schema\": 1,\n  nonsense"), "text.json:2:3: not JSON"),
        (file("empty.json", b""), "empty.json:1:0: not JSON"),
        (file("binary.json", b"\x00\xff\x1b[31m"), "binary.json:1:1: not JSON"),
        (file("detect.json", b"{\"schema\":1,\"kubelet\":null}"), "detect.json: no report of a node"),
        (file("later.json", b"{\"schema\":7,\"checks\":[]}"), "later.json: it has schema 7"),
        (large, "large.json: more than 16777216 bytes"),
        (link, "the same file as"),
        (good.clone(), "the same file as"),
        (scratch.path().to_owned(), "Is a directory"),
        (scratch.path().join("absent.json"), "absent.json: No such file"),
    ] {
        let output = compare(&[&good, &bad]);
        let error = text(&output.stderr);
        assert_eq!(code(&output), 1, "{error}");
        assert!(error.contains(expected) && error.starts_with("csihost: "), "{expected}: {error}");
        assert!(output.stdout.is_empty() && !error.contains('\x1b'), "{error:?}");
    }
    assert_eq!(code(&compare(&[&good])), 2, "one node has nobody to be compared with");
}

#[test]
fn a_thousand_nodes_are_compared_at_once() {
    let scratch = tempfile::tempdir().unwrap();
    let good = report(scratch.path(), "good", "iqn.a", "/var/lib/kubelet", true);
    let mut json: Value = serde_json::from_slice(&fs::read(&good).unwrap()).unwrap();
    let mut files = Vec::new();
    for n in 0..1000 {
        json["node"]["hostname"] = format!("node-{n}").into();
        json["node"]["machine"] = format!("{n:064x}").into();
        json["node"]["initiator_name"] = format!("iqn.{}", n.min(998)).into();
        let file = scratch.path().join(format!("{n}.json"));
        fs::write(&file, json.to_string()).unwrap();
        files.push(file);
    }
    let started = Instant::now();
    let output = compare(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let took = started.elapsed();
    let shown = text(&output.stdout);
    assert_eq!(code(&output), 3);
    assert!(
        shown.contains("2 nodes share the initiator name iqn.998") && shown.contains("node-998, node-999"),
        "{shown}"
    );
    // Loose, for a machine that does much else.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
