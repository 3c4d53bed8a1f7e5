//! Pure: (facts, settings, profile) → plan. No I/O, no clock, no environment.

pub mod adjust;
mod align;
mod bridge;
pub mod direct;
mod files;
pub mod gate;
mod graft;
mod initiator;
pub mod interests;
mod iscsi;
mod leftovers;
mod legacy;
mod modules;
mod multipath;
mod packages;
mod records;
mod retire;
mod startup;

pub use bridge::is_order;
pub use files::is_drop_in;
pub use graft::holds as grafts;

use crate::model::align::AlignRecord;
use crate::model::facts::{Facts, Init};
use crate::model::plan::{Action, Plan, Refusal};
use crate::profile::{Needs, Profile};
use crate::settings::{BridgeDirectory, Settings};

/// Where an administrator's units are, and csihost's among them.
pub const UNITS: &str = "/etc/systemd/system";
/// Files that csihost generates beside units and their drop-ins.
pub const GENERATED: [&str; 3] = [modules::MODULES_LOAD, modules::SYSCTL, crate::iscsi::multipath::DROP_IN];

/// The same until the next boot.
pub const RUNTIME_UNITS_DIR: &str = "/run/systemd/system";

/// Decides what should change on a host with these facts. On a host that is as it should be, the
/// plan is empty.
pub fn decide(facts: &Facts, settings: &Settings, profile: &Profile) -> Plan {
    // Where an agent cannot help, /etc is the system's own and is made anew: nothing is written
    // there, units of the bridge included. That it is so is a check's to say.
    let Some(needs) = profile.needs() else { return Plan::default() };
    let plan = match align::foreseen(facts, settings) {
        None => planned(facts, settings, needs, false, None),
        Some(after) => match planned(&after.facts, &after.settings, needs, after.replaces, None) {
            plan if plan.aligns.is_some() => plan,
            plan => planned(facts, settings, needs, false, Some(&plan)),
        },
    };
    plan.in_phases()
}

/// `link` is whether a directory has to take the place of a link at the standard path first: `facts` are
/// those after it. `tried` is a plan for foreseen facts that was thrown away.
fn planned(facts: &Facts, settings: &Settings, needs: &Needs, link: bool, tried: Option<&Plan>) -> Plan {
    let mut plan = Plan::default();
    match &facts.init {
        Init::Other(name) if direct::on(facts, needs).is_none() => plan.refused.push(no_systemd(name)),
        Init::Systemd | Init::Offline | Init::Other(_) => {
            packages::plan(facts, settings, needs, &mut plan);
            let loaded = modules::plan(facts, settings, needs, &mut plan);
            iscsi::plan(facts, settings, needs, &loaded, &mut plan);
            multipath::plan(facts, settings, &mut plan);
            modules::huge_pages(facts, &mut plan);
            let first = plan.len();
            let replaced = link.then(|| align::replace(&mut plan));
            bridge::plan(facts, settings, needs, &mut plan);
            if let Some(replaced) = replaced {
                let mounts =
                    |action: &Action| matches!(action, Action::StartUnit { .. } | Action::ShareMount { .. });
                plan.also_need(first, replaced, mounts);
            }
            align::plan(facts, settings, needs, first, tried, &mut plan);
            // Without systemd there are no units to retire: what csihost mounted goes with a reboot.
            if facts.has_units() {
                retire::plan(facts, settings, &mut plan);
                legacy::plan(facts, settings, &mut plan);
            }
            graft::plan(facts, settings, &mut plan);
            if facts.has_units() {
                leftovers::plan(facts, settings, &mut plan);
            }
        }
        Init::Unreachable(why) => plan.refused.push(Refusal {
            id: "systemd-unreachable",
            target: "systemd".to_owned(),
            reason: why.clone(),
            remedy: "start the system bus (systemctl start dbus.socket), then run csihost apply".to_owned(),
        }),
    }
    plan
}

/// The settings as they count on a node whose kubelet has its data elsewhere than at its root, which
/// it finds by the bridge.
pub fn in_effect(settings: &Settings, align: Option<&AlignRecord>) -> Settings {
    let mut settings = settings.clone();
    settings.bridge.enabled |= align.is_some();
    let beside = align.iter().flat_map(|record| &record.beside);
    align::join(&mut settings, beside.filter_map(|name| BridgeDirectory::parse(name).ok()));
    settings
}

fn no_systemd(init: &str) -> Refusal {
    Refusal {
        id: "no-systemd",
        target: init.to_owned(),
        reason: format!("{init} is PID 1, and the os-profile knows this system with systemd alone"),
        remedy:
            "run csihost on a host that systemd runs; or write an os-profile whose iscsi.units is empty, \
                 with iscsi.openrc where OpenRC runs iscsid"
                .to_owned(),
    }
}

/// The directories of the settings, as the rooms below take them.
pub fn directories(settings: &Settings) -> Vec<&str> {
    settings.bridge.directories.iter().map(|directory| directory.as_str()).collect()
}
