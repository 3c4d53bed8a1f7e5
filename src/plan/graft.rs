//! Pure: which plugins are grafted (`contract.repair = "graft"`): those that the settings name, whose
//! contract is broken because the kubelet's string does not exist in them.
//!
//! A plugin that was grafted once is grafted again after a restart while an undo waits for its volumes, and
//! after the settings have gone over to `align`, until the kubelet uses its new root.

use crate::model::bytes::shown;
use crate::model::contract::{Contract, Plugin, Seen};
use crate::model::facts::{Facts, Mode};
use crate::model::graft::Graft;
use crate::model::kubelet::KubeletRoot;
use crate::model::plan::{Action, Later, Plan, Refusal};
use crate::model::runtime::{NRI_SOCKET, Runtime};
use crate::mounts::graft::graft;
use crate::settings::{Repair, Settings};

pub(super) fn plan(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    if !holds(facts, settings) {
        return;
    }
    let Some(publisher) = &facts.plugins.kubelet else { return };
    // What a plugin has of the bridge is there once the bridge is.
    let bridging = plan.steps().any(|(_, step)| {
        matches!(&step.action, Action::StartUnit { unit } if unit.as_str().ends_with(".mount"))
            || matches!(step.action, Action::Mount { .. } | Action::ShareMount { .. })
    });
    if settings.contract.repair == Repair::Graft
        && facts.runtime == Runtime::NoRuntime
        && facts.plugins.found.iter().any(|plugin| is_named(facts, settings, plugin))
        && publisher.root != KubeletRoot::standard()
    {
        plan.refused.push(no_nri());
        return;
    }
    for (plugin, contract) in facts.plugins.found.iter().zip(&facts.contracts) {
        let name = name(plugin, contract);
        let wanted = is_wanted(facts, settings, plugin, &name);
        if contract.holds || contract.seen == Seen::Same || !wanted {
            continue;
        }
        match graft(publisher, &facts.mounts, plugin) {
            Ok(binds) => {
                let (Some(started), Some(namespace)) = (plugin.seat.started, plugin.seat.namespace) else {
                    continue;
                };
                let graft = Graft { name, pid: contract.pid, started, namespace, binds };
                let reason = format!("it does not have {} there", publisher.root);
                plan.push(Action::Graft(graft), reason, &[]);
            }
            Err(_) if bridging => {
                let reason = "it is looked at again when the bridge is there".to_owned();
                plan.later.push(Later { target: name, reason });
            }
            Err(obstacle) => plan.refused.push(Refusal {
                id: obstacle.id,
                target: name,
                reason: obstacle.reason,
                remedy: obstacle.remedy,
            }),
        }
    }
}

/// Returns true if plugins are to be grafted on this host.
pub fn holds(facts: &Facts, settings: &Settings) -> bool {
    let kubelet = facts.detection.kubelet.as_ref();
    let goes_over = || kubelet.is_some_and(|kubelet| kubelet.root_dir != KubeletRoot::standard());
    facts.mode == Mode::Live
        && match settings.contract.repair {
            Repair::Graft => true,
            Repair::Align => goes_over() && !facts.grafted.is_empty(),
            Repair::Report => facts.undoing && !facts.grafted.is_empty(),
        }
}

fn no_nri() -> Refusal {
    Refusal {
        id: "graft-no-nri",
        target: "contract.repair".to_owned(),
        reason: format!(
            "no container runtime listens at {NRI_SOCKET}: a plugin that restarts would serve the kubelet before \
             it is grafted, and report volumes as unmounted that are not"
        ),
        remedy: "enable NRI and restart the runtime (containerd 1.7: disable = false in \
                 [plugins.\"io.containerd.nri.v1.nri\"] of /etc/containerd/config.toml; CRI-O: enable_nri = true in \
                 [crio.nri] of /etc/crio/crio.conf), or set contract.repair = \"align\""
            .to_owned(),
    }
}

/// Returns true if a plugin with this name is grafted: by the settings, or, after these have gone over to
/// something else, because it was.
pub(super) fn is_wanted(facts: &Facts, settings: &Settings, plugin: &Plugin, name: &str) -> bool {
    match settings.contract.repair {
        Repair::Graft if !facts.undoing => is_named(facts, settings, plugin),
        _ => facts.grafted.contains(name),
    }
}

pub(super) fn is_named(facts: &Facts, settings: &Settings, plugin: &Plugin) -> bool {
    let driver = plugin.driver.as_deref().and_then(|name| std::str::from_utf8(name).ok());
    driver.is_some_and(|name| settings.contract.drivers.contains(name))
        || plugin.seat.owner.pod.as_ref().is_some_and(|pod| facts.named_pods.contains(pod))
}

pub(super) fn name(plugin: &Plugin, contract: &Contract) -> String {
    match (&plugin.driver, &plugin.seat.owner.pod) {
        (Some(driver), _) => shown(driver),
        (None, Some(pod)) => format!("pod {pod}"),
        (None, None) => format!("process {}", contract.pid),
    }
}
