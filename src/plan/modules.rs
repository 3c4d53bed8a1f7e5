//! Pure: the steps that have kernel modules loaded, now and at every boot, and huge pages kept.

use super::files::{Kind, Placed, place, retire};
use crate::model::asked::Interests;
use crate::model::facts::{Facts, Init, Module};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, StepId};
use crate::model::unit::UnitName;
use crate::profile::Needs;
use crate::settings::{HUGE_PAGES, Settings};

/// Modules that systemd loads at every boot (modules-load.d(5)).
pub(super) const MODULES_LOAD: &str = "/etc/modules-load.d/csihost.conf";
/// Kernel settings that systemd writes at every boot (sysctl.d(5)).
pub(super) const SYSCTL: &str = "/etc/sysctl.d/60-csihost.conf";
/// What writes them now.
const SYSCTL_SERVICE: &str = "systemd-sysctl.service";

pub(super) fn interests(interests: &mut Interests) {
    interests.files.extend([MODULES_LOAD, SYSCTL].map(HostPath::from));
}

/// Has the modules loaded now and at every boot; gives the steps that a login has to wait for.
pub(super) fn plan(facts: &Facts, settings: &Settings, needs: &Needs, plan: &mut Plan) -> Vec<StepId> {
    let names = needs.modules(settings);
    if names.is_empty() {
        retire(plan, facts, HostPath::from(MODULES_LOAD), "the settings ask for no modules any more");
    }
    let known = names.iter().map(|name| (name, facts.module(name)));
    let wanted: Vec<(&String, Module)> =
        known.filter(|(_, state)| !matches!(state, Module::BuiltIn | Module::Missing)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let body: String = wanted.iter().map(|(name, _)| format!("{name}\n")).collect();
    let path = HostPath::from(MODULES_LOAD);
    let placed = place(plan, facts, Kind::File, path, &body, "volumes need them at every boot", &[]);
    let written = placed.written();
    wanted
        .iter()
        .filter(|(_, state)| *state == Module::Loadable)
        .map(|(name, _)| {
            let iscsi = needs.iscsi.modules.contains(name);
            let why = if iscsi { "a login over TCP needs it" } else { "a feature in the settings needs it" };
            plan.push(Action::LoadModule { module: (*name).clone() }, why, &written)
        })
        .collect()
}

/// Has the kernel keep huge pages, where the settings ask for what needs them.
pub(super) fn huge_pages(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    let path = HostPath::from(SYSCTL);
    if !settings.features.v2_engine {
        let why = "the settings no longer ask for what needs huge pages; the next boot keeps none";
        retire(plan, facts, path, why);
        return;
    }
    let enough = facts.machine.huge_pages.is_some_and(|pages| pages >= HUGE_PAGES);
    // Enough without csihost's file: somebody else sees to it.
    if enough && !facts.generated.contains(&path) {
        return;
    }
    let body = format!("vm.nr_hugepages = {HUGE_PAGES}\n");
    let why = "the second engine keeps its memory in huge pages";
    // Where memory is too scattered the kernel gives fewer, and asking again gives no more: a
    // reboot does, and check says so.
    if let Placed::Written(written) = place(plan, facts, Kind::File, path, &body, why, &[])
        && facts.init == Init::Systemd
        && !enough
    {
        plan.push(Action::RestartUnit { unit: UnitName::from(SYSCTL_SERVICE) }, why, &[written]);
    }
}
