//! The names of all checks.

/// Every check: its stable name, and what it asks. The manual has this table too.
pub const CHECKS: [(&str, &str); 43] = [
    ("os-profile", "whether an os-profile was made for this system"),
    ("systemd", "whether systemd answers"),
    ("hostname", "whether the node's name can be the name of a Kubernetes node, and of this one alone"),
    ("kernel-version", "whether the kernel is new enough for Longhorn, and for its second engine"),
    ("iscsi-package", "whether open-iscsi is installed"),
    ("iscsi-kernel", "whether the kernel has iSCSI's control socket"),
    ("iscsid-conf", "whether iscsid.startup in iscsid.conf names what works on this host"),
    ("initiator-name", "whether this host has an initiator name that no other one has"),
    ("node-startup", "whether records of iSCSI targets are made for a login on demand"),
    ("iscsid-unit", "whether iscsid's unit is enabled and active"),
    ("iscsid-reachable", "whether somebody listens where iscsiadm looks for iscsid"),
    ("kernel-module-NAME", "whether a kernel module that volumes need is there and loaded"),
    ("stale-iscsi-records", "whether open-iscsi remembers targets that no session is up to"),
    ("iscsi-record-modes", "whether SELinux lets iscsiadm into each directory of records"),
    ("multipathd", "whether multipathd would take the disks that Longhorn brings"),
    ("nfs-client", "whether mount.nfs is installed (features.rwx)"),
    ("nfs-version", "whether NFS 4.1 can be used, and is by default (features.rwx)"),
    ("cryptsetup", "whether cryptsetup is installed (features.encryption)"),
    ("hugepages", "whether the kernel keeps enough huge pages (features.v2-engine)"),
    ("cpu", "whether the processor has what SPDK is compiled for (features.v2-engine)"),
    ("flexvolume-tools", "whether what FlexVolume's scripts call is installed (features.flexvolume)"),
    ("driver-needs", "whether the host has the programs, services and files that its drivers need"),
    (
        "flexvolume-dir",
        "whether FlexVolume's directory is the same path for host and kubelet (features.flexvolume)",
    ),
    ("kubelet-root", "whether the kubelet's root is known"),
    ("kubelet-links", "whether a link in the kubelet's root leads out of it"),
    ("kubelet-order", "whether the kubelet starts after the file system of its root is mounted"),
    ("kubernetes-version", "whether the kubelet is new enough for CSI, or FlexVolume"),
    ("bridge", "whether drivers find the kubelet's directories below the standard path"),
    ("align", "whether the kubelet uses the standard path as its root (contract.repair)"),
    ("bridge-units", "whether the bridge's units last, or are made anew at each boot (/etc is read-only)"),
    ("bridge-left-over", "whether a bridge that is no longer wanted is still mounted"),
    ("legacy-bind", "whether somebody mounted an unused tree over the kubelet's own directories"),
    ("legacy-root", "whether settings or fstab name a root that this kubelet does not have"),
    ("fstab", "whether each line of fstab for the kubelet's directories is mounted on every system"),
    ("mount-propagation", "whether mounts below the kubelet's root reach who waits for them"),
    ("mount-stack", "whether one of the kubelet's directories is mounted over itself again and again"),
    ("leftover-mounts", "whether a volume is still mounted for a pod that is gone"),
    ("path-contract", "whether what each CSI plugin mounts reaches the kubelet"),
    ("driver-not-registered", "whether each driver that runs registers with this kubelet"),
    ("driver-before-bridge", "whether the containers of each driver were made after the bridge"),
    ("graft-gate", "whether the kubelet can reach the drivers that csihost grafts"),
    ("receipt", "whether csihost still knows what it has changed"),
    ("unanswered", "whether each process and mount that csihost has to look at answers in time"),
];

/// The check of a module has the module's name in it.
pub const MODULE: &str = "kernel-module-";

/// Whether a check has this name.
pub fn is_check(id: &str) -> bool {
    let module = id.strip_prefix(MODULE).is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    });
    module || (!id.ends_with("-NAME") && CHECKS.iter().any(|(known, _)| *known == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_known_by_their_names_those_of_modules_by_any() {
        for known in ["multipathd", "kernel-module-iscsi_tcp", "kernel-module-vfio_pci"] {
            assert!(is_check(known), "{known}");
        }
        for unknown in ["", "multipath", "kernel-module-", "kernel-module-NAME", "kernel-module-a b"] {
            assert!(!is_check(unknown), "{unknown}");
        }
        let mut names: Vec<&str> = CHECKS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len(), "each has one name");
    }
}
