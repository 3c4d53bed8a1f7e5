//! Accesses that the kernel did not answer in time.
//!
//! A read of /proc/PID/cmdline waits for the address space of the process, and a path below a network or FUSE mount
//! waits for its server. Neither wait has a limit, and some of them not even SIGKILL ends.

use super::path::HostPath;
use serde::{Deserialize, Serialize};

/// An object that did not answer, and that csihost leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unanswered {
    /// The arguments of a process, or its root directory and what lies below it.
    Process(ProcessId),
    /// systemd-journald: messages are lost from now on.
    Journal,
    /// Every process that is in a container, or not root's: too many of them did not answer.
    Tenants,
    /// The file system that is mounted there, on the host.
    Mount {
        /// The mount point.
        point: HostPath,
        /// Its type, as in /proc/PID/mountinfo.
        fs_type: String,
    },
}

/// A process that did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number.
    pub pid: i32,
    /// When it started, in clock ticks since the boot (proc(5)), which tells it from a later process with this number.
    pub start: u64,
    /// Its mount namespace, where it is not the host's: a container, all of which is left out.
    pub namespace: Option<u64>,
    /// True if its real user is root.
    pub is_root: bool,
}

/// What a thread of csihost accesses, from the moment before the system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A path of the host, as far as known without symbolic links.
    Path(HostPath),
    /// A process: its arguments, or a path below its root directory.
    Process(i32),
    /// The socket of systemd-journald, which takes a message or lets the sender wait.
    Journal,
}

/// An object that is left out, with what is known of it without an access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// A process.
    Process {
        /// Its number.
        pid: i32,
        /// Its name, as the kernel shows it: the process can choose it.
        comm: String,
        /// Its real user; `None` where it is not known.
        user: Option<u32>,
        /// The UID of its pod, where it is in one.
        pod: Option<String>,
        /// Why it is left out.
        why: Why,
    },
    /// systemd-journald.
    Journal,
    /// Every process that is in a container, or not root's.
    Tenants,
    /// A mount of the host.
    Mount {
        /// The mount point.
        point: HostPath,
        /// Its type.
        fs_type: String,
    },
}

/// Why a process is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It did not answer.
    Silent,
    /// It shows more arguments than are read.
    TooLong,
}
