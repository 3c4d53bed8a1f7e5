//! Pure: what is done otherwise where systemd is not PID 1: the daemon is OpenRC's or runs by itself,
//! and csihost mounts the bridge in the turn that it makes at every boot.

use super::bridge::make_directories;
use crate::model::facts::{Facts, Init, Mode, Module};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName};
use crate::mounts::bridge::Bridge;
use crate::profile::{Iscsi, Needs, Profile};

/// What runs the daemon where systemd does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// The name by which a service manager is asked for it, as if it were a unit.
    pub unit: UnitName,
    /// The service of OpenRC's; without one the program is started itself.
    pub openrc: Option<String>,
    /// Where the program may be, best first.
    pub programs: Vec<HostPath>,
}

/// What runs the daemon on hosts that `profile` is for, if they never have systemd as PID 1.
pub fn daemon(profile: &Profile) -> Option<Daemon> {
    of(profile.needs()?)
}

fn of(needs: &Needs) -> Option<Daemon> {
    let Iscsi { openrc, systemd, daemon, .. } = &needs.iscsi;
    let unit = UnitName::parse(&format!("{}.service", openrc.as_deref().unwrap_or("iscsid"))).ok()?;
    let daemon = Daemon { unit, openrc: openrc.clone(), programs: daemon.clone() };
    systemd.is_none().then_some(daemon)
}

/// The same, on a host where systemd does not run.
pub(super) fn on(facts: &Facts, needs: &Needs) -> Option<Daemon> {
    of(needs).filter(|_| matches!(facts.init, Init::Other(_) | Init::Offline))
}

/// The daemon's service, by whatever runs it.
pub(super) fn service(facts: &Facts, needs: &Needs) -> Option<UnitName> {
    match on(facts, needs) {
        Some(daemon) => Some(daemon.unit),
        None => needs.iscsi.service().cloned(),
    }
}

/// Has the daemon run, now and after every boot; `loaded` are the steps that load modules.
pub(super) fn start(facts: &Facts, needs: &Needs, daemon: Daemon, loaded: &[StepId], plan: &mut Plan) {
    let unit = daemon.unit;
    let state = facts.units.get(&unit);
    if state.load == LoadState::NotFound {
        let name = daemon.openrc.unwrap_or_else(|| needs.iscsi.daemon_name());
        let packages = needs.packages.iscsi_name();
        plan.refused.push(Refusal {
            id: "iscsid-unit",
            target: packages.clone(),
            reason: format!("there is no service {name}"),
            remedy: format!("reinstall {packages}, then csihost apply"),
        });
        return;
    }
    if state.file == FileState::Disabled {
        let reason = "iscsid is to be reachable after every boot";
        plan.push(Action::EnableUnit { unit: unit.clone() }, reason, &[]);
    }
    // It may run in a container of the system's, and listen in its place.
    let reachable = state.active == ActiveState::Active || facts.iscsi.listening == Some(true);
    if facts.mode == Mode::Offline || reachable {
        return;
    }
    match no_control(facts, needs) {
        Some(refusal) => plan.refused.push(refusal),
        None => {
            plan.push(Action::StartUnit { unit }, "iscsid is not reachable", loaded);
        }
    }
}

/// Why the daemon is not started on a kernel without iSCSI's control socket: it ends at once, or
/// hangs until somebody kills it.
pub(super) fn no_control(facts: &Facts, needs: &Needs) -> Option<Refusal> {
    let missing = needs.iscsi.modules.iter().find(|name| facts.module(name) == Module::Missing);
    let module = missing.map_or("iSCSI", String::as_str);
    (facts.iscsi.control == Some(false)).then(|| Refusal {
        id: "iscsi-kernel",
        target: "iscsid".to_owned(),
        reason: format!("the running kernel has no {module}, and without it iscsid hangs at its start"),
        remedy: format!("boot a kernel that has {module}, or install this kernel's extra modules"),
    })
}

/// Mounts what is missing of the bridge; a tree of files has no mounts.
pub(super) fn build(facts: &Facts, bridge: &Bridge, plan: &mut Plan) {
    if facts.mode == Mode::Offline {
        return;
    }
    plan.bridge = Some(bridge.root.clone());
    let mut needed = make_directories(facts, bridge, plan);
    let mut shares = Vec::new();
    for share in bridge.shares.iter().filter(|share| !share.mounted) {
        let action = Action::ShareMount { path: share.path.clone(), unit: None };
        shares.push(plan.push(action, "a starting kubelet would hide the bridge", &needed));
    }
    // A share that fails leaves nothing to bridge on.
    needed.extend(shares);
    for span in bridge.spans.iter().filter(|span| !span.mounted) {
        let reason = span.reason();
        plan.push(Action::Mount { from: span.what.clone(), to: span.place.clone() }, reason, &needed);
    }
}

#[cfg(test)]
#[path = "direct_tests.rs"]
mod tests;
