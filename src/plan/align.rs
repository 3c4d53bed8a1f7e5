//! Pure: the steps that have the kubelet use the standard path as its root, with its data where they
//! are (`contract.repair = "align"`).
//!
//! The bridge comes first, then the unit that copies the root's state files, and last the setting: a
//! kubelet that starts in between still finds its data. It is restarted only when that is asked for.

mod args_file;
mod exec;
mod foresee;
mod k3s;
mod kubeadm;
mod link;
mod refuse;
mod start;

#[cfg(test)]
mod tests;

use super::bridge::{kubelet_units, unit_path};
use super::files::{Kind, place};
use super::{direct, directories};
use crate::model::align::{AlignRecord, Alignment, at_restart};
use crate::model::asked::Interests;
use crate::model::digest::Digest;
use crate::model::edit::{self, Splice};
use crate::model::facts::{Facts, Init};
use crate::model::file::File;
use crate::model::generated::{Origin, origin};
use crate::model::kubelet::{Confidence, Distribution, Kubelet, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Later, Plan, Refusal, StepId};
use crate::model::unit::{FileState, UnitName};
use crate::mounts::bridge::{Bridge, Decision, STANDARD_PATH, aligned, decide, unready};
use crate::mounts::unit_text::{self, ALIGN_UNIT};
use crate::profile::Needs;
use crate::settings::{Repair, Settings};
pub(super) use exec::NAME as DROP_IN;
pub(super) use foresee::{foreseen, interesting, join};
pub(super) use link::replace;
use start::Start;

/// Where the program may be.
const PROGRAMS: [&str; 3] = ["/usr/bin/csihost", "/usr/local/bin/csihost", "/opt/bin/csihost"];

/// Why the setting is written.
const REASON: &str = "the kubelet is to use the standard path as its root";

/// What has to change so that the next start has the standard path as its root.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// A file that csihost generates.
    Place(Kind, HostPath, String),
    /// Lines of somebody else's file.
    Patch(File, Vec<Splice>),
}

/// What the planner wants to know beside the configuration itself.
pub(super) fn interests(facts: &Facts) -> Interests {
    let mut interests = Interests::default();
    let Some(start) = Start::of(facts) else { return interests };
    interests.files.push(unit_path(facts, &UnitName::from(ALIGN_UNIT)));
    interests.files.extend(files(&start));
    interests.programs.extend(PROGRAMS.map(HostPath::from));
    interests.units.push(UnitName::from(ALIGN_UNIT));
    interests.enablement.push(UnitName::from(ALIGN_UNIT));
    interests
}

/// The files in which the setting may be.
fn files(start: &Start<'_>) -> Vec<HostPath> {
    let mut files: Vec<HostPath> = exec::drop_in(start).into_iter().collect();
    match start.declaration.distribution {
        Distribution::K3s | Distribution::Rke2 => files.extend(k3s::file(start)),
        Distribution::Microk8s | Distribution::K8sSnap => files.extend(args_file::file(start)),
        _ => files.extend(kubeadm::file(start)),
    }
    files
}

/// The change that makes the setting, if it is not made; csihost's own file stays as it has to be.
fn change(start: &Start<'_>) -> Result<Option<Change>, Refusal> {
    match start.declaration.distribution {
        Distribution::K3s | Distribution::Rke2 => k3s::change(start),
        Distribution::Microk8s | Distribution::K8sSnap => args_file::change(start),
        Distribution::K0s => exec::change(start, "k0s", "--kubelet-root-dir"),
        Distribution::Kubeadm => kubeadm::change(start),
        _ => exec::change(start, "kubelet", "--root-dir"),
    }
}

