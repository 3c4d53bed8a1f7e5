//! Edge: wakes when a process ends, by a handle that no other process can be given (pidfd_open(2)).

use super::ready::register;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Handles are files: so many processes are watched, and no more.
const MOST: usize = 128;

/// Wakes when one of several processes ends.
#[derive(Debug, Default)]
pub struct Exits {
    watched: BTreeMap<i32, AsyncFd<OwnedFd>>,
}

impl Exits {
    /// Watches `pids` and no others. False if one of them is gone already.
    ///
    /// A kernel before 5.3 has no such handles: there nothing is watched.
    pub fn watch(&mut self, pids: impl IntoIterator<Item = i32>) -> bool {
        let mut earlier = std::mem::take(&mut self.watched);
        let mut all_there = true;
        for pid in pids.into_iter().take(MOST) {
            let opened = match earlier.remove(&pid) {
                Some(fd) => Ok(fd),
                None => open(pid),
            };
            match opened {
                Ok(fd) => {
                    self.watched.insert(pid, fd);
                }
                Err(rustix::io::Errno::SRCH) => all_there = false,
                // Without a handle the slow timer has to do.
                Err(_) => {}
            }
        }
        all_there
    }

    /// Waits until one of them ends, which is then no longer watched; for ever if there is none.
    pub async fn ended(&mut self) {
        let waits = self.watched.iter().map(|(&pid, fd)| -> Pin<Box<dyn Future<Output = i32>>> {
            Box::pin(async move {
                match fd.readable().await {
                    Ok(_) => pid,
                    Err(_) => std::future::pending().await,
                }
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        let (pid, ..) = futures_util::future::select_all(waits).await;
        self.watched.remove(&pid);
    }
}

fn open(pid: i32) -> rustix::io::Result<AsyncFd<OwnedFd>> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH)?;
    let fd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    register(fd, Interest::READABLE).map_err(|error| {
        error.raw_os_error().map_or(rustix::io::Errno::IO, rustix::io::Errno::from_raw_os_error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_end_of_a_process_wakes_and_a_process_that_is_gone_is_told() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut exits = Exits::default();
        assert!(exits.watch([pid]));
        assert!(tokio::time::timeout(Duration::from_millis(50), exits.ended()).await.is_err());
        child.kill().unwrap();
        tokio::time::timeout(Duration::from_secs(5), exits.ended()).await.unwrap();
        child.wait().unwrap();
        assert!(!exits.watch([pid]));
        assert!(tokio::time::timeout(Duration::from_millis(50), exits.ended()).await.is_err());
    }
}
