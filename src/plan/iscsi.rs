//! Pure: the steps that make iSCSI ready.

use super::direct;
use crate::iscsi::on_host::{Daemon, daemon};
use crate::model::asked::Interests;
use crate::model::facts::{Facts, Init};
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::{ActiveState, FileState, UnitName};
use crate::profile::Needs;
use crate::settings::Settings;

/// What decides.
pub(super) fn interests(facts: &Facts, needs: &Needs, interests: &mut Interests) {
    interests.units.extend(needs.iscsi.units().iter().cloned());
    interests.enablement.extend(needs.iscsi.units().iter().cloned());
    interests.units.extend(direct::service(facts, needs));
    super::startup::interests(facts, needs, interests);
}

/// Adds what iSCSI needs to `plan`; `loaded` are the steps that load modules.
pub(super) fn plan(facts: &Facts, settings: &Settings, needs: &Needs, loaded: &[StepId], plan: &mut Plan) {
    if !facts.demand.iscsi.is_needed() {
        return;
    }
    let (iscsi, packages) = (&needs.iscsi, &needs.packages);
    if iscsi.daemon_among(&facts.programs).is_none() {
        return;
    }
    super::startup::plan(facts, needs, plan);
    super::initiator::plan(facts, needs, plan);
    super::records::plan(facts, settings, plan);
    if let Some(daemon) = direct::on(facts, needs) {
        return direct::start(facts, needs, daemon, loaded, plan);
    }
    let Some(systemd) = &iscsi.systemd else { return };
    let unit = match daemon(&facts.units, &systemd.units) {
        Daemon::Unit(unit) => unit,
        Daemon::Masked(unit) => {
            plan.refused.push(Refusal {
                id: "iscsid-masked",
                target: unit.to_string(),
                reason: "the administrator masked it".to_owned(),
                remedy: format!("run systemctl unmask {unit}, then csihost apply"),
            });
            return;
        }
        Daemon::None => {
            let names = systemd.units.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" nor ");
            plan.refused.push(Refusal {
                id: "iscsid-unit",
                target: packages.iscsi_name(),
                reason: format!("systemd knows neither {names}"),
                remedy: format!("reinstall {}, then csihost apply", packages.iscsi_name()),
            });
            return;
        }
    };
    let state = facts.units.get(&unit);
    if state.file == FileState::Disabled {
        let reason = "iscsid is to be reachable after every boot";
        plan.push(Action::EnableUnit { unit: unit.clone() }, reason, &[]);
    }
    let service = facts.units.get(&systemd.service);
    let mut needed = loaded.to_vec();
    // It was started in vain too often (without a name, say): systemd tries no more, whatever was
    // repaired, and closes the socket again.
    if facts.init == Init::Systemd && service.active == ActiveState::Failed {
        let action = Action::ResetFailedUnit { unit: systemd.service.clone() };
        needed.push(plan.push(action, "it failed, and systemd may have given up on it", &[]));
    }
    // A running daemon holds the socket's address: systemd refuses to start the socket beside it.
    let running = state.active == ActiveState::Active || service.active == ActiveState::Active;
    if facts.init == Init::Systemd && !running {
        // Without the kernel's control socket iscsid hangs at its start until systemd kills it.
        let is_daemon = unit == systemd.service;
        match direct::no_control(facts, needs).filter(|_| is_daemon) {
            Some(refusal) => plan.refused.push(refusal),
            None => {
                plan.push(Action::StartUnit { unit }, "iscsid is not reachable", &needed);
            }
        }
    }
}
