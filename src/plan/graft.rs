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
    for (plugin, contract) in facts.plugins.found.iter().zip(&facts.contracts) {
        let name = name(plugin, contract);
        let wanted = match settings.contract.repair {
            Repair::Graft if !facts.undoing => is_named(facts, settings, plugin),
            _ => facts.grafted.contains(&name),
        };
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

fn is_named(facts: &Facts, settings: &Settings, plugin: &Plugin) -> bool {
    let driver = plugin.driver.as_deref().and_then(|name| std::str::from_utf8(name).ok());
    driver.is_some_and(|name| settings.contract.drivers.contains(name))
        || plugin.seat.owner.pod.as_ref().is_some_and(|pod| facts.named_pods.contains(pod))
}

fn name(plugin: &Plugin, contract: &Contract) -> String {
    match (&plugin.driver, &plugin.seat.owner.pod) {
        (Some(driver), _) => shown(driver),
        (None, Some(pod)) => format!("pod {pod}"),
        (None, None) => format!("process {}", contract.pid),
    }
}
