//! Edge: hands a file to the runtime, which wakes its waiters when something happens to it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a file that `file` owns, for as long as that lives.
#[allow(
    deprecated,
    reason = "its replacement is unsafe, for types whose descriptor is not their own or is closed early; \
              one that can be turned into an OwnedFd owns it, and it is closed after it is let go"
)]
pub(super) fn register<T: AsRawFd + Into<OwnedFd>>(file: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(file, interest)
}
