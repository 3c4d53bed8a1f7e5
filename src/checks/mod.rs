//! Pure: facts in, findings out: what is wrong, why it matters, how to repair it.
//!
//! What belongs to a feature that the settings do not ask for is not listed: it can neither fail
//! nor be missed. The same goes for packages where the policy is not to look at them.

mod align;
mod bridge;
pub mod compare;
mod contract;
mod daemon;
mod driver_before_bridge;
mod driver_needs;
mod driver_not_registered;
mod fstab;
mod gate;
mod interests;
mod iscsi;
mod kernel;
mod kubelet;
mod kubelet_links;
mod kubelet_order;
mod kubernetes;
mod leftovers;
mod legacy;
mod newer;
mod nfs;
mod node;
mod own_kernel;
pub mod picture;
mod programs;
mod receipt;
mod record_modes;
mod restart;
mod stacked;
mod system;
mod unanswered;

#[cfg(test)]
mod tests;

pub use interests::{early, late, units};
pub use kubelet_order::late_mount;
pub use node::node;

use crate::model::bytes::single_quoted;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::model::plan::Plan;
use crate::mounts::bridge::decide;
use crate::mounts::registration::registrations;
use crate::profile::{Chosen, OsRelease};
use crate::settings::Settings;
use driver_not_registered::Bridging;
use newer::Place;

/// All checks, in the order in which they are shown.
pub fn run(facts: &Facts, settings: &Settings, profile: &Chosen, os: &OsRelease) -> Vec<Finding> {
    let mut findings = system::check(facts, profile, os);
    let needs = profile.profile.needs();
    if let Some(needs) = needs {
        let place = Place { os, packages: &needs.packages };
        findings.push(kernel::version(facts, &place));
        findings.extend(iscsi::check(facts, settings, needs, &place));
        findings.extend(kernel::modules(facts, settings, needs, &place));
        findings.extend(programs::check(facts, settings, &needs.packages));
        findings.extend(nfs::check(facts, settings, &kernel::missing(facts, &place, "nfsv4")));
        findings.extend(kernel::machine(facts));
        findings.extend(driver_needs::check(facts, settings, &needs.packages));
    }
    findings.push(kubelet::check(facts));
    findings.extend(kubelet_links::check(facts));
    findings.extend(kubelet_order::check(facts));
    findings.push(kubernetes::version(facts, settings));
    findings.extend(kubernetes::flexvolume_dir(facts, settings));
    let names: Vec<&str> = settings.bridge.directories.iter().map(|d| d.as_str()).collect();
    if needs.is_some() {
        findings.extend(bridge::check(facts, &names, settings.bridge.enabled));
        if settings.bridge.enabled {
            findings.extend(legacy::check(facts, &names, settings.bridge.repair_legacy));
        }
    }
    findings.extend(fstab::check(facts));
    findings.extend(leftovers::check(facts));
    findings.extend(stacked::check(facts));
    contract::add(facts, settings.contract.repair, &mut findings);
    let registered = registrations(&facts.plugins, &facts.mounts);
    let bridging = || match needs.is_some() && settings.bridge.enabled {
        true => Bridging::of(&decide(facts, &names)),
        false => Bridging::Disabled,
    };
    findings.extend(driver_not_registered::check(facts, &registered, &bridging));
    findings.extend(driver_before_bridge::check(facts, &registered));
    findings.extend(gate::check(facts));
    findings.extend(unanswered::check(facts));
    findings.extend(receipt::check(facts));
    findings.into_iter().map(|finding| counted(finding, settings)).collect()
}

/// The path as one word of a shell.
fn quoted(path: &HostPath) -> String {
    single_quoted(&path.to_string())
}

/// The name of the kubelet's unit, for commands; the usual one where none is known.
fn kubelet_unit(facts: &Facts) -> &str {
    facts.detection.unit.as_ref().map_or("kubelet.service", |unit| unit.as_str())
}

/// How far aligning the kubelet's root is, where somebody asked for it.
pub fn alignment(plan: &Plan, settings: &Settings) -> Vec<Finding> {
    align::check(plan).into_iter().map(|finding| counted(finding, settings)).collect()
}

/// The finding, or what stands for it where the settings say that it does not count.
fn counted(finding: Finding, settings: &Settings) -> Finding {
    if !settings.ignored.contains(&finding.id) {
        return finding;
    }
    let found = match finding.status {
        CheckStatus::Fail => format!("it fails: {}", finding.summary),
        CheckStatus::Warn => format!("it warns: {}", finding.summary),
        CheckStatus::Pass | CheckStatus::Skip => String::new(),
    };
    Finding::new(&finding.id, CheckStatus::Skip, "ignored by the settings").detail(found)
}
