//! Mounts: whether what a plugin mounts at the kubelet's string reaches the kubelet.
//!
//! The kubelet sends a string, and the plugin uses it in its own mount namespace. So the string
//! has to name the same directory in both (device and path inside the file system, in each one's
//! own table), and a mount made there on the plugin's mount has to travel to the kubelet's.
//!
//! What counts is `<root>/pods`: every volume that a pod sees is published there. The staging
//! directory counts only for a plugin that has a mount of its own for it, since a driver that does
//! not stage has none (csi-driver-nfs), and then only for being the same directory: a staged
//! mount that stays in the plugin is found there again when it is published.

use super::resolve::{Place, cover, place, same_directory};
use super::runtimes::{CutOff, cut_off};
use super::travel::{Travel, travel};
use crate::model::contract::{Contract, Lookup, Plugin, Plugins, Propagation, Publisher, Seen};
use crate::model::mount::{Mount, MountTable};
use crate::model::runtime::RuntimeProcess;

mod remedy;
#[cfg(test)]
mod tests;

/// What the kubelet's strings name in its own mount namespace.
struct Kubelet<'a> {
    publisher: &'a Publisher,
    table: &'a MountTable,
    pods: Option<Place<'a>>,
    staging: Option<Place<'a>>,
}

impl<'a> Kubelet<'a> {
    fn new(publisher: &'a Publisher, host: &'a MountTable) -> Self {
        let table = publisher.mounts.as_ref().unwrap_or(host);
        Self {
            publisher,
            table,
            pods: place(table, publisher.view.pods.path.as_bytes()),
            staging: place(table, publisher.view.staging.path.as_bytes()),
        }
    }

    /// The mount on which its pods lie.
    fn mount(&self) -> Option<&'a Mount> {
        self.pods.as_ref().map(|place| place.mount)
    }
}

/// One plugin beside the kubelet.
struct Pair<'a> {
    kubelet: &'a Kubelet<'a>,
    plugin: &'a Plugin,
    /// The plugin's mount table.
    own: &'a MountTable,
    /// The container runtimes of the host.
    runtimes: &'a [RuntimeProcess],
    /// Those that hand no mounts to the kubelet.
    cut_off: &'a [CutOff<'a>],
}

/// The contract of each plugin. `apply_shares`: csihost apply would make the mount that covers
/// the kubelet's root shared.
pub fn contracts(plugins: &Plugins, host: &MountTable, apply_shares: bool) -> Vec<Contract> {
    let Some(publisher) = &plugins.kubelet else { return Vec::new() };
    let kubelet = Kubelet::new(publisher, host);
    let cut_off = cut_off(&plugins.runtimes, Some(publisher), None, host);
    let judged = plugins.found.iter().map(|plugin| {
        let own = plugin.seat.mounts.as_ref().unwrap_or(host);
        contract(
            &Pair { kubelet: &kubelet, plugin, own, runtimes: &plugins.runtimes, cut_off: &cut_off },
            apply_shares,
        )
    });
    judged.collect()
}

/// Whether mounts travel both ways between the kubelet and `plugin`: the one answer that more rows of
/// the plugin's mount table cannot change, given those on which its paths lie.
pub(super) fn travels_both_ways(publisher: &Publisher, plugin: &Plugin, host: &MountTable) -> bool {
    let kubelet = Kubelet::new(publisher, host);
    let own = plugin.seat.mounts.as_ref().unwrap_or(host);
    let pair = Pair { kubelet: &kubelet, plugin, own, runtimes: &[], cut_off: &[] };
    pair.seen() == Seen::Same && pair.propagation() == Propagation::Bidirectional
}

/// Whether a mount that a plugin makes on its mount `own` appears on the kubelet's, `theirs`, if both
/// show the directory.
pub(super) fn reaches_kubelet(
    theirs: &Mount,
    theirs_table: &MountTable,
    own: &Mount,
    own_table: &MountTable,
) -> bool {
    matches!(travel(theirs, theirs_table, own, own_table), Travel::Both | Travel::FromSecond)
}

