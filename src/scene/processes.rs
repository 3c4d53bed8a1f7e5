//! Scene: which processes belong in it.

use crate::model::path::HostPath;
use serde::Serialize;

/// Why a process is in a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// PID 1, which stands for the host.
    Init,
    /// It may be a kubelet, or only look like one.
    Kubelet,
    /// It is none, and somebody may take it for one.
    LookAlike,
    /// It runs containers.
    Runtime,
    /// It registers a CSI driver with the kubelet.
    Registrar,
    /// It sees directories of the kubelet's.
    Plugin,
}

/// What the arguments alone say of a process.
pub fn by_arguments(cmdline: &[u8]) -> Option<Role> {
    const RUNTIMES: [&[u8]; 13] = [
        b"balenad",
        b"conmon",
        b"containerd",
        b"cri-dockerd",
        b"crio",
        b"docker-containerd",
        b"docker-containerd-current",
        b"dockerd",
        b"dockerd-ce",
        b"dockerd-current",
        b"k0s",
        b"rke2",
        b"system-docker",
    ];
    let first = cmdline.split(|&b| b == 0 || b == b' ').next().unwrap_or_default();
    let name = first.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let registers = |word: &[u8]| {
        word.trim_ascii().starts_with(b"--kubelet-registration-path")
            || word.starts_with(b"-kubelet-registration-path")
    };
    match () {
        () if RUNTIMES.contains(&name) || name.starts_with(b"containerd-shim") => Some(Role::Runtime),
        () if cmdline.split(|&b| b == 0).any(registers) => Some(Role::Registrar),
        () => None,
    }
}

/// Whether a mount table shows directories of the kubelet's: its root, `plugins` or
/// `plugins_registry` at their own place or elsewhere. A pod's own volumes do not count, every
/// container has those.
pub fn sees_the_kubelet(mountinfo: &[u8], roots: &[HostPath]) -> bool {
    let here = |point: &[u8]| {
        let inside = |root: &HostPath| {
            let below = point.strip_prefix(root.as_bytes());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        roots.iter().any(inside)
    };
    mountinfo.split(|&b| b == b'\n').any(|row| {
        let mut fields = row.split(|&b| b == b' ').skip(3);
        let (root, point) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let mut parts = root.split(|&b| b == b'/');
        here(point) || parts.any(|part| part == b"plugins_registry") || {
            let mut parts = root.split(|&b| b == b'/');
            parts.any(|part| part == b"plugins") && !root.windows(6).any(|part| part == b"/pods/")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_and_registrars_are_known_by_their_arguments() {
        for (cmdline, role) in [
            ("/usr/bin/containerd\0", Some(Role::Runtime)),
            ("/usr/bin/containerd-shim-runc-v2\0-namespace\0k8s.io\0", Some(Role::Runtime)),
            ("/csi-node-driver-registrar\0--kubelet-registration-path=/x\0", Some(Role::Registrar)),
            ("bash\0", None),
            ("", None),
        ] {
            assert_eq!(by_arguments(cmdline.as_bytes()), role, "{cmdline}");
        }
    }

    #[test]
    fn a_plugin_sees_the_kubelets_directories_and_a_pod_its_own() {
        let roots = [HostPath::from("/var/lib/kubelet")];
        for (row, sees) in [
            ("1 0 8:1 /var/lib/kubelet/pods /var/lib/kubelet/pods rw - ext4 x rw", true),
            ("1 0 8:1 /var/lib/kubelet/plugins/d /csi rw - ext4 x rw", true),
            ("1 0 8:1 /plugins_registry /registration rw - ext4 x rw", true),
            ("1 0 8:1 /var/lib/kubelet/pods/u/etc-hosts /etc/hosts rw - ext4 x rw", false),
            ("1 0 8:1 /var/lib/kubelet/pods/u/plugins/x /y rw - ext4 x rw", false),
            ("1 0 8:1 / /var/lib/kubelet2 rw - ext4 x rw", false),
            ("", false),
        ] {
            assert_eq!(sees_the_kubelet(row.as_bytes(), &roots), sees, "{row}");
        }
    }
}
