//! Pure: whether each driver that runs here is registered with this kubelet.

use super::contract::few;
use super::restart::restart;
use crate::model::bytes::shown;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::registration::{Registration, Registry};

const ID: &str = "driver-not-registered";

/// Nothing where no driver with a registrar runs.
pub(super) fn check(facts: &Facts, all: &[Registration]) -> Option<Finding> {
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
        .remedy(few(missing.iter().map(|one| remedy(facts, one, registry))));
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
            "registers in a directory that was covered after its containers were made, and the kubelet looks in {registry}"
        ),
        Some(Registry::Elsewhere { inside, host }) => match host {
            Some(host) => format!("registers in {host}, and the kubelet looks in {registry}"),
            None => format!(
                "registers in {inside} of its container, which is no directory of the host that still has a name, and \
                 the kubelet looks in {registry}"
            ),
        },
        Some(Registry::Kubelet) | None if one.settled => format!("has made no socket in {registry}"),
        Some(Registry::Kubelet) | None => format!("has just started, and made no socket in {registry} yet"),
    }
}

fn remedy(facts: &Facts, one: &Registration, registry: &HostPath) -> String {
    let restart = || restart(facts, &one.owner, one.pid);
    let standard = HostPath::from(STANDARD_PATH).join("plugins_registry");
    match &one.registry {
        // What its volumes need is what its registration needs: the kubelet's root.
        Some(Registry::Elsewhere { host: Some(host), .. }) if *host != standard => {
            let broken = facts.contracts.iter().find(|contract| contract.pid == one.pid && !contract.holds);
            broken.and_then(|contract| contract.remedy.clone()).unwrap_or_else(|| {
                format!("let the driver register in {registry} in place of {host}, by its setting for the kubelet's root")
            })
        }
        Some(Registry::Elsewhere { host: Some(_), .. }) => {
            format!("run csihost apply, which makes {standard} the kubelet's; then {}", restart())
        }
        Some(Registry::Kubelet) if !one.settled => "wait a minute, then run csihost check".to_owned(),
        _ => restart(),
    }
}
