//! Mounts: what repairs a broken contract, in the driver's own words.

use super::super::bridge::STANDARD_PATH;
use super::super::links;
use super::super::plugins::believed_root;
use super::super::resolve::{beneath, place, same_directory};
use super::super::runtimes::{self, share_in_namespace, shares_namespace};
use super::Pair;
use crate::model::bytes::{shell_word, shown};
use crate::model::contract::Seen;
use crate::model::mount::Mount;

/// How a driver is told where the kubelet's root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// By this setting, in its Helm values or its environment.
    Named(&'static str),
    /// Not at all.
    Missing,
    /// The driver is not known.
    Unknown,
}

/// Settings of a unit for which systemd makes a mount namespace.
const SANDBOX: &str =
    "MountFlags= (with any value, shared too), PrivateMounts=, PrivateTmp=, ProtectHome= and ProtectSystem=";

/// The settings of drivers by their names, from their charts and manifests. All default to the
/// standard path, and all hold for the whole cluster.
fn setting(driver: Option<&[u8]>) -> Setting {
    let Some(name) = driver.and_then(|name| std::str::from_utf8(name).ok()) else { return Setting::Unknown };
    match name {
        "driver.longhorn.io" => {
            Setting::Named("Longhorn's csi.kubeletRootDir (KUBELET_ROOT_DIR of longhorn-driver-deployer)")
        }
        "nfs.csi.k8s.io" => Setting::Named("csi-driver-nfs' kubeletDir"),
        "smb.csi.k8s.io" => Setting::Named("csi-driver-smb's kubelet"),
        "ebs.csi.aws.com" => Setting::Named("aws-ebs-csi-driver's node.kubeletPath"),
        "csi.hetzner.cloud" => Setting::Named("hcloud-csi's node.kubeletDir"),
        "csi.vsphere.vmware.com" => Setting::Missing,
        "rbd.csi.ceph.com" | "cephfs.csi.ceph.com" | "nfs.csi.ceph.com" => {
            Setting::Named("ceph-csi's kubeletDir")
        }
        // Rook puts its namespace before the driver's name.
        name if [".rbd.csi.ceph.com", ".cephfs.csi.ceph.com", ".nfs.csi.ceph.com"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            Setting::Named("Rook's csi.kubeletDirPath (ROOK_CSI_KUBELET_DIR_PATH)")
        }
        name if name.contains("democratic-csi") => Setting::Named("democratic-csi's node.kubeletHostPath"),
        _ => Setting::Unknown,
    }
}

pub(super) fn remedy(pair: &Pair<'_>, seen: Seen, apply_shares: bool) -> String {
    match seen {
        Seen::Same => propagation(pair, apply_shares),
        Seen::Different | Seen::Absent => link(pair).or_else(|| older(pair)).unwrap_or_else(|| string(pair)),
    }
}

/// The plugin has the kubelet's root, with a link out of it in the place of one of its directories.
fn link(pair: &Pair<'_>) -> Option<String> {
    let publisher = &pair.kubelet.publisher;
    let first = publisher.links.first()?;
    let theirs = place(pair.kubelet.table, first.path.parent()?.as_bytes())?;
    let own = place(pair.own, publisher.root.as_bytes())?;
    same_directory(&theirs, &own).then_some(())?;
    let told: Vec<String> =
        publisher.links.iter().map(|link| format!("{} to {}", link.path, link.target)).collect();
    let repair = match publisher.mounts {
        Some(_) => "put a bind mount (rshared) in its place in the kubelet's mount namespace".to_owned(),
        None => format!(
            "repair the host, not the driver: with the node drained run {}; then restart {}",
            links::repair(&publisher.links, publisher.unit.as_ref()),
            whom(pair)
        ),
    };
    Some(format!("its container follows the link {} in its own file system; {repair}", told.join(" and ")))
}

/// What the plugin has is an earlier state of the kubelet's own directory.
fn older(pair: &Pair<'_>) -> Option<String> {
    let restart = |why: &str| Some(format!("restart {}: {why}", whom(pair)));
    let path = &pair.plugin.view.pods.path;
    let own = place(pair.own, path.as_bytes()).filter(|own| own.mount.point != b"/")?;
    if own.inside.windows(10).any(|end| end == b"//deleted/") || own.inside.ends_with(b"//deleted") {
        return restart("the directory that it holds was deleted, and made anew for the kubelet");
    }
    let theirs = &pair.kubelet.publisher.view.pods.path;
    let top = pair.kubelet.pods.as_ref()?;
    let same = |mount: &Mount, inside: &[u8]| mount.device == own.mount.device && inside == own.inside;
    if same(top.mount, &top.inside) {
        return restart("the directory of that name that it holds is not there any more");
    }
    let held = (own.mount.device, own.inside.clone());
    beneath(pair.kubelet.table, theirs.as_bytes()).contains(&held).then_some(())?;
    restart(&format!(
        "it started before {} was mounted, and still has what is beneath",
        shown(&top.mount.point)
    ))
}

