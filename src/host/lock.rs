//! Edge: one writer at a time.

use super::walk::Last;
use super::{Host, HostError, Result, failed};
use crate::model::facts::Mode;
use crate::model::file::FileId;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::{Mode as Bits, fstat};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The lock of a live host.
const LOCK: &str = "/run/csihost/lock";
/// What closes or opens gates takes milliseconds.
const GATE_PATIENCE: Duration = Duration::from_secs(3);
/// How often its lock is tried.
const GATE_PAUSE: Duration = Duration::from_millis(5);

/// Held while a turn changes the host; let go when it is dropped, or when csihost dies.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Host {
    /// Takes the lock of this host; `None` while somebody else holds it.
    ///
    /// On a live host it is a file in /run/csihost; offline the root directory itself, so that
    /// no lock file ends up in an image.
    pub fn lock(&self) -> Result<Option<Lock>> {
        let (path, file) = match self.mode() {
            Mode::Offline => {
                let failed = |error: std::io::Error| HostError {
                    tried: "lock",
                    path: "the root directory".into(),
                    errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
                };
                (HostPath::root(), self.root.try_clone().map_err(failed)?)
            }
            Mode::Live => {
                let path = HostPath::from(LOCK);
                let fd = self.lock_file(&path)?;
                (path, fd)
            }
        };
        match Flock::lock(File::from(file), FlockArg::LockExclusiveNonblock) {
            // A file that was removed is no lock any more: the next attempt finds the new one.
            Ok(file) => {
                let is_removed = fstat(&*file).is_ok_and(|stat| stat.st_nlink == 0);
                Ok((!is_removed).then_some(Lock { _file: file }))
            }
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(failed("lock", &path)(errno)),
        }
    }

    /// The process that holds the lock of a live host, where that is known (proc_locks(5)).
    pub fn lock_holder(&self) -> Option<i32> {
        (self.mode() == Mode::Live).then_some(())?;
        let file = self.file_id(&HostPath::from(LOCK))?;
        holder(&self.proc().ok()??.locks()?, file)
    }

    /// Gives the lock up that a process holds which cannot be ended, and which does nothing any more.
    pub fn abandon_lock(&self, pid: i32) -> Result<()> {
        match self.lock_holder() == Some(pid) {
            true => self.remove_file(&HostPath::from(LOCK)),
            false => Ok(()),
        }
    }

    /// Takes the lock of the gates of a live host: another one, because who reconciles has gates opened
    /// by other processes, and waits for them.
    pub fn gate_lock(&self) -> Result<Lock> {
        let path = HostPath::from("/run/csihost/gate.lock");
        let mut file = File::from(self.lock_file(&path)?);
        let end = Instant::now() + GATE_PATIENCE;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Ok(Lock { _file: file }),
                Err((again, Errno::EWOULDBLOCK)) if Instant::now() < end => file = again,
                Err((_, errno)) => return Err(failed("lock", &path)(errno)),
            }
            std::thread::sleep(GATE_PAUSE);
        }
    }

    fn lock_file(&self, path: &HostPath) -> Result<OwnedFd> {
        self.make_directory(&HostPath::from("/run/csihost"), 0o755)?;
        let walked = self.walk(path, Last::Keep)?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(walked.parent(self), walked.name.as_slice(), flags, Bits::from_bits_truncate(0o600))
            .map_err(failed("open the lock", path))
    }
}

/// The process with a flock(2) lock on the file, by the text of /proc/locks.
fn holder(locks: &[u8], file: FileId) -> Option<i32> {
    let id = format!("{:02x}:{:02x}:{}", file.device.major, file.device.minor, file.inode);
    let text = std::str::from_utf8(locks).ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF"; a process that waits has "->" after the number.
        let [_, "FLOCK", _, _, pid, of, ..] = fields.as_slice() else { return None };
        pid.parse().ok().filter(|_| *of == id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mount::Device;

    #[test]
    fn the_holder_is_who_has_the_lock_and_not_who_waits_for_it() {
        let file = |inode| FileId { device: Device { major: 0, minor: 0x17 }, inode };
        let locks = b"1: POSIX  ADVISORY  WRITE 10 00:17:77 0 EOF
2: FLOCK  ADVISORY  WRITE 20 00:17:78 0 EOF
3: -> FLOCK  ADVISORY  WRITE 30 00:17:77 0 EOF
4: FLOCK  ADVISORY  WRITE 35 00:18:77 0 EOF
5: FLOCK  ADVISORY  WRITE 40 00:17:77 0 EOF
";
        assert_eq!(holder(locks, file(77)), Some(40));
        assert_eq!(holder(locks, file(78)), Some(20));
        assert_eq!(holder(locks, file(79)), None);
    }
}
