//! Engine: volumes that are still mounted for pods which are gone from this node.
//!
//! A pod is gone only where all of this is known:
//!
//! - No process is in its control groups.
//! - The kubelet has removed the directory of its logs. The kubelet makes that directory before it starts anything of a
//!   pod, and removes it once all containers of a deleted pod have ended (kubernetes,
//!   pkg/kubelet/kuberuntime/kuberuntime_gc.go, `evictPodLogsDirectories`).
//! - The pod has no control group, or has terminated. The kubelet keeps the group while a volume of the pod is mounted
//!   (kubernetes, pkg/kubelet/kubelet.go, `SyncTerminatedPod`), and a pod that waits for another volume has one too. A
//!   terminated pod has had containers since the boot and has none now, and has only CSI volumes left.
//! - The kubelet has not mapped the volume as a raw block device.
//! - The volume was not published for [`GRACE`].
//!
//! An unreadable path is never taken for an absent one. The kubelet may still retry the unmount, with a driver that does not
//! answer: an unmount by csihost does not hinder that, so nothing else of the volume is removed.
//!
//! A volume that is staged and that no pod has published is none of them: the kubelet stages a volume before
//! it makes the pod's directory for it, so the node cannot tell it from one that is about to be published.

use super::pods;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::facts::{Facts, Mode};
use crate::model::mount::{Device, Mount};
use crate::model::path::HostPath;
use crate::model::volumes::{Leftover, Use};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::volumes::{OF_POD, changed_by_the_kubelet, csi_mounts};
use std::collections::{BTreeMap, BTreeSet};

/// Minutes without a change after which a volume counts as left. The kubelet mounts a pod's volumes before it
/// starts its containers.
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
        minutes_unchanged(host, bases.iter().flat_map(|base| changed_by_the_kubelet(base, pod, volume)))
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
    let has_terminated = |pod: &str| {
        let directories = bases.iter().map(|base| base.join("pods").join(pod));
        directories.filter(|path| host.exists(path)).all(|path| has_terminated(host, &path, minutes_up))
    };
    let is_empty = |groups: &Vec<HostPath>| !groups.iter().any(|group| pods::has_containers(host, group));
    candidates.retain(|((pod, _), ..)| {
        !running.contains(pod)
            && grouped.get(pod).is_none_or(|groups| is_empty(groups) && has_terminated(pod))
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
        Leftover { pod: key.0.clone(), volume: key.1.clone(), minutes, published, staged }
    };
    candidates.into_iter().map(found).collect()
}

/// Returns true if the pod with this directory below the kubelet's root has had containers since the boot, the last one
/// [`GRACE`] ago, and has lost the volumes that are no CSI volumes, such as the token of its service account.
///
/// The kubelet makes a file for each container that it starts, for the container's termination message (kubernetes,
/// pkg/kubelet/kuberuntime/kuberuntime_container.go, `makeMounts`).
fn has_terminated(host: &Host, pod: &HostPath, minutes_up: u64) -> bool {
    let containers = pod.join("containers");
    let Ok(names) = host.list(&containers) else { return false };
    let youngest = minutes_unchanged(host, names.iter().map(|name| containers.join(name)));
    let volumes = pod.join("volumes");
    let is_empty = |name: &Vec<u8>| host.list(&volumes.join(name)).is_ok_and(|names| names.is_empty());
    let has_csi_alone =
        |names: Vec<Vec<u8>>| names.iter().all(|name| name == OF_POD.as_bytes() || is_empty(name));
    youngest.is_some_and(|minutes| (GRACE..minutes_up).contains(&minutes))
        && host.exists(&volumes)
        && host.list(&volumes).is_ok_and(has_csi_alone)
}

/// Whole minutes since the last modification among these files and directories; `None` if none of them is there, or one
/// cannot be read.
fn minutes_unchanged(host: &Host, paths: impl Iterator<Item = HostPath>) -> Option<u64> {
    let minutes: Result<Vec<_>, _> = paths.map(|path| host.minutes_unchanged(&path)).collect();
    minutes.ok()?.into_iter().flatten().min()
}

/// The directory that a mount shows, wherever it is.
fn same(mount: &Mount) -> (Device, &[u8]) {
    (mount.device, &mount.root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::{Duration, SystemTime};

    #[test]
    fn a_terminated_pod_has_had_containers_since_the_boot_and_has_lost_its_other_volumes() {
        let tree = tempfile::tempdir().unwrap();
        let host = Host::open(Some(tree.path())).unwrap();
        let at = |path: &str| tree.path().join("pod").join(path);
        let has_terminated = |minutes_up| has_terminated(&host, &HostPath::from("/pod"), minutes_up);
        let make = |path: &str| fs::create_dir_all(at(path)).unwrap();
        let age = |minutes: u64| {
            let then = SystemTime::now() - Duration::from_secs(minutes * 60);
            fs::File::open(at("containers/app")).unwrap().set_modified(then).unwrap();
        };
        make("volumes/kubernetes.io~csi/pvc/mount");
        assert!(!has_terminated(60), "it waits for a volume before its first container");
        make("containers/app");
        assert!(!has_terminated(60), "a container has only just started, or the clock was set back");
        age(20);
        assert!(has_terminated(60));
        assert!(!has_terminated(20), "its containers are of before the boot");
        make("volumes/kubernetes.io~projected");
        assert!(has_terminated(60), "an empty directory is no volume");
        make("volumes/kubernetes.io~projected/token");
        assert!(!has_terminated(60), "it waits for a volume after a reboot");
        fs::remove_dir_all(at("volumes")).unwrap();
        assert!(!has_terminated(60), "its volumes are not known");
    }
}
