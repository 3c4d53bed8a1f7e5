//! Pure: which profile is for this host.

use super::{InitKind, Match, OsRelease, Profile};
use crate::model::path::HostPath;
use std::cmp::Ordering;

/// The profile of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The profile.
    pub profile: Profile,
    /// Whether it was made for this system, or is only the nearest.
    pub exact: bool,
}

/// What else than os-release tells systems apart.
#[derive(Clone, Copy)]
pub struct Traits<'a> {
    /// The word in /run/console-done: the console of RancherOS.
    pub console: Option<&'a str>,
    /// Whether systemd is PID 1, or would be.
    pub systemd: bool,
    /// Whether the system is an image of ostree(1)'s.
    pub ostree: bool,
    /// Whether a program is there.
    pub programs: &'a dyn Fn(&HostPath) -> bool,
}

/// Picks the profile for `release`: one that names its `ID` before one that names a word of
/// `ID_LIKE`, and among those the most particular; then a fallback, the most particular first and
/// else by name. `None` where not even a general one is there.
pub fn choose(profiles: &[Profile], release: &OsRelease, traits: &Traits) -> Option<Chosen> {
    let like = release.get("ID_LIKE").unwrap_or_default();
    let words = std::iter::once(release.id()).chain(like.split_ascii_whitespace());
    for (index, word) in words.enumerate() {
        let best = profiles
            .iter()
            .flat_map(|profile| profile.matches.iter().map(move |rule| (profile, rule)))
            .filter(|(_, rule)| fits(rule, word, index == 0, release, traits))
            // Of equals the first by name, as with fallbacks.
            .rev()
            .max_by_key(|(_, rule)| particular(rule));
        if let Some((profile, _)) = best {
            return Some(Chosen { profile: profile.clone(), exact: index == 0 });
        }
    }
    let stands_in = |profile: &&Profile| {
        profile.fallback.as_ref().is_some_and(|fallback| {
            let init = fallback.init.is_none_or(|init| (init == InitKind::Systemd) == traits.systemd);
            init && (fallback.programs.is_empty() || fallback.programs.iter().any(traits.programs))
        })
    };
    let general = profiles.iter().filter(stands_in).rev().max_by_key(|profile| {
        let fallback = profile.fallback.as_ref();
        fallback.map(|fallback| (!fallback.programs.is_empty(), fallback.init.is_some()))
    })?;
    Some(Chosen { profile: general.clone(), exact: false })
}

fn fits(rule: &Match, word: &str, own_id: bool, release: &OsRelease, traits: &Traits) -> bool {
    let version = release.get("VERSION_ID");
    // The version of a derivative says nothing of the system that it is like.
    let version_fits = !own_id || {
        let from = |limit: &String| version.is_none_or(|v| compare(v, limit) != Ordering::Less);
        let below = |limit: &String| version.is_some_and(|v| compare(v, limit) == Ordering::Less);
        rule.version_from.as_ref().is_none_or(from) && rule.version_below.as_ref().is_none_or(below)
    };
    let newest = own_id || rule.version_below.is_none();
    let variant = rule
        .variant
        .as_deref()
        .is_none_or(|variant| ["VARIANT_ID", "VARIANT"].iter().any(|key| release.get(key) == Some(variant)));
    let console = rule.console.as_deref().is_none_or(|console| traits.console == Some(console));
    rule.id == word
        && variant
        && version_fits
        && newest
        && console
        && rule.ostree.is_none_or(|ostree| ostree == traits.ostree)
}

/// How much a rule asks for. What says which system it is comes before its version.
fn particular(rule: &Match) -> (bool, bool, bool, bool) {
    (
        rule.console.is_some(),
        rule.variant.is_some(),
        rule.ostree.is_some(),
        rule.version_from.is_some() || rule.version_below.is_some(),
    )
}

