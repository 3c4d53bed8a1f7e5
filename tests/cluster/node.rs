//! A node with a cluster: booted once, given one script after the other (`serve` runs them there).

use crate::support;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Reboots that a run may have.
const REBOOTS: usize = 20;
/// Seconds for everything, of which the runner ends the node.
const ALL: u64 = 1800;
/// Seconds for one script: many times what it takes on a machine that is idle.
const LIMIT: u64 = 240;

/// A node that runs, until this process ends.
pub(crate) struct Cluster {
    runner: Child,
    out: PathBuf,
    next: usize,
}

/// The directory of the cluster's binaries.
///
/// # Errors
/// There are none here: the reason and what to do.
pub(crate) fn binaries() -> Result<PathBuf, String> {
    let said = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/binaries"))
        .arg(target().join("kubernetes"))
        .stdin(Stdio::null())
        .output()
        .expect("tests/cluster/binaries runs");
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match said.status.code() {
        Some(0) => Ok(words(&said.stdout).into()),
        Some(3) => Err(words(&said.stderr)),
        _ => panic!("tests/cluster/binaries failed: {}", words(&said.stderr)),
    }
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory")
}

impl Cluster {
    /// Boots a node, and makes the cluster on it. No other node of this process has its number.
    ///
    /// # Panics
    /// If one of both fails.
    pub(crate) fn boot(number: usize, binaries: &Path) -> Self {
        let out = target().join(format!("cluster-{}-{number}", std::process::id()));
        fs::create_dir_all(&out).expect("a directory for what the node says");
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nodes/container"));
        command.arg("--cluster").arg(binaries).arg("--share").arg(support::share()).arg("--out").arg(&out);
        command.args(["--shared-root", "--timeout", &ALL.to_string()]);
        (0..REBOOTS).for_each(|_| {
            command.args(["--then", "/cluster/serve"]);
        });
        let log = fs::File::create(out.join("log")).expect("a file for what the runner says");
        let runner = command
            .args(["--", "/cluster/serve"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file again"))
            .stderr(log)
            .spawn()
            .expect("the runner runs");
        let mut cluster = Self { runner, out, next: 1 };
        if let Err(said) = cluster.script("cluster_up") {
            panic!("the cluster does not begin\n{said}");
        }
        cluster
    }

    /// Runs the script on the node, and returns what it printed.
    ///
    /// # Errors
    /// The script failed: what it printed.
    pub(crate) fn script(&mut self, script: &str) -> Result<String, String> {
        let n = self.next;
        self.next += 1;
        let at = |what: &str| self.out.join(format!("{n}.{what}"));
        fs::write(at("limit"), LIMIT.to_string()).expect("the node's directory can be written");
        fs::write(at("new"), format!(". /cluster/words.sh\n{script}\n"))
            .expect("the node's directory can be written");
        fs::rename(at("new"), at("sh")).expect("the script gets its name");
        let (began, most) = (Instant::now(), Duration::from_secs(LIMIT + 120));
        loop {
            if let Ok(status) = fs::read_to_string(at("status")) {
                let printed = String::from_utf8_lossy(&fs::read(at("out")).unwrap_or_default()).into_owned();
                return if status.trim() == "0" {
                    Ok(printed)
                } else {
                    Err(format!("status {}\n{printed}", status.trim()))
                };
            }
            let ended = self.runner.try_wait().expect("the runner is a child of this process").is_some();
            if ended || began.elapsed() > most {
                let log = fs::read_to_string(self.out.join("log")).unwrap_or_default();
                return Err(format!("the node {}\n{log}", if ended { "is gone" } else { "does not answer" }));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The directory in which scripts leave quotations for the documents.
    pub(crate) fn quotes(&self) -> PathBuf {
        self.out.join("quotes")
    }

    /// Reboots the node, in order; the next script waits for it.
    pub(crate) fn reboot(&self) {
        fs::write(self.out.join("reboot"), "").expect("the node's directory can be written");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends with SIGTERM, and all that it has made with it.
        let _ = Command::new("kill").arg(self.runner.id().to_string()).status();
        let _ = self.runner.wait();
        let _ = fs::remove_dir_all(&self.out);
    }
}
