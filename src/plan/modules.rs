//! Pure: the steps that have kernel modules loaded, now and at every boot, and huge pages kept.

use super::files::{Kind, Placed, place, retire};
use crate::model::asked::Interests;
use crate::model::demand::IscsiDemand;
use crate::model::facts::{Facts, Init, Module};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, StepId};
use crate::model::unit::UnitName;
use crate::profile::Needs;
use crate::settings::Settings;

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
    let mut names = needs.modules(settings, &facts.demand);
    keep_for_iscsi(facts, needs, &mut names);
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
            let why = match facts.demand.who_needs(name).first() {
                _ if needs.iscsi.modules.contains(name) => "a login over TCP needs it".to_owned(),
                Some(driver) => format!("{driver} needs it"),
                None => "a feature in the settings needs it".to_owned(),
            };
            plan.push(Action::LoadModule { module: (*name).clone() }, why, &written)
        })
        .collect()
}

/// Keeps iSCSI's modules that earlier reconciliations have made the next boot load, while the drivers of this node do not
/// need them: drivers come and go.
fn keep_for_iscsi(facts: &Facts, needs: &Needs, names: &mut Vec<String>) {
    let path = HostPath::from(MODULES_LOAD);
    if !matches!(facts.demand.iscsi, IscsiDemand::NotNeeded(_)) || !facts.generated.contains(&path) {
        return;
    }
    let listed = facts.file(&path).bytes().unwrap_or_default().split(|&b| b == b'\n');
    let listed: Vec<&[u8]> = listed.collect();
    let kept = needs.iscsi.modules.iter().filter(|name| listed.contains(&name.as_bytes()));
    let kept: Vec<String> = kept.cloned().collect();
    names.splice(0..0, kept);
}

/// Has the kernel keep huge pages, where a driver needs them.
pub(super) fn huge_pages(facts: &Facts, plan: &mut Plan) {
    let path = HostPath::from(SYSCTL);
    let Some((wanted, driver)) = facts.demand.huge_pages() else {
        let why = "the settings no longer ask for what needs huge pages; the next boot keeps none";
        retire(plan, facts, path, why);
        return;
    };
    let enough = facts.machine.huge_pages.is_some_and(|pages| pages >= wanted);
    // Enough without csihost's file: somebody else sees to it.
    if enough && !facts.generated.contains(&path) {
        return;
    }
    let body = format!("vm.nr_hugepages = {wanted}\n");
    let why = format!("{driver} keeps its memory in huge pages");
    // Where memory is too scattered the kernel gives fewer, and asking again gives no more: a
    // reboot does, and check says so.
    if let Placed::Written(written) = place(plan, facts, Kind::File, path, &body, &why, &[])
        && facts.init == Init::Systemd
        && !enough
    {
        plan.push(Action::RestartUnit { unit: UnitName::from(SYSCTL_SERVICE) }, why, &[written]);
    }
}
