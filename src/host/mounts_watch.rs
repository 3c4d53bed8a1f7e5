//! Edge: wakes when the host's mount table changes.
//!
//! poll(2) on a mountinfo file tells mounts, unmounts and remounts (proc(5)), not changes of
//! propagation: those nobody tells.

use super::read::io_failed;
use super::ready::register;
use super::{Host, Result, failed};
use crate::model::path::HostPath;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode as Bits;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Wakes when something is mounted or unmounted in PID 1's mount namespace.
#[derive(Debug)]
pub struct MountsWatch {
    table: AsyncFd<OwnedFd>,
}

impl Host {
    /// Watches PID 1's mount table.
    pub fn watch_mounts(&self) -> Result<MountsWatch> {
        let path = HostPath::from("/proc/1/mountinfo");
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let fd = openat(self.root(), path.relative(), flags, Bits::empty()).map_err(failed("open", &path))?;
        let table = register(fd, Interest::PRIORITY).map_err(io_failed("watch", &path))?;
        Ok(MountsWatch { table })
    }
}

impl MountsWatch {
    /// Waits until the table has changed. Many changes wake once.
    pub async fn changed(&self) {
        match self.table.ready(Interest::PRIORITY).await {
            Ok(mut ready) => ready.clear_ready(),
            // Only while the runtime ends.
            Err(_) => std::future::pending().await,
        }
    }
}
