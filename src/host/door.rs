//! Edge: the way into the mount namespace of a process.

use super::process::Proc;
use super::{HostError, Result, access};
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode as Bits, fstat};
use nix::unistd::{chdir, chroot, fchdir};
use std::os::fd::OwnedFd;

/// The way into the mount namespace of a process.
#[derive(Debug)]
pub struct Door {
    pid: i32,
    namespace: OwnedFd,
    root: OwnedFd,
}

impl Proc<'_> {
    /// The way into the mount namespace of a process that started at that time; `None` if it is
    /// gone.
    pub fn door(&self, pid: i32, started: Option<u64>) -> Result<Option<Door>> {
        let open = |name: &str, flags: OFlag| {
            let path = format!("{pid}/{name}");
            openat(self.handle(), path.as_str(), flags | OFlag::O_CLOEXEC, Bits::empty())
                .map_err(|errno| HostError { tried: "open", path: format!("/proc/{path}"), errno })
        };
        self.accesses(pid).map_err(|errno| HostError {
            tried: "open",
            path: format!("/proc/{pid}/root"),
            errno,
        })?;
        let namespace = open("ns/mnt", OFlag::O_RDONLY);
        let root = open("root", OFlag::O_PATH | OFlag::O_DIRECTORY);
        let gone = |errno: Errno| matches!(errno, Errno::ENOENT | Errno::ESRCH);
        match (namespace, root) {
            // A process that has ended, and that nobody has waited for, has neither.
            (Err(error), _) | (_, Err(error)) if gone(error.errno) => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(error),
            // The handles are of the process that was asked for only if it is there still.
            (Ok(namespace), Ok(root)) => {
                Ok((started.is_some() && self.started(pid) == started).then_some(Door {
                    pid,
                    namespace,
                    root,
                }))
            }
        }
    }
}

impl Door {
    /// The namespace, by its inode.
    pub fn namespace(&self) -> Result<u64> {
        let failed =
            |errno| HostError { tried: "look at", path: format!("/proc/{}/ns/mnt", self.pid), errno };
        Ok(fstat(&self.namespace).map_err(failed)?.st_ino)
    }

    /// Does something in a directory of this namespace; `None` if there is no such directory. `tried`
    /// is for errors: a verb phrase.
    pub(super) fn inside<R: Send>(
        &self,
        directory: &HostPath,
        tried: &'static str,
        act: impl FnOnce() -> nix::Result<R> + Send,
    ) -> Result<Option<R>> {
        let failed = |tried| {
            let path = format!("{directory} as process {} sees it", self.pid);
            move |errno| HostError { tried, path, errno }
        };
        self.within(|| {
            match chdir(directory.as_path()) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                there => there.map_err(failed("go to"))?,
            }
            act().map(Some).map_err(failed(tried))
        })
    }

    /// Does something in this namespace, below the process's root directory, whatever comes of it.
    pub fn inside_root<R: Send>(&self, act: impl FnOnce() -> R + Send) -> Result<R> {
        self.within(|| Ok(act()))
    }

    /// Does something in this namespace, below the process's root directory, in a thread that then ends.
    ///
    /// setns(2) wants a thread that shares its root and working directory with no other; that this
    /// process has other threads is no matter (fs/namespace.c, `mntns_install`).
    pub(super) fn within<R: Send>(&self, act: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        let failed = |errno| HostError {
            tried: "enter the mount namespace of",
            path: format!("process {}", self.pid),
            errno,
        };
        let enter = || -> nix::Result<()> {
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
            fchdir(&self.root)?;
            chroot(".")
        };
        let task = || {
            access::below(self.pid);
            enter().map_err(failed)?;
            act()
        };
        let thread = std::thread::scope(|scope| scope.spawn(task).join());
        thread.unwrap_or_else(|_| Err(failed(Errno::EIO)))
    }
}
