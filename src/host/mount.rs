//! Edge: mounts that csihost makes itself, where no systemd does it.
//!
//! Paths are opened component by component first and given to mount(2) as handles
//! (/proc/self/fd/N), so that a link that is put on the way meanwhile leads nowhere.

use super::walk::{Last, Walked};
use super::{Host, HostError, Result, failed};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::SFlag;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

impl Host {
    /// Binds the directory `from` at `to`, with what is mounted below, both ways shared.
    pub fn bind(&self, from: &HostPath, to: &HostPath) -> Result<()> {
        self.bind_only(from, to)?;
        self.set_shared(to).map_err(failed("share", to))
    }

    /// Makes the directory a shared mount, with all that is mounted below.
    pub fn share(&self, path: &HostPath) -> Result<()> {
        match self.set_shared(path) {
            // It is no mount yet.
            Err(Errno::EINVAL) => self.bind(path, path),
            shared => shared.map_err(failed("share", path)),
        }
    }

    /// Unmounts what is at `path`; fails where something is mounted below, or in use.
    pub fn unmount(&self, path: &HostPath) -> Result<()> {
        // By the directory above: a handle on the mount itself would keep it busy.
        let walked = self.without_links(path, "unmount")?;
        let name = [fd_path(walked.parent(self)).as_bytes(), b"/", &walked.name].concat();
        umount2(name.as_slice(), MntFlags::UMOUNT_NOFOLLOW).map_err(failed("unmount", path))
    }

    fn bind_only(&self, from: &HostPath, to: &HostPath) -> Result<()> {
        let (source, target) = (self.handle(from)?, self.handle(to)?);
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        let source = fd_path(&source);
        mount(Some(source.as_str()), fd_path(&target).as_str(), None::<&str>, flags, None::<&str>)
            .map_err(failed("bind to", to))
    }

    fn set_shared(&self, path: &HostPath) -> nix::Result<()> {
        // Opened anew: what is mounted there now is meant, not what it hides.
        let target = self.handle(path).map_err(|error| error.errno)?;
        let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
        mount(None::<&str>, fd_path(&target).as_str(), None::<&str>, flags, None::<&str>)
    }

    fn handle(&self, path: &HostPath) -> Result<OwnedFd> {
        let walked = self.direct(path)?;
        walked.open(self, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(failed("open", path))
    }

    /// Walks to a directory on whose path there is no link.
    pub(super) fn direct(&self, path: &HostPath) -> Result<Walked> {
        let walked = self.without_links(path, "mount at")?;
        match walked.kind() {
            Some(SFlag::S_IFDIR) => Ok(walked),
            _ => Err(HostError { tried: "mount at", path: path.to_string(), errno: Errno::ENOTDIR }),
        }
    }

    /// Walks to a file of any kind on whose path there is no link. `tried` is for the error.
    fn without_links(&self, path: &HostPath, tried: &'static str) -> Result<Walked> {
        let refused = |errno| HostError { tried, path: path.to_string(), errno };
        let walked = self.walk(path, Last::Keep)?;
        match walked.kind() {
            _ if self.mode() == Mode::Offline => Err(refused(Errno::ENOTSUP)),
            None => Err(refused(Errno::ENOENT)),
            Some(SFlag::S_IFLNK) => Err(refused(Errno::ELOOP)),
            Some(_) if walked.canonical() != *path => Err(refused(Errno::ELOOP)),
            Some(_) => Ok(walked),
        }
    }
}

pub(super) fn fd_path(fd: impl std::os::fd::AsFd) -> String {
    let fd: BorrowedFd<'_> = fd.as_fd();
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
