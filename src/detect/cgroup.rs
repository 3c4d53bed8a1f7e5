//! Pure: the systemd unit that a process belongs to, and the pod and the container, in the text of
//! /proc/PID/cgroup (cgroups(7)).

use crate::model::contract::Owner;
use crate::model::unit::UnitName;

/// The service that runs the process: its own, or the container runtime's, whose container it is.
pub(super) fn service(cgroup: &[u8]) -> Option<UnitName> {
    // Version 2 has no controllers; with version 1, systemd has a hierarchy of its own. A process has lines of
    // both if somebody mounted the one that systemd does not use: it is in the root group there.
    paths(cgroup)
        .filter(|(controllers, _)| controllers.is_empty() || *controllers == b"name=systemd")
        .find_map(|(_, path)| service_in(path))
}

fn service_in(path: &[u8]) -> Option<UnitName> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
    let docker = parts
        .iter()
        .any(|part| *part == b"docker" || part.starts_with(b"docker-") && part.ends_with(b".scope"));
    if docker {
        return Some(UnitName::from("docker.service"));
    }
    // A service may keep groups of its own below it; the unit is the last part that is one.
    let name = parts.iter().rev().find(|part| part.ends_with(b".service"))?;
    UnitName::parse(std::str::from_utf8(name).ok()?).ok()
}

/// Controllers and path of each line.
fn paths(cgroup: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    cgroup.split(|&b| b == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |&b| b == b':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        Some((controllers, path))
    })
}

/// The pod and the container of a process: of all its hierarchies the one that says most. A
/// process on version 1 is often in the pod's group of some controllers alone, and with version 2
/// in a control group namespace the path begins with `/../`.
pub fn owner(cgroup: &[u8]) -> Owner {
    let known = |owner: &Owner| (owner.pod.is_some(), owner.container.is_some());
    paths(cgroup).map(|(_, path)| owner_in(path)).max_by_key(known).unwrap_or_default()
}

/// As the kubelet names the groups of pods (kubernetes, pkg/kubelet/cm, `cgroup_manager_linux.go`):
/// `/kubepods/burstable/pod<uid>/<id>` or, for systemd's driver,
/// `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/<runtime>-<id>.scope`.
/// cri-o, and containerd in another service's group, write `…slice:cri-containerd:<id>`.
fn owner_in(path: &[u8]) -> Owner {
    let mut owner = Owner::default();
    let parts = path.split(|&b| b == b'/' || b == b':').filter(|part| !part.is_empty() && *part != b"..");
    for part in parts {
        let pods = part.starts_with(b"kubepods");
        if owner.pod.is_none() && pods && owner.container.is_some() {
            // Kubernetes below a container: that container is a whole node.
            owner.foreign = true;
        }
        if owner.pod.is_none()
            && let Some(uid) = pod(part)
        {
            owner.pod = Some(uid);
            // What came before is what the pod's node runs in.
            owner.container = None;
        } else if owner.container.is_none()
            && let Some(id) = container(part)
        {
            owner.container = Some(id);
        }
    }
    owner
}

