//! Edge: the probe: a file that is mounted over a file, in any mount namespace, and taken away.
//!
//! Why a file: the kubelet takes each *directory* in its `pods` for a pod, and complains of those
//! that it does not know (kubernetes, pkg/kubelet/kubelet_pods.go, `listPodsFromDisk`; and
//! kubelet_volumes.go, `cleanupOrphanedPodDirs`), and files are nothing to it. Below `plugins` it
//! would not disturb either, but many drivers have no mount for that. Mounts of files travel like
//! those of directories.
//!
//! Both files are made by the host, so that nothing is ever made in a container. Each is opened, compared by device and
//! inode, and mounted by that handle (open_tree(2) and move_mount(2), Linux 5.2): a container that exchanges one for a
//! link meanwhile has nothing else mounted. When the lower one is removed, the
//! kernel takes away what is mounted on it in all other namespaces (fs/namespace.c,
//! `__detach_mounts`, since Linux 3.18), so that nothing is left of a probe that was killed.

use super::door::Door;
use super::graft::errno;
use super::walk::Last;
use super::{Host, HostError, Result, failed, open_in};
use crate::model::file::FileId;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode as Bits, fstat};
use nix::unistd::fchdir;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

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

/// The probe's two files in a directory, as one mount namespace has them: handles, so that what is compared is what is
/// mounted, whatever somebody puts in their place meanwhile.
struct Files {
    directory: OwnedFd,
    under: OwnedFd,
    over: OwnedFd,
}

/// The probe's mount, by a handle on it.
#[derive(Debug)]
pub struct Mounted(OwnedFd);

impl Door {
    /// Mounts the probe in a directory, as this namespace names it. `None`: what is there are
    /// not the probe's files.
    pub fn mount(&self, directory: &HostPath, pair: Pair) -> Result<Option<Mounted>> {
        let own = own_files()?;
        let mounted = self.inside(directory, PROBE, || match Files::open(pair)? {
            Some(files) => files.mount(&own, pair),
            None => Ok(None),
        });
        mounted.map(Option::flatten)
    }

    /// Takes the mount away again.
    pub fn unmount(&self, directory: &HostPath, mounted: &Mounted) -> Result<()> {
        let own = own_files()?;
        self.within(|| detach(&own, mounted).map_err(failed(PROBE, directory)))
    }

    /// Takes all mounts away that are on the probe's file.
    fn unmount_all(&self, directory: &HostPath) -> Result<()> {
        let all = || {
            for _ in 0..STACKED {
                match umount2(UNDER, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
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

impl Files {
    /// Opens the two files in the working directory; `None` if they are not the probe's.
    fn open(pair: Pair) -> nix::Result<Option<Self>> {
        let directory = nix::fcntl::open(".", OFlag::O_PATH | OFlag::O_CLOEXEC, Bits::empty())?;
        let [under, over] =
            [(UNDER, pair.under), (OVER, pair.over)].map(|(name, id)| is(&directory, name, id));
        Ok(match (under?, over?) {
            (Some(under), Some(over)) => Some(Self { directory, under, over }),
            _ => None,
        })
    }

    /// Mounts one on the other. `own` are the open files of this process, as [`own_files`] gives them.
    fn mount(self, own: &OwnedFd, pair: Pair) -> nix::Result<Option<Mounted>> {
        let clone =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        match open_tree(&self.over, "", clone).map_err(errno) {
            Err(Errno::ENOSYS) => self.mount_by_links(own, pair),
            tree => {
                let tree = tree?;
                move_mount(&tree, "", &self.under, "", flags).map_err(errno)?;
                Ok(Some(Mounted(tree)))
            }
        }
    }

    /// The same before Linux 5.2. The links in `own` lead to what the handles are of, and to nothing that has its name.
    fn mount_by_links(self, own: &OwnedFd, pair: Pair) -> nix::Result<Option<Mounted>> {
        fchdir(own)?;
        let (over, under) = (number(&self.over), number(&self.under));
        mount(Some(over.as_str()), under.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        let mounted = is(&self.directory, UNDER, pair.over)?;
        if mounted.is_none() {
            // The lower file has another name by now, and its mount goes with it.
            fchdir(&self.directory)?;
            let _ = umount2(UNDER, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        }
        Ok(mounted.map(Mounted))
    }
}

/// Takes a mount away, wherever its mount point is by now.
fn detach(own: &OwnedFd, Mounted(mount): &Mounted) -> nix::Result<()> {
    fchdir(own)?;
    umount2(number(mount).as_str(), MntFlags::MNT_DETACH)
}

/// A handle on the file of that name in a directory; `None` if there is none, or another one.
fn is(directory: &OwnedFd, name: &str, file: FileId) -> nix::Result<Option<OwnedFd>> {
    match open_in(directory, name.as_bytes(), OFlag::O_PATH) {
        Ok(found) => {
            let id = super::read::file_id(&fstat(&found)?);
            Ok((id == Some(file)).then_some(found))
        }
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The directory with a link for each open file of this process. It is opened where csihost's own /proc is: that of a
/// container shows other processes.
fn own_files() -> Result<OwnedFd> {
    let path = "/proc/self/fd";
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Bits::empty())
        .map_err(failed("open", &HostPath::from(path)))
}

/// The name of a handle's link in there.
fn number(handle: &OwnedFd) -> String {
    handle.as_raw_fd().to_string()
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

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
