//! Engine: volumes that are still mounted for pods which are gone from this node.
//!
//! A pod is gone only where all of this is known: no process and no control group is the pod's, the
//! kubelet has removed the directory of its logs, and nothing has changed in the volume's directory for
//! [`GRACE`]. The kubelet makes the logs' directory before it starts anything of a pod and removes it
//! once all containers of a deleted pod have ended (kubernetes, pkg/kubelet/kuberuntime/kuberuntime_gc.go,
//! `evictPodLogsDirectories`). What cannot be read is never taken for absent.
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
use crate::mounts::volumes::csi_mounts;
use std::collections::{BTreeMap, BTreeSet};

/// Minutes without a change after which a volume's directory counts as left. The kubelet retries an unmount
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
    for (used, mount) in bases.iter().flat_map(|base| csi_mounts(&facts.mounts, base)) {
        match used {
            Use::Published { pod, volume } => published.entry((pod, volume)).or_default().push(mount),
            Use::Staged { .. } => staged.push(mount),
        }
    }
    if published.is_empty() {
        return Vec::new();
    }
    let Some(logged) = pods::logged(host) else { return Vec::new() };
    let quiet = |pod: &str, volume: &str| {
        let directory =
            |base: &HostPath| base.join("pods").join(pod).join("volumes/kubernetes.io~csi").join(volume);
        bases.iter().filter_map(|base| host.minutes_unchanged(&directory(base))).min()
    };
    let mut candidates: Vec<(&(String, String), &Vec<&Mount>, u64)> = published
        .iter()
        .filter(|((pod, _), _)| !logged.contains(pod))
        .filter_map(|(key, mounts)| Some((key, mounts, quiet(&key.0, &key.1)?)))
        .filter(|(.., minutes)| *minutes >= GRACE)
        .collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    // The processes of a node are read only where there is somebody to look for.
    let Some(running) = pods::running(host, proc) else { return Vec::new() };
    candidates.retain(|((pod, _), ..)| !running.contains(pod));
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

/// The directory that a mount shows, wherever it is.
fn same(mount: &Mount) -> (Device, &[u8]) {
    (mount.device, &mount.root)
}
