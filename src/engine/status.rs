//! Engine: what the last turn left for `status`.

use crate::host::{Host, Watch};
use crate::model::file::FileFact;
use crate::model::path::HostPath;
use crate::model::status::Status;
use anyhow::{Context, Result, bail};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file of the last turn.
fn path() -> HostPath {
    HostPath::from("/run/csihost/status.json")
}

/// Writes what a turn did.
pub(super) fn save(host: &Host, status: &Status) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(status)?;
    bytes.push(b'\n');
    host.write_volatile(&path(), &bytes, 0o644)?;
    Ok(())
}

/// What the last turn did; `None` if there was none since the host started.
pub fn last_turn(host: &Host) -> Result<Option<Status>> {
    match host.file(&path()) {
        FileFact::Absent => Ok(None),
        FileFact::File(file) => {
            let status = serde_json::from_slice(&file.bytes);
            Ok(Some(status.with_context(|| format!("{} is damaged; run csihost apply", path()))?))
        }
        FileFact::Unreadable(why) => bail!("{why}"),
        _ => bail!("{} is not a file", path()),
    }
}

/// Wakes at the end of each turn.
pub fn watch_status(host: &Host) -> Result<Watch> {
    Ok(host.watch(&path())?)
}

/// How long ago a time in seconds since 1970 was.
pub fn seconds_since(at: u64) -> u64 {
    now().saturating_sub(at)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
