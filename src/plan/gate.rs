//! Gates: which socket directories csihost remembers (`contract.repair = "graft"`), and which of them
//! the agent opens and closes. A gate is open while a driver is grafted, and closed while none is
//! there to graft it: a plugin that is not grafted answers the kubelet, and does nothing.
//!
//! Called by the engine, before and after each reconciliation.

use super::graft::{holds, is_wanted, name};
use crate::model::contract::{Contract, Plugin};
use crate::model::facts::{Facts, Init, Mode};
use crate::model::gate::Gate;
use crate::model::kubelet::KubeletRoot;
use crate::model::path::HostPath;
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::gate::{Tree, socket_directory};
use crate::mounts::graft::graft;
use crate::mounts::plugins::believed_root;
use crate::settings::{Repair, Settings};
use std::collections::BTreeSet;

/// The gates that are to be remembered: those of earlier, and those of drivers that are grafted now.
pub fn gates(facts: &Facts, settings: &Settings) -> Vec<Gate> {
    if !holds(facts, settings) {
        return Vec::new();
    }
    // Gates are closed by units of systemd's; where nothing can be known now, nothing is forgotten.
    let live = facts.mode == Mode::Live && facts.init == Init::Systemd;
    let Some(publisher) = facts.plugins.kubelet.as_ref().filter(|_| live) else { return facts.gates.clone() };
    if publisher.root == KubeletRoot::standard() {
        return Vec::new();
    }
    let named = &settings.contract;
    let by_settings = named.repair == Repair::Graft && !facts.undoing;
    let mut gates: Vec<Gate> = facts
        .gates
        .iter()
        .filter(|gate| !by_settings || named.drivers.contains(&gate.driver) || !named.namespaces.is_empty())
        .cloned()
        .collect();
    let trees = trees(facts);
    for (plugin, contract) in named_plugins(facts, settings) {
        let believed = plugin.registration.as_ref().and_then(believed_root);
        let is_right = believed.as_ref() == Some(publisher.root.as_path());
        let driver = name(plugin, contract);
        if contract.holds && is_right {
            // Its own setting is the kubelet's root by now.
            gates.retain(|gate| gate.driver != driver);
            continue;
        }
        let by_graft = match contract.holds {
            true => believed.is_some(),
            false => graft(publisher, &facts.mounts, plugin).is_ok(),
        };
        if by_graft && let Some(directory) = socket_directory(&facts.mounts, &trees, plugin) {
            gates.push(Gate { driver, directory });
        }
    }
    gates.sort();
    // One a directory: a driver's name is better than its pod's.
    let mut seen = BTreeSet::new();
    gates.sort_by_key(|gate| gate.driver.starts_with("pod "));
    gates.retain(|gate| seen.insert(gate.directory.clone()));
    gates.sort();
    gates
}

/// The gates that change as a reconciliation ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// To be opened.
    pub open: Vec<Gate>,
    /// To be closed.
    pub close: Vec<Gate>,
    /// The directories of gates behind which a plugin violates its contract.
    pub violated: BTreeSet<HostPath>,
}

/// The gates that the agent moves. `connected` is true while it grafts each container that starts;
/// `before` are the gates of violated contracts when the reconciliation before ended: a plugin that
/// only just started is about to be grafted, and closes nothing.
pub fn changes(facts: &Facts, settings: &Settings, connected: bool, before: &BTreeSet<HostPath>) -> Changes {
    let trees = trees(facts);
    let mut violated = BTreeSet::new();
    for (plugin, contract) in named_plugins(facts, settings).filter(|(_, contract)| !contract.holds) {
        // A plugin without a name may listen in the directory of one that has a name.
        violated.extend(socket_directory(&facts.mounts, &trees, plugin));
        let driver = name(plugin, contract);
        let of_driver = facts.gates.iter().filter(|gate| gate.driver == driver);
        violated.extend(of_driver.map(|gate| gate.directory.clone()));
    }
    let closed: BTreeSet<&Gate> = facts.closed_gates().collect();
    let (mut open, mut close) = (Vec::new(), Vec::new());
    for gate in &facts.gates {
        let is_violated = violated.contains(&gate.directory);
        // Without a kubelet no plugin is known, and none is dialled.
        let may_open = connected && !is_violated && facts.plugins.kubelet.is_some();
        match closed.contains(gate) {
            true if may_open => open.push(gate.clone()),
            false if !connected || is_violated && before.contains(&gate.directory) => {
                close.push(gate.clone())
            }
            _ => {}
        }
    }
    Changes { open, close, violated }
}

fn named_plugins<'a>(
    facts: &'a Facts,
    settings: &'a Settings,
) -> impl Iterator<Item = (&'a Plugin, &'a Contract)> {
    let all = facts.plugins.found.iter().zip(&facts.contracts);
    all.filter(|(plugin, contract)| is_wanted(facts, settings, plugin, &name(plugin, contract)))
}

/// The standard path and the kubelet's root, as arguments name them and as the host has them.
fn trees(facts: &Facts) -> Vec<Tree> {
    let standard = HostPath::from(STANDARD_PATH);
    let own = facts.detection.kubelet.as_ref().and_then(|kubelet| {
        let host = facts.canonical(kubelet.host_dir.as_ref()?).clone();
        Some((kubelet.root_dir.as_path().clone(), host))
    });
    let standard = (standard.clone(), facts.canonical(&standard).clone());
    own.into_iter().chain([standard]).collect()
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
