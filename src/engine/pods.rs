//! Engine: pods of this node, by the directories of their logs, `NAMESPACE_NAME_UID` (kubernetes,
//! pkg/kubelet/kuberuntime/helpers.go, `BuildPodLogsDirectory`), and by their processes and control groups. The
//! kubelet makes the directories, whatever the container runtime is.

use crate::detect::owner;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::bytes::shown;
use crate::model::contract::PodName;
use crate::model::path::HostPath;
use crate::settings::{Repair, Settings};
use std::collections::{BTreeMap, BTreeSet};

const POD_LOGS: &str = "/var/log/pods";

/// Parents of pods' control groups, by systemd's driver and by cgroupfs', in versions 1 and 2.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"];
const PODS: [&str; 2] = ["kubepods.slice", "kubepods"];

/// The pods of the namespaces that the settings name, where something is done to pods: by UID.
pub(super) fn pods_of(host: &Host, settings: &Settings) -> BTreeSet<String> {
    let named = &settings.contract.namespaces;
    if settings.contract.repair != Repair::Graft || named.is_empty() {
        return BTreeSet::new();
    }
    let names = host.list(&HostPath::from(POD_LOGS)).unwrap_or_default();
    let of_named = |(uid, pod): (String, PodName)| named.contains(&pod.namespace).then_some(uid);
    names.iter().filter_map(|name| pod(name)).filter_map(of_named).collect()
}

/// The names of the pods with these UIDs, as far as there are logs of them.
///
/// The directory is not watched: it changes with each pod, and names decide nothing.
pub(super) fn names_of_pods(host: &Host, uids: &BTreeSet<String>) -> BTreeMap<String, PodName> {
    if uids.is_empty() {
        return BTreeMap::new();
    }
    let listed = host.aside().and_then(|host| host.list(&HostPath::from(POD_LOGS)));
    let listed = listed.unwrap_or_default();
    listed.iter().filter_map(|name| pod(name)).filter(|(uid, _)| uids.contains(uid)).collect()
}

/// The UID and the name of the pod with a directory called so. Neither a namespace nor a name has an underscore.
fn pod(directory: &[u8]) -> Option<(String, PodName)> {
    let mut parts = std::str::from_utf8(directory).ok()?.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    };
    let whole = parts.next().is_none() && [namespace, name, uid].into_iter().all(is_name);
    whole.then(|| (uid.to_owned(), PodName { namespace: namespace.to_owned(), name: name.to_owned() }))
}

/// The UIDs of pods that have a directory of logs, whatever else it is called; `None` where that is not known. A kubelet
/// without any has its logs elsewhere (KubeletConfiguration, `podLogsDir`).
pub(super) fn logged(host: &Host) -> Option<BTreeSet<String>> {
    let names = host.list(&HostPath::from(POD_LOGS)).ok().filter(|names| !names.is_empty())?;
    Some(names.iter().filter_map(|name| Some(shown(name.rsplit(|&b| b == b'_').next()?))).collect())
}

/// The UIDs of pods that have a process; `None` where that is not known.
pub(super) fn with_processes(proc: &Proc<'_>) -> Option<BTreeSet<String>> {
    Some(proc.pids().ok()?.into_iter().filter_map(|pid| owner(&proc.cgroup(pid)).pod).collect())
}

/// The control groups of each pod that has one, by its UID; `None` where that is not known.
pub(super) fn with_groups(host: &Host) -> Option<BTreeMap<String, Vec<HostPath>>> {
    let mut pods: BTreeMap<String, Vec<HostPath>> = BTreeMap::new();
    let groups = GROUPS.iter().flat_map(|top| PODS.iter().map(|name| HostPath::from(*top).join(name)));
    let groups: Vec<HostPath> = groups.filter(|top| host.exists(top)).collect();
    // The groups of pods are elsewhere (kubelet, --cgroup-root).
    if groups.is_empty() {
        return None;
    }
    for top in groups {
        let names = host.list(&top).ok()?;
        let classes = names.iter().filter(|name| name.windows(8).any(|w| w == b"kubepods") || is_class(name));
        for class in classes.map(|name| top.join(name)).chain([top.clone()]) {
            // A control group that is gone has no pod, and a file none either.
            let names = match host.list(&class) {
                Err(error) if !error.is_no_directory() => return None,
                names => names.unwrap_or_default(),
            };
            for name in names {
                if let Some(pod) = owner(&[b"0::/", name.as_slice()].concat()).pod {
                    pods.entry(pod).or_default().push(class.join(name));
                }
            }
        }
    }
    Some(pods)
}

/// Returns true if the control group of a pod has groups of containers in it, or cannot be read.
pub(super) fn has_containers(host: &Host, group: &HostPath) -> bool {
    let is_file = |name: &Vec<u8>| host.list(&group.join(name)).is_err_and(|error| error.is_no_directory());
    host.list(group).map_or(true, |names| !names.iter().all(is_file))
}

/// Returns true if `name` is a class of pods under cgroupfs' driver.
fn is_class(name: &[u8]) -> bool {
    name == b"burstable" || name == b"besteffort"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_logs_names_namespace_pod_and_uid() {
        let named = |text: &str| pod(text.as_bytes()).map(|(uid, pod)| (pod.namespace, pod.name, uid));
        let uid = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";
        assert_eq!(
            named(&format!("longhorn-system_longhorn-csi-plugin-x7k2p_{uid}")),
            Some(("longhorn-system".to_owned(), "longhorn-csi-plugin-x7k2p".to_owned(), uid.to_owned()))
        );
        for text in ["", "a_b", "a_b_c_d", "a__c", "a_$(x)_c", "A_b_c"] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
