//! Pure: the command that has the containers of a driver made anew.

use crate::model::contract::{Owner, PodName};
use crate::model::facts::Facts;

/// The command, as far as names are known on the node.
pub(super) fn restart(facts: &Facts, owner: &Owner, pid: i32) -> String {
    let Some(uid) = &owner.pod else {
        return match &owner.container {
            Some(_) => format!("restart the container of process {pid}"),
            None => format!("restart process {pid}"),
        };
    };
    // A static pod has no dashes in its UID, and deleting its image in the API server restarts nothing.
    if !uid.contains('-') {
        return "move the manifest of the static pod out of the kubelet's static pod directory, and back after its \
                containers have ended"
            .to_owned();
    }
    match facts.pod_names.get(uid) {
        Some(PodName { namespace, name }) => match daemonset(name) {
            Some(set) => format!("run kubectl rollout restart daemonset/{set} -n {namespace}"),
            None => format!("run kubectl delete pod {name} -n {namespace}"),
        },
        None => format!(
            "run kubectl rollout restart daemonset/NAME -n NAMESPACE (both are shown by kubectl get pods -A -o \
             custom-columns=NAMESPACE:.metadata.namespace,POD:.metadata.name,UID:.metadata.uid | grep {uid}: NAME is \
             the pod's without its last part)"
        ),
    }
}

/// The DaemonSet of a pod: its name without the suffix of five characters (k8s.io/apiserver,
/// pkg/storage/names/generate.go). The pods of a Deployment have the hash of their template before it.
fn daemonset(pod: &str) -> Option<&str> {
    let (set, suffix) = pod.rsplit_once('-')?;
    // k8s.io/apimachinery, pkg/util/rand: no vowels, and nothing that looks like one.
    let random = |b: u8| b"bcdfghjklmnpqrstvwxz2456789".contains(&b);
    if suffix.len() != 5 || !suffix.bytes().all(random) {
        return None;
    }
    // A decimal number, of which each digit became one of ten characters (SafeEncodeString).
    let digit = |b: u8| b"456789bcdf".contains(&b);
    let is_hash = |text: &str| (6..=10).contains(&text.len()) && text.bytes().all(digit);
    let of_template = set.rsplit_once('-').is_some_and(|(_, last)| is_hash(last));
    (!of_template && !set.is_empty()).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};

    const POD: &str = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";

    fn told(uid: Option<&str>, name: Option<&str>) -> String {
        let mut facts = Facts::new(Mode::Live, Init::Systemd);
        let pod = |name: &str| PodName { namespace: "storage".to_owned(), name: name.to_owned() };
        facts.pod_names.extend(name.map(|name| (POD.to_owned(), pod(name))));
        let owner = Owner { pod: uid.map(str::to_owned), ..Owner::default() };
        restart(&facts, &owner, 7)
    }

    #[test]
    fn the_pods_of_a_daemonset_are_restarted_by_its_rollout_and_others_are_deleted() {
        let rollout = |set: &str| format!("run kubectl rollout restart daemonset/{set} -n storage");
        let delete = |pod: &str| format!("run kubectl delete pod {pod} -n storage");
        for (pod, command) in [
            ("longhorn-csi-plugin-x7k2p", rollout("longhorn-csi-plugin")),
            ("csi-hostpathplugin-qj6zr", rollout("csi-hostpathplugin")),
            // A Deployment, a StatefulSet, and a pod by itself.
            ("csi-node-7d9f8b6c5d-x7k2p", delete("csi-node-7d9f8b6c5d-x7k2p")),
            ("csi-hostpathplugin-0", delete("csi-hostpathplugin-0")),
            ("driver", delete("driver")),
            ("the-driver", delete("the-driver")),
        ] {
            assert_eq!(told(Some(POD), Some(pod)), command);
        }
    }

    #[test]
    fn without_a_name_the_command_says_how_to_find_it() {
        let unnamed = told(Some(POD), None);
        assert!(unnamed.starts_with("run kubectl rollout restart daemonset/NAME -n NAMESPACE"), "{unnamed}");
        assert!(unnamed.contains(&format!("| grep {POD}")), "{unnamed}");
        assert!(told(Some("0123456789abcdef0123456789abcdef"), None).contains("static pod"));
        assert_eq!(told(None, None), "restart process 7");
    }
}
