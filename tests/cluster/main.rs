//! Tests against a real Kubernetes: a kubelet whose root is `/srv/kubelet`, its control plane,
//! containerd and csi-driver-host-path, on one node that all of these tests share, in order. What
//! holds is asserted by what the API server and the pods say.
//!
//! `cargo test --features node-tests --test cluster [-- WORD...]` runs the tests whose name has one of
//! the words, and those that they need. README.md here says how the binaries are made; without them
//! the tests say that they skip, and pass. Needs root; see tests/nodes/container.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the tests' own runner")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot run its node has failed")]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod align;
mod contact;
mod distributions;
mod graft;
mod node;
mod quotes;

use node::Cluster;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One test: scripts for the node, with a reboot between one and the next.
pub(crate) struct Test {
    /// A sentence that says what is so.
    name: &'static str,
    /// Bash, with the words of `words.sh`.
    scripts: &'static [&'static str],
}

/// All tests in the order in which they run: each leaves the node as the next one takes it.
fn tests() -> impl Iterator<Item = &'static Test> {
    [contact::TESTS, graft::TESTS, align::TESTS, again::TESTS, distributions::TESTS].into_iter().flatten()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        tests().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    let wanted = |test: &Test| words.is_empty() || words.iter().any(|word| test.name.contains(word.as_str()));
    // The node's state is what the tests before have made of it.
    let last = tests().enumerate().filter(|(_, test)| wanted(test)).map(|(at, _)| at + 1).last();
    let Some(last) = last else { return ExitCode::SUCCESS };

    let binaries = match node::binaries() {
        Ok(binaries) => binaries,
        Err(why) => {
            println!("cluster: skipped: {why}");
            return ExitCode::SUCCESS;
        }
    };
    let began = Instant::now();
    let mut cluster = Cluster::boot(&binaries);
    println!("booted the node in {}", seconds(began.elapsed()));
    let (mut passed, mut failed) = (0, 0);
    let mut left = tests().take(last);
    for test in left.by_ref() {
        let began = Instant::now();
        match run(&mut cluster, test) {
            Ok(()) => {
                passed += 1;
                println!("test {} ... ok, {}", test.name, seconds(began.elapsed()));
            }
            Err(said) => {
                failed = 1;
                println!("test {} ... FAILED, {}\n{said}", test.name, seconds(began.elapsed()));
                // The node is not as the next test takes it.
                break;
            }
        }
    }
    println!("{passed} passed, {failed} failed, {} not run, {}", left.count(), seconds(began.elapsed()));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a test. Lines of its output that begin with "measured: " are shown.
fn run(cluster: &mut Cluster, test: &Test) -> Result<(), String> {
    for (at, script) in test.scripts.iter().enumerate() {
        if at > 0 {
            cluster.reboot();
        }
        let printed = cluster.script(script)?;
        printed.lines().filter(|line| line.starts_with("measured: ")).for_each(|line| println!("{line}"));
        quotes::compare(&cluster.quotes())?;
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