/// Compares versions number by number: `9` is older than `10.1`, `v1.4.2` is `1.4.2`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |version: &str| -> Vec<u64> {
        let parts = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or(u64::MAX)).collect()
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::BUILTIN;
    use proptest::prelude::*;

    /// A system: os-release, the console, whether it is an image of ostree's, programs, systemd.
    #[derive(Clone, Copy)]
    struct System<'a>(&'a str, Option<&'a str>, bool, &'a [&'a str], bool);

    fn chosen(System(release, console, ostree, programs, systemd): System) -> (String, bool) {
        let profiles: Vec<_> =
            BUILTIN.iter().map(|(name, text)| Profile::parse(name, name, text).unwrap()).collect();
        let there = |path: &HostPath| programs.iter().any(|program| path.as_bytes() == program.as_bytes());
        let traits = Traits { console, systemd, ostree, programs: &there };
        let chosen = choose(&profiles, &OsRelease::parse(release.as_bytes()), &traits).unwrap();
        (chosen.profile.name, chosen.exact)
    }

    fn by_release(release: &str) -> (String, bool) {
        chosen(System(release, None, false, &[], true))
    }

    #[test]
    fn each_system_gets_its_profile_by_os_release_alone() {
        for (release, name) in [
            ("ID=debian\nVERSION_ID=\"12\"\n", "debian"),
            ("ID=debian\nVERSION_ID=11\n", "debian-11"),
            // sid has no version and is the newest.
            ("ID=debian\n", "debian"),
            ("ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"11\"\n", "debian-11"),
            ("ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"12\"\n", "debian"),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"18.04\"\n", "ubuntu"),
            ("ID=ubuntu-core\nVERSION_ID=\"24\"\n", "ubuntu-core"),
            ("ID=rancheros\nVERSION_ID=v1.5.8\n", "rancheros-other-console"),
            ("ID=coreos\nVERSION_ID=2512.3.0\n", "coreos-container-linux"),
            ("ID=flatcar\nID_LIKE=coreos\nVERSION_ID=3815.2.0\n", "flatcar"),
            ("ID=fedora\nVERSION_ID=41\nVARIANT_ID=coreos\n", "fedora-coreos"),
            ("ID=fedora\nVERSION_ID=41\nVARIANT_ID=server\n", "fedora"),
            ("ID=\"rhcos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"4.18\"\nVARIANT_ID=coreos\n", "rhcos"),
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.6\"\nVARIANT_ID=coreos\n", "rhcos"),
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.6\"\n", "rhel"),
            ("ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n", "rhel-7"),
            ("ID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"10\"\n", "rhel"),
            ("ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"8.10\"\n", "rhel"),
            ("ID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"7.9\"\n", "rhel-7"),
            ("ID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.5\"\n", "rhel"),
            ("ID=\"amzn\"\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=\"2\"\n", "amazon-linux-2"),
            ("ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"\n", "amazon-linux"),
            ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\nVERSION_ID=\"15.6\"\n", "suse"),
            ("ID=\"sles\"\nID_LIKE=\"suse\"\nVERSION_ID=\"15.7\"\n", "suse"),
            ("ID=sles\nVERSION_ID=6.2\nVARIANT_ID=transactional\n", "suse-transactional"),
            ("ID=\"sl-micro\"\nID_LIKE=\"suse sle-micro opensuse-microos microos\"\n", "suse-transactional"),
            ("ID=\"opensuse-microos\"\nID_LIKE=\"suse opensuse\"\n", "suse-transactional"),
            ("ID=\"sle-micro-rancher\"\nID_LIKE=\"suse\"\nVERSION_ID=\"5.4\"\n", "suse-transactional"),
            (
                "ID=\"sle-micro-rancher\"\nVERSION_ID=\"5.2\"\nVARIANT=\"Harvester\"\nVARIANT_ID=\"Harvester-v1.3\"\n",
                "harvester",
            ),
            ("ID=photon\nVERSION_ID=5.0\n", "photon"),
            ("ID=azurelinux\nVERSION_ID=\"3.0\"\n", "azure-linux"),
            ("ID=mariner\nVERSION_ID=\"2.0\"\n", "azure-linux"),
            ("ID=arch\nBUILD_ID=rolling\n", "arch"),
            ("ID=alpine\nVERSION_ID=3.20.1\n", "alpine"),
            ("ID=k3os\nID_LIKE=alpine\n", "k3os"),
            ("ID=talos\nVERSION_ID=v1.9.0\n", "talos"),
            ("ID=bottlerocket\nVARIANT_ID=aws-k8s-1.31\nVERSION_ID=1.20.0\n", "bottlerocket"),
            ("ID=nixos\nVERSION_ID=\"25.05\"\nVARIANT_ID=\"\"\n", "nixos"),
        ] {
            assert_eq!(by_release(release), (name.to_owned(), true), "{release}");
        }
    }

    #[test]
    fn the_console_decides_what_rancheros_is() {
        let of = |console| chosen(System("ID=rancheros\n", console, false, &[], false));
        assert_eq!(of(Some("ubuntu")), ("rancheros".to_owned(), true));
        for other in [None, Some("default"), Some("debian"), Some("")] {
            assert_eq!(of(other), ("rancheros-other-console".to_owned(), true), "{other:?}");
        }
        // Only of RancherOS: the word says nothing elsewhere.
        let ubuntu = System("ID=ubuntu\n", Some("ubuntu"), false, &[], true);
        assert_eq!(chosen(ubuntu), ("ubuntu".to_owned(), true));
    }

    #[test]
    fn an_image_of_ostree_is_not_the_distribution_that_it_is_made_of() {
        for (release, name) in [
            ("ID=\"rhel\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"\n", "rhcos"),
            ("ID=fedora\nVERSION_ID=41\nVARIANT_ID=iot\n", "fedora-coreos"),
            ("ID=\"centos\"\nVERSION_ID=\"10\"\n", "rhcos"),
        ] {
            assert_eq!(chosen(System(release, None, true, &[], true)), (name.to_owned(), true), "{release}");
        }
    }

    #[test]
    fn a_stranger_gets_the_nearest_by_what_it_is_like() {
        for (release, name) in [
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"9\"\n", "ubuntu"),
            ("ID=devuan\nID_LIKE=debian\nVERSION_ID=\"5\"\n", "debian"),
            // The first word that a profile knows counts.
            ("ID=eurolinux\nID_LIKE=\"scientific rhel fedora centos\"\nVERSION_ID=\"9\"\n", "rhel"),
            ("ID=manjaro\nID_LIKE=arch\n", "arch"),
            ("ID=postmarketos\nID_LIKE=alpine\n", "alpine"),
            ("ID=x\nID_LIKE=\"opensuse suse\"\n", "suse"),
        ] {
            assert_eq!(by_release(release), (name.to_owned(), false), "{release}");
        }
    }

    #[test]
    fn a_system_like_nothing_known_gets_the_profile_of_its_package_manager() {
        for (programs, name) in [
            (&["/usr/bin/apt-get"][..], "generic-apt"),
            // yum is another name of dnf where both are.
            (&["/usr/bin/dnf", "/usr/bin/yum"], "generic-dnf"),
            (&["/usr/bin/yum"], "generic-yum"),
            (&["/usr/bin/zypper"], "generic-zypper"),
            (&["/usr/bin/pacman"], "generic-pacman"),
            (&["/sbin/apk"], "generic-apk"),
            (&["/usr/bin/tdnf"], "generic-tdnf"),
            (&[], "generic"),
        ] {
            for systemd in [true, false] {
                let system = System("ID=plan9\n", None, false, programs, systemd);
                assert_eq!(chosen(system), (name.to_owned(), false));
                assert_eq!(chosen(System("", None, false, programs, systemd)), (name.to_owned(), false));
            }
        }
    }

    #[test]
    fn a_fallback_that_asks_for_the_init_system_is_more_particular() {
        let text = |head: &str| {
            format!("summary = 's'\n[fallback]\n{head}\n[unsupported]\nreason = 'a'\nremedy = 'b'\n")
        };
        let parse = |name: &str, head: &str| Profile::parse(name, name, &text(head)).unwrap();
        let profiles = [
            parse("any", "programs = []"),
            parse("none", "programs = []\ninit = 'other'"),
            parse("tool", "programs = ['/bin/tool']"),
        ];
        let pick = |systemd, tool: bool| {
            let traits = Traits { console: None, systemd, ostree: false, programs: &|_| tool };
            choose(&profiles, &OsRelease::default(), &traits).unwrap().profile.name
        };
        assert_eq!(pick(true, false), "any");
        assert_eq!(pick(false, false), "none");
        assert_eq!(pick(false, true), "tool");
        let traits = Traits { console: None, systemd: true, ostree: false, programs: &|_| false };
        assert_eq!(choose(&profiles[2..], &OsRelease::default(), &traits), None);
    }

    proptest! {
        #[test]
        fn every_system_gets_a_profile_and_exactly_only_one_that_names_it(
            id in "[a-z]{0,6}|debian|ubuntu|rhel|centos|fedora|amzn|sles|rancheros|talos",
            like in "(debian|rhel|fedora|suse|arch|x| ){0,3}",
            version in "[0-9v.]{0,6}",
            variant in "coreos|transactional|Harvester|",
            ostree: bool,
            systemd: bool,
        ) {
            let release =
                format!("ID={id}\nID_LIKE=\"{like}\"\nVERSION_ID={version}\nVARIANT_ID={variant}\n");
            let (name, exact) = chosen(System(&release, None, ostree, &[], systemd));
            let (_, text) = BUILTIN.into_iter().find(|(builtin, _)| *builtin == name).unwrap();
            let profile = Profile::parse(&name, &name, text).unwrap();
            prop_assert_eq!(exact, profile.matches.iter().any(|rule| rule.id == id));
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(compare("9", "10"), Ordering::Less);
        assert_eq!(compare("v1.4.2", "1.4.2"), Ordering::Equal);
        assert_eq!(compare("15.3", "15"), Ordering::Greater);
    }
}
