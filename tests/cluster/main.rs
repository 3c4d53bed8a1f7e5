//! Tests against a real Kubernetes: a kubelet whose root is `/srv/kubelet`, its control plane,
//! containerd and csi-driver-host-path. Two nodes run side by side, each a cluster of its own; the tests
//! of a node share it, in order. What holds is asserted by what the API server and the pods say.
//!
//! `cargo test --test cluster -- --ignored [WORD...]` runs the tests whose name has one of the words, and
//! those that they need; without `--ignored` it only says that it skips, as plain `cargo test` does of
//! everything that boots a node. README.md here says how the binaries are made; without them the tests
//! say that they skip, and pass. Needs root; see tests/nodes/container.

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
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// One test: scripts for the node, with a reboot between one and the next.
pub(crate) struct Test {
    /// A sentence that says what is so.
    name: &'static str,
    /// Bash, with the words of `words.sh`.
    scripts: &'static [&'static str],
}

/// The tests of each node in the order in which they run: each leaves the node as the next one takes it.
const NODES: [&[&[Test]]; 2] =
    [&[contact::TESTS, graft::TESTS, align::TESTS], &[again::TESTS, distributions::TESTS]];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        NODES
            .iter()
            .flat_map(|node| node.iter().copied().flatten())
            .for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    if !std::env::args().any(|word| word == "--ignored" || word == "--include-ignored") {
        println!("cluster: skipped: boots nodes: make cluster");
        return ExitCode::SUCCESS;
    }
    let wanted = |test: &Test| words.is_empty() || words.iter().any(|word| test.name.contains(word.as_str()));
    let nodes = NODES.map(|node| {
        let tests: Vec<&'static Test> = node.iter().copied().flatten().collect();
        // The node's state is what the tests before have made of it.
        let last = tests.iter().rposition(|test| wanted(test));
        tests.into_iter().take(last.map_or(0, |last| last + 1)).collect::<Vec<_>>()
    });

    let binaries = &match node::binaries() {
        Ok(binaries) => binaries,
        Err(why) => {
            println!("cluster: skipped: {why}");
            return ExitCode::SUCCESS;
        }
    };
    // Made before two nodes ask for it.
    let _ = support::share();
    let began = Instant::now();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let nodes: Vec<_> = nodes
            .iter()
            .enumerate()
            .filter(|(_, tests)| !tests.is_empty())
            .map(|(number, tests)| scope.spawn(move || on_node(number, binaries, tests)))
            .collect();
        nodes
            .into_iter()
            .map(|node| node.join().unwrap_or(Outcome { failed: 1, ..Outcome::default() }))
            .collect()
    });
    let sum = |count: fn(&Outcome) -> usize| outcomes.iter().map(count).sum::<usize>();
    let failed = sum(|outcome| outcome.failed);
    println!(
        "{} passed, {failed} failed, {} not run, {}",
        sum(|outcome| outcome.passed),
        sum(|outcome| outcome.not_run),
        seconds(began.elapsed())
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many tests of a node ended in which way.
#[derive(Default)]
struct Outcome {
    passed: usize,
    failed: usize,
    not_run: usize,
}

/// Boots a node and runs the tests on it, until one fails.
fn on_node(number: usize, binaries: &Path, tests: &[&'static Test]) -> Outcome {
    let began = Instant::now();
    let mut cluster = Cluster::boot(number, binaries);
    println!("booted node {number} in {}", seconds(began.elapsed()));
    let mut outcome = Outcome { not_run: tests.len(), ..Outcome::default() };
    for test in tests {
        let began = Instant::now();
        outcome.not_run -= 1;
        match run(&mut cluster, test) {
            Ok(()) => {
                outcome.passed += 1;
                println!("test {} ... ok, {}", test.name, seconds(began.elapsed()));
            }
            Err(said) => {
                outcome.failed = 1;
                println!("test {} ... FAILED, {}\n{said}", test.name, seconds(began.elapsed()));
                // The node is not as the next test takes it.
                break;
            }
        }
    }
    outcome
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
