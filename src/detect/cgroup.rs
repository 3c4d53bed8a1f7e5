//! Pure: the systemd unit that a process belongs to, in the text of /proc/PID/cgroup (cgroups(7)).

use crate::model::unit::UnitName;

/// The service that runs the process: its own, or the container runtime's, whose container it is.
pub(super) fn service(cgroup: &[u8]) -> Option<UnitName> {
    let path = cgroup.split(|&b| b == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |&b| b == b':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        // Version 2 has no controllers; with version 1, systemd has a hierarchy of its own.
        (controllers.is_empty() || controllers == b"name=systemd").then_some(path)
    })?;
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect();
    let docker = parts.iter().any(|part| *part == b"docker" || part.starts_with(b"docker-"));
    if docker {
        return Some(UnitName::from("docker.service"));
    }
    // A service may keep groups of its own below it; the unit is the last part that is one.
    let name = parts.iter().rev().find(|part| part.ends_with(b".service"))?;
    UnitName::parse(std::str::from_utf8(name).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_service_on_both_versions_of_control_groups() {
        for (text, unit) in [
            ("0::/system.slice/kubelet.service\n", Some("kubelet.service")),
            ("0::/system.slice/k3s.service/init\n", Some("k3s.service")),
            ("4:cpu:/x\n1:name=systemd:/system.slice/rke2-agent.service\n0::/\n", Some("rke2-agent.service")),
            ("0::/system.slice/docker-0123.scope\n", Some("docker.service")),
            ("2:memory:/docker/01\n1:name=systemd:/docker/0123\n", Some("docker.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            ("0::/\n", None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(service(text.as_bytes()).map(String::from), unit.map(String::from), "{text}");
        }
    }
}