/// The string is not common.
fn string(pair: &Pair<'_>) -> String {
    let root = &pair.kubelet.publisher.root;
    let standard = root.as_bytes() == STANDARD_PATH.as_bytes();
    let setting = setting(pair.plugin.driver.as_deref());
    let believed = pair.plugin.registration.as_ref().and_then(believed_root);
    let wrong = believed.filter(|believed| believed != root.as_path());
    let pods = root.as_path().join("pods");
    let mount = format!(
        "give its container the hostPath {pods}, mounted at {pods} with mountPropagation: Bidirectional"
    );
    match (setting, standard, wrong) {
        (_, true, None) => mount,
        (Setting::Named(name), true, Some(wrong)) => format!(
            "unset {name}: it says {wrong}, and the kubelet's root is {root}. Bind mounts of {wrong} are no cure: \
             remove them, in /etc/fstab too, with the node drained and the kubelet stopped"
        ),
        (_, true, Some(wrong)) => {
            format!("let the driver use {root} in place of {wrong}: that is the kubelet's root")
        }
        (Setting::Named(name), false, _) => format!(
            "set {name} to {root}, for all nodes; if others have another root, drain this node and start its kubelet \
             with {STANDARD_PATH} as its root (contract.repair = \"align\" in csihost's settings does, or says how)"
        ),
        (Setting::Missing, false, _) => format!(
            "the driver has no setting for {root}: start the kubelet with {STANDARD_PATH} as its root; its data \
             can stay where they are, as mounts there (contract.repair = \"align\" in csihost's settings does that)"
        ),
        (Setting::Unknown, false, _) => {
            format!("tell the driver that the kubelet's root is {root}, or {mount}")
        }
    }
}

/// The directory is the same, and mounts do not travel to the kubelet.
fn propagation(pair: &Pair<'_>, apply_shares: bool) -> String {
    let (Some(theirs), Some(own)) = (pair.kubelet.mount(), pair.own()) else {
        return format!("restart {}", whom(pair));
    };
    let root = &pair.kubelet.publisher.root;
    let point = shown(&theirs.point);
    let runtime = pair.runtime();
    let in_container = pair.plugin.seat.owner.container.is_some() || pair.plugin.seat.owner.pod.is_some();
    match (theirs.shared, own.shared) {
        (None, _) if shares_namespace(pair.runtimes, pair.kubelet.publisher) => {
            share_in_namespace(pair.kubelet.publisher, &point)
        }
        (None, _) if pair.kubelet.publisher.mounts.is_some() && !pair.kubelet.publisher.in_container => {
            let unit = pair.kubelet.publisher.unit.as_ref().map_or("its unit", |unit| unit.as_str());
            format!(
                "let the kubelet have the host's mount namespace: take {SANDBOX} out of {unit} and its drop-ins, \
                 run systemctl daemon-reload, restart it, then {}",
                whom(pair)
            )
        }
        (None, _) if pair.kubelet.publisher.mounts.is_some() => format!(
            "give the kubelet's own container {point} with shared propagation (rshared), restart it, then {}",
            whom(pair)
        ),
        (None, _) if apply_shares => {
            format!("make the mount that covers {root} shared: run csihost apply, then restart {}", whom(pair))
        }
        (None, _) => format!(
            "make the mount that covers {root} shared: run mount --make-rshared {}, then restart {}. It lasts \
             until the next boot; a kubelet shares its root by itself when it starts, so find what made it private \
             since",
            shell_word(&point),
            whom(pair)
        ),
        (Some(_), None) if in_container => format!(
            "{}set mountPropagation: Bidirectional on the volume mount at {} of its container",
            runtime.map_or_else(String::new, |runtime| format!("{}; then ", runtimes::remedy(runtime))),
            shown(&own.point)
        ),
        (Some(_), _) if !in_container => {
            "let its service have the host's mounts: without PrivateMounts=, MountFlags= and the settings that imply them"
                .to_owned()
        }
        (Some(_), Some(_)) if own.master.is_some() || runtime.is_some() => match runtime {
            Some(runtime) => format!("{}; then restart {}", runtimes::remedy(runtime), whom(pair)),
            None => format!(
                "let the container runtime's service have the host's mounts: take {SANDBOX} out of its unit and \
                 drop-ins, run systemctl daemon-reload, restart it, then {}",
                whom(pair)
            ),
        },
        (Some(_), _) => format!(
            "restart {}: its mount at {} is no peer of the host's any more",
            whom(pair),
            shown(&own.point)
        ),
    }
}

fn whom(pair: &Pair<'_>) -> &'static str {
    let owner = &pair.plugin.seat.owner;
    match (&owner.pod, &owner.container) {
        (Some(_), _) => "this pod",
        (None, Some(_)) => "this container",
        (None, None) => "this process",
    }
}
