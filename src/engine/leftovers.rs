//! Engine: volumes that are still mounted for pods which are gone from this node.
//!
//! A pod is gone only where all of this is known:
//!
//! - No process is in its control groups.
//! - The kubelet has removed the directory of its logs. It makes that before it starts anything of a pod, and removes it
//!   once all containers of a deleted pod have ended (kubernetes, pkg/kubelet/kuberuntime/kuberuntime_gc.go,
//!   `evictPodLogsDirectories`).
//! - The pod has no control group, or it is over. The kubelet keeps the group while a volume of the pod is mounted
//!   (kubernetes, pkg/kubelet/kubelet.go, `SyncTerminatedPod`), and a pod that waits for another volume has one too. A
//!   pod that is over has had containers since the boot, and has no volumes of other kinds any more.
//! - The kubelet has not mapped the volume as a raw block device.
//! - The volume was not published for [`GRACE`].
//!
//! What cannot be read is never taken for absent.
//!
//! A volume that is staged and that no pod has published is none of them: the kubelet stages a volume before
//! it makes the pod's directory for it, so the node cannot tell it from one that is about to be published.

use super::pods;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::facts::{Facts, Mode};
use crate::model::mount::{Device, Mount};
use crate::model::path::HostPath;
use crate::model::volumes::{Leftover, Use, VOLUME_DATA};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::volumes::csi_mounts;
use std::collections::{BTreeMap, BTreeSet};

/// Minutes without a change after which a volume counts as left. The kubelet retries an unmount
/// for minutes, and mounts a pod's volumes before it starts its containers.
pub(super) const GRACE: u64 = 10;

/// The volumes of pods that are gone; none where anything is unknown.
pub(super) fn leftovers(host: &Host, proc: &Proc<'_>, facts: &Facts) -> Vec<Leftover> {
    // Without a kubelet the pods of a node have neither control groups nor an end.
    if host.mode() == Mode::Offline
        || facts.detection.kubelet.as_ref().is_none_or(|kubelet| kubelet.pid.is_none())
    {
        return Vec::new();
    }
    // Not watched: logs and volumes change with each pod, and nothing is done by them.
    let Ok(host) = &host.aside() else { return Vec::new() };
    let bases: BTreeSet<HostPath> = facts
        .bridge
        .iter()
        .flat_map(|bridge| bridge.roots().cloned())
        .chain(facts.align.iter().map(|align| align.root.clone()))
        .chain(facts.detection.host_dir().cloned())
        .chain([HostPath::from(STANDARD_PATH)])
        .collect();
    let mut published: BTreeMap<(String, String), Vec<&Mount>> = BTreeMap::new();
    let mut staged: Vec<&Mount> = Vec::new();
    let mut mapped: BTreeSet<(String, String)> = BTreeSet::new();
    for (used, mount) in bases.iter().flat_map(|base| csi_mounts(&facts.mounts, base)) {
        match used {
            Use::Published { pod, volume } => published.entry((pod, volume)).or_default().push(mount),
            // The kubelet ends this before it has the plugin unpublish the volume (kubernetes,
            // pkg/volume/util/operationexecutor/operation_generator.go, `GenerateUnmapVolumeFunc`).
            Use::Mapped { pod, volume } => {
                mapped.insert((pod, volume));
            }
            Use::Staged { .. } => staged.push(mount),
        }
    }
    if published.is_empty() {
        return Vec::new();
    }
    let Some(logged) = pods::logged(host) else { return Vec::new() };
    let quiet = |pod: &str, volume: &str| {
        let changed = bases.iter().flat_map(|base| changed_by_the_kubelet(base, pod, volume));
        let minutes: Vec<Option<u64>> =
            changed.map(|path| host.minutes_unchanged(&path)).collect::<Result<_, _>>().ok()?;
        minutes.into_iter().flatten().min()
    };
    let mut candidates: Vec<(&(String, String), &Vec<&Mount>, u64)> = published
        .iter()
        .filter(|(key, _)| !logged.contains(&key.0) && !mapped.contains(*key))
        .filter_map(|(key, mounts)| Some((key, mounts, quiet(&key.0, &key.1)?)))
        .filter(|(.., minutes)| *minutes >= GRACE)
        .collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    // The processes of a node are read only where there is somebody to look for.
    let (Some(running), Some(grouped)) = (pods::with_processes(proc), pods::with_groups(host)) else {
        return Vec::new();
    };
    let minutes_up = proc.uptime().map_or(0, |uptime| uptime.as_secs() / 60);
    candidates.retain(|((pod, _), ..)| {
        let over = || bases.iter().any(|base| is_over(host, &base.join("pods").join(pod), minutes_up));
        !running.contains(pod) && (!grouped.contains(pod) || over())
    });
    let gone: BTreeSet<&(String, String)> = candidates.iter().map(|(key, ..)| *key).collect();
    // Volumes of one server share a device: the directory on it counts too.
    let others: BTreeSet<(Device, &[u8])> = published
        .iter()
        .filter(|(key, _)| !gone.contains(key))
        .flat_map(|(_, mounts)| mounts.iter().map(|mount| same(mount)))
        .collect();
    let found = |(key, mounts, minutes): (&(String, String), &Vec<&Mount>, u64)| {
        let own: BTreeSet<(Device, &[u8])> = mounts.iter().map(|mount| same(mount)).collect();
        let of_stage =
            staged.iter().filter(|mount| own.contains(&same(mount)) && !others.contains(&same(mount)));
        let mut first: Vec<&Vec<u8>> = mounts.iter().map(|mount| &mount.point).collect();
        let mut second: Vec<&Vec<u8>> = of_stage.map(|mount| &mount.point).collect();
        for points in [&mut first, &mut second] {
            points.sort_by_key(|point| std::cmp::Reverse(point.len()));
            points.dedup();
        }
        let paths = |points: Vec<&Vec<u8>>| {
            points.into_iter().filter_map(|point| HostPath::parse(point).ok()).collect()
        };
        let (published, staged) = (paths(first), paths(second));
        let directory = |base| of_pod(base, &key.0, &key.1);
        let directories = bases.iter().map(directory).filter(|path| host.exists(path)).collect();
        Leftover { pod: key.0.clone(), volume: key.1.clone(), minutes, published, directories, staged }
    };
    candidates.into_iter().map(found).collect()
}

