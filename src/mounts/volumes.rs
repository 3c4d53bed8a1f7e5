//! Mounts: the CSI volumes in a mount table, by the paths at which the kubelet has them staged and
//! published.
//!
//! Input: a mount table and the directory that is, or is bridged to, the kubelet's root. Callers: `undo`,
//! which keeps what a volume depends on, and the check for mounts that are left over.

use super::resolve::{below, remainder};
use crate::model::bytes::shown;
use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::model::volumes::{Use, VOLUME_DATA};

/// The name of the CSI plugin's directories (kubernetes, pkg/volume/csi/csi_plugin.go, `CSIPluginName`
/// with its slash escaped).
pub const OF_POD: &str = "kubernetes.io~csi";
/// Below the kubelet's root (pkg/volume/csi/csi_util.go and csi_block.go).
const STAGING: &str = "plugins/kubernetes.io/csi";

/// The mounts of CSI volumes below `base`, in the order of the table, with what each is for.
pub fn csi_mounts<'a>(table: &'a MountTable, base: &HostPath) -> Vec<(Use, &'a Mount)> {
    let used = |mount: &'a Mount| Some((usage(remainder(&mount.point, base.as_bytes())?)?, mount));
    below(table, base.as_bytes()).filter_map(used).collect()
}

/// Who uses the volume that is mounted at `path`, relative to the kubelet's root; `None` for every other
/// path.
pub fn usage(path: &[u8]) -> Option<Use> {
    if let Some(rest) = remainder(path, b"pods") {
        let mut parts = rest.split(|&b| b == b'/');
        let (pod, kind, plugin, volume) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let published = kind == b"volumes" && plugin == OF_POD.as_bytes();
        return published.then(|| Use::Published { pod: shown(pod), volume: shown(volume) });
    }
    let rest = remainder(path, STAGING.as_bytes())?;
    let parts: Vec<&[u8]> = rest.split(|&b| b == b'/').collect();
    Some(match parts.as_slice() {
        // Raw block volumes: the plugin's mount, and the kubelet's.
        [b"volumeDevices", b"publish", volume, pod, ..] => {
            Use::Published { pod: shown(pod), volume: shown(volume) }
        }
        [b"volumeDevices", volume, b"dev", pod, ..] => Use::Mapped { pod: shown(pod), volume: shown(volume) },
        [b"volumeDevices", b"staging", volume, ..] | [b"pv", volume, ..] => {
            Use::Staged { volume: shown(volume) }
        }
        [_driver, volume, ..] => Use::Staged { volume: shown(volume) },
        _ => return None,
    })
}

/// Files and directories that are modified when the pod gets the volume, or loses it. `base` is the kubelet's root.
///
/// The kubelet writes `vol_data.json` each time before it has the plugin publish the volume, also where a boot finds all
/// directories there (kubernetes, pkg/volume/csi/csi_mounter.go, csi_block.go and csi_plugin.go).
pub fn changed_by_the_kubelet(base: &HostPath, pod: &str, volume: &str) -> [HostPath; 5] {
    let directory = base.join("pods").join(pod).join("volumes").join(OF_POD).join(volume);
    let raw = base.join(STAGING).join("volumeDevices");
    [
        directory.join(VOLUME_DATA),
        directory,
        raw.join(volume).join("data").join(VOLUME_DATA),
        raw.join(volume).join("dev"),
        raw.join("publish").join(volume),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_kubelets_root_names_the_pod_or_the_staged_volume() {
        let published = |pod: &str| Some(Use::Published { pod: pod.to_owned(), volume: "pvc-1".to_owned() });
        let mapped = |pod: &str| Some(Use::Mapped { pod: pod.to_owned(), volume: "pvc-1".to_owned() });
        let staged = Some(Use::Staged { volume: "pvc-1".to_owned() });
        for (path, expected) in [
            ("pods/u-1/volumes/kubernetes.io~csi/pvc-1/mount", published("u-1")),
            ("pods/u-1/volumes/kubernetes.io~csi/pvc-1/mount/inner", published("u-1")),
            ("pods/u-1/volumes/kubernetes.io~projected/token", None),
            ("pods/u-1/volumes/kubernetes.io~csi", None),
            ("pods/u-1", None),
            ("plugins/kubernetes.io/csi", None),
            ("plugins/kubernetes.io/csi/d.example/pvc-1/globalmount", staged.clone()),
            ("plugins/kubernetes.io/csi/pv/pvc-1/globalmount", staged.clone()),
            ("plugins/kubernetes.io/csi/volumeDevices/staging/pvc-1", staged),
            ("plugins/kubernetes.io/csi/volumeDevices/publish/pvc-1/u-2", published("u-2")),
            ("plugins/kubernetes.io/csi/volumeDevices/pvc-1/dev/u-2", mapped("u-2")),
            ("plugins/d.example/csi.sock", None),
            ("device-plugins", None),
        ] {
            assert_eq!(usage(path.as_bytes()), expected, "{path}");
        }
    }
}