fn contract(pair: &Pair<'_>, apply_shares: bool) -> Contract {
    let (kubelet, plugin) = (pair.kubelet, pair.plugin);
    let seen = pair.seen();
    let propagation = match seen {
        Seen::Same => pair.propagation(),
        Seen::Different | Seen::Absent => Propagation::None,
    };
    let holds = matches!(propagation, Propagation::Bidirectional | Propagation::ToKubelet);
    Contract {
        pod: plugin.seat.owner.pod.clone(),
        container: plugin.seat.owner.container.clone(),
        driver: plugin.driver.clone(),
        pid: plugin.seat.pid,
        kubelet_path: kubelet.publisher.root.clone(),
        seen,
        propagation,
        holds,
        remedy: (!holds).then(|| remedy::remedy(pair, seen, apply_shares)),
    }
}

impl<'a> Pair<'a> {
    fn own(&self) -> Option<&'a Mount> {
        cover(self.own, self.plugin.view.pods.path.as_bytes())
    }

    /// The runtime that keeps the plugin's mounts from the kubelet: its own mount is a peer or a master of the plugin's, or it
    /// is the only one of this host.
    fn runtime(&self) -> Option<&'a RuntimeProcess> {
        let own = self.own()?;
        let groups = [own.shared, own.master];
        let of = |one: &&CutOff<'_>| {
            let group = one.mount.shared.or(one.mount.master);
            one.only || (group.is_some() && groups.contains(&group))
        };
        self.cut_off.iter().find(of).map(|one| one.runtime)
    }

    fn seen(&self) -> Seen {
        let (theirs, own) = (&self.kubelet.publisher.view, &self.plugin.view);
        match self.compare(self.kubelet.pods.as_ref(), &theirs.pods, &own.pods) {
            Seen::Same if self.stages() => {
                match self.compare(self.kubelet.staging.as_ref(), &theirs.staging, &own.staging) {
                    // Made when the first volume is staged, by the kubelet.
                    Seen::Same | Seen::Absent => Seen::Same,
                    Seen::Different => Seen::Different,
                }
            }
            seen => seen,
        }
    }

    /// Whether the plugin was given something for the kubelet's staging directory: a mount between
    /// its root directory and there.
    fn stages(&self) -> bool {
        let path = &self.plugin.view.staging.path;
        self.plugin.seat.mounts.is_some()
            && cover(self.own, path.as_bytes()).is_some_and(|mount| {
                let root = self.kubelet.publisher.root.as_path().as_bytes();
                mount.point.starts_with(root)
            })
    }

    fn compare(&self, place_of_theirs: Option<&Place<'_>>, theirs: &Lookup, own: &Lookup) -> Seen {
        let place_of_own = place(self.own, own.path.as_bytes());
        let by_tables = match (place_of_theirs, &place_of_own) {
            (Some(a), Some(b)) if same_directory(a, b) => Seen::Same,
            // The container's own root file system: nothing was mounted for this string.
            (_, Some(b)) if b.mount.point == b"/" => Seen::Absent,
            (_, None) => Seen::Absent,
            _ => Seen::Different,
        };
        // stat(2) knows what a table cannot say: a directory that was deleted and made again, or
        // that was never made.
        match (theirs.found, own.found) {
            (Some(Some(a)), Some(Some(b))) if a == b => Seen::Same,
            (Some(Some(_)), Some(Some(_))) => Seen::Different,
            (Some(Some(_)), Some(None)) => Seen::Absent,
            _ => by_tables,
        }
    }

    fn propagation(&self) -> Propagation {
        let (Some(theirs), Some(own)) = (self.kubelet.mount(), self.own()) else { return Propagation::None };
        match travel(theirs, self.kubelet.table, own, self.own) {
            Travel::Both => Propagation::Bidirectional,
            Travel::FromFirst => Propagation::ToPlugin,
            Travel::FromSecond => Propagation::ToKubelet,
            Travel::Neither => Propagation::None,
        }
    }
}
