//! Edge: the probe: a file that is mounted over a file, in any mount namespace, and taken away.
//!
//! Why a file: the kubelet takes each *directory* in its `pods` for a pod, and complains of those
//! that it does not know (kubernetes, pkg/kubelet/kubelet_pods.go, `listPodsFromDisk`; and
//! kubelet_volumes.go, `cleanupOrphanedPodDirs`), and files are nothing to it. Below `plugins` it
//! would not disturb either, but many drivers have no mount for that. Mounts of files travel like
//! those of directories.
//!
//! Both files are made by the host, so that nothing is ever made in a container, and each is
//! compared by device and inode before anything is mounted. When the lower one is removed, the
//! kernel takes away what is mounted on it in all other namespaces (fs/namespace.c,
//! `__detach_mounts`, since Linux 3.18), so that nothing is left of a probe that was killed.

use super::door::Door;
use super::walk::Last;
use super::{Host, HostError, Result, failed};
use crate::model::file::FileId;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode as Bits, lstat};
use std::os::fd::AsFd;

/// What is mounted on.
pub const UNDER: &str = ".csihost-probe";
/// What is mounted there.
pub const OVER: &str = ".csihost-probe.over";

/// What is tried, in words.
const PROBE: &str = "mount or unmount the probe in";

/// As many mounts on one point are taken away: each run of csihost leaves one at most.
const STACKED: usize = 64;

/// The two files of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// What is mounted on.
    pub under: FileId,
    /// What is mounted there.
    pub over: FileId,
}

/// While it lives, signals that end csihost wait.
#[derive(Debug)]
pub struct Held {
    signals: SigSet,
    pending: Option<SignalFd>,
}

impl Host {
    /// Makes the files of a probe in a directory.
    pub fn make_probe(&self, directory: &HostPath) -> Result<Pair> {
        let make = |name: &str| -> Result<FileId> {
            let path = directory.join(name);
            let walked = self.walk(&path, Last::Keep)?;
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mode = Bits::from_bits_truncate(0o600);
            openat(walked.parent(self), walked.name.as_slice(), flags, mode)
                .map_err(failed("make", &path))?;
            let gone = || HostError { tried: "find", path: path.to_string(), errno: Errno::ENOENT };
            self.file_id(&path).ok_or_else(gone)
        };
        Ok(Pair { under: make(UNDER)?, over: make(OVER)? })
    }

    /// Removes what is there of a probe; whether anything was. This process must be in the mount
    /// namespace of `door`: what is mounted in another one goes with the file.
    pub fn remove_probe(&self, door: &Door, directory: &HostPath) -> Result<bool> {
        let [under, over] = [UNDER, OVER].map(|name| directory.join(name));
        if !self.exists(&under) && !self.exists(&over) {
            return Ok(false);
        }
        door.unmount_all(directory)?;
        self.remove_file(&under)?;
        self.remove_file(&over)?;
        Ok(true)
    }
}

impl Door {
    /// Mounts the probe in a directory, as this namespace names it. `false`: what is there are
    /// not the probe's files.
    pub fn mount(&self, directory: &HostPath, pair: Pair) -> Result<bool> {
        self.inside(directory, PROBE, || {
            let is = |name: &str, file: FileId| {
                lstat(name).ok().as_ref().and_then(super::read::file_id) == Some(file)
            };
            if !is(UNDER, pair.under) || !is(OVER, pair.over) {
                return Ok(false);
            }
            mount(Some(OVER), UNDER, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            Ok(true)
        })
        .map(|made| made.unwrap_or(false))
    }

    /// Takes the mount away again.
    pub fn unmount(&self, directory: &HostPath) -> Result<()> {
        self.inside(directory, PROBE, detach).map(|_| ())
    }

    /// Takes all mounts away that are on the probe's file.
    fn unmount_all(&self, directory: &HostPath) -> Result<()> {
        let all = || {
            for _ in 0..STACKED {
                match detach() {
                    // Nothing is mounted there, or nothing is there.
                    Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
                    done => done?,
                }
            }
            Err(Errno::EBUSY)
        };
        self.inside(directory, PROBE, all).map(|_| ())
    }
}

fn detach() -> nix::Result<()> {
    umount2(UNDER, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
}

impl Held {
    /// Lets SIGINT, SIGTERM and SIGHUP wait.
    pub fn new() -> Self {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        // Without a handle the signals are only seen when all is done.
        let blocked = signals.thread_block();
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let pending = blocked.ok().and_then(|()| SignalFd::with_flags(&signals, flags).ok());
        Self { signals, pending }
    }

    /// Whether one waits. It is not taken: it ends csihost when this is dropped.
    pub fn waits(&self) -> bool {
        let Some(pending) = &self.pending else { return false };
        let mut asked = [PollFd::new(pending.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It was blocked by the same call, which has no other way to fail.
        let _ = self.signals.thread_unblock();
    }
}
