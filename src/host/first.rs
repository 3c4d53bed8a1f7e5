//! Edge: the host as its first process sees it, from within a service's sandbox, and the clock
//! that systemd compares with.

use super::{Host, HostError, Result};
use nix::fcntl::{OFlag, readlink};
use nix::sys::stat::Mode as Bits;
use nix::time::{ClockId, clock_gettime};

impl Host {
    /// The host that csihost runs on, as PID 1 sees it.
    ///
    /// A sandboxed unit has a mount namespace of its own (systemd.exec(5), ProtectSystem=): there
    /// directories can be read-only or hidden, and where the host's `/` is not shared no later mount
    /// is seen. A handle on `/proc/1/root` leads into PID 1's namespace (proc(5)), for all paths
    /// that are walked below it. It takes the right to trace PID 1 (CAP_SYS_PTRACE).
    pub fn open_first() -> Result<Self> {
        let mut host = Self::open(None)?;
        if readlink("/proc/self/ns/mnt").ok() == readlink("/proc/1/ns/mnt").ok() {
            return Ok(host);
        }
        let failed = |errno| HostError {
            tried: "look at the host as PID 1 does (it takes CAP_SYS_PTRACE)",
            path: "/proc/1/root".to_owned(),
            errno,
        };
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        host.root = nix::fcntl::open("/proc/1/root", flags, Bits::empty()).map_err(failed)?;
        Ok(host)
    }
}

/// CLOCK_MONOTONIC in microseconds, which RELOADING=1 has to tell (sd_notify(3)).
pub fn monotonic_usec() -> Option<i64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    now.tv_sec().checked_mul(1_000_000)?.checked_add(now.tv_nsec() / 1000)
}