/// Adds what aligning needs to `plan`, whose steps from `first` on build the bridge.
///
/// `tried` is the plan for the host as it was foreseen, in which the kubelet's root is not aligned: then
/// it is not in this one either, and why.
pub(super) fn plan(
    facts: &Facts,
    settings: &Settings,
    needs: &Needs,
    first: usize,
    tried: Option<&Plan>,
    plan: &mut Plan,
) {
    let asked = settings.contract.repair == Repair::Align;
    let standard = KubeletRoot::standard();
    let at_standard = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.root_dir == standard);
    // What was ended goes on only under a kubelet that is still at the standard path.
    if !asked && facts.align.as_ref().is_none_or(|record| record.ends && !at_standard) {
        return;
    }
    let alignment = match tried {
        Some(tried) => refuse::foreseen(tried, plan),
        None => decided(facts, settings, needs, asked, first, plan),
    };
    match &alignment {
        Alignment::Refused(refused) => plan.refused.extend(refused.iter().cloned()),
        Alignment::Waits { from, to, unit } => plan.later.push(later(from, to, unit.as_ref())),
        _ => {}
    }
    plan.alignment = Some(alignment);
}

fn decided(
    facts: &Facts,
    settings: &Settings,
    needs: &Needs,
    asked: bool,
    first: usize,
    plan: &mut Plan,
) -> Alignment {
    let Some(kubelet) = facts.detection.kubelet.as_ref().filter(is_known) else { return Alignment::Unknown };
    let standard = KubeletRoot::standard();
    let at_standard = kubelet.root_dir == standard;
    let ends = facts.align.as_ref().filter(|record| record.ends && !asked);
    if let Some(record) = ends {
        let unit = facts.detection.unit.clone();
        return match (at_standard && kubelet.pid.is_some(), KubeletRoot::parse(record.root.as_bytes())) {
            (true, Ok(to)) => Alignment::Waits { from: standard, to, unit },
            _ => Alignment::Unknown,
        };
    }
    let root = match (at_standard, &facts.align) {
        (true, None) => return Alignment::Aligned(None),
        (true, Some(record)) => record.root.clone(),
        (false, _) => match &kubelet.host_dir {
            Some(root) => facts.canonical(root).clone(),
            None => return Alignment::NoBridge,
        },
    };
    let refused = refuse::before(facts, settings, needs, kubelet, at_standard);
    if !refused.is_empty() {
        return Alignment::Refused(refused);
    }
    let bridge = match decide(facts, &directories(settings)) {
        Decision::Build(bridge) if plan.bridge.is_some() && direct::on(facts, needs).is_none() => {
            Some(bridge)
        }
        // The root is a link to the standard path: the data are there.
        Decision::Same(_) if root.as_bytes() == STANDARD_PATH.as_bytes() => None,
        decision => {
            let refusal = refuse::same(&decision).filter(|_| !at_standard);
            return refusal.map_or(Alignment::NoBridge, |refusal| Alignment::Refused(vec![refusal]));
        }
    };
    let Some(start) = Start::of(facts) else {
        return Alignment::Refused(vec![refuse::unknown(facts, kubelet)]);
    };
    // With another value in the settings the setting is kept where it is made, and not made anew.
    if !asked && !start.is_set() {
        let to = start.declaration.root.clone();
        let unit = facts.detection.unit.clone();
        return match at_standard && kubelet.pid.is_some() {
            true => Alignment::Waits { from: standard, to, unit },
            false => Alignment::Unknown,
        };
    }
    let change = match change(&start) {
        Ok(change) => change,
        Err(refusal) => return Alignment::Refused(vec![refusal]),
    };
    // What is set already is not taken back because of what the node has since.
    if let Some(bridge) = bridge.as_ref().filter(|_| !at_standard && !start.is_set()) {
        let refused = match facts.init {
            Init::Systemd => unready(facts, bridge).into_iter().chain(refuse::half(bridge)).collect(),
            _ => Vec::new(),
        };
        if !refused.is_empty() {
            return Alignment::Refused(refused);
        }
    }
    let whole = facts.whole.as_ref() == Some(&root);
    let beside = if whole { Vec::new() } else { foresee::beside(settings) };
    plan.aligns = Some(AlignRecord { root, whole, beside, ends: false });
    let mut needs: Vec<StepId> = plan.steps().map(|(id, _)| id).skip(first).collect();
    if let Some(bridge) = bridge.filter(|_| !whole) {
        needs.extend(copies_state(facts, &bridge, plan));
    }
    let count = plan.len();
    if let Some(change) = change {
        make(facts, change, &needs, plan);
    }
    // Under a kubelet at the standard path the bridge is for the bridge's own check to judge.
    let set = start.is_set() && plan.len() == if at_standard { count } else { first };
    let runs = !at_standard && kubelet.pid.is_some();
    if runs
        && facts.restart_kubelet
        && let Some(unit) = &facts.detection.unit
    {
        needs.extend(plan.steps().map(|(id, _)| id).skip(count).collect::<Vec<_>>());
        let action = Action::RestartUnit { unit: unit.clone() };
        plan.push(action, "the kubelet uses its new root from its next start on", &needs);
        return Alignment::Planned;
    }
    match (at_standard, set) {
        (true, true) => Alignment::Aligned(aligned(facts).cloned()),
        (false, set) if runs => {
            let unit = facts.detection.unit.clone();
            if !set {
                plan.later.push(later(&kubelet.root_dir, &standard, unit.as_ref()));
                return Alignment::Planned;
            }
            Alignment::Waits { from: kubelet.root_dir.clone(), to: standard, unit }
        }
        _ => Alignment::Planned,
    }
}

