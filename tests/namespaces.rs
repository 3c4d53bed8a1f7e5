//! Real attacks, and real kubelets in odd places, on this machine's kernel: each test is a small
//! host in PID and mount namespaces of its own, with the stand-in for the kubelet
//! (tests/nodes/kubelet.rs). They need root; without it they say so and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // Tests.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What every script begins with: directories of its own, and words to say it all shortly.
const PRELUDE: &str = r#"
set -euo pipefail
for dir in /var/lib /srv; do mount -t tmpfs -o mode=755 tmpfs "$dir"; done
detect() { "$CSIHOST" detect --json --config /dev/null "$@" || [ $? = 3 ]; }
await() { # COMMAND...: until it succeeds
    for _ in {1..200}; do if "$@" 2>/dev/null; then return; fi; sleep 0.05; done
    echo "gave up waiting for: $*" >&2
    exit 1
}
kubelet() { # ROOT: starts one, and waits until it listens
    "$KUBELET" --root-dir="$1" "${@:2}" &
    pid=$!
    await test -S "$1/pod-resources/kubelet.sock"
}
"#;

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: namespaces need root");
    }
    root
}

fn stand_in() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let kubelet = test.parent().unwrap().parent().unwrap().join("examples/kubelet");
    assert!(kubelet.exists(), "run cargo build --example kubelet first");
    kubelet
}

fn start(script: &str) -> Child {
    Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"])
        .arg(format!("{PRELUDE}{script}"))
        .env("CSIHOST", env!("CARGO_BIN_EXE_csihost"))
        .env("KUBELET", stand_in())
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare runs")
}

fn documents(output: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(output).into_iter().map(|document| document.unwrap()).collect()
}

/// What `detect` said, each time that the script called it.
#[track_caller]
fn answers(script: &str) -> Vec<Value> {
    let output = start(script).wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed: {}", String::from_utf8_lossy(&output.stdout));
    documents(&output.stdout)
}

#[track_caller]
fn answer(script: &str) -> Value {
    let mut answers = answers(script);
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

#[track_caller]
fn is(answer: &Value, root: &str, confidence: &str) {
    assert_eq!(
        (&answer["kubelet"]["root_dir"], &answer["kubelet"]["confidence"]),
        (&root.into(), &confidence.into()),
        "{answer:#}"
    );
}

fn reasons(answer: &Value) -> Vec<&str> {
    answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rejection| rejection["reason"].as_str().unwrap())
        .collect()
}

fn sources(answer: &Value) -> Vec<&str> {
    answer["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|evidence| evidence["source"].as_str().unwrap())
        .collect()
}

#[test]
fn a_kubelet_is_certain_by_what_it_holds_open() {
    if !root() {
        return;
    }
    let answers = answers(
        "kubelet /srv/kubelet\ndetect\nln -s /srv/kubelet /srv/link\nkill $pid; wait $pid || :\nrm -r /srv/kubelet/pod-resources\nkubelet /srv/link\ndetect",
    );
    is(&answers[0], "/srv/kubelet", "certain");
    assert_eq!(sources(&answers[0]), ["pod-resources-socket", "process-arguments", "inotify-watch"]);
    // The string is what plugins are sent, a link or not.
    is(&answers[1], "/srv/link", "certain");
    assert_eq!(sources(&answers[1]), ["pod-resources-socket", "process-arguments", "inotify-watch"]);
}

#[test]
fn nobody_forges_a_root_through_the_name_of_an_abstract_socket() {
    if !root() {
        return;
    }
    let mut host = start(
        r#"
        kubelet /srv/kubelet
        mkdir -p /srv/evil/pod-resources
        for fd in /proc/$pid/fd/*; do readlink "$fd"; done | sed -n 's/^socket:\[\(.*\)\]$/\1/p' | tr '\n' ' '
        echo
        read -r _
        grep -q /srv/evil/pod-resources/1 /proc/$pid/net/unix # The attack does what it should.
        detect
        # From another network namespace the kernel cannot be asked: the text has to do.
        unshare --net "$CSIHOST" detect --json --config /dev/null
        "#,
    );
    let mut output = BufReader::new(host.stdout.take().unwrap());
    let mut inodes = String::new();
    output.read_line(&mut inodes).unwrap();
    let forged: Vec<UnixListener> = inodes
        .split_whitespace()
        .map(|inode| {
            let name = format!(
                "{inode}\n0000000000000000: 00000002 00000000 00010000 0001 01 {inode} /srv/evil/pod-resources/1"
            );
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
        })
        .collect();
    assert!(!forged.is_empty(), "the kubelet holds a socket");
    host.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut output, &mut text).unwrap();
    assert!(host.wait().unwrap().success());
    let answers = documents(&text);
    assert_eq!(answers.len(), 2);
    for answer in &answers {
        is(answer, "/srv/kubelet", "certain");
    }
    assert!(reasons(&answers[0]).is_empty(), "the kernel does not tell of it: {:#}", answers[0]);
    assert_eq!(reasons(&answers[1]), ["untrusted-path"]);
}

#[test]
fn look_alikes_of_other_users_and_namespaces_are_none() {
    if !root() {
        return;
    }
    let answer = answer(
        r#"
        kubelet /srv/kubelet
        alike() { exec -a "$1" sleep 60; }
        export -f alike
        setpriv --reuid=65534 --clear-groups bash -c 'alike kubelet' &
        unshare --pid --fork --kill-child bash -c 'alike /usr/bin/kubelet' &
        unshare --user --map-root-user bash -c 'alike kubelet' &
        (alike $'k3s\nserver') & (alike $'\xff kubelet') & (alike 'vi /etc/kubelet-config') &
        bash -c 'sleep 60; : sudo k3s server' & bash -c ':; sleep 60' k3s &
        nested() { [ "$(grep -lsxz -e kubelet -e /usr/bin/kubelet /proc/[0-9]*/cmdline | wc -l)" -ge 3 ]; }
        await nested
        sleep 0.2
        detect
        "#,
    );
    is(&answer, "/srv/kubelet", "certain");
    let reasons = reasons(&answer);
    for reason in ["foreign-user-namespace", "nested-pid-namespace", "not-root"] {
        assert_eq!(reasons.iter().filter(|&&seen| seen == reason).count(), 1, "{answer:#}");
    }
    assert!(answer["conflict"].is_null());
}

