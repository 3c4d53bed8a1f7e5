//! Pure: the profiles that are part of the program, so that it works without its data files.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use std::collections::BTreeSet;

    #[test]
    fn every_profile_of_the_directory_is_built_in_and_reads_well() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/os-profiles")).unwrap();
        let files: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let names = BUILTIN.iter().map(|(name, _)| format!("{name}.toml")).collect();
        assert_eq!(files, names);
        for (name, text) in BUILTIN {
            Profile::parse(name, name, text).unwrap();
        }
    }
}
