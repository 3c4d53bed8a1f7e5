//! Pure: the steps that make iSCSI ready.

use crate::iscsi::on_host::{Daemon, daemon};
use crate::model::asked::Interests;
use crate::model::facts::{Facts, Init, Module};
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::{ActiveState, FileState, UnitName};
use crate::profile::Needs;
use crate::settings::Settings;

/// What decides.
pub(super) fn interests(facts: &Facts, needs: &Needs, interests: &mut Interests) {
    interests.units.extend(needs.iscsi.units().iter().cloned());
    interests.enablement.extend(needs.iscsi.units().iter().cloned());
    interests.units.extend(needs.iscsi.service().cloned());
    super::startup::interests(facts, needs, interests);
}

/// Adds what iSCSI needs to `plan`; `loaded` are the steps that load modules.
pub(super) fn plan(facts: &Facts, settings: &Settings, needs: &Needs, loaded: &[StepId], plan: &mut Plan) {
    if !settings.iscsi {
        return;
    }
    let (iscsi, packages) = (&needs.iscsi, &needs.packages);
    if iscsi.daemon_among(&facts.programs).is_none() {
        return;
    }
    super::startup::plan(facts, needs, plan);
    super::initiator::plan(facts, needs, plan);
    super::records::plan(facts, settings, plan);
    super::multipath::plan(facts, settings, plan);
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
        let missing = iscsi.modules.iter().find(|name| facts.module(name) == Module::Missing);
        match missing {
            Some(module) if is_daemon => plan.refused.push(Refusal {
                id: "iscsi-kernel",
                target: unit.to_string(),
                reason: format!(
                    "the running kernel has no {module}, and without it {unit} hangs at its start"
                ),
                remedy: format!("boot a kernel that has {module}, or install this kernel's extra modules"),
            }),
            _ => {
                plan.push(Action::StartUnit { unit }, "iscsid is not reachable", &needed);
            }
        }
    }
}
