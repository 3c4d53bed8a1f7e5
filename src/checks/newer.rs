//! Pure: where each distribution has another kernel, or more modules of the one that runs.

use super::own_kernel::{has_extra, is_own, red_hat_dist, ubuntu_flavour};
use crate::profile::{OsRelease, PackageManager, Packages};

/// The system that a remedy is for.
pub(super) struct Place<'a> {
    pub(super) os: &'a OsRelease,
    pub(super) packages: &'a Packages,
}

impl Place<'_> {
    pub(super) fn is(&self, id: &str) -> bool {
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

/// The option with which a kernel is built that has the module.
pub(super) fn option(module: &str) -> String {
    match module {
        "nfs" => "CONFIG_NFS_FS".to_owned(),
        "nfsv4" => "CONFIG_NFS_V4".to_owned(),
        "scsi_transport_iscsi" => "CONFIG_SCSI_ISCSI_ATTRS".to_owned(),
        module => format!("CONFIG_{}", module.to_ascii_uppercase()),
    }
}

/// The package of the distribution's own kernel.
fn package(place: &Place<'_>) -> Option<&'static str> {
    match place.packages.manager {
        PackageManager::Apt if place.is("ubuntu") => Some("linux-image-generic"),
        PackageManager::Apt if place.is("debian") => Some("linux-image-$(dpkg --print-architecture)"),
        PackageManager::Dnf | PackageManager::Yum | PackageManager::RpmOstree => Some("kernel"),
        PackageManager::Zypper | PackageManager::TransactionalUpdate => Some("kernel-default"),
        PackageManager::Apk => Some("linux-lts"),
        PackageManager::Tdnf if place.os.id() == "photon" => Some("linux"),
        PackageManager::Pacman => Some("linux"),
        _ => None,
    }
}

/// The repair on a kernel that is not one of the distribution's: none of its packages has a module for it.
fn foreign(place: &Place<'_>, release: &str, module: &str) -> String {
    let (system, option) = (place.os.pretty_name(), option(module));
    let this = format!("this kernel ({release}) is not the distribution's ({system})");
    if release.ends_with("-pve") {
        return format!(
            "{this} but Proxmox VE's: where this node is a container, run modprobe {module} on the machine that runs it; else \
             boot a kernel of Proxmox VE that has it"
        );
    }
    if release.contains("microsoft") {
        return format!(
            "{this} but WSL's: build one with {option}, and name it in .wslconfig (kernel=), or use a virtual machine"
        );
    }
    let own = package(place).map_or_else(String::new, |package| format!(" (package {package})"));
    format!("{this}: boot the distribution's own{own}, or a kernel that is built with {option}")
}

/// How the running kernel gets a module that it does not have.
pub(super) fn module(place: &Place<'_>, release: &str, module: &str) -> String {
    let again = "csihost apply";
    if !is_own(place, release) {
        return foreign(place, release, module);
    }
    let version = place.os.get("VERSION_ID").unwrap_or_default();
    let found = match place.packages.manager {
        _ if place.os.id() == "rancheros" => {
            Some("run ros service enable kernel-extras and ros service up kernel-extras".to_owned())
        }
        PackageManager::Apt if place.is("ubuntu") && release.ends_with("-kvm") => {
            place.installing(&["linux-image-virtual"], "boot that kernel: the kvm one is cut down")
        }
        PackageManager::Apt if ubuntu_flavour(release).is_some_and(|flavour| has_extra(flavour, version)) => {
            place.installing(&[&format!("linux-modules-extra-{release}")], again)
        }
        // All modules are in one package, of which some files are missing.
        PackageManager::Apt if place.is("ubuntu") => {
            Some(format!("run apt-get install --reinstall linux-modules-{release}, then {again}"))
        }
        PackageManager::Apt if release.contains("-cloud-") => {
            let arch = release.rsplit('-').next().unwrap_or("amd64");
            let package = format!("linux-image-{arch}");
            place.installing(&[&package], "boot that kernel: the cloud one is cut down")
        }
        PackageManager::Dnf | PackageManager::Yum | PackageManager::RpmOstree => {
            let then = if place.packages.manager.needs_reboot() { "reboot" } else { again };
            match red_hat_dist(release) {
                // All modules are in one package there.
                Some("el6" | "el7" | "amzn2") if !release.contains("uek") => {
                    Some(format!("run yum reinstall kernel-{release}, then {again}"))
                }
                _ => place.installing(&[&modules_extra(release)], then),
            }
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

/// The package with more modules of one of Red Hat's, Oracle's or Amazon's kernels.
fn modules_extra(release: &str) -> String {
    // RHEL 9 and Fedora append the variant to the release: `...el9_4.x86_64+rt`.
    let (release, variant) = release.split_once('+').unwrap_or((release, ""));
    let series = || release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let kernel = match variant {
        _ if release.contains("uek") => "kernel-uek".to_owned(),
        "" if release.contains(".amzn2023.") && series() != "6.1" => format!("kernel{}", series()),
        "" if release.contains(".rt") => "kernel-rt".to_owned(),
        "" => "kernel".to_owned(),
        variant => format!("kernel-{variant}"),
    };
    format!("{kernel}-modules-extra-{release}")
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
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"",
                Apt,
                "6.8.0-31-generic",
                "linux-modules-extra-6.8.0-31-generic",
            ),
            (
                "ID=ubuntu\nVERSION_ID=\"26.04\"",
                Apt,
                "7.0.0-14-generic",
                "run apt-get install --reinstall linux-modules-7.0.0-14-generic, then csihost apply",
            ),
            (
                "ID=ubuntu\nVERSION_ID=\"22.04\"",
                Apt,
                "5.10.110-rockchip",
                "this kernel (5.10.110-rockchip) is not the distribution's (ubuntu): boot the distribution's own (package \
                 linux-image-generic), or a kernel that is built with CONFIG_DM_CRYPT",
            ),
            ("ID=ubuntu", Apt, "6.8.4-2-pve", "run modprobe dm_crypt on the machine that runs it"),
            ("ID=ubuntu", Apt, "5.15.153.1-microsoft-standard-WSL2", "name it in .wslconfig"),
            ("ID=rocky\nVERSION_ID=9.2", Dnf, "5.10.110", "is not the distribution's (rocky)"),
            (
                "ID=centos\nVERSION_ID=7",
                PackageManager::Yum,
                "3.10.0-1160.el7.x86_64",
                "run yum reinstall kernel-3.10.0-1160.el7.x86_64, then csihost apply",
            ),
            (
                "ID=rhel\nVERSION_ID=9.4",
                Dnf,
                "5.14.0-427.el9_4.x86_64+rt",
                "kernel-rt-modules-extra-5.14.0-427.el9_4.x86_64, then",
            ),
            (
                "ID=amzn\nVERSION_ID=2023",
                Dnf,
                "6.12.20-1.amzn2023.x86_64",
                "kernel6.12-modules-extra-6.12.20-1.amzn2023.x86_64",
            ),
            ("ID=debian", Apt, "6.1.0-18-cloud-arm64", "install linux-image-arm64, then boot"),
            ("ID=debian", Apt, "6.1.0-18-amd64", "install what has dm_crypt for 6.1.0-18-amd64"),
            (
                "ID=rocky",
                Dnf,
                "5.14.0-1.el9.x86_64",
                "kernel-modules-extra-5.14.0-1.el9.x86_64, then csihost apply",
            ),
            ("ID=ol", Dnf, "5.15.0-1.el9uek.x86_64", "kernel-uek-modules-extra-5.15.0-1.el9uek.x86_64"),
            (
                "ID=fedora",
                RpmOstree,
                "6.9.1-200.fc40.x86_64",
                "kernel-modules-extra-6.9.1-200.fc40.x86_64, then reboot",
            ),
            (
                "ID=opensuse-leap",
                Zypper,
                "6.4.0-default",
                "zypper --non-interactive install --no-recommends kernel-default, then reboot",
            ),
            ("ID=sle-micro", TransactionalUpdate, "6.4.0-default", "pkg install kernel-default, then reboot"),
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
