//! Nodes for tests: a small wrapper over the runners in tests/nodes.
//!
//! `container().run("…")` boots a node, runs the script as root there and returns what it printed;
//! where the script fails, the test fails and shows all of it. A script is bash, with the words of
//! tests/nodes/guest/lib.sh.
#![allow(dead_code, reason = "the container's tests and the machine's use a part each")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot run its node has failed")]

pub(crate) mod align;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// What is /share in every node: the package, the program, the kubelet's stand-in. Made once for a
/// run of the tests, so that `cargo test` alone tests what is in the tree and not what was built
/// some time ago; `CSIHOST_SHARE=DIR` tests what somebody else has built.
static SHARE: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(share) = std::env::var_os("CSIHOST_SHARE") {
        return share.into();
    }
    let made = Command::new("make")
        .args(["--silent", "nodes", "bases"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .status()
        .expect("make runs");
    assert!(made.success(), "make nodes failed");
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().expect("the target directory").join("nodes")
});

/// The directory that is /share in every node.
pub(crate) fn share() -> &'static Path {
    &SHARE
}

/// A node that is to be booted.
pub(crate) struct Node {
    runner: &'static str,
    suite: Option<&'static str>,
    options: Vec<String>,
    later: Vec<String>,
}

/// systemd as PID 1 in a container: there in half a second, but on this machine's kernel, without
/// modules or block devices, and iscsid's socket can listen though iscsid cannot run.
pub(crate) fn container() -> Node {
    Node { runner: "container", suite: None, options: Vec::new(), later: Vec::new() }
}

/// A container with time for many steps, whose `/` is a shared mount as on a real host.
pub(crate) fn node() -> Node {
    container().shared_root().option(&["--timeout", "300"])
}

/// The container's files without systemd: a shell is PID 1, and no bus is there.
pub(crate) fn plain() -> Node {
    Node { runner: "plain", suite: None, options: Vec::new(), later: Vec::new() }
}

/// A virtual machine with Debian's kernel: iSCSI works, and the power can be cut.
pub(crate) fn machine() -> Node {
    let options = vec!["--timeout".into(), "900".into()];
    Node { runner: "machine", suite: None, options, later: Vec::new() }
}

impl Node {
    /// An option of the runner.
    pub(crate) fn option(mut self, words: &[&str]) -> Self {
        let list = if self.later.is_empty() { &mut self.options } else { &mut self.later };
        list.extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// A release of Debian, by its name, other than this machine's or `CSIHOST_SUITE`.
    pub(crate) fn suite(mut self, name: &'static str) -> Self {
        self.suite = Some(name);
        self
    }

    /// `/` is a shared mount, as on a host that systemd booted; a container's is private.
    pub(crate) fn shared_root(self) -> Self {
        self.option(&["--shared-root"])
    }

    /// After `run`'s script the power is cut as soon as it has printed the text, or after the seconds.
    pub(crate) fn cut_on(self, text: &str) -> Self {
        self.option(&["--cut-on", text])
    }

    /// After the scripts so far: a reboot, and this one.
    pub(crate) fn then(mut self, script: &str) -> Self {
        self.later.extend(["--then".to_owned(), prelude(script)]);
        self
    }

    /// Boots it, runs the script and those that come after it; what they printed.
    ///
    /// # Panics
    /// If one of them, or the runner, fails.
    #[track_caller]
    pub(crate) fn run(self, script: &str) -> String {
        let output = Command::new(format!("{}/tests/nodes/{}", env!("CARGO_MANIFEST_DIR"), self.runner))
            .arg("--share")
            .arg(&*SHARE)
            .args(&self.options)
            .args(&self.later)
            .arg("--")
            .arg(prelude(script))
            .envs(self.suite.map(|name| ("CSIHOST_SUITE", name)))
            .stdin(Stdio::null())
            .output()
            .expect("the runner runs");
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let _ = write!(printed, "---- the runner\n{}", String::from_utf8_lossy(&output.stderr));
            panic!("the node's scripts failed, {}\n{printed}", output.status);
        }
        printed
    }
}

fn prelude(script: &str) -> String {
    format!(". /share/lib.sh\n{script}")
}
