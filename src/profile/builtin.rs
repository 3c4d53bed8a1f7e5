//! The profiles that are part of the program, so that it works without its data files.

/// Name and text of each profile in os-profiles/.
pub const BUILTIN: [(&str, &str); 34] = [
    ("alpine", include_str!("../../os-profiles/alpine.toml")),
    ("amazon-linux", include_str!("../../os-profiles/amazon-linux.toml")),
    ("amazon-linux-2", include_str!("../../os-profiles/amazon-linux-2.toml")),
    ("arch", include_str!("../../os-profiles/arch.toml")),
    ("azure-linux", include_str!("../../os-profiles/azure-linux.toml")),
    ("bottlerocket", include_str!("../../os-profiles/bottlerocket.toml")),
    ("coreos-container-linux", include_str!("../../os-profiles/coreos-container-linux.toml")),
    ("debian", include_str!("../../os-profiles/debian.toml")),
    ("debian-11", include_str!("../../os-profiles/debian-11.toml")),
    ("fedora", include_str!("../../os-profiles/fedora.toml")),
    ("fedora-coreos", include_str!("../../os-profiles/fedora-coreos.toml")),
    ("flatcar", include_str!("../../os-profiles/flatcar.toml")),
    ("generic", include_str!("../../os-profiles/generic.toml")),
    ("generic-apk", include_str!("../../os-profiles/generic-apk.toml")),
    ("generic-apt", include_str!("../../os-profiles/generic-apt.toml")),
    ("generic-dnf", include_str!("../../os-profiles/generic-dnf.toml")),
    ("generic-pacman", include_str!("../../os-profiles/generic-pacman.toml")),
    ("generic-tdnf", include_str!("../../os-profiles/generic-tdnf.toml")),
    ("generic-yum", include_str!("../../os-profiles/generic-yum.toml")),
    ("generic-zypper", include_str!("../../os-profiles/generic-zypper.toml")),
    ("harvester", include_str!("../../os-profiles/harvester.toml")),
    ("k3os", include_str!("../../os-profiles/k3os.toml")),
    ("nixos", include_str!("../../os-profiles/nixos.toml")),
    ("photon", include_str!("../../os-profiles/photon.toml")),
    ("rancheros", include_str!("../../os-profiles/rancheros.toml")),
    ("rancheros-other-console", include_str!("../../os-profiles/rancheros-other-console.toml")),
    ("rhcos", include_str!("../../os-profiles/rhcos.toml")),
    ("rhel", include_str!("../../os-profiles/rhel.toml")),
    ("rhel-7", include_str!("../../os-profiles/rhel-7.toml")),
    ("suse", include_str!("../../os-profiles/suse.toml")),
    ("suse-transactional", include_str!("../../os-profiles/suse-transactional.toml")),
    ("talos", include_str!("../../os-profiles/talos.toml")),
    ("ubuntu", include_str!("../../os-profiles/ubuntu.toml")),
    ("ubuntu-core", include_str!("../../os-profiles/ubuntu-core.toml")),
];

