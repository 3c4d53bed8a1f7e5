//! Edge: the only room with file-system, /proc and syscall code.
//!
//! Everything goes through a [`Host`], a handle on a root directory. Paths are walked component
//! by component below it, so that a symbolic link can neither lead out of `--root DIR` nor be
//! swapped while a path is followed.

mod diag;
mod door;
mod events;
mod first;
mod gate;
mod graft;
mod iscsi;
mod kernel;
mod lock;
mod mount;
mod mount_rows;
mod mounts_watch;
mod output;
mod pidfd;
mod proc_text;
mod program;
mod read;
mod ready;
mod run;
mod signals;
mod survey;
mod tree;
mod walk;
mod watch;
mod write;
mod writers;

#[cfg(test)]
mod tests;

pub mod access;
pub mod probe;
pub mod process;
pub mod worker;

pub use door::Door;
pub use events::{Events, Touched, Watched};
pub use first::monotonic_usec;
pub use lock::Lock;
pub use mount_rows::MountRows;
pub use mounts_watch::MountsWatch;
pub use output::save_new;
pub use pidfd::Exits;
pub use read::{Named, read_argument, read_report};
pub use run::Started;
pub use signals::Signals;
pub use tree::{Asked, Kind, Meta};
pub use watch::Watch;

use crate::model::facts::Mode;
use crate::model::path::HostPath;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode as Bits, fstat};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Mutex;

/// A host, by a handle on its root directory.
#[derive(Debug)]
pub struct Host {
    root: OwnedFd,
    mode: Mode,
    /// Who may own what only root may write: root, or offline the owner of the tree.
    owner: (u32, u32),
    /// The paths that were asked for, where somebody wants to know.
    asked: Option<Mutex<Asked>>,
    /// The process whose root directory it is, where it is not the host's own.
    of: Option<i32>,
}

/// A file-system operation that failed: what, on what, and why.
#[derive(Debug)]
pub struct HostError {
    /// What was tried, as a verb phrase: "read", "replace".
    pub tried: &'static str,
    /// On what.
    pub path: String,
    /// Why it failed.
    pub errno: nix::Error,
}

impl HostError {
    /// Returns true if there is no directory at the path: nothing, or something else.
    pub fn is_no_directory(&self) -> bool {
        matches!(self.errno, nix::Error::ENOENT | nix::Error::ENOTDIR)
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.tried, self.path, self.errno.desc())?;
        match self.errno {
            nix::Error::EROFS => write!(f, " (make it writable, or put csihost's files into the image)"),
            nix::Error::ENOSPC | nix::Error::EDQUOT => {
                write!(f, " (make room, then run csihost apply again)")
            }
            nix::Error::EPERM => write!(f, " (is it immutable? see lsattr)"),
            nix::Error::EACCES => write!(f, " (csihost needs to be root)"),
            nix::Error::ETIMEDOUT => write!(f, " (it did not answer; csihost check names it)"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for HostError {}

/// Shorthand of this room.
pub(crate) type Result<T, E = HostError> = std::result::Result<T, E>;

fn failed(tried: &'static str, path: &HostPath) -> impl FnOnce(nix::Error) -> HostError + use<> {
    let path = path.to_string();
    move |errno| HostError { tried, path, errno }
}

impl Host {
    /// The host that csihost runs on, or the tree at `root`.
    pub fn open(root: Option<&Path>) -> Result<Self> {
        let (path, mode) = match root {
            None => (Path::new("/"), Mode::Live),
            Some(path) => (path, Mode::Offline),
        };
        let failed = |errno| HostError { tried: "open", path: path.display().to_string(), errno };
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let root = nix::fcntl::open(path, flags, Bits::empty()).map_err(failed)?;
        let stat = fstat(&root).map_err(failed)?;
        let owner = match mode {
            Mode::Live => (0, 0),
            Mode::Offline => (stat.st_uid, stat.st_gid),
        };
        Ok(Self { root, mode, owner, asked: None, of: None })
    }

    /// Live or offline.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Whether nobody but root can change what is in a directory with this `stat`.
    fn only_root_writes(&self, stat: &FileStat) -> bool {
        let (uid, gid) = self.owner;
        let group_may = self.mode == Mode::Offline && stat.st_gid == gid;
        stat.st_uid == uid && stat.st_mode & 0o002 == 0 && (stat.st_mode & 0o020 == 0 || group_may)
    }
}

/// Opens `name` in `dir` without following a link in its place.
fn open_in(dir: impl AsFd, name: &[u8], flags: OFlag) -> nix::Result<OwnedFd> {
    openat(dir, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Bits::empty())
}

fn stat_in(dir: impl AsFd, name: &[u8]) -> nix::Result<FileStat> {
    nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}
