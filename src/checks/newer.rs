//! Pure: where each distribution has another kernel, or more modules of the one that runs.

use crate::profile::{OsRelease, PackageManager, Packages};

/// The system that a remedy is for.
pub(super) struct Place<'a> {
    pub(super) os: &'a OsRelease,
    pub(super) packages: &'a Packages,
}

impl Place<'_> {
    fn is(&self, id: &str) -> bool {
        let like = self.os.get("ID_LIKE").unwrap_or_default();
        self.os.id() == id || like.split_ascii_whitespace().any(|word| word == id)
    }

    fn install(&self, packages: &[&str]) -> Option<String> {
        let packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
        self.packages.manager.install_command(&packages).map(|command| command.to_string())
    }

    /// The remedy that installs packages, with what is to be done afterwards.
    fn installing(&self, packages: &[&str], then: &str) -> Option<String> {
        self.install(packages).map(|command| format!("run {command}, then {then}"))
    }
}

/// How the running kernel gets a module that it does not have.
pub(super) fn module(place: &Place<'_>, release: &str, module: &str) -> String {
    let again = "csihost apply";
    let found = match place.packages.manager {
        _ if place.os.id() == "rancheros" => {
            Some("run ros service enable kernel-extras and ros service up kernel-extras".to_owned())
        }
        PackageManager::Apt if place.is("ubuntu") && release.ends_with("-kvm") => {
            place.installing(&["linux-image-virtual"], "boot that kernel: the kvm one is cut down")
        }
        PackageManager::Apt if place.is("ubuntu") => {
            place.installing(&[&format!("linux-modules-extra-{release}")], again)
        }
        PackageManager::Apt if release.contains("-cloud-") => {
            let arch = release.rsplit('-').next().unwrap_or("amd64");
            let package = format!("linux-image-{arch}");
            place.installing(&[&package], "boot that kernel: the cloud one is cut down")
        }
        PackageManager::Dnf | PackageManager::Yum | PackageManager::RpmOstree => {
            // Oracle's own kernel has packages of its own.
            let kernel = if release.contains("uek") { "kernel-uek" } else { "kernel" };
            let extra = format!("{kernel}-modules-extra-{release}");
            let then = if place.packages.manager.needs_reboot() { "reboot" } else { again };
            place.installing(&[&extra], then)
        }
        PackageManager::Zypper | PackageManager::TransactionalUpdate => {
            place.installing(&["kernel-default"], "reboot: it takes the place of kernel-default-base")
        }
        PackageManager::Apk => place.installing(&["linux-lts"], "boot that kernel: linux-virt is cut down"),
        PackageManager::Tdnf if place.os.id() == "photon" => {
            place.installing(&["linux"], "boot that kernel: linux-esx is cut down")
        }
        _ => None,
    };
    found.unwrap_or_else(|| match place.packages.manager {
        PackageManager::None => format!("boot an image of this system whose kernel has {module}"),
        _ => format!("install what has {module} for {release}, or boot a kernel that has it"),
    })
}

/// How the system gets a kernel of version `wanted` or later.
pub(super) fn kernel(place: &Place<'_>, wanted: &str) -> String {
    let value = |key| place.os.get(key).unwrap_or_default();
    let version = value("VERSION_ID");
    let found = match place.os.id() {
        "ubuntu" if !version.is_empty() => {
            place.installing(&[&format!("linux-generic-hwe-{version}")], "reboot")
        }
        "debian" if !value("VERSION_CODENAME").is_empty() => Some(format!(
            "install linux-image-$(dpkg --print-architecture) from {}-backports, then reboot",
            value("VERSION_CODENAME")
        )),
        // The last release is of 2020 and has 4.14.
        "rancheros" => {
            Some("RancherOS has none, and is maintained no more: move this node to another system".to_owned())
        }
        "amzn" if version == "2" => {
            Some("run amazon-linux-extras install kernel-5.15, then reboot".to_owned())
        }
        _ => None,
    };
    found.unwrap_or_else(|| {
        format!("upgrade to a release of this system with Linux {wanted} or later, then reboot")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Policy;

    fn packages(manager: PackageManager) -> Packages {
        Packages {
            manager,
            policy: Policy::Require,
            iscsi: vec![],
            nfs: vec![],
            cryptsetup: vec![],
            note: None,
        }
    }

    #[test]
    fn each_distribution_has_more_modules_in_its_own_package() {
        use PackageManager::{Apk, Apt, Dnf, None, Pacman, RpmOstree, Tdnf, TransactionalUpdate, Zypper};
        for (os, manager, release, expected) in [
            (
                "ID=ubuntu",
                Apt,
                "5.15.0-91-generic",
                "install linux-modules-extra-5.15.0-91-generic, then csihost apply",
            ),
            ("ID=ubuntu", Apt, "5.15.0-1050-kvm", "install linux-image-virtual, then boot"),
            ("ID=pop\nID_LIKE=\"ubuntu debian\"", Apt, "6.2.0-1-x", "linux-modules-extra-6.2.0-1-x"),
            ("ID=debian", Apt, "6.1.0-18-cloud-arm64", "install linux-image-arm64, then boot"),
            ("ID=debian", Apt, "6.1.0-18-amd64", "install what has dm_crypt for 6.1.0-18-amd64"),
            (
                "ID=rocky",
                Dnf,
                "5.14.0-1.el9.x86_64",
                "kernel-modules-extra-5.14.0-1.el9.x86_64, then csihost apply",
            ),
            ("ID=ol", Dnf, "5.15.0-1.el9uek.x86_64", "kernel-uek-modules-extra-5.15.0-1.el9uek.x86_64"),
            ("ID=fedora", RpmOstree, "6.9.1", "kernel-modules-extra-6.9.1, then reboot"),
            (
                "ID=opensuse-leap",
                Zypper,
                "6.4.0-default",
                "zypper --non-interactive install --no-recommends kernel-default, then reboot",
            ),
            ("ID=sle-micro", TransactionalUpdate, "6.4.0", "pkg install kernel-default, then reboot"),
            ("ID=alpine", Apk, "6.6.1-0-virt", "apk add linux-lts"),
            ("ID=photon", Tdnf, "6.1.1-esx", "tdnf -y install linux, then boot"),
            ("ID=arch", Pacman, "6.9.1-arch1-1", "install what has dm_crypt"),
            ("ID=flatcar", None, "6.1.1-flatcar", "boot an image of this system"),
            ("ID=rancheros", Apt, "4.14.138-rancher", "ros service up kernel-extras"),
        ] {
            let place = Place { os: &OsRelease::parse(os.as_bytes()), packages: &packages(manager) };
            let remedy = module(&place, release, "dm_crypt");
            assert!(remedy.contains(expected), "{os} {release}: {remedy}");
        }
    }

    #[test]
    fn a_newer_kernel_is_named_where_the_distribution_has_one() {
        for (os, expected) in [
            ("ID=ubuntu\nVERSION_ID=\"20.04\"", "linux-generic-hwe-20.04, then reboot"),
            ("ID=debian\nVERSION_CODENAME=bullseye", "from bullseye-backports"),
            ("ID=amzn\nVERSION_ID=2", "amazon-linux-extras install kernel-5.15"),
            ("ID=centos\nVERSION_ID=7", "upgrade to a release of this system with Linux 5.8 or later"),
        ] {
            let place =
                Place { os: &OsRelease::parse(os.as_bytes()), packages: &packages(PackageManager::Apt) };
            let remedy = kernel(&place, "5.8");
            assert!(remedy.contains(expected), "{os}: {remedy}");
        }
    }
}
