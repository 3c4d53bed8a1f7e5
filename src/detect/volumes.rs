//! Pure: whose volumes are mounted, in a process's mount table.
//!
//! The kubelet mounts a tmpfs for each volume with secrets or in memory, at
//! `<root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>` (kubernetes, pkg/volume/plugins.go). The
//! kernel shows the path with its symbolic links resolved; the mounts stay when the kubelet stops
//! or changes its root, and travel to bridges. So they confirm a root, and never contradict one.

use crate::model::mount::MountTable;

/// Whether volumes of pods are mounted below `root`, a path without symbolic links.
pub(super) fn mounted_below(table: &MountTable, root: &[u8]) -> bool {
    table.iter().any(|mount| mount.fs_type == b"tmpfs" && root_of(&mount.point) == Some(root))
}

/// The kubelet root of which `point` is a volume.
fn root_of(point: &[u8]) -> Option<&[u8]> {
    let parts: Vec<&[u8]> = point.split(|&b| b == b'/').collect();
    // From the end: a root may itself lie below another kubelet's volume.
    let at = parts.iter().rposition(|part| part.starts_with(b"kubernetes.io~"))?;
    let before = |back: usize| parts.get(at.checked_sub(back)?).copied();
    let uid = before(2)?;
    let named = before(1)? == b"volumes" && before(3)? == b"pods" && is_uid(uid) && parts.len() == at + 2;
    // `/pods/<uid>/volumes`, with their slashes.
    let length: usize = parts.iter().take(at.checked_sub(3)?).map(|part| part.len() + 1).sum();
    point.get(..length.checked_sub(1)?).filter(|root| named && !root.is_empty())
}

/// A pod's UID: dashed, or 32 hexadecimal digits for a static pod.
fn is_uid(name: &[u8]) -> bool {
    let hex = name.iter().filter(|b| b.is_ascii_hexdigit()).count();
    let dashes = name.iter().filter(|&&b| b == b'-').count();
    hex == 32 && (dashes == 0 || dashes == 4) && hex + dashes == name.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UID: &str = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";

    #[test]
    fn the_root_is_what_stands_before_the_pods() {
        let volume = |root: &str, uid: &str| format!("{root}/pods/{uid}/volumes/kubernetes.io~projected/x");
        for (point, root) in [
            (volume("/var/lib/kubelet", UID), Some("/var/lib/kubelet")),
            (volume("/srv/a b", "62450c1429e20ea7f6cad8924ab15702"), Some("/srv/a b")),
            (volume(&volume("/var/lib/kubelet", UID), UID), Some(&volume("/var/lib/kubelet", UID)[..])),
            (volume("/var/lib/kubelet", "x"), None),
            (volume("", UID), None),
            (volume("/r", UID) + "/deeper", None),
            (format!("/r/pods/{UID}/volumes/kubernetes.io~csi"), None),
            (format!("/r/pods/{UID}/volume-subpaths/kubernetes.io~csi/x"), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(root_of(point.as_bytes()), root.map(str::as_bytes), "{point}");
        }
    }

    proptest! {
        #[test]
        fn no_mount_point_makes_it_panic(point: Vec<u8>, path in "(/pods|/volumes|/kubernetes.io~x|/[0-9a-f]{32}|/)*") {
            let _ = (root_of(&point), root_of(path.as_bytes()));
        }
    }
}