/// Returns true if the pod with this directory below the kubelet's root has had containers since the boot, and has lost the
/// volumes that are no CSI volumes, such as the token of its service account.
///
/// The kubelet makes a file for each container that it starts, for the container's termination message (kubernetes,
/// pkg/kubelet/kuberuntime/kuberuntime_container.go, `makeMounts`).
fn is_over(host: &Host, pod: &HostPath, minutes_up: u64) -> bool {
    let containers = pod.join("containers");
    let is_recent = |name: &Vec<u8>| {
        let minutes = host.minutes_unchanged(&containers.join(name));
        minutes.is_ok_and(|minutes| minutes.is_some_and(|minutes| minutes < minutes_up))
    };
    let volumes = pod.join("volumes");
    let is_empty = |name: &Vec<u8>| host.list(&volumes.join(name)).is_ok_and(|names| names.is_empty());
    host.list(&containers).is_ok_and(|names| names.iter().any(is_recent))
        && host
            .list(&volumes)
            .is_ok_and(|names| names.iter().all(|name| name == b"kubernetes.io~csi" || is_empty(name)))
}

/// Files and directories that are modified when the pod gets the volume, or loses it.
///
/// The kubelet writes `vol_data.json` each time before it has the plugin publish the volume, also where a boot finds all
/// directories there (kubernetes, pkg/volume/csi/csi_mounter.go, csi_block.go and csi_plugin.go).
fn changed_by_the_kubelet(base: &HostPath, pod: &str, volume: &str) -> [HostPath; 5] {
    let directory = of_pod(base, pod, volume);
    let raw = base.join("plugins/kubernetes.io/csi/volumeDevices");
    [
        directory.join(VOLUME_DATA),
        directory,
        raw.join(volume).join("data").join(VOLUME_DATA),
        raw.join(volume).join("dev"),
        raw.join("publish").join(volume),
    ]
}

/// The kubelet's directory of a file system's volume in the pod's.
fn of_pod(base: &HostPath, pod: &str, volume: &str) -> HostPath {
    base.join("pods").join(pod).join("volumes/kubernetes.io~csi").join(volume)
}

/// The directory that a mount shows, wherever it is.
fn same(mount: &Mount) -> (Device, &[u8]) {
    (mount.device, &mount.root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_pod_is_over_that_has_had_containers_since_the_boot_and_has_lost_its_other_volumes() {
        let tree = tempfile::tempdir().unwrap();
        let host = Host::open(Some(tree.path())).unwrap();
        let is_over = |minutes_up| is_over(&host, &HostPath::from("/pod"), minutes_up);
        let make = |path: &str| fs::create_dir_all(tree.path().join("pod").join(path)).unwrap();
        make("volumes/kubernetes.io~csi/pvc/mount");
        assert!(!is_over(60), "it waits for a volume before its first container");
        make("containers/app");
        assert!(is_over(60));
        assert!(!is_over(0), "its containers are of before the boot");
        make("volumes/kubernetes.io~projected");
        assert!(is_over(60), "an empty directory is no volume");
        make("volumes/kubernetes.io~projected/token");
        assert!(!is_over(60), "it waits for a volume after a reboot");
        fs::remove_dir_all(tree.path().join("pod/volumes")).unwrap();
        fs::write(tree.path().join("pod/volumes"), "").unwrap();
        assert!(!is_over(60), "its volumes are not known");
    }
}
