//! Checks: whether a kernel is one of the distribution's own, by the form of its release.
//!
//! Packages of modules exist for these alone. Kernels of board vendors, of Proxmox VE (below a container), of WSL and those that
//! somebody built have modules from elsewhere.

use super::newer::Place;
use crate::profile::PackageManager;

/// Flavours of Ubuntu's kernels with a package `linux-modules-extra-RELEASE` (archive of 24.04, November 2026).
const WITH_EXTRA: [&str; 14] = [
    "aws",
    "azure",
    "azure-fde",
    "gcp",
    "generic",
    "generic-64k",
    "generic-lpae",
    "gke",
    "gkeop",
    "ibm",
    "nvidia-lowlatency",
    "oracle",
    "raspi",
    "vmware",
];
/// Its other flavours: all modules are in `linux-modules-RELEASE`.
const WITHOUT_EXTRA: [&str; 18] = [
    "aws-64k",
    "aws-fips",
    "azure-fips",
    "bluefield",
    "fips",
    "gcp-64k",
    "gcp-fips",
    "intel",
    "intel-iotg",
    "kvm",
    "lowlatency",
    "lowlatency-64k",
    "nvidia",
    "nvidia-64k",
    "oem",
    "oracle-64k",
    "realtime",
    "xilinx-zynqmp",
];

/// The flavour of one of Ubuntu's kernels: `X.Y.0-N-flavour`. Kernels of others, such as System76's and the mainline builds,
/// count N in more digits.
pub(super) fn ubuntu_flavour(release: &str) -> Option<&str> {
    let (version, rest) = release.split_once('-')?;
    let (number, flavour) = rest.split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = version.split('.').collect();
    let is_version = matches!(parts.as_slice(), [x, y, "0"] if is_number(x) && is_number(y));
    let is_count = is_number(number) && number.len() <= 4 && !number.starts_with('0');
    let known = WITH_EXTRA.contains(&flavour) || WITHOUT_EXTRA.contains(&flavour);
    (is_version && is_count && known).then_some(flavour)
}

/// True if this Ubuntu has `linux-modules-extra-RELEASE` for the flavour: 25.10 moved its modules to `linux-modules-RELEASE`.
pub(super) fn has_extra(flavour: &str, version: &str) -> bool {
    let before = |year, month| {
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) < (year, month)
    };
    WITH_EXTRA.contains(&flavour) && before(25, 10) && (flavour != "raspi" || before(24, 4))
}

/// The release of Enterprise Linux, Fedora or Amazon Linux in a kernel's: `el9`, `fc40`, `amzn2023`. Kernels of ELRepo say
/// who built them.
pub(super) fn red_hat_dist(release: &str) -> Option<&str> {
    if release.contains("elrepo") {
        return None;
    }
    release.split('.').find_map(|part| {
        let digits = ["el", "fc", "amzn"].iter().find_map(|dist| part.strip_prefix(dist))?;
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (number, rest) = digits.split_at(end);
        let known = rest.is_empty() || rest.starts_with('_') || rest == "uek" || rest.starts_with('+');
        let length = part.len() - rest.len();
        (!number.is_empty() && known).then(|| part.get(..length))?
    })
}

/// True if a kernel of this release may be the distribution's own; unknown distributions are given the benefit of the doubt.
pub(super) fn is_own(place: &Place<'_>, release: &str) -> bool {
    let ends = |flavours: &[&str]| flavours.iter().any(|flavour| release.ends_with(flavour));
    match place.packages.manager {
        // An image is built with its kernel, and RancherOS' services bring modules for theirs.
        PackageManager::None => true,
        _ if place.os.id() == "rancheros" => true,
        PackageManager::Apt if place.is("ubuntu") => ubuntu_flavour(release).is_some(),
        PackageManager::Apt if place.is("debian") || place.os.id() == "raspbian" => is_debians(release),
        PackageManager::Apt => true,
        PackageManager::Dnf | PackageManager::Yum | PackageManager::RpmOstree => is_red_hats(place, release),
        PackageManager::Zypper | PackageManager::TransactionalUpdate => ends(&[
            "-default",
            "-preempt",
            "-rt",
            "-azure",
            "-64kb",
            "-kvmsmall",
            "-longterm",
            "-vanilla",
            "-pae",
            "-lpae",
        ]),
        PackageManager::Apk => ends(&["-lts", "-virt", "-stable", "-edge", "-rpi", "-rpi2", "-rpi4"]),
        PackageManager::Tdnf => {
            [".ph", ".azl", ".cm"].iter().any(|dist| release.contains(dist)) || ends(&["-esx"])
        }
        PackageManager::Pacman => ["-arch", "-lts", "-zen", "-hardened", "-rt", "-MANJARO", "-ARCH"]
            .iter()
            .any(|word| release.contains(word)),
    }
}

