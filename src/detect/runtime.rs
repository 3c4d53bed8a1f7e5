//! Detect: which processes are worth a look as the host's container runtime.

use super::cgroup::{owner, service};
use crate::model::process::Namespaces;
use crate::model::unit::UnitName;

/// Daemons that create containers for a kubelet, or that are asked by it to (`cri-dockerd`). Distributions rename docker's.
const DAEMONS: [&[u8]; 9] = [
    b"containerd",
    b"crio",
    b"dockerd",
    b"cri-dockerd",
    b"dockerd-current",
    b"dockerd-ce",
    b"docker-containerd",
    b"docker-containerd-current",
    b"balenad",
];

/// Returns the name of the daemon whose arguments begin like this, if it is a container runtime's. Anybody can have such
/// arguments: they choose which processes are looked at.
pub fn runtime_name(head: &[u8]) -> Option<&[u8]> {
    let mut args = head.split(|&b| b == 0);
    let first = args.next()?.rsplit(|&b| b == b'/').next()?;
    // Before 1.12 the daemon was a word of the client's command.
    let daemon = first == b"docker" && args.next().is_some_and(|word| word == b"daemon");
    (daemon || DAEMONS.contains(&first)).then_some(first)
}

/// Identity of a process, as the kernel shows it.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Its real user.
    pub user: Option<u32>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The text of /proc/PID/cgroup.
    pub cgroup: Vec<u8>,
}

/// The unit that runs a container runtime of this host: a service of the host, as root, in the host's PID and user
/// namespaces and in no container. `None` for any other process.
pub fn runtime_unit(process: &Identity, host: &Namespaces) -> Option<UnitName> {
    let same = |own: Option<u64>, hosts: Option<u64>| own == hosts || own.is_none() || hosts.is_none();
    let owner = owner(&process.cgroup);
    let in_container = owner.pod.is_some() || owner.container.is_some() || owner.foreign;
    // A service of a user's own manager may have any unit's name.
    let of_user = process.cgroup.windows(12).any(|part| part == b"/user.slice/");
    let of_host = process.user == Some(0)
        && same(process.namespaces.pid, host.pid)
        && same(process.namespaces.user, host.user)
        && !in_container
        && !of_user;
    of_host.then(|| service(&process.cgroup))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_named_by_its_program() {
        for (head, name) in [
            (&b"/usr/bin/dockerd\0-H\0fd://\0"[..], Some(&b"dockerd"[..])),
            (b"containerd\0-c\0/var/lib/rancher/k3s/agent/etc/containerd/config.toml\0", Some(b"containerd")),
            (b"/usr/bin/docker\0daemon\0", Some(b"docker")),
            (b"/usr/bin/docker\0run\0", None),
            (b"/usr/bin/containerd-shim-runc-v2\0", None),
            (b"bash\0-c\0containerd\0", None),
            (b"", None),
        ] {
            assert_eq!(runtime_name(head), name, "{}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn a_runtime_of_the_host_is_a_service_of_roots_outside_of_containers() {
        let host = Namespaces { pid: Some(1), user: Some(2), mnt: Some(3), net: None };
        let process = |user: u32, pid: u64, cgroup: &str| Identity {
            user: Some(user),
            namespaces: Namespaces { pid: Some(pid), mnt: Some(9), ..host },
            cgroup: format!("0::{cgroup}\n").into_bytes(),
        };
        let unit = |process: Identity| runtime_unit(&process, &host).map(String::from);
        assert_eq!(unit(process(0, 1, "/system.slice/docker.service")).as_deref(), Some("docker.service"));
        assert_eq!(unit(process(0, 1, "/system.slice/k3s.service")).as_deref(), Some("k3s.service"));
        assert_eq!(unit(process(1000, 1, "/system.slice/docker.service")), None);
        assert_eq!(unit(process(0, 8, "/system.slice/docker.service")), None);
        assert_eq!(unit(process(0, 1, "/user.slice/user-0.slice/session-1.scope")), None);
        assert_eq!(
            unit(process(0, 1, "/user.slice/user-0.slice/user@0.service/app.slice/docker.service")),
            None
        );
        let id = "0".repeat(64);
        assert_eq!(unit(process(0, 1, &format!("/system.slice/docker-{id}.scope"))), None);
        let pod = "/kubepods/burstable/pod00002000-0000-4000-8000-000000002000";
        assert_eq!(unit(process(0, 1, &format!("{pod}/{id}"))), None);
        assert_eq!(unit(process(0, 1, &format!("{pod}/system.slice/docker.service"))), None);
    }
}