/// Name and text of each profile in driver-profiles/.
pub const DRIVERS: [(&str, &str); 50] = [
    ("aws-ebs", include_str!("../../driver-profiles/aws-ebs.toml")),
    ("aws-efs", include_str!("../../driver-profiles/aws-efs.toml")),
    ("aws-fsx", include_str!("../../driver-profiles/aws-fsx.toml")),
    ("azure-blob", include_str!("../../driver-profiles/azure-blob.toml")),
    ("azure-disk", include_str!("../../driver-profiles/azure-disk.toml")),
    ("azure-file", include_str!("../../driver-profiles/azure-file.toml")),
    ("ceph-csi-cephfs", include_str!("../../driver-profiles/ceph-csi-cephfs.toml")),
    ("ceph-csi-nfs", include_str!("../../driver-profiles/ceph-csi-nfs.toml")),
    ("ceph-csi-rbd", include_str!("../../driver-profiles/ceph-csi-rbd.toml")),
    ("csi-driver-host-path", include_str!("../../driver-profiles/csi-driver-host-path.toml")),
    ("csi-driver-iscsi", include_str!("../../driver-profiles/csi-driver-iscsi.toml")),
    ("csi-driver-lvm", include_str!("../../driver-profiles/csi-driver-lvm.toml")),
    ("csi-driver-nfs", include_str!("../../driver-profiles/csi-driver-nfs.toml")),
    ("csi-driver-smb", include_str!("../../driver-profiles/csi-driver-smb.toml")),
    ("csi-s3", include_str!("../../driver-profiles/csi-s3.toml")),
    ("cubefs", include_str!("../../driver-profiles/cubefs.toml")),
    ("dell-powermax", include_str!("../../driver-profiles/dell-powermax.toml")),
    ("dell-powerstore", include_str!("../../driver-profiles/dell-powerstore.toml")),
    ("dell-unity", include_str!("../../driver-profiles/dell-unity.toml")),
    ("democratic-csi", include_str!("../../driver-profiles/democratic-csi.toml")),
    ("digitalocean", include_str!("../../driver-profiles/digitalocean.toml")),
    ("directpv", include_str!("../../driver-profiles/directpv.toml")),
    ("gce-pd", include_str!("../../driver-profiles/gce-pd.toml")),
    ("gcp-filestore", include_str!("../../driver-profiles/gcp-filestore.toml")),
    ("hetzner", include_str!("../../driver-profiles/hetzner.toml")),
    ("hpe", include_str!("../../driver-profiles/hpe.toml")),
    ("ibm-block", include_str!("../../driver-profiles/ibm-block.toml")),
    ("ibm-storage-scale", include_str!("../../driver-profiles/ibm-storage-scale.toml")),
    ("juicefs", include_str!("../../driver-profiles/juicefs.toml")),
    ("kubevirt", include_str!("../../driver-profiles/kubevirt.toml")),
    ("linode", include_str!("../../driver-profiles/linode.toml")),
    ("linstor", include_str!("../../driver-profiles/linstor.toml")),
    ("longhorn", include_str!("../../driver-profiles/longhorn.toml")),
    ("oci-block", include_str!("../../driver-profiles/oci-block.toml")),
    ("oci-fss", include_str!("../../driver-profiles/oci-fss.toml")),
    ("openebs-lvm", include_str!("../../driver-profiles/openebs-lvm.toml")),
    ("openebs-mayastor", include_str!("../../driver-profiles/openebs-mayastor.toml")),
    ("openebs-rawfile", include_str!("../../driver-profiles/openebs-rawfile.toml")),
    ("openebs-zfs", include_str!("../../driver-profiles/openebs-zfs.toml")),
    ("openstack-cinder", include_str!("../../driver-profiles/openstack-cinder.toml")),
    ("openstack-manila", include_str!("../../driver-profiles/openstack-manila.toml")),
    ("proxmox", include_str!("../../driver-profiles/proxmox.toml")),
    ("scaleway", include_str!("../../driver-profiles/scaleway.toml")),
    ("seagate-exos", include_str!("../../driver-profiles/seagate-exos.toml")),
    ("seaweedfs", include_str!("../../driver-profiles/seaweedfs.toml")),
    ("secrets-store", include_str!("../../driver-profiles/secrets-store.toml")),
    ("synology", include_str!("../../driver-profiles/synology.toml")),
    ("topolvm", include_str!("../../driver-profiles/topolvm.toml")),
    ("trident", include_str!("../../driver-profiles/trident.toml")),
    ("vsphere", include_str!("../../driver-profiles/vsphere.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{DriverProfile, Profile};
    use std::collections::BTreeSet;

    /// The names of the files `*.toml` in a directory of the project.
    fn files(directory: &str) -> BTreeSet<String> {
        let files = std::fs::read_dir(format!("{}/{directory}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn every_profile_of_the_directories_is_built_in_and_reads_well() {
        let names = |all: &[(&str, &str)]| {
            all.iter().map(|(name, _)| format!("{name}.toml")).collect::<BTreeSet<_>>()
        };
        assert_eq!(files("os-profiles"), names(&BUILTIN));
        assert_eq!(files("driver-profiles"), names(&DRIVERS));
        for (name, text) in BUILTIN {
            Profile::parse(name, name, text).unwrap();
        }
    }

    #[test]
    fn every_driver_profile_reads_well_and_no_name_is_in_two() {
        let mut names = BTreeSet::new();
        for (name, text) in DRIVERS {
            let profile = DriverProfile::parse(name, name, text).unwrap_or_else(|error| panic!("{error}"));
            for pattern in &profile.drivers {
                assert!(
                    names.insert(pattern.as_str().to_owned()),
                    "{name}: {} is another profile's too",
                    pattern.as_str()
                );
            }
        }
    }
}
