//! Pure: the packages of a distribution, and the command that installs them there.

use crate::settings::Policy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What installs packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageManager {
    /// Debian's family: apt-get(8).
    Apt,
    /// Red Hat's family from 8 on: dnf(8).
    Dnf,
    /// Red Hat's family up to 7, Amazon Linux 2: yum(8).
    Yum,
    /// SUSE's family: zypper(8).
    Zypper,
    /// SUSE's systems with a read-only root: transactional-update(8); needs a reboot.
    TransactionalUpdate,
    /// Fedora CoreOS and its kin: rpm-ostree(1); needs a reboot.
    RpmOstree,
    /// Arch Linux: pacman(8).
    Pacman,
    /// Alpine: apk(8).
    Apk,
    /// Photon, Azure Linux: tdnf(8).
    Tdnf,
    /// There is none: what the system needs is a part of it.
    None,
}

/// The packages of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// What installs them.
    pub manager: PackageManager,
    /// What is done about missing ones, unless the settings say otherwise.
    pub policy: Policy,
    /// iscsid and iscsiadm; none where they are a part of the system.
    pub iscsi: Vec<String>,
    /// mount.nfs, for volumes that several nodes write to.
    pub nfs: Vec<String>,
    /// cryptsetup, for encrypted volumes.
    pub cryptsetup: Vec<String>,
    /// What a person has to know about packages here.
    pub note: Option<String>,
}

/// A command that installs packages, asks nothing and upgrades nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallCommand {
    /// The program, by its name alone, and its arguments.
    pub argv: Vec<String>,
    /// Variables that it needs.
    pub environment: &'static [(&'static str, &'static str)],
}

impl fmt::Display for InstallCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No word of it needs quotes: names of packages are checked where they are read.
        f.write_str(&self.argv.join(" "))
    }
}

impl PackageManager {
    /// The command that installs `packages`; `None` where nothing is to be installed, or nothing
    /// can be.
    pub fn install_command(self, packages: &[String]) -> Option<InstallCommand> {
        let (words, environment): (&[&str], &'static [_]) = match self {
            Self::Apt => (
                &["apt-get", "-y", "--no-upgrade", "--no-install-recommends", "install"],
                &[("DEBIAN_FRONTEND", "noninteractive")],
            ),
            Self::Dnf => (&["dnf", "-y", "install"], &[]),
            Self::Yum => (&["yum", "-y", "install"], &[]),
            Self::Zypper => (&["zypper", "--non-interactive", "install", "--no-recommends"], &[]),
            Self::TransactionalUpdate => {
                (&["transactional-update", "--non-interactive", "pkg", "install"], &[])
            }
            Self::RpmOstree => (&["rpm-ostree", "install", "--idempotent"], &[]),
            // Never with -y: a new database with old packages is a partial upgrade, which Arch
            // does not support (wiki, "System maintenance").
            Self::Pacman => (&["pacman", "-S", "--noconfirm", "--needed"], &[]),
            Self::Apk => (&["apk", "add"], &[]),
            Self::Tdnf => (&["tdnf", "-y", "install"], &[]),
            Self::None => return None,
        };
        if packages.is_empty() {
            return None;
        }
        let words = words.iter().map(|&word| word.to_owned());
        Some(InstallCommand { argv: words.chain(packages.iter().cloned()).collect(), environment })
    }

    /// Whether what it installs is there only after a reboot.
    pub fn needs_reboot(self) -> bool {
        matches!(self, Self::TransactionalUpdate | Self::RpmOstree)
    }
}

impl Packages {
    /// What a person does to have `packages` here.
    pub fn remedy(&self, packages: &[String]) -> String {
        let note = self.note.as_deref();
        match (self.manager.install_command(packages), note) {
            (Some(command), None) => format!("run {command}"),
            (Some(command), Some(note)) => format!("run {command} ({note})"),
            (None, Some(note)) => note.to_owned(),
            (None, None) => {
                let names = if packages.is_empty() { "it".to_owned() } else { packages.join(" ") };
                format!("install {names} as this system's documentation says")
            }
        }
    }