/// What waits for a restart of the kubelet's `unit`.
fn later(from: &KubeletRoot, to: &KubeletRoot, unit: Option<&UnitName>) -> Later {
    let target = unit.map_or("the kubelet's unit", UnitName::as_str).to_owned();
    Later { target, reason: format!("its {}", at_restart(from, to)) }
}

/// Whether it is more than left-over state files that tell of `kubelet`.
fn is_known(kubelet: &&Kubelet) -> bool {
    kubelet.confidence != Confidence::Assumed || kubelet.root_dir == KubeletRoot::standard()
}

/// The unit that copies the root's state files while the kubelet is stopped.
fn copies_state(facts: &Facts, bridge: &Bridge, plan: &mut Plan) -> Vec<StepId> {
    let program = PROGRAMS.map(HostPath::from).into_iter().find(|path| facts.programs.contains(path));
    let program = program.unwrap_or_else(|| HostPath::from(PROGRAMS[0]));
    let mounts: Vec<UnitName> = bridge.units().into_iter().collect();
    let body = unit_text::align(&program, &mounts, &kubelet_units(facts));
    let unit = UnitName::from(ALIGN_UNIT);
    let reason = "the kubelet's state files are to be where it will look for them";
    let placed = place(plan, facts, Kind::Unit, unit_path(facts, &unit), &body, reason, &[]);
    let mut steps = placed.written();
    if !steps.is_empty() || facts.units.get(&unit).file != FileState::Enabled {
        let enable = Action::EnableUnit { unit };
        steps.push(plan.push(enable, "it is to run before the kubelet's next start", &placed.written()));
    }
    steps
}

fn make(facts: &Facts, change: Change, needs: &[StepId], plan: &mut Plan) {
    match change {
        Change::Place(kind, path, body) => _ = place(plan, facts, kind, path, &body, REASON, needs),
        Change::Patch(file, splices) => {
            let Some(after) = edit::apply(&file.bytes, &splices) else { return };
            let action = Action::PatchFile {
                diff: edit::diff(&file.canonical.to_string(), &file.bytes, &splices),
                before: Digest::of(&file.bytes),
                after: Digest::of(&after),
                path: file.canonical,
                splices,
            };
            plan.push(action, REASON, needs);
        }
    }
}

/// Whether csihost's own file is at `path`, as it wrote it.
fn is_ours(facts: &Facts, path: &HostPath) -> bool {
    facts.file(path).bytes().is_some_and(|bytes| origin(bytes) == Origin::Ours)
}
