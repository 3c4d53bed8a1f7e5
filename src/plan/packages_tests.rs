//! Pure: tests of what is planned about packages that are missing.

use super::*;
use crate::model::facts::Init;
use crate::profile::{BUILTIN, Profile, of_facts};
use crate::settings::Features;
use std::collections::BTreeSet;

fn profile(name: &str) -> Profile {
    let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name).unwrap();
    Profile::parse(name, name, text).unwrap()
}

fn settings(policy: Option<Policy>) -> Settings {
    Settings { packages: policy, ..Settings::default() }
}

fn live() -> Facts {
    Facts::new(Mode::Live, Init::Systemd)
}

/// The commands of the plan's installation, the ids that were refused, and how much waits.
fn decided(facts: &Facts, settings: &Settings, profile: &str) -> (Vec<String>, Vec<&'static str>, usize) {
    let profile = self::profile(profile);
    let mut decided = Plan::default();
    let mut facts = facts.clone();
    facts.demand = of_facts(settings, &facts, &[], &BTreeSet::new());
    plan(&facts, settings, profile.needs().unwrap(), &mut decided);
    let mut commands = Vec::new();
    for (_, step) in decided.steps() {
        let Action::InstallPackages(install) = &step.action else { panic!("{step:?}") };
        commands.extend(install.commands.iter().map(|words| words.join(" ")));
    }
    (commands, decided.refused.iter().map(|refusal| refusal.id).collect(), decided.later.len())
}

#[test]
fn a_package_that_is_missing_is_installed_by_each_manager_where_the_policy_says_so() {
    for (name, command) in [
        (
            "debian",
            "apt-get update; apt-get -o DPkg::Lock::Timeout=120 -y --no-upgrade --no-install-recommends install open-iscsi",
        ),
        ("rhel", "dnf -y install iscsi-initiator-utils"),
        ("rhel-7", "yum -y install iscsi-initiator-utils"),
        ("suse", "zypper --non-interactive install --no-recommends open-iscsi"),
        ("suse-transactional", "transactional-update --non-interactive pkg install open-iscsi"),
        ("arch", "pacman -S --noconfirm --needed open-iscsi"),
        ("alpine", "apk add open-iscsi"),
        ("photon", "tdnf -y install open-iscsi"),
    ] {
        let (commands, refused, later) = decided(&live(), &settings(Some(Policy::Install)), name);
        assert_eq!(
            (commands.join("; ").as_str(), refused.as_slice(), later),
            (command, &[][..], 0),
            "{name}"
        );
    }
}

#[test]
fn at_boot_and_in_a_tree_nothing_is_installed_and_nothing_refused() {
    for name in ["debian", "rhel", "rhel-7", "suse", "suse-transactional", "arch", "alpine", "photon"] {
        let settings = settings(Some(Policy::Install));
        for facts in [Facts { boot: true, ..live() }, Facts::new(Mode::Offline, Init::Offline)] {
            assert_eq!(decided(&facts, &settings, name), (vec![], vec![], 1), "{name}");
        }
    }
}

#[test]
fn what_a_person_has_to_install_is_refused_with_the_command_and_what_nobody_cares_for_is_not_told() {
    for facts in [live(), Facts { boot: true, ..live() }, Facts::new(Mode::Offline, Init::Offline)] {
        for policy in [None, Some(Policy::Require)] {
            assert_eq!(decided(&facts, &settings(policy), "debian"), (vec![], vec!["iscsi-package"], 0));
        }
        assert_eq!(decided(&facts, &settings(Some(Policy::Ignore)), "debian"), (vec![], vec![], 0));
    }
    let (profile, mut plan) = (profile("debian"), Plan::default());
    super::plan(&live(), &settings(None), profile.needs().unwrap(), &mut plan);
    let refusal = plan.refused.pop().unwrap();
    assert!(refusal.remedy.contains("apt-get") && refusal.remedy.contains("open-iscsi"), "{refusal:?}");
}

#[test]
fn without_a_manager_the_policy_to_install_is_a_persons_too() {
    assert_eq!(
        decided(&live(), &settings(Some(Policy::Install)), "generic"),
        (vec![], vec!["iscsi-package"], 0)
    );
}

#[test]
fn the_profile_decides_where_the_settings_do_not() {
    let facts = live();
    assert_eq!(decided(&facts, &settings(None), "rancheros").0.len(), 2);
    assert_eq!(decided(&facts, &settings(Some(Policy::Require)), "rancheros").0.len(), 0);
}

#[test]
fn features_bring_their_packages_in_one_command_and_what_is_there_is_left_out() {
    let features = Features { rwx: true, encryption: true, ..Features::default() };
    let settings = Settings { features, ..settings(Some(Policy::Install)) };
    let mut facts = live();
    facts.programs.insert(HostPath::from("/usr/sbin/cryptsetup"));
    let entries = vec![b"lock".to_vec(), b"partial".to_vec(), b"repo_._Packages".to_vec()];
    let path = HostPath::from(APT_LISTS);
    facts.dirs.insert(path.clone(), DirFact::Directory { canonical: path, entries });
    let (commands, ..) = decided(&facts, &settings, "debian");
    assert_eq!(
        commands,
        [
            "apt-get -o DPkg::Lock::Timeout=120 -y --no-upgrade --no-install-recommends install open-iscsi nfs-common"
        ]
    );
    let settings = Settings { iscsi: Some(false), packages: None, ..settings };
    assert_eq!(decided(&facts, &settings, "debian"), (vec![], vec!["nfs-client"], 0));
}

#[test]
fn a_package_of_a_driver_that_no_archive_has_does_not_keep_iscsi_from_being_installed() {
    let text = b"[drivers]\nexpected = [\"zfs.csi.openebs.io\", \"driver.longhorn.io\"]\n[packages]\npolicy = \"install\"\n";
    let settings = crate::settings::parse([("csihost.toml", &text[..])]).unwrap();
    let (commands, ..) = decided(&live(), &settings, "rhel");
    assert_eq!(commands, ["dnf -y install iscsi-initiator-utils"], "zfs has no known package there");
    let (commands, ..) = decided(&live(), &settings, "debian");
    let installs: Vec<&String> = commands.iter().filter(|command| command.contains(" install ")).collect();
    assert_eq!(installs.len(), 2, "{commands:?}");
    assert!(installs[0].ends_with(" open-iscsi") && installs[1].ends_with(" zfsutils-linux"), "{commands:?}");
}

#[test]
fn what_is_there_after_a_reboot_is_not_installed_again() {
    let mut facts = live();
    facts.at_reboot.insert("open-iscsi".to_owned());
    let settings = settings(Some(Policy::Install));
    assert_eq!(decided(&facts, &settings, "suse-transactional"), (vec![], vec![], 1));
}

#[test]
fn nothing_is_planned_where_the_programs_are_there() {
    let mut facts = live();
    facts.programs.insert(HostPath::from("/sbin/iscsid"));
    for policy in [Policy::Install, Policy::Require] {
        assert_eq!(decided(&facts, &settings(Some(policy)), "debian"), (vec![], vec![], 0));
    }
}
