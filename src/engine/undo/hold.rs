//! Engine: what on this node still depends on the bridge, on a graft or on an aligned kubelet, and which
//! changes of the receipt stay for it.
//!
//! A graft, an aligned kubelet and the bridge are how a plugin finds the paths that the kubelet sends.
//! Without them a plugin answers "done" to an unmount and unmounts nothing, so they outlive every volume
//! that was mounted through them.

use super::super::kubelet::{Said, kubelet};
use super::super::leftovers::GRACE;
use super::super::observe::with_configuration;
use super::super::plugins::{Tables, plugins};
use super::super::pods::{self, names_of_pods};
use super::super::unmount::mounts;
use super::Undo;
use super::align::is_of_mount;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::bytes::shown;
use crate::model::contract::Plugins;
use crate::model::facts::Mode;
use crate::model::kubelet::{Confidence, Detection};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::receipt::{Changed, Receipt};
use crate::model::volumes::{Hold, Registered, Use, VOLUME_DATA};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::unit_text::ALIGN_UNIT;
use crate::mounts::{resolve, volumes};
use crate::plan;
use crate::systemd::ServiceManager;
use anyhow::{Context, Result};
use std::cell::OnceCell;
use std::collections::BTreeSet;

/// Directories of a pod's volumes: mounted ones, and raw block devices.
const VOLUMES: [&str; 2] = ["volumes/kubernetes.io~csi", "volumeDevices/kubernetes.io~csi"];

/// Directories with files of csihost that no volume's path depends on.
const OTHERS: [&str; 7] = [
    "/etc/iscsi",
    "/var/lib/iscsi",
    "/etc/multipath.conf",
    "/etc/multipath",
    "/etc/modules-load.d",
    "/etc/sysctl.d",
    "/var/lib/csihost",
];
/// The same by name, for files that a link in [`OTHERS`] leads to.
const OTHER_NAMES: [&[u8]; 2] = [b"iscsid.conf", b"initiatorname.iscsi"];

/// Returns true if `change` stays for what `hold` names.
pub(super) fn keeps(hold: &Hold, change: &Changed) -> bool {
    match hold.has_volumes() {
        true => is_of_path(change),
        // A kubelet that restarts meanwhile has its own root back.
        false => !hold.drivers.is_empty() && is_of_bridge(change),
    }
}

/// Returns true if a volume's path depends on `change`.
fn is_of_path(change: &Changed) -> bool {
    let other = |path: &HostPath| {
        OTHERS.iter().any(|other| path.starts_with(&HostPath::from(*other)))
            || OTHER_NAMES.contains(&path.file_name())
            || path.as_bytes().ends_with(b".prom")
    };
    match change {
        Changed::Installed { .. } => false,
        Changed::Generated { path } | Changed::Patched { path, .. } => !other(path),
        Changed::Created { path, .. } | Changed::Moved { path, .. } => !other(path),
        Changed::Enabled { unit } | Changed::Disabled { unit } | Changed::Started { unit } => {
            unit.as_str().ends_with(".mount") || unit.as_str() == ALIGN_UNIT
        }
        Changed::Replaced { .. }
        | Changed::Directory { .. }
        | Changed::Grafted { .. }
        | Changed::Mounted { .. } => true,
    }
}

/// Returns true if `change` is a part of the bridge or lies on it.
fn is_of_bridge(change: &Changed) -> bool {
    match change {
        Changed::Directory { .. } | Changed::Grafted { .. } | Changed::Mounted { .. } => true,
        Changed::Generated { path } if plan::is_order(path) => true,
        change => is_of_mount(change),
    }
}

impl<M: ServiceManager> Undo<'_, M> {
    /// Looks for what depends on the receipt's changes.
    pub(super) async fn look_for_users(&mut self) -> Result<Hold> {
        let mut hold = Hold::default();
        if self.host.mode() == Mode::Offline {
            return Ok(hold);
        }
        let table = mounts(self.host)?;
        let receipt = &self.store.receipt;
        if !is_in_effect(receipt, &table) {
            return Ok(hold);
        }
        let mut bases: BTreeSet<HostPath> =
            receipt.bridge.iter().flat_map(|bridge| bridge.roots().cloned()).collect();
        bases.extend(receipt.align.iter().map(|align| align.root.clone()));
        bases.insert(HostPath::from(STANDARD_PATH));
        for base in &bases {
            volumes::csi_mounts(&table, base).into_iter().for_each(|(used, _)| hold.add(used));
        }
        let given = Said { root_dir: self.settings.root_dir.clone(), ..Said::default() };
        let said = with_configuration(self.host, Some(&mut *self.manager), given).await;
        let proc = self.host.proc()?.context("this host has no /proc")?;
        let found = kubelet(self.host, Some(&proc), &said)?;
        // Of a kubelet that was removed from the node only state files are left, which use nothing.
        // Not watched: they change with each pod.
        let aside = self.host.aside()?;
        if is_here(&found.detection) {
            // A root of before is no kubelet's to clean up.
            let former = receipt.bridge.iter().flat_map(|bridge| &bridge.former);
            for root in former {
                bases.remove(root);
            }
            let pid = found.detection.kubelet.as_ref().and_then(|kubelet| kubelet.pid);
            let settled =
                pid.and_then(|pid| proc.has_run_for(pid)).is_some_and(|long| long.as_secs() / 60 >= GRACE);
            let notes = Notes { host: &aside, proc: settled.then_some(&proc), alive: OnceCell::new() };
            let mounted = hold.pods.keys().cloned().collect();
            bases.iter().for_each(|base| notes.add_volumes(base, &mounted, &mut hold));
        }
        let seen = plugins(self.host, &proc, &found, Tables::Needed, false);
        hold.drivers = registered(self.host, &found.detection, &seen, &table);
        let of_drivers = hold.drivers.iter().filter_map(|driver| driver.pod.as_ref());
        hold.names = names_of_pods(self.host, &hold.pods.keys().chain(of_drivers).cloned().collect());
        Ok(hold)
    }
}

