//! Check: drivers that run on this node and are not registered with its kubelet.
//!
//! Input: how each driver registers (`mounts::registration`), and what `csihost apply` would do about a bridge.

use super::contract::few;
use super::restart::restart;
use crate::model::bytes::shown;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::mounts::bridge::{Decision, STANDARD_PATH};
use crate::mounts::registration::{Registration, Registry};

const ID: &str = "driver-not-registered";

/// Effect of `csihost apply` on a driver that registers below the standard path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bridging {
    /// Builds a bridge.
    Built,
    /// Refuses the bridge.
    Refused,
    /// Does nothing: the settings want no bridge.
    Disabled,
}

impl Bridging {
    /// The effect of a decision about the bridge.
    pub(super) fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Build(_) => Self::Built,
            _ => Self::Refused,
        }
    }
}

/// No finding where no driver with a registrar runs. Only a remedy needs `bridging`.
pub(super) fn check(facts: &Facts, all: &[Registration], bridging: &dyn Fn() -> Bridging) -> Option<Finding> {
    let kubelet = facts.plugins.kubelet.as_ref()?;
    let known = all.iter().filter(|one| one.registry.is_some()).count();
    if known == 0 {
        return None;
    }
    let missing: Vec<&Registration> = all.iter().filter(|one| one.is_missing()).collect();
    if missing.is_empty() {
        let summary = match known {
            1 => "1 driver registers with this kubelet".to_owned(),
            known => format!("{known} drivers register with this kubelet"),
        };
        return Some(Finding::new(ID, CheckStatus::Pass, summary));
    }
    // A driver that has just started will register in a moment.
    let starting = |one: &&Registration| one.registry == Some(Registry::Kubelet) && !one.settled;
    let status = match missing.iter().all(starting) {
        true => CheckStatus::Warn,
        false => CheckStatus::Fail,
    };
    let names = few(missing.iter().map(|one| named(one)));
    let registry = &kubelet.registry;
    let why = few(missing.iter().map(|one| format!("{} {}", named(one), why(one, registry))));
    let first =
        missing.iter().find(|one| one.driver.is_some()).map_or_else(|| "NAME".to_owned(), |one| named(one));
    let finding = Finding::new(ID, status, format!("not registered with this kubelet: {names}"))
        .detail(format!(
            "{why}; pods with its volumes do not start: driver name {first} not found in the list of registered CSI \
             drivers"
        ))
        .remedy(few(missing.iter().map(|one| remedy(facts, one, registry, bridging))));
    Some(finding)
}

pub(super) fn named(one: &Registration) -> String {
    match (&one.driver, &one.owner.pod) {
        (Some(driver), _) => shown(driver),
        (None, Some(pod)) => format!("pod {pod}"),
        (None, None) => format!("process {}", one.pid),
    }
}

fn why(one: &Registration, registry: &HostPath) -> String {
    match &one.registry {
        Some(Registry::Covered) => format!(
            "registers in a directory over which something was mounted after its containers were created, and the \
             kubelet looks in {registry}"
        ),
        Some(Registry::Elsewhere { inside, host }) => match host {
            Some(host) => format!("registers in {host}, and the kubelet looks in {registry}"),
            None => format!(
                "registers in {inside} of its container, a directory that no path of the host leads to any more, and \
                 the kubelet looks in {registry}"
            ),
        },
        Some(Registry::Kubelet) | None if one.settled => format!("has made no socket in {registry}"),
        Some(Registry::Kubelet) | None => format!("has just started, and made no socket in {registry} yet"),
    }
}

fn remedy(facts: &Facts, one: &Registration, registry: &HostPath, bridging: &dyn Fn() -> Bridging) -> String {
    let restart = || restart(facts, &one.owner, one.pid);
    let standard = HostPath::from(STANDARD_PATH).join("plugins_registry");
    match &one.registry {
        // Volumes and registration need the same setting: the kubelet's root.
        Some(Registry::Elsewhere { host: Some(host), .. }) if *host != standard => {
            let broken = facts.contracts.iter().find(|contract| contract.pid == one.pid && !contract.holds);
            broken.and_then(|contract| contract.remedy.clone()).unwrap_or_else(|| by_setting(registry, host))
        }
        Some(Registry::Elsewhere { host: Some(host), .. }) => match bridging() {
            Bridging::Built => {
                format!("run csihost apply, which mounts {registry} at {standard}; then {}", restart())
            }
            Bridging::Refused => format!(
                "follow the remedy of the check bridge, run csihost apply, then {}; or {}",
                restart(),
                by_setting(registry, host)
            ),
            Bridging::Disabled => by_setting(registry, host),
        },
        Some(Registry::Kubelet) if !one.settled => "wait a minute, then run csihost check".to_owned(),
        _ => restart(),
    }
}

/// The remedy for a driver that is set up for another kubelet root.
fn by_setting(registry: &HostPath, host: &HostPath) -> String {
    format!("let the driver register in {registry} in place of {host}, by its setting for the kubelet's root")
}
