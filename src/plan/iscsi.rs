//! Pure: the steps that make iSCSI ready.

use super::asked::Interests;
use super::files::{Kind, place};
use crate::iscsi::on_host::{Daemon, daemon};
use crate::model::facts::{Facts, Init, Module};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::{ActiveState, FileState, UnitName};
use crate::profile::Profile;
use crate::settings::Settings;

/// Modules that systemd loads at every boot (modules-load.d(5)).
const MODULES_LOAD: &str = "/etc/modules-load.d/csihost.conf";

/// What decides.
pub(super) fn interests(facts: &Facts, profile: &Profile, interests: &mut Interests) {
    interests.units.extend(profile.iscsi.units.iter().cloned());
    interests.enablement.extend(profile.iscsi.units.iter().cloned());
    interests.units.push(profile.iscsi.service.clone());
    interests.files.push(HostPath::from(MODULES_LOAD));
    super::startup::interests(facts, profile, interests);
}

/// Adds what iSCSI needs to `plan`.
pub(super) fn plan(facts: &Facts, settings: &Settings, profile: &Profile, plan: &mut Plan) {
    if !settings.iscsi {
        return;
    }
    let iscsi = &profile.iscsi;
    if !facts.programs.contains(&iscsi.daemon) {
        plan.refused.push(Refusal {
            id: "iscsi-package",
            target: iscsi.package.clone(),
            reason: format!("{} is not there: {} is not installed", iscsi.daemon, iscsi.package),
            remedy: format!("run {}, then csihost apply", iscsi.install),
        });
        return;
    }
    let unit = match daemon(&facts.units, &iscsi.units) {
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
            let names = iscsi.units.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" nor ");
            plan.refused.push(Refusal {
                id: "iscsid-unit",
                target: iscsi.package.clone(),
                reason: format!("systemd knows neither {names}"),
                remedy: format!("run {} again (its units are missing), then csihost apply", iscsi.install),
            });
            return;
        }
    };
    super::startup::plan(facts, profile, plan);
    let loaded = load_modules(facts, profile, plan);
    let state = facts.units.get(&unit);
    if state.file == FileState::Disabled {
        let reason = "iscsid is to be reachable after every boot";
        plan.push(Action::EnableUnit { unit: unit.clone() }, reason, &[]);
    }
    let service = facts.units.get(&iscsi.service);
    // A running daemon holds the socket's address: systemd refuses to start the socket beside it.
    let running = state.active == ActiveState::Active || service.active == ActiveState::Active;
    if facts.init == Init::Systemd && !running {
        // Without the kernel's control socket iscsid hangs at its start until systemd kills it.
        let is_daemon = unit == iscsi.service;
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
                plan.push(Action::StartUnit { unit }, "iscsid is not reachable", &loaded);
            }
        }
    }
}

/// Has the modules loaded now and at every boot.
fn load_modules(facts: &Facts, profile: &Profile, plan: &mut Plan) -> Vec<StepId> {
    let known = profile.iscsi.modules.iter().map(|name| (name, facts.module(name)));
    let wanted: Vec<(&String, Module)> =
        known.filter(|(_, state)| !matches!(state, Module::BuiltIn | Module::Missing)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let body: String = wanted.iter().map(|(name, _)| format!("{name}\n")).collect();
    let path = HostPath::from(MODULES_LOAD);
    let placed = place(plan, facts, Kind::File, path, &body, "iSCSI needs them at every boot", &[]);
    let needs = placed.written();
    wanted
        .iter()
        .filter(|(_, state)| *state == Module::Loadable)
        .map(|(name, _)| {
            let action = Action::LoadModule { module: (*name).clone() };
            plan.push(action, "a login over TCP needs it", &needs)
        })
        .collect()
}
