//! Pure: the steps that take away what earlier bridges have left: units that nobody wants any more,
//! and mounts that nothing uses.

use super::bridge::{drop_in_path, ordered_unit, unit_directories, unit_path};
use super::directories;
use crate::model::facts::{Facts, Mode};
use crate::model::file::FileFact;
use crate::model::generated::{Origin, origin};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::{FileState, UnitName};
use crate::mounts::bridge::{Bridge, Decision, STANDARD_PATH, Same, decide, remains};
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};

/// The files of csihost's that are, or order, mounts of a bridge.
pub(super) fn bridge_files(facts: &Facts) -> impl Iterator<Item = (&HostPath, Option<UnitName>)> {
    let directories = unit_directories();
    facts.generated.iter().filter_map(move |path| {
        let parent = path.parent()?;
        let name = std::str::from_utf8(path.file_name()).ok()?;
        if directories.contains(&parent) && name.ends_with(".mount") {
            return Some((path, Some(UnitName::parse(name).ok()?)));
        }
        let below = directories.contains(&parent.parent()?) && ordered_unit(path).is_some();
        below.then_some((path, None))
    })
}

/// The units of a bridge that csihost has to have files for.
pub(super) fn own_units(bridge: &Bridge) -> BTreeSet<UnitName> {
    let spans = bridge.spans.iter().filter(|span| span.fstab.is_none()).map(|span| &span.unit);
    bridge.shares.iter().map(|share| &share.unit).chain(spans).cloned().collect()
}

pub(super) fn plan(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    let decision = settings.bridge.enabled.then(|| decide(facts, &directories(settings)));
    let wanted = match &decision {
        Some(Decision::Build(bridge)) => Some(own_units(bridge)),
        Some(Decision::Same(same)) => {
            // Later turns in which no kubelet says where its root is must not go back to the old one.
            plan.bridge = facts.bridge.as_ref().map(|_| same_root(same));
            None
        }
        None => None,
        // Nothing is taken away while it is not clear what is wanted.
        Some(Decision::Refused(_) | Decision::NoKubelet) => return,
    };
    let mut removed: BTreeMap<UnitName, Vec<StepId>> = BTreeMap::new();
    for (path, unit) in bridge_files(facts) {
        let keep = wanted.as_ref().is_some_and(|wanted| match (&unit, ordered_unit(path)) {
            (Some(unit), _) => wanted.contains(unit) && unit_path(facts, unit) == *path,
            (None, Some(kubelet)) => drop_in_path(facts, &kubelet) == *path,
            (None, None) => true,
        });
        let FileFact::File(file) = facts.file(path) else { continue };
        if keep {
            continue;
        }
        if origin(&file.bytes) != Origin::Ours {
            plan.refused.push(Refusal {
                id: "bridge-edited-unit",
                target: path.to_string(),
                reason: "the bridge no longer needs it, and somebody edited it since csihost wrote it"
                    .to_owned(),
                remedy: format!("remove {path} if it is not needed, then run systemctl daemon-reload"),
            });
            continue;
        }
        let reason = "the bridge that it is for is no longer wanted";
        let mut needs = Vec::new();
        if let Some(unit) = &unit
            && facts.units.get(unit).file == FileState::Enabled
            && !wanted.as_ref().is_some_and(|wanted| wanted.contains(unit))
        {
            needs.push(plan.push(Action::DisableUnit { unit: unit.clone() }, reason, &[]));
        }
        let step = plan.push(Action::RemoveUnit { path: path.clone() }, reason, &needs);
        if let Some(unit) = unit {
            removed.entry(unit).or_default().push(step);
        }
    }
    if facts.mode == Mode::Offline {
        return;
    }
    let mut earlier = Vec::new();
    // What a line of /etc/fstab bridges is wanted, too: csihost may have started it.
    let used = match &decision {
        Some(Decision::Build(bridge)) => bridge.units(),
        _ => BTreeSet::new(),
    };
    for remains in remains(facts, &used) {
        if remains.busy.is_none() {
            let needs = [removed.remove(&remains.unit).unwrap_or_default(), earlier.clone()].concat();
            let action = Action::Unmount { path: remains.path, unit: remains.unit };
            earlier.push(plan.push(action, "nobody wants it any more, and nothing is mounted below", &needs));
        }
    }
}

fn same_root(same: &Same) -> HostPath {
    match same {
        Same::Standard | Same::Namespace(_) => HostPath::from(STANDARD_PATH),
        Same::Link(root) | Same::Whole { root, .. } => root.clone(),
    }
}
