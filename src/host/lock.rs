//! Edge: one writer at a time.

use super::walk::Last;
use super::{Host, HostError, Result, failed};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat};
use nix::sys::stat::Mode as Bits;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// What closes or opens gates takes milliseconds.
const GATE_PATIENCE: Duration = Duration::from_secs(3);
/// How often its lock is tried.
const GATE_PAUSE: Duration = Duration::from_millis(5);

/// Held while a turn changes the host; let go when it is dropped, or when csihost dies.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// Somebody else holds the lock; [`Waiting::wait`] waits for it.
#[derive(Debug)]
pub struct Waiting {
    file: File,
    path: HostPath,
}

impl Host {
    /// Takes the lock of this host, or says that it must be waited for.
    ///
    /// On a live host it is a file in /run/csihost; offline the root directory itself, so that
    /// no lock file ends up in an image.
    pub fn lock(&self) -> Result<std::result::Result<Lock, Waiting>> {
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
                let path = HostPath::from("/run/csihost/lock");
                let fd = self.lock_file(&path)?;
                (path, fd)
            }
        };
        match Flock::lock(File::from(file), FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Ok(Lock { _file: file })),
            Err((file, Errno::EWOULDBLOCK)) => Ok(Err(Waiting { file, path })),
            Err((_, errno)) => Err(failed("lock", &path)(errno)),
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

impl Waiting {
    /// Waits until the other one is done.
    pub fn wait(self) -> Result<Lock> {
        let Self { mut file, path } = self;
        loop {
            match Flock::lock(file, FlockArg::LockExclusive) {
                Ok(file) => return Ok(Lock { _file: file }),
                Err((again, Errno::EINTR)) => file = again,
                Err((_, errno)) => return Err(failed("lock", &path)(errno)),
            }
        }
    }
}
