//! No password of iSCSI reaches any output: it is planted wherever open-iscsi keeps one, and
//! looked for in what every verb prints, logs, captures and keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Part of each password, and of nothing else.
const SECRET: &str = "SECRETcorrecthorse";

/// As a person writes them, and as they come out of an editor: each is a line that csihost reads.
const CONF: &str = "\
# node.session.auth.password = SECRETcorrecthorse0
iscsid.startup = /nowhere/iscsid
node.session.auth.authmethod = CHAP
node.session.auth.username = SECRETcorrecthorse2
node.session.auth.password = SECRETcorrecthorse3
node.session.auth.password_in=SECRETcorrecthorse4
discovery.sendtargets.auth.username = SECRETcorrecthorse5
discovery.sendtargets.auth.password = SECRETcorrecthorse6
";

fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    let mode = if name.contains("bin/") { 0o755 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn tree(root: &Path, conf: &str) {
    for (name, content) in [
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        (
            "etc/csihost/csihost.toml",
            "[iscsi]\nstale-records = \"remove\"\nmultipath = \"blacklist\"\n[features]\nrwx = true\nencryption = true\nv2-engine = true\nflexvolume = true\n",
        ),
        ("etc/iscsi/iscsid.conf", conf),
        (
            "etc/iscsi/initiatorname.iscsi",
            "InitiatorName=iqn.1993-08.org.debian:01:ab\n# SECRETcorrecthorse8\n",
        ),
        (
            "etc/iscsi/nodes/iqn.2019-10.io.longhorn:pvc-1/10.0.0.1,3260,1/default",
            "node.name = iqn.2019-10.io.longhorn:pvc-1\nnode.session.auth.password = SECRETcorrecthorse9\n",
        ),
        (
            "etc/iscsi/send_targets/10.0.0.1,3260/st_config",
            "discovery.sendtargets.auth.password = SECRETcorrecthorse10\n",
        ),
        ("etc/multipath.conf", "overrides {\n protocol \"SECRETcorrecthorse11\"\n}\n"),
        (
            "etc/nfsmount.conf",
            "[ NFSMount_Global_Options ]\n# SECRETcorrecthorse12\nsec=SECRETcorrecthorse13\n",
        ),
        ("usr/sbin/iscsid", ""),
        ("bin/systemctl", ""),
        ("usr/lib/systemd/systemd", ""),
        (
            "usr/lib/systemd/system/iscsid.socket",
            "[Socket]\nListenStream=@x\n[Install]\nWantedBy=sockets.target\n",
        ),
        (
            "usr/lib/systemd/system/iscsid.service",
            "[Service]\nExecStart=/usr/sbin/iscsid\nEnvironment=P=SECRETcorrecthorse14\n",
        ),
    ] {
        write(root, name, content);
    }
}

fn csihost(root: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_csihost"))
        .args(args)
        .args(["--root", root.to_str().unwrap()])
        .current_dir(root.parent().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn without_secret(what: &str, bytes: &[u8]) {
    let found = bytes.windows(SECRET.len()).position(|part| part == SECRET.as_bytes());
    let around =
        found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(60)..(at + 40).min(bytes.len())]));
    assert!(around.is_none(), "{what}: {around:?}");
}

/// Runs a verb and looks at all that it says.
#[track_caller]
fn says_nothing(root: &Path, args: &[&str]) -> Output {
    let output = csihost(root, args);
    assert!(output.status.code().is_some(), "{args:?} did not end by itself");
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        without_secret(&format!("{name} of csihost {}", args.join(" ")), bytes);
    }
    output
}

/// Every file below a directory.
fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            files(&path, found);
        } else if meta.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

const READING: [&[&str]; 10] = [
    &["plan"],
    &["plan", "--json"],
    &["check"],
    &["check", "--json"],
    &["check", "--npd"],
    &["detect"],
    &["detect", "--json"],
    &["status"],
    &["status", "--json"],
    &["capture", "--output", "-"],
];

fn every_verb_is_silent(conf: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    tree(&root, conf);
    let all = || {
        for args in READING {
            says_nothing(&root, args);
        }
        captured(&root);
    };
    all();
    says_nothing(&root, &["apply"]);
    all();
    // What csihost itself keeps: the receipt, units, drop-ins.
    let mut kept = Vec::new();
    files(&root.join("var"), &mut kept);
    files(&root.join("etc/systemd"), &mut kept);
    for (name, bytes) in kept {
        without_secret(&name, &bytes);
    }
    says_nothing(&root, &["undo"]);
    all();
    assert_eq!(fs::read_to_string(root.join("etc/iscsi/iscsid.conf")).unwrap(), conf, "undo gave it back");
}

fn captured(root: &Path) {
    let archive = csihost(root, &["capture", "--output", "-"]).stdout;
    let mut tar = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(archive.as_slice()).unwrap().read_to_end(&mut tar).unwrap();
    without_secret("the capture", &tar);
    let mut names = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().unwrap() {
        names.push(entry.unwrap().path().unwrap().display().to_string());
    }
    assert!(names.iter().any(|name| name.ends_with("etc/iscsi/iscsid.conf")), "it was looked at: {names:?}");
}

#[test]
fn no_verb_tells_a_password_of_iscsi() {
    every_verb_is_silent(CONF);
}

#[test]
fn nor_where_the_file_is_odd() {
    let odd = [
        "iscsid.startup = /bin/systemctl start iscsid.socket\nnode.session.auth.password = SECRETcorrecthorse",
        "node.session.auth.password = SECRETcorrecthorse iscsid.startup = /nowhere\r\n",
        ";iscsid.startup = /nowhere/x\r\nnode.session.auth.password = SECRETcorrecthorse\r\n",
    ];
    for conf in odd {
        every_verb_is_silent(conf);
    }
    let long = format!(
        "#{}node.session.auth.password = SECRETcorrecthorse iscsid.startup = /nowhere\n",
        "x".repeat(1023)
    );
    every_verb_is_silent(&long);
}

#[test]
fn a_tree_without_changes_is_silent_too_when_verbs_fail() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("host");
    tree(&root, CONF);
    fs::remove_file(root.join("etc/iscsi/iscsid.conf")).unwrap();
    fs::create_dir(root.join("etc/iscsi/iscsid.conf")).unwrap();
    write(&root, "etc/iscsi/iscsid.conf/SECRETless", "node.session.auth.password = SECRETcorrecthorse\n");
    write(&root, "var/lib/csihost/receipt.json", "{\"schema\": \"SECRETless\", \"x\": ");
    for args in READING.iter().chain(&[&["apply"][..], &["undo"]]) {
        says_nothing(&root, args);
    }
}