/// Returns true if paths of volumes still depend on what `receipt` has. What is mounted decides, and not who
/// mounted it: systemd does so at boot, and the container runtime grafts.
fn is_in_effect(receipt: &Receipt, table: &MountTable) -> bool {
    let standard = HostPath::from(STANDARD_PATH);
    let bridged = || resolve::below(table, standard.as_bytes()).next().is_some();
    receipt.align.is_some()
        || !receipt.gates.is_empty()
        || receipt.changes.iter().any(|change| matches!(change.what, Changed::Grafted { .. }))
        || receipt.bridge.is_some() && bridged()
}

/// Returns true if a kubelet runs, or will be started.
fn is_here(detection: &Detection) -> bool {
    let here = |confidence| confidence != Confidence::Assumed;
    detection.conflict.is_some()
        || detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some() || here(kubelet.confidence))
}

/// The kubelet's notes of volumes.
struct Notes<'a> {
    host: &'a Host,
    /// The processes, where a kubelet has run for so long that it has pods back after a boot, and has taken down what is
    /// not needed.
    proc: Option<&'a Proc<'a>>,
    /// The pods that this node has, where that is known.
    alive: OnceCell<Option<BTreeSet<String>>>,
}

impl Notes<'_> {
    /// Adds the volumes below `base` that the kubelet has not taken down: after a reboot nothing is mounted, and the
    /// pods that the node still has get their volumes back. Of pods other than `mounted` the notes count
    /// only while the pod is there: the kubelet keeps those of a pod that it lost track of for ever.
    fn add_volumes(&self, base: &HostPath, mounted: &BTreeSet<String>, hold: &mut Hold) {
        let host = self.host;
        let pods = base.join("pods");
        if !host.exists(&pods) {
            return;
        }
        let Ok(uids) = host.list(&pods) else { return hold.unread.push(pods.to_string()) };
        for (uid, of) in uids.iter().flat_map(|uid| VOLUMES.map(|of| (uid, of))) {
            let directory = pods.join(uid).join(of);
            if !host.exists(&directory) {
                continue;
            }
            let pod = shown(uid);
            // A raw block volume is an entry by itself.
            let noted =
                |name: &&Vec<u8>| of != VOLUMES[0] || host.exists(&directory.join(name).join(VOLUME_DATA));
            match host.list(&directory) {
                Ok(names) => {
                    for name in names.iter().filter(noted) {
                        if mounted.contains(&pod) || !self.is_left(&pod, &directory.join(name)) {
                            hold.add(Use::Published { pod: pod.clone(), volume: shown(name) });
                        }
                    }
                }
                // It went meanwhile, or nobody can say what is in it.
                Err(_) if !host.exists(&directory) => {}
                Err(_) => hold.unread.push(directory.to_string()),
            }
        }
    }

    /// Returns true if the kubelet has run for minutes, the pod is gone from this node, which has others, and nothing
    /// has changed in the volume's directory for minutes.
    fn is_left(&self, pod: &str, directory: &HostPath) -> bool {
        let Some(proc) = self.proc else { return false };
        let alive = || {
            let mut alive = pods::logged(self.host)?;
            alive.extend(pods::with_processes(proc)?);
            alive.extend(pods::with_groups(self.host)?.into_keys());
            Some(alive)
        };
        let unchanged = self.host.minutes_unchanged(directory).ok().flatten();
        unchanged.is_some_and(|minutes| minutes >= GRACE)
            && is_gone(pod, self.alive.get_or_init(alive).as_ref())
    }
}

/// Returns true if the pods of this node are known, some are there, and `pod` is none of them.
fn is_gone(pod: &str, alive: Option<&BTreeSet<String>>) -> bool {
    alive.is_some_and(|alive| !alive.is_empty() && !alive.contains(pod))
}

/// The plugins that are registered under a path below the standard path, which is bridged.
fn registered(host: &Host, detection: &Detection, seen: &Plugins, table: &MountTable) -> Vec<Registered> {
    let standard = HostPath::from(STANDARD_PATH);
    let bridged = ["plugins", "plugins_registry"]
        .iter()
        .any(|name| resolve::top_at(table, standard.join(name).as_bytes()).is_some());
    let Some(root) = detection.host_dir().filter(|_| bridged) else { return Vec::new() };
    let registry = root.join("plugins_registry");
    let mut found: Vec<Registered> = seen
        .found
        .iter()
        .filter_map(|plugin| {
            let driver = plugin.driver.as_ref()?;
            let below = plugin.registration.as_ref().is_none_or(|path| path.starts_with(&standard));
            // Where the registrar has put its socket (kubernetes-csi, node-driver-registrar).
            let socket = registry.join([driver.as_slice(), b"-reg.sock"].concat());
            (below && host.is_socket(&socket))
                .then(|| Registered { driver: shown(driver), pod: plugin.seat.owner.pod.clone() })
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_gone_only_from_a_node_whose_other_pods_are_known() {
        let alive = BTreeSet::from(["a".to_owned()]);
        assert!(is_gone("b", Some(&alive)));
        assert!(!is_gone("a", Some(&alive)));
        assert!(!is_gone("b", Some(&BTreeSet::new())), "after a boot the kubelet has not made any yet");
        assert!(!is_gone("b", None));
    }
}
