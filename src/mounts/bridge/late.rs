//! Pure: file systems that are to be mounted where the bridge leads, and are not yet.
//!
//! What is bound then is the empty directory beneath; and a bind mount goes on to show that when
//! the file system comes.

use super::super::fstab::{self, FSTAB};
use super::super::resolve::top_at;
use super::super::unit_name::mount_unit;
use super::aligned::aligned;
use crate::model::bytes::shown;
use crate::model::facts::{Facts, Mode};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;
use crate::model::unit::{ActiveState, LoadState, UnitName};

/// `path` and the directories above it, but for `/`, at which nothing is mounted, with the units that would mount
/// there: a bridge to `path` would have to wait for them. None where it waits for nothing: a kubelet that runs has
/// its directories where it has them.
pub fn missing_before(facts: &Facts, path: &HostPath) -> Vec<(HostPath, UnitName)> {
    let runs = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
    // But for one whose data are elsewhere: it would run without them.
    let elsewhere = aligned(facts).is_some_and(|root| root == path);
    if facts.mode == Mode::Offline || facts.mounts.is_empty() || runs && !elsewhere {
        return Vec::new();
    }
    std::iter::successors(Some(path.clone()), HostPath::parent)
        .filter(|point| point.parent().is_some() && top_at(&facts.mounts, point.as_bytes()).is_none())
        .filter_map(|point| mount_unit(&point).ok().map(|unit| (point, unit)))
        .collect()
}

/// Refuses a bridge to `path` where a file system is to be mounted on the way and is not.
pub(super) fn late(facts: &Facts, path: &HostPath) -> Option<Refusal> {
    let missing = missing_before(facts, path);
    if missing.is_empty() {
        return None;
    }
    let table = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let entries = fstab::entries(table);
    missing.into_iter().find_map(|(point, unit)| {
        let line = entries
            .iter()
            .find(|entry| entry.point == point)
            .map(|entry| format!("{} mounts {} there", entry.name(), shown(&entry.source)));
        let state = facts.units.get(&unit);
        let idle = state.load == LoadState::Loaded && state.active != ActiveState::Active;
        let loaded = idle && !facts.has_generated(&unit);
        let what = line.or_else(|| loaded.then(|| format!("{unit} mounts something there")))?;
        Some(Refusal {
            id: "bridge-root-not-mounted",
            target: point.to_string(),
            reason: format!(
                "{what}, and nothing is mounted: a bridge would lead to the empty directory beneath it"
            ),
            remedy: format!(
                "see why it is not mounted (systemctl status {unit}), mount it, then run csihost apply"
            ),
        })
    })
}

/// The line of the table that binds `what` at `place` with every systemd, or why another one is in the way.
pub(super) fn bound_by_fstab(
    facts: &Facts,
    what: &HostPath,
    place: &HostPath,
) -> Result<Option<usize>, Refusal> {
    let table = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let entries = fstab::entries(table);
    let lines = fstab::in_effect(&entries, place, &facts.init);
    for entry in &lines {
        let source = HostPath::parse(&entry.source).ok();
        if source.is_none_or(|source| facts.canonical(&source) != what) {
            return Err(Refusal {
                id: "bridge-foreign-fstab",
                target: place.to_string(),
                reason: format!(
                    "{} mounts {} there, and not the kubelet's {what}",
                    entry.name(),
                    shown(&entry.source)
                ),
                remedy: format!(
                    "remove the line (with the node drained and {place} unmounted), then run csihost apply"
                ),
            });
        }
    }
    // A line that the next systemd ignores is not enough, and a directory is not mounted without "bind".
    let binds = |entry: &&&fstab::Entry<'_>| entry.differs.is_none() && entry.bound().is_some();
    Ok(lines.iter().find(binds).map(|entry| entry.number))
}
