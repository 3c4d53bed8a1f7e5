//! Pure: facts in, findings out: what is wrong, why it matters, how to repair it.

mod bridge;
mod iscsi;
mod kubelet;
mod system;

use crate::model::facts::Facts;
use crate::model::finding::Finding;
use crate::profile::{Chosen, OsRelease};
use crate::settings::Settings;

/// All checks, in the order in which they are shown.
pub fn run(facts: &Facts, settings: &Settings, profile: &Chosen, os: &OsRelease) -> Vec<Finding> {
    let mut findings = system::check(facts, profile, os);
    let needs = profile.profile.needs();
    if let Some(needs) = needs.filter(|_| settings.iscsi) {
        findings.extend(iscsi::check(facts, needs));
    }
    findings.push(kubelet::check(facts));
    if settings.bridge.enabled && needs.is_some() {
        let names: Vec<&str> = settings.bridge.directories.iter().map(|d| d.as_str()).collect();
        findings.extend(bridge::check(facts, &names));
    }
    findings
}
