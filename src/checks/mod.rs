//! Pure: facts in, findings out: what is wrong, why it matters, how to repair it.

mod bridge;
mod contract;
mod iscsi;
mod kubelet;
mod system;

use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
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
    // The bridge is judged by the host's mounts, which the kubelet need not have.
    let propagates = |finding: &Finding| finding.id == contract::PROPAGATION;
    let failed = |finding: &Finding| finding.status == CheckStatus::Fail;
    if let Some(finding) = contract::propagation(facts)
        && !findings.iter().any(|earlier| propagates(earlier) && failed(earlier))
    {
        findings.retain(|earlier| !propagates(earlier) || finding.status == CheckStatus::Pass);
        if !findings.iter().any(propagates) {
            findings.push(finding);
        }
    }
    findings.push(contract::check(facts));
    findings
}
