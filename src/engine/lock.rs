//! The lock of a host: one csihost changes it at a time.

use crate::host::{Host, Lock};
use crate::report::journal;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often the lock is tried.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it is waited for: a reconciliation with a package installation and several jobs takes less.
const PATIENCE: Duration = Duration::from_secs(300);

/// Takes the lock, and waits for whoever holds it. A signal ends the wait at once.
///
/// # Errors
/// The lock is held for too long; the error names the holder.
pub(super) async fn lock(host: &Host) -> Result<Lock> {
    let began = Instant::now();
    let mut told = false;
    loop {
        if let Some(lock) = host.lock()? {
            return Ok(lock);
        }
        let holder = host.lock_holder();
        if began.elapsed() > PATIENCE {
            let holder = holder.map_or_else(|| "another csihost".to_owned(), |pid| format!("process {pid}"));
            bail!(
                "{holder} has held /run/csihost/lock for more than {} s; end it, or remove that file if it cannot be ended",
                PATIENCE.as_secs()
            );
        }
        if !std::mem::replace(&mut told, true) {
            journal::waiting(holder);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
