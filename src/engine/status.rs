//! Engine: what the last turn left for `status`.

use super::receipt::Store;
use crate::host::{Host, Watch};
use crate::model::file::FileFact;
use crate::model::finding::Finding;
use crate::model::generated::{Origin, generate, origin};
use crate::model::path::HostPath;
use crate::model::receipt::Changed;
use crate::model::status::Status;
use crate::report::journal;
use crate::report::textfile::metrics;
use crate::settings::Settings;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The file of the last turn.
fn path() -> HostPath {
    HostPath::from("/run/csihost/status.json")
}

/// Writes what a turn did, and tells Prometheus where the settings ask for it; gives what was written,
/// counted after the turns before. The lock must be held.
pub(super) fn record(
    host: &Host,
    settings: &Settings,
    generated: &BTreeSet<HostPath>,
    findings: &[Finding],
    status: Status,
) -> Result<Status> {
    // What csihost tells others decides nothing, and is not watched: it would wake the agent.
    let host = &host.aside()?;
    // A file that cannot be read has nothing to follow.
    let status = status.after(last_turn(host).ok().flatten().as_ref());
    write(host, &status)?;
    let text = metrics(&status, findings);
    if let Err(error) = textfile(host, settings.textfile.as_ref(), generated, &text) {
        journal::no_metrics(&format!("{error:#}"));
    }
    Ok(status)
}

fn write(host: &Host, status: &Status) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(status)?;
    bytes.push(b'\n');
    Ok(host.write_volatile(&path(), &bytes, 0o644)?)
}

/// Writes that a reconciliation, which began at `started`, was ended by an error.
pub(super) fn record_failure(host: &Host, error: &anyhow::Error, started: Instant) {
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let written = host.aside().map_err(Into::into).and_then(|host| {
        let status = Status::failed(now(), took, &format!("{error:#}"));
        write(&host, &status.after(last_turn(&host).ok().flatten().as_ref()))
    });
    // The error itself goes to the journal.
    if let Err(error) = written {
        journal::left("status", &path().to_string(), &format!("{error:#}"));
    }
}

/// What a file of metrics is called, and no other file that csihost generates.
const METRICS: &[u8] = b".prom";

/// Puts `text` where it is `wanted`, and takes away what is elsewhere; `generated` are csihost's files.
fn textfile(
    host: &Host,
    wanted: Option<&HostPath>,
    generated: &BTreeSet<HostPath>,
    text: &str,
) -> Result<()> {
    let ours = generated.iter().filter(|path| path.as_bytes().ends_with(METRICS));
    for old in ours.filter(|&path| Some(path) != wanted) {
        // One that somebody edited is theirs.
        if whose(host, old)? == Some(Origin::Ours) {
            host.remove_file(old)?;
        }
        Store::open(host)?.forget(&Changed::Generated { path: old.clone() })?;
    }
    let Some(path) = wanted else { return Ok(()) };
    let directory = path.parent().unwrap_or_else(HostPath::root);
    match host.canonical(&directory) {
        None => bail!("cannot write {path}: there is no directory {directory}; make it, owned by root"),
        // Whoever may turn a link decides where root writes.
        Some(canonical) if canonical != directory => {
            let there = canonical.join(path.file_name());
            bail!("will not write {path} through a link: say metrics.textfile = \"{there}\"")
        }
        Some(_) => {}
    }
    if let Some(Origin::Edited | Origin::Foreign) = whose(host, path)? {
        bail!("will not write {path}: it is somebody else's; remove it, or name another one");
    }
    let bytes = generate(text);
    if generated.contains(path) {
        host.write_volatile(path, &bytes, 0o644)?;
        return Ok(());
    }
    let (mut store, what) = (Store::open(host)?, Changed::Generated { path: path.clone() });
    store.intend(&what)?;
    host.write_volatile(path, &bytes, 0o644)?;
    store.done(&what)
}

/// Whose the file at `path` is; `None` if none is there.
fn whose(host: &Host, path: &HostPath) -> Result<Option<Origin>> {
    match host.file(path) {
        FileFact::Absent => Ok(None),
        FileFact::Unreadable(why) => bail!("{why}"),
        there => Ok(Some(there.bytes().map_or(Origin::Foreign, origin))),
    }
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