    /// The package that has `program` here. Where the name is not known, none: its remedy is then a sentence.
    pub fn with_program(&self, program: &str) -> Vec<String> {
        let apt = self.manager == PackageManager::Apt;
        let name = match program {
            "mount.nfs" | "mount.nfs4" => return self.nfs.clone(),
            "cryptsetup" => return self.cryptsetup.clone(),
            "iscsid" | "iscsiadm" => return self.iscsi.clone(),
            "mount.cifs" => "cifs-utils",
            "nvme" => "nvme-cli",
            "awk" if apt => "mawk",
            "awk" => "gawk",
            // Alpine has a package for each.
            "findmnt" | "blkid" | "lsblk" if self.manager != PackageManager::Apk => "util-linux",
            "bash" | "curl" | "grep" | "findmnt" | "blkid" | "lsblk" => program,
            "lvm" | "lvs" | "vgs" | "pvs" | "lvcreate" => "lvm2",
            "multipath" | "multipathd" if self.is_of_fedora() => "device-mapper-multipath",
            "multipath" | "multipathd" => "multipath-tools",
            "sg_inq" | "sg_turs" if apt => "sg3-utils",
            "sg_inq" | "sg_turs" => "sg3_utils",
            "lsscsi" => "lsscsi",
            "mkfs.xfs" => "xfsprogs",
            "mkfs.ext4" => "e2fsprogs",
            "zfs" | "zpool" if apt => "zfsutils-linux",
            _ => return Vec::new(),
        };
        vec![name.to_owned()]
    }

    /// True for systems whose packages are named as Fedora names them.
    fn is_of_fedora(&self) -> bool {
        use PackageManager::{Dnf, RpmOstree, Tdnf, Yum};
        matches!(self.manager, Dnf | Yum | RpmOstree | Tdnf)
    }

    /// The name of iSCSI's package, for people.
    pub fn iscsi_name(&self) -> String {
        if self.iscsi.is_empty() { "open-iscsi".to_owned() } else { self.iscsi.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PackageManager::{Apk, Apt, Dnf, None, Pacman, RpmOstree, Tdnf, TransactionalUpdate, Yum, Zypper};

    #[test]
    fn each_manager_is_told_to_ask_nothing_and_to_upgrade_nothing_else() {
        for (manager, command) in [
            (Apt, "apt-get -y --no-upgrade --no-install-recommends install a b"),
            (Dnf, "dnf -y install a b"),
            (Yum, "yum -y install a b"),
            (Zypper, "zypper --non-interactive install --no-recommends a b"),
            (TransactionalUpdate, "transactional-update --non-interactive pkg install a b"),
            (RpmOstree, "rpm-ostree install --idempotent a b"),
            (Pacman, "pacman -S --noconfirm --needed a b"),
            (Apk, "apk add a b"),
            (Tdnf, "tdnf -y install a b"),
        ] {
            let packages = ["a".to_owned(), "b".to_owned()];
            let made = manager.install_command(&packages).unwrap();
            assert_eq!(made.to_string(), command);
            assert_eq!(made.environment.is_empty(), manager != Apt);
            assert_eq!(manager.install_command(&[]), Option::None);
        }
        assert_eq!(None.install_command(&["a".to_owned()]), Option::None);
    }

    #[test]
    fn a_remedy_is_the_command_the_note_or_both() {
        let packages = |manager, note: Option<&str>| Packages {
            manager,
            policy: Policy::Require,
            iscsi: vec!["open-iscsi".to_owned()],
            nfs: vec![],
            cryptsetup: vec![],
            note: note.map(str::to_owned),
        };
        let remedy = |of: &Packages| of.remedy(&of.iscsi);
        assert_eq!(remedy(&packages(Apk, Option::None)), "run apk add open-iscsi");
        assert_eq!(remedy(&packages(Apk, Some("then reboot"))), "run apk add open-iscsi (then reboot)");
        assert_eq!(remedy(&packages(None, Some("it is built in"))), "it is built in");
        assert_eq!(
            remedy(&packages(None, Option::None)),
            "install open-iscsi as this system's documentation says"
        );
    }
}