/// `6.1.0-18-amd64`, `6.12.48+deb13-cloud-arm64`, `6.5.0-0.deb12.4-amd64`, and Raspberry Pi OS' `6.6.31+rpt-rpi-v8`.
fn is_debians(release: &str) -> bool {
    const ARCHITECTURES: [&str; 14] = [
        "-amd64",
        "-arm64",
        "-arm64-16k",
        "-armmp",
        "-armmp-lpae",
        "-686",
        "-686-pae",
        "-powerpc64le",
        "-s390x",
        "-riscv64",
        "-loong64",
        "-rpi",
        "-4kc-malta",
        "-octeon",
    ];
    let raspberry = release.contains("+rpt-rpi-")
        || ["-v6+", "-v7+", "-v7l+", "-v8+"].iter().any(|end| release.ends_with(end));
    let debian = release.split_once('-').is_some_and(|(version, rest)| {
        let counted = rest.starts_with(|c: char| c.is_ascii_digit());
        counted || version.contains("+deb") || version.contains("+bpo")
    });
    raspberry || (debian && ARCHITECTURES.iter().any(|end| release.ends_with(end)))
}

fn is_red_hats(place: &Place<'_>, release: &str) -> bool {
    let Some(dist) = red_hat_dist(release) else { return release.contains(".oe") || release.contains(".oc") };
    let version = place.os.get("VERSION_ID").unwrap_or_default();
    let major = version.split('.').next().unwrap_or_default();
    match place.os.id() {
        "fedora" => dist.starts_with("fc"),
        "amzn" => dist.starts_with("amzn"),
        // Enterprise Linux counts from 6; what RHEL CoreOS says is OpenShift's version.
        _ => match (dist.strip_prefix("el"), major.parse::<u32>()) {
            (Some(number), Ok(major)) if major >= 6 => number == major.to_string(),
            (number, _) => number.is_some(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{OsRelease, Packages};
    use crate::settings::Policy;

    fn own(os: &str, manager: PackageManager, release: &str) -> bool {
        let packages = Packages {
            manager,
            policy: Policy::Require,
            iscsi: vec![],
            nfs: vec![],
            cryptsetup: vec![],
            note: None,
        };
        is_own(&Place { os: &OsRelease::parse(os.as_bytes()), packages: &packages }, release)
    }

    #[test]
    fn kernels_of_the_distribution_are_known_by_their_form() {
        use PackageManager::{Apk, Apt, Dnf, Pacman, RpmOstree, Tdnf, TransactionalUpdate, Yum, Zypper};
        for (os, manager, release) in [
            ("ID=ubuntu", Apt, "5.15.0-91-generic"),
            ("ID=ubuntu", Apt, "6.8.0-1008-aws"),
            ("ID=ubuntu", Apt, "6.17.0-1005-azure-fde"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"", Apt, "6.8.0-31-generic"),
            ("ID=debian", Apt, "6.1.0-18-amd64"),
            ("ID=debian", Apt, "6.1.0-18-cloud-arm64"),
            ("ID=debian", Apt, "6.12.48+deb13-cloud-amd64"),
            ("ID=debian", Apt, "6.5.0-0.deb12.4-amd64"),
            ("ID=debian", Apt, "6.6.31+rpt-rpi-v8"),
            ("ID=rocky\nVERSION_ID=\"9.2\"", Dnf, "5.14.0-284.11.1.el9_2.x86_64"),
            ("ID=ol\nVERSION_ID=\"8.10\"", Dnf, "5.15.0-1.el8uek.x86_64"),
            ("ID=centos\nVERSION_ID=\"7\"", Yum, "3.10.0-1160.el7.x86_64"),
            ("ID=rhcos\nVERSION_ID=\"4.16\"", RpmOstree, "5.14.0-427.el9_4.x86_64"),
            ("ID=rhel\nVERSION_ID=\"9.4\"", Dnf, "5.14.0-427.el9_4.x86_64+rt"),
            ("ID=fedora\nVERSION_ID=40", Dnf, "6.9.1-200.fc40.x86_64"),
            ("ID=amzn\nVERSION_ID=\"2023\"", Dnf, "6.1.79-99.164.amzn2023.x86_64"),
            ("ID=opensuse-leap", Zypper, "6.4.0-150600.23.7-default"),
            ("ID=sle-micro", TransactionalUpdate, "6.4.0-150600.23.7-rt"),
            ("ID=alpine", Apk, "6.6.1-0-virt"),
            ("ID=photon", Tdnf, "6.1.75-1.ph5-esx"),
            ("ID=arch", Pacman, "6.9.1-arch1-1"),
            ("ID=somebodys", Apt, "6.9.1"),
        ] {
            assert!(own(os, manager, release), "{os} {release}");
        }
    }

    #[test]
    fn kernels_of_others_are_none_of_the_distributions() {
        use PackageManager::{Apk, Apt, Dnf, Tdnf, Zypper};
        let (ubuntu, rocky) = ("ID=ubuntu\nVERSION_ID=\"22.04\"", "ID=\"rocky\"\nVERSION_ID=\"9.2\"");
        for (os, manager, release) in [
            (ubuntu, Apt, "5.10.110"),
            (ubuntu, Apt, "5.10.110-rockchip-rk3588"),
            (ubuntu, Apt, "5.10.104-tegra"),
            (ubuntu, Apt, "6.8.4-2-pve"),
            (ubuntu, Apt, "6.8.0-2-pve"),
            (ubuntu, Apt, "5.15.153.1-microsoft-standard-WSL2"),
            (ubuntu, Apt, "6.1.0-18-amd64"),
            (ubuntu, Apt, "6.5.0-060500-generic"),
            ("ID=pop\nID_LIKE=\"ubuntu debian\"", Apt, "6.9.3-76060903-generic"),
            ("ID=debian", Apt, "6.8.4-2-pve"),
            ("ID=debian", Apt, "5.15.0-91-generic"),
            ("ID=debian", Apt, "6.6.31-current-rockchip64"),
            (rocky, Dnf, "6.8.4-2-pve"),
            (rocky, Dnf, "5.10.110"),
            (rocky, Dnf, "5.15.153.1-microsoft-standard-WSL2"),
            (rocky, Dnf, "6.8.1-1.el9.elrepo.x86_64"),
            (rocky, Dnf, "4.18.0-553.el8_10.x86_64"),
            (rocky, Dnf, "6.9.1-200.fc40.x86_64"),
            (rocky, Dnf, "5.15.0-91-generic"),
            ("ID=fedora", Dnf, "6.9.1"),
            ("ID=opensuse-leap", Zypper, "5.15.153.1-microsoft-standard-WSL2"),
            ("ID=alpine", Apk, "6.8.4-2-pve"),
            ("ID=photon", Tdnf, "6.8.4-2-pve"),
        ] {
            assert!(!own(os, manager, release), "{os} {release}");
        }
    }

    #[test]
    fn ubuntus_package_of_more_modules_ends_with_25_10() {
        assert!(has_extra("generic", "22.04"));
        assert!(has_extra("aws", "25.04"));
        assert!(!has_extra("generic", "25.10"));
        assert!(!has_extra("generic", "26.04"));
        assert!(!has_extra("oem", "24.04"));
        assert!(has_extra("raspi", "22.04"));
        assert!(!has_extra("raspi", "24.04"));
    }
}
