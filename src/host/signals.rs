//! Signals of a process that supervises another: blocked, and read from a file.
//!
//! A handler would have to be taken away before the process can end by a signal as the other one did.

use super::ready::register;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const TAKEN: [Signal; 5] =
    [Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];

/// The end of a child, and what a person or a service manager sends to end or reload.
#[derive(Debug)]
pub struct Signals {
    set: SigSet,
    file: AsyncFd<OwnedFd>,
    signals: SignalFd,
}

/// Gives the signals back that the process which started this one has taken.
pub(super) fn release() -> io::Result<()> {
    Ok(TAKEN.into_iter().collect::<SigSet>().thread_unblock()?)
}

impl Signals {
    /// The signal to read settings again.
    pub const HANGUP: i32 = Signal::SIGHUP as i32;

    /// Takes the signals from now on. A process that is started inherits that, until it calls [`release`].
    pub fn take() -> io::Result<Self> {
        let set: SigSet = TAKEN.into_iter().collect();
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let file = register(signals.as_fd().try_clone_to_owned()?, Interest::READABLE)?;
        Ok(Self { set, file, signals })
    }

    /// The next signal, by its number; `None` for the end of a child.
    pub async fn next(&mut self) -> io::Result<Option<i32>> {
        loop {
            let mut ready = self.file.readable().await?;
            match self.signals.read_signal()? {
                Some(info) => {
                    let number = i32::try_from(info.ssi_signo).map_err(io::Error::other)?;
                    return Ok((number != Signal::SIGCHLD as i32).then_some(number));
                }
                None => ready.clear_ready(),
            }
        }
    }

    /// Ends this process by the signal.
    pub fn end_by(self, number: i32) {
        let _ = self.set.thread_unblock();
        if let Ok(signal) = Signal::try_from(number) {
            let _ = kill(getpid(), signal);
        }
    }
}