#[test]
fn a_kubelet_in_another_mount_namespace_is_named_from_the_host() {
    if !root() {
        return;
    }
    let answers = answers(
        r#"
        mkdir -p /srv/data/deep /srv/k
        unshare --mount bash -c 'mount --bind /srv/data/deep /srv/k; exec "$KUBELET" --root-dir=/srv/k' &
        await test -S /srv/data/deep/pod-resources/kubelet.sock
        detect
        kill $!; wait $! || :
        # On a file system that the host has not mounted.
        unshare --mount bash -c 'mount -t tmpfs -o mode=755 tmpfs /srv/k; exec "$KUBELET" --root-dir=/srv/k' &
        await test -S /proc/$!/root/srv/k/pod-resources/kubelet.sock
        detect
        "#,
    );
    is(&answers[0], "/srv/k", "certain");
    assert_eq!(answers[0]["kubelet"]["host_dir"], "/srv/data/deep");
    is(&answers[1], "/srv/k", "certain");
    assert_eq!(answers[1]["kubelet"]["host_dir"], Value::Null);
}

#[test]
fn a_root_below_a_directory_of_others_is_refused_and_a_loose_root_is_a_warning() {
    if !root() {
        return;
    }
    let answers = answers(
        r#"
        mkdir -m 1777 /srv/open; kubelet /srv/open/kubelet; detect; kill $pid; wait $pid || :
        kubelet /srv/loose; chmod 0777 /srv/loose; detect
        "#,
    );
    assert_eq!((&answers[0]["kubelet"], reasons(&answers[0])), (&Value::Null, vec!["untrusted-path"]));
    is(&answers[1], "/srv/loose", "certain");
    assert!(answers[1]["warnings"][0].as_str().unwrap().contains("mode 0777"));
}

#[test]
fn processes_that_come_and_go_and_change_do_not_change_the_answer() {
    if !root() {
        return;
    }
    let answers = answers(
        r#"
        kubelet /srv/kubelet
        # A program that goes under a kubelet's name for a moment, over and over, and a zombie.
        while :; do (exec -a kubelet /bin/true); sleep 0.3; done &
        (sleep 0 & exec sleep 60) &
        for _ in {1..30}; do detect; done
        "#,
    );
    assert_eq!(answers.len(), 30);
    for answer in answers {
        is(&answer, "/srv/kubelet", "certain");
    }
}

#[test]
fn only_a_program_of_the_host_that_root_alone_can_change_is_asked_for_its_version() {
    if !root() {
        return;
    }
    let answers = answers(
        r#"
        mkdir /srv/bin; cp "$KUBELET" /srv/bin/kubelet; KUBELET=/srv/bin/kubelet
        kubelet /srv/kubelet; detect
        chmod o+w /srv/bin/kubelet; detect; chmod o-w /srv/bin/kubelet
        # Replaced while it runs: the new file is another version.
        cp /srv/bin/kubelet /srv/bin/new; mv /srv/bin/new /srv/bin/kubelet; detect
        kill $pid; wait $pid || :
        kubelet /srv/again; detect
        # A container's.
        kill $pid; wait $pid || :
        unshare --mount /srv/bin/kubelet --root-dir=/srv/other &
        await test -S /srv/other/pod-resources/kubelet.sock
        detect
        "#,
    );
    let versions: Vec<&Value> = answers.iter().map(|answer| &answer["kubelet"]["version"]).collect();
    let told = &Value::from("v0.0.0-stand-in");
    assert_eq!(versions, [told, &Value::Null, &Value::Null, told, &Value::Null]);
}

#[test]
fn two_kubelets_with_different_roots_are_a_conflict() {
    if !root() {
        return;
    }
    let answer = answer("kubelet /srv/one\nkubelet /srv/two\ndetect");
    assert_eq!(
        (&answer["kubelet"], &answer["conflict"]["values"]),
        (&Value::Null, &serde_json::json!(["/srv/one", "/srv/two"]))
    );
}

#[test]
fn a_megabyte_of_arguments_and_bytes_that_are_no_text_are_read() {
    if !root() {
        return;
    }
    let answer = answer(
        r#"
        long=$(head -c 100000 /dev/zero | tr '\0' x)
        kubelet $'/srv/\xff\n b' --a=$long --b=$long --c=$long --d=$long --e=$long --f=$long --g=$long --h=$long --i=$long --j=$long
        detect
        "#,
    );
    is(&answer, "/srv/\\xff\\x0a b", "certain");
}
