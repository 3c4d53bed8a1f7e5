//! Pure: the steps that build the bridge.

use super::files::{Kind, Placed, not_ours, place};
use super::{RUNTIME_UNITS_DIR, UNITS, direct, directories};
use crate::model::facts::{Facts, Init, Mode};
use crate::model::file::{DirFact, FileFact};
use crate::model::generated::{Origin, origin};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::{FileState, KUBELET_UNITS, LoadState, RUNTIME_UNITS, UnitName};
use crate::mounts::bridge::{Bridge, Decision, decide};
use crate::mounts::fstab::{self, FSTAB};
use crate::mounts::unit_text::{self, BridgeUnit};
use crate::profile::Needs;
use crate::settings::Settings;

/// The drop-in that orders a kubelet's unit after the bridge.
const DROP_IN: &str = "50-csihost.conf";
/// The kubelet makes its directories so (kubernetes, pkg/kubelet/kubelet.go).
const KUBELET_MODE: u32 = 0o750;

/// The directories that csihost's units may be in. systemd forgets the second at a reboot: it is
/// for systems whose /etc cannot be written, and every boot makes it anew.
pub(super) fn unit_directories() -> [HostPath; 2] {
    [HostPath::from(UNITS), HostPath::from(RUNTIME_UNITS_DIR)]
}

/// Where the unit file of `unit` is, or is to be.
pub(super) fn unit_path(facts: &Facts, unit: &UnitName) -> HostPath {
    placed_at(facts, unit.as_str().as_bytes())
}

/// Where the drop-in for `unit` is, or is to be.
pub(super) fn drop_in_path(facts: &Facts, unit: &UnitName) -> HostPath {
    placed_at(facts, drop_in(unit).as_bytes())
}

/// The name of the drop-in for `unit`, below a directory of units.
pub(super) fn drop_in(unit: &UnitName) -> String {
    format!("{unit}.d/{DROP_IN}")
}

fn placed_at(facts: &Facts, name: &[u8]) -> HostPath {
    let [usual, runtime] = unit_directories().map(|directory| directory.join(name));
    // What is in /etc wins over /run: what an image has there stays.
    match facts.units_read_only && matches!(facts.file(&usual), FileFact::Absent) {
        true => runtime,
        false => usual,
    }
}

/// Returns true if `path` is a drop-in that orders a unit after the bridge.
pub fn is_order(path: &HostPath) -> bool {
    ordered_unit(path).is_some()
}

/// The unit that a drop-in of csihost's is for.
pub(super) fn ordered_unit(path: &HostPath) -> Option<UnitName> {
    let name = path.parent()?.file_name().strip_suffix(b".d")?.to_vec();
    (path.file_name() == DROP_IN.as_bytes())
        .then(|| UnitName::parse(std::str::from_utf8(&name).ok()?).ok())?
}