/// The UID in `pod<uid>` or `kubepods-…-pod<uid>.slice`.
fn pod(part: &[u8]) -> Option<String> {
    let name = part.strip_suffix(b".slice").unwrap_or(part);
    let uid = match name.strip_prefix(b"pod") {
        Some(uid) => uid,
        None => {
            name.starts_with(b"kubepods").then_some(())?;
            let at = name.windows(4).rposition(|four| four == b"-pod")?;
            name.get(at + 4..)?
        }
    };
    let uid = String::from_utf8(uid.to_vec()).ok()?.replace('_', "-");
    let hex = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    (hex == 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')).then_some(uid)
}

/// The id in `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>`: 64 hexadecimal
/// digits. `crio-conmon-<id>` is cri-o's own monitor.
fn container(part: &[u8]) -> Option<String> {
    let name = part.strip_suffix(b".scope").unwrap_or(part);
    if name.windows(7).any(|seven| seven == b"conmon-") {
        return None;
    }
    let id = name.rsplit(|&b| b == b'-').next()?;
    (id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit))
        .then(|| String::from_utf8(id.to_vec()).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";
    const STATIC: &str = "62450c1429e20ea7f6cad8924ab15702";
    const ID: &str = "0ddc6d4e8a3c5b8f0c9b6a7d8e9f00112233445566778899aabbccddeeff0011";

    #[test]
    fn the_pod_and_the_container_are_named_for_every_runtime_and_driver() {
        let uid = UID.replace('-', "_");
        let systemd = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice");
        let v1 = format!(
            "11:memory:/kubepods/besteffort/pod{UID}/{ID}\n1:name=systemd:/system.slice/containerd.service\n0::/\n"
        );
        for (text, pod, container) in [
            (format!("0::{systemd}/cri-containerd-{ID}.scope\n"), Some(UID), Some(ID)),
            (format!("0::{systemd}/crio-{ID}.scope\n"), Some(UID), Some(ID)),
            (format!("0::{systemd}/crio-{ID}.scope/container\n"), Some(UID), Some(ID)),
            (format!("0::{systemd}/docker-{ID}.scope\n"), Some(UID), Some(ID)),
            (format!("0::{systemd}/crio-conmon-{ID}.scope\n"), Some(UID), None),
            (format!("0::{systemd}:cri-containerd:{ID}\n"), Some(UID), Some(ID)),
            (
                format!("0::/kubepods.slice/kubepods-pod{uid}.slice/cri-containerd-{ID}.scope"),
                Some(UID),
                Some(ID),
            ),
            (format!("0::/kubepods/burstable/pod{UID}/{ID}\n"), Some(UID), Some(ID)),
            (format!("0::/kubepods/pod{STATIC}/{ID}\n"), Some(STATIC), Some(ID)),
            (v1, Some(UID), Some(ID)),
            // k3s, RKE2 and MicroK8s without systemd's driver, below their own service.
            (format!("0::/system.slice/k3s.service/kubepods/burstable/pod{UID}/{ID}\n"), Some(UID), Some(ID)),
            (format!("0::/k8s.io/kubepods/burstable/pod{UID}/{ID}\n"), Some(UID), Some(ID)),
            // Seen from inside of another control group namespace.
            (
                format!("0::/../../kubepods-burstable-pod{uid}.slice/cri-containerd-{ID}.scope\n"),
                Some(UID),
                Some(ID),
            ),
            (format!("0::/../pod{UID}/{ID}\n"), Some(UID), Some(ID)),
            // A container in a container of a pod is that pod's.
            (format!("0::/kubepods/pod{UID}/{ID}/docker/{}", "a".repeat(64)), Some(UID), Some(ID)),
            (format!("0::/system.slice/docker-{ID}.scope\n"), None, Some(ID)),
            (format!("2:cpu:/docker/{ID}\n"), None, Some(ID)),
            ("0::/system.slice/kubelet.service\n".to_owned(), None, None),
            ("0::/kubepods/podnot-a-uid/x\n".to_owned(), None, None),
            (String::new(), None, None),
        ] {
            let owner = owner(text.as_bytes());
            assert_eq!((owner.pod.as_deref(), owner.container.as_deref()), (pod, container), "{text}");
            assert!(!owner.foreign, "{text}");
        }
    }

    #[test]
    fn a_pod_of_a_node_in_a_container_is_not_this_hosts() {
        let kind = "b".repeat(64);
        for text in [
            format!("0::/docker/{kind}/kubelet/kubepods/burstable/pod{UID}/{ID}\n"),
            format!(
                "0::/system.slice/docker-{kind}.scope/kubelet.slice/kubelet-kubepods.slice/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{ID}.scope\n",
                UID.replace('-', "_")
            ),
        ] {
            let owner = owner(text.as_bytes());
            assert!(owner.foreign, "{text}");
            assert_eq!(owner.pod.as_deref(), Some(UID), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>, path in "0::(/|:|kubepods|-pod|pod|[0-9a-f]{32,64}|\\.slice|-|_)*") {
            let _ = (owner(&text), owner(path.as_bytes()), service(&text));
        }
    }

    #[test]
    fn names_the_service_on_both_versions_of_control_groups() {
        for (text, unit) in [
            ("0::/system.slice/kubelet.service\n", Some("kubelet.service")),
            ("0::/system.slice/k3s.service/init\n", Some("k3s.service")),
            ("4:cpu:/x\n1:name=systemd:/system.slice/rke2-agent.service\n0::/\n", Some("rke2-agent.service")),
            ("0::/system.slice/docker-0123.scope\n", Some("docker.service")),
            ("2:memory:/docker/01\n1:name=systemd:/docker/0123\n", Some("docker.service")),
            // systemd uses version 2, and its hierarchy of version 1 is mounted for old containers.
            ("1:name=systemd:/\n0::/system.slice/kubelet.service\n", Some("kubelet.service")),
            ("1:name=systemd:/system.slice/kubelet.service\n0::/x.service\n", Some("kubelet.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            ("0::/\n", None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(service(text.as_bytes()).map(String::from), unit.map(String::from), "{text}");
        }
    }
}
