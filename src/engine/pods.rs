//! Engine: pods of this node by the directories of their logs, `NAMESPACE_NAME_UID` (kubernetes,
//! pkg/kubelet/kuberuntime/helpers.go, `BuildPodLogsDirectory`). The kubelet makes them whatever the container runtime is.

use crate::host::Host;
use crate::model::contract::PodName;
use crate::model::path::HostPath;
use crate::settings::{Repair, Settings};
use std::collections::{BTreeMap, BTreeSet};

const POD_LOGS: &str = "/var/log/pods";

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