/// The units that run this node's kubelet: those that are there, the one that the running kubelet
/// belongs to, and those that an earlier turn knew.
pub(super) fn kubelet_units(facts: &Facts) -> Vec<UnitName> {
    let known = KUBELET_UNITS.iter().map(|name| UnitName::from(*name));
    let mut units: Vec<UnitName> = known
        .filter(|unit| {
            let earlier = facts.generated.iter().any(|path| ordered_unit(path).as_ref() == Some(unit));
            let there =
                facts.units.get(unit).load == LoadState::Loaded && !RUNTIME_UNITS.contains(&unit.as_str());
            earlier || there
        })
        .collect();
    if let Some(unit) = &facts.detection.unit
        && !units.contains(unit)
    {
        units.push(unit.clone());
    }
    for unit in facts.generated.iter().filter_map(ordered_unit) {
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    units
}

/// Adds what the bridge needs to `plan`.
pub(super) fn plan(facts: &Facts, settings: &Settings, needs: &Needs, plan: &mut Plan) {
    if !settings.bridge.enabled {
        return;
    }
    match decide(facts, &directories(settings)) {
        Decision::NoKubelet | Decision::Same(_) => {}
        Decision::Refused(refused) => plan.refused.extend(refused),
        Decision::Build(bridge) if direct::on(facts, needs).is_some() => direct::build(facts, &bridge, plan),
        Decision::Build(bridge) => build(facts, &bridge, plan),
    }
}

fn build(facts: &Facts, bridge: &Bridge, plan: &mut Plan) {
    let taken = taken(facts, bridge);
    if !taken.is_empty() {
        plan.refused.extend(taken);
        return;
    }
    let live = facts.init == Init::Systemd;
    plan.bridge = Some(bridge.root.clone());
    let kubelets = kubelet_units(facts);
    let share_units: Vec<UnitName> = bridge.shares.iter().map(|share| share.unit.clone()).collect();

    let made = make_directories(facts, bridge, plan);

    let mut starts: Vec<(Action, String, Vec<StepId>)> = Vec::new();
    let mut enables: Vec<(UnitName, Placed)> = Vec::new();
    for share in &bridge.shares {
        let reason = format!("{} lies on a mount that is not shared", share.path);
        let Some(body) = text(unit_text::share(&share.path, &kubelets), &share.path, plan) else { return };
        if share.mounted && is_foreign(facts.file(&unit_path(facts, &share.unit))) {
            continue;
        }
        let placed = place(plan, facts, Kind::Unit, unit_path(facts, &share.unit), &body, &reason, &made);
        if !share.mounted {
            let action = Action::ShareMount { path: share.path.clone(), unit: Some(share.unit.clone()) };
            starts.push((
                action,
                "a starting kubelet would hide the bridge".to_owned(),
                needs(placed, &made),
            ));
        }
        enables.push((share.unit.clone(), placed));
    }
    for span in &bridge.spans {
        let reason = span.reason();
        let unit = BridgeUnit {
            what: &span.what,
            where_: &span.place,
            needs: &share_units,
            kubelet_units: &kubelets,
        };
        let Some(body) = text(unit_text::bridge(&unit), &span.place, plan) else { return };
        let start = Action::StartUnit { unit: span.unit.clone() };
        if span.fstab.is_some() {
            // A unit in /etc would take the place of the one that systemd makes of the line.
            if !span.mounted && span.former.is_none() {
                starts.push((start, reason, made.clone()));
            }
            continue;
        }
        if span.mounted && is_foreign(facts.file(&unit_path(facts, &span.unit))) {
            // Somebody else's unit does the same: verified by the mount table, and left.
            continue;
        }
        let placed = place(plan, facts, Kind::Unit, unit_path(facts, &span.unit), &body, &reason, &made);
        match &span.former {
            _ if span.mounted => {}
            None => starts.push((start, reason, needs(placed, &made))),
            Some(former) if former.below == 0 && live => {
                let action = Action::Unmount { path: span.place.clone(), unit: span.unit.clone() };
                let why = format!("it is the directory of the earlier root {}", former.root);
                let gone = plan.push(action, why, &placed.written());
                starts.push((start, reason, [needs(placed, &made), vec![gone]].concat()));
            }
            // It carries volumes of pods: the new unit mounts at the next boot.
            Some(_) => {}
        }
        enables.push((span.unit.clone(), placed));
    }
    let mounts: Vec<UnitName> =
        share_units.iter().chain(bridge.spans.iter().map(|span| &span.unit)).cloned().collect();
    for kubelet in &kubelets {
        let body = unit_text::kubelet_drop_in(&mounts, facts.units_read_only);
        let reason = format!("{kubelet} is to start after the bridge");
        place(plan, facts, Kind::Unit, drop_in_path(facts, kubelet), &body, &reason, &[]);
    }
    // Links in /run would be gone at the next boot, like the units: the drop-ins want them.
    enables.retain(|(unit, _)| !unit_path(facts, unit).starts_with(&HostPath::from(RUNTIME_UNITS_DIR)));
    for (unit, placed) in enables {
        let again = matches!(placed, Placed::Written(_));
        if placed != Placed::Taken && (again || facts.units.get(&unit).file != FileState::Enabled) {
            let reason = "the bridge is to be there before the kubelet at every boot";
            plan.push(Action::EnableUnit { unit }, reason, &placed.written());
        }
    }
    if live {
        // A share that fails leaves nothing to bridge on.
        let mut shares = Vec::new();
        for (action, reason, mut needs) in starts {
            let is_share = matches!(action, Action::ShareMount { .. });
            if !is_share {
                needs.extend(&shares);
            }
            let id = plan.push(action, reason, &needs);
            if is_share {
                shares.push(id);
            }
        }
    }
}

/// Unit files of others where the bridge needs its own: half a bridge is worse than none.
fn taken(facts: &Facts, bridge: &Bridge) -> Vec<Refusal> {
    let shares = bridge.shares.iter().map(|share| (&share.unit, share.mounted));
    let own = bridge.spans.iter().filter(|span| span.fstab.is_none());
    let spans = own.map(|span| (&span.unit, span.mounted));
    let taken = shares.chain(spans).filter_map(|(unit, mounted)| {
        let path = unit_path(facts, unit);
        let file = facts.file(&path);
        // A mount that is right is left, whoever made it.
        (!(mounted && is_foreign(file))).then(|| not_ours(file, &path)).flatten()
    });
    taken.collect()
}

fn is_foreign(file: &FileFact) -> bool {
    file.bytes().is_some_and(|bytes| origin(bytes) == Origin::Foreign)
}

fn needs(placed: Placed, more: &[StepId]) -> Vec<StepId> {
    [more, &placed.written()].concat()
}

fn text<E: std::fmt::Display>(text: Result<String, E>, path: &HostPath, plan: &mut Plan) -> Option<String> {
    text.map_err(|error| {
        plan.refused.push(Refusal {
            id: "bridge-unit-text",
            target: path.to_string(),
            reason: error.to_string(),
            remedy: "use a path that a unit file can hold".to_owned(),
        });
    })
    .ok()
}

/// Directories that are missing, as the kubelet makes them.
pub(super) fn make_directories(facts: &Facts, bridge: &Bridge, plan: &mut Plan) -> Vec<StepId> {
    let mut all = vec![bridge.root.clone(), bridge.standard.clone()];
    for span in &bridge.spans {
        for (base, path) in [(&bridge.root, &span.what), (&bridge.standard, &span.place)] {
            all.extend(on_the_way(base, path).filter(|path| !all.contains(path)).collect::<Vec<_>>());
        }
    }
    let mut made = Vec::new();
    for path in all {
        let absent = |fact: &DirFact| matches!(fact, DirFact::Absent { canonical } if *canonical == path);
        // Not beneath the mount point of a file system that an image has yet to mount.
        let late = facts.mode == Mode::Offline && mounted_later(facts, &path);
        if !late && facts.dirs.values().any(absent) {
            let action = Action::MakeDirectory { path, mode: KUBELET_MODE };
            let id = plan.push(action, "the bridge needs it; made as the kubelet makes it", &made);
            made.push(id);
        }
    }
    made
}

/// Whether /etc/fstab mounts something above `path`.
fn mounted_later(facts: &Facts, path: &HostPath) -> bool {
    let table = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    fstab::entries(table).iter().any(|entry| {
        entry.point != HostPath::root() && *path != entry.point && path.starts_with(&entry.point)
    })
}

/// The directories below `base` down to `path`.
fn on_the_way(base: &HostPath, path: &HostPath) -> impl Iterator<Item = HostPath> {
    let below = path.below(base).unwrap_or_default().to_vec();
    let parts: Vec<Vec<u8>> = below.split(|&b| b == b'/').map(<[u8]>::to_vec).collect();
    parts.into_iter().scan(base.clone(), |path, part| {
        *path = path.join(part);
        Some(path.clone())
    })
}
