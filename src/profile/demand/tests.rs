//! Tests of what drivers and settings need of a host.

use super::*;
use crate::profile::DRIVERS;
use crate::settings::{self, Features};

fn builtin() -> Vec<DriverProfile> {
    DRIVERS.iter().map(|(name, text)| DriverProfile::parse(name, name, text).unwrap()).collect()
}

/// The demand of a node with `drivers`, under `settings`, on a host that has `present` (programs and directories).
fn of(drivers: &[&str], settings: &str, present: &[&str]) -> Demand {
    let settings = settings::parse([("csihost.toml", settings.as_bytes())]).unwrap();
    let drivers = drivers.iter().map(|name| (*name).to_owned()).collect();
    let has = |path: &HostPath| present.iter().any(|known| path.as_bytes() == known.as_bytes());
    let iscsid = [HostPath::from("/usr/sbin/iscsid")];
    let node =
        OnNode { drivers: &drivers, present: None, has_program: &has, has_directory: &has, iscsid: &iscsid };
    demand(&settings, &builtin(), &node)
}

fn in_use(demand: &Demand) -> Vec<String> {
    let one = |one: &DriverNeeds| {
        format!("{}/{}{}", one.driver, one.needs.name, if one.certain { "" } else { "?" })
    };
    demand.drivers.iter().map(one).collect()
}

#[test]
fn a_node_of_which_no_driver_is_known_is_made_ready_for_longhorn() {
    let demand = of(&[], "", &[]);
    assert_eq!(demand.iscsi, IscsiDemand::ByDefault);
    assert_eq!(in_use(&demand), ["driver.longhorn.io/v1"]);
}

#[test]
fn drivers_that_do_not_use_iscsi_do_not_need_it() {
    for driver in
        ["nfs.csi.k8s.io", "smb.csi.k8s.io", "ebs.csi.aws.com", "topolvm.io", "rook-ceph.rbd.csi.ceph.com"]
    {
        let demand = of(&[driver], "", &[]);
        assert_eq!(demand.iscsi, IscsiDemand::NotNeeded(vec![driver.to_owned()]), "{driver}");
        assert!(demand.unknown.is_empty());
    }
    let both = of(&["nfs.csi.k8s.io", "driver.longhorn.io"], "", &[]);
    assert_eq!(both.iscsi, IscsiDemand::ByDrivers(vec!["driver.longhorn.io".to_owned()]));
}

#[test]
fn a_driver_without_a_profile_may_need_iscsi() {
    let demand = of(&["nfs.csi.k8s.io", "disk.example.com"], "", &[]);
    assert_eq!(demand.iscsi, IscsiDemand::ByUnknown(vec!["disk.example.com".to_owned()]));
}

#[test]
fn longhorn_is_expected_where_its_manager_has_a_directory() {
    let demand = of(&["nfs.csi.k8s.io"], "", &["/var/lib/longhorn"]);
    assert_eq!(demand.iscsi, IscsiDemand::ByDrivers(vec!["driver.longhorn.io".to_owned()]));
    let told = of(&["nfs.csi.k8s.io"], "[drivers]\nexpected = []\n", &["/var/lib/longhorn"]);
    assert!(!told.iscsi.is_needed(), "settings win");
}

#[test]
fn settings_decide_before_drivers_do() {
    assert_eq!(of(&["nfs.csi.k8s.io"], "[iscsi]\nenabled = true\n", &[]).iscsi, IscsiDemand::BySetting);
    assert_eq!(of(&["driver.longhorn.io"], "[iscsi]\nenabled = false\n", &[]).iscsi, IscsiDemand::Disabled);
    let expected = of(&[], "[drivers]\nexpected = [\"nfs.csi.k8s.io\"]\n", &[]);
    assert_eq!(expected.iscsi, IscsiDemand::NotNeeded(vec!["nfs.csi.k8s.io".to_owned()]));
    assert_eq!(of(&[], "[drivers]\nexpected = []\n", &[]).iscsi, IscsiDemand::NotNeeded(Vec::new()));
}

#[test]
fn of_several_protocols_those_count_that_the_host_has_begun_with_or_a_setting_names() {
    let trident = "csi.trident.netapp.io";
    let none = of(&[trident], "", &[]);
    // Which protocol is used cannot be seen: iSCSI stays cared for.
    assert_eq!(
        (in_use(&none), &none.iscsi),
        (Vec::new(), &IscsiDemand::ByPossible(vec![trident.to_owned()]))
    );
    let nfs = of(&[trident], "[drivers]\nexpected = [\"csi.trident.netapp.io/nfs\"]\n", &[]);
    assert!(!nfs.iscsi.is_needed());
    assert!(none.unprepared.is_empty());
    let iscsi = of(&[trident], "", &["/usr/sbin/iscsid"]);
    assert_eq!(in_use(&iscsi), ["csi.trident.netapp.io/iscsi?"]);
    assert!(iscsi.iscsi.is_needed());
    let nvme = of(&[trident], "", &["/usr/sbin/nvme"]);
    assert_eq!(in_use(&nvme), ["csi.trident.netapp.io/nvme-tcp?"]);
    let told =
        of(&[trident], "[drivers]\nexpected = [\"csi.trident.netapp.io/iscsi\"]\n", &["/usr/sbin/nvme"]);
    assert_eq!(in_use(&told), ["csi.trident.netapp.io/iscsi"]);
    assert!(told.iscsi.is_needed());

    let nothing = of(&["block.csi.ibm.com"], "", &[]);
    assert_eq!(
        (in_use(&nothing), nothing.unprepared.len()),
        (Vec::new(), 1),
        "each protocol needs a program"
    );
}

#[test]
fn a_name_that_a_deployment_chose_may_say_its_protocol() {
    assert_eq!(
        in_use(&of(&["org.democratic-csi.truenas-iscsi"], "", &[])),
        ["org.democratic-csi.truenas-iscsi/iscsi?"]
    );
    let nvme = of(&["org.democratic-csi.nvmeof"], "", &["/usr/sbin/iscsid"]);
    assert_eq!(
        (in_use(&nvme).as_slice(), nvme.iscsi.is_needed()),
        (&["org.democratic-csi.nvmeof/nvmeof?".to_owned()][..], false)
    );
}

#[test]
fn the_second_engine_is_asked_for_by_a_feature_or_by_name() {
    let settings =
        Settings { features: Features { v2_engine: true, ..Features::default() }, ..Settings::default() };
    let node = OnNode {
        drivers: &BTreeSet::new(),
        present: None,
        has_program: &|_| false,
        has_directory: &|_| false,
        iscsid: &[],
    };
    let by_feature = demand(&settings, &builtin(), &node);
    assert_eq!(in_use(&by_feature), ["driver.longhorn.io/v2", "driver.longhorn.io/v1"]);
    assert_eq!(by_feature.huge_pages(), Some((1024, "driver.longhorn.io")));
    let by_name = of(&[], "[drivers]\nexpected = [\"driver.longhorn.io/v2\"]\n", &[]);
    assert_eq!(in_use(&by_name), ["driver.longhorn.io/v2"]);
    assert_eq!(by_name.modules(), ["nvme_tcp", "vfio_pci", "uio_pci_generic", "ublk_drv"]);
    assert!(!by_name.iscsi.is_needed());
}

#[test]
fn a_protocol_that_no_profile_has_is_named_with_those_that_there_are() {
    for (expected, message) in [
        (
            "driver.longhorn.io/v3",
            "csihost.toml:2: drivers.expected: driver.longhorn.io/v3: expected one of v1, v2",
        ),
        (
            "x.example/a",
            "csihost.toml:2: drivers.expected: x.example/a: no driver profile is for this driver",
        ),
    ] {
        let text = format!("[drivers]\nexpected = [\"{expected}\"]\n");
        let settings = settings::parse([("csihost.toml", text.as_bytes())]).unwrap();
        let error = check_expected(&settings, &DriverProfiles::new(&DRIVERS, Vec::new(), &[]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn only_profiles_that_can_be_for_a_driver_of_the_node_are_read_and_a_sites_own_come_first() {
    let names = |profiles: &DriverProfiles, drivers: &[&str]| {
        profiles.of(drivers.iter().copied()).into_iter().map(|profile| profile.name).collect::<Vec<_>>()
    };
    let builtin = DriverProfiles::new(&DRIVERS, Vec::new(), &[]);
    let some = names(&builtin, &["topolvm.io"]);
    assert!(some.contains(&"topolvm".to_owned()) && some.contains(&"longhorn".to_owned()), "{some:?}");
    assert!(some.contains(&"ceph-csi-rbd".to_owned()), "its names have a star");
    assert!(!some.contains(&"trident".to_owned()) && some.len() < 12, "{some:?}");
    // What is left out is for none of the drivers.
    for driver in
        ["topolvm.io", "csi.trident.netapp.io", "x.rbd.csi.ceph.com", "org.democratic-csi.nfs", "a.example"]
    {
        let of = |all: &[DriverProfile]| profile_of(all, driver).cloned();
        assert_eq!(of(&builtin.of([driver])), of(&self::builtin()), "{driver}");
    }
    let own = DriverProfile {
        summary: "own".to_owned(),
        ..builtin.of(["topolvm.io"]).into_iter().find(|p| p.name == "topolvm").unwrap()
    };
    let site = DriverProfiles::new(&DRIVERS, vec![own.clone()], &["longhorn".to_owned()]);
    assert_eq!(profile_of(&site.of(["topolvm.io"]), "topolvm.io"), Some(&own));
    assert!(!names(&site, &["driver.longhorn.io"]).contains(&"longhorn".to_owned()), "it is masked");
}

#[test]
fn no_profile_has_csihost_load_the_distributions_drbd() {
    let linstor = of(&["linstor.csi.linbit.com"], "", &[]);
    assert!(linstor.modules().is_empty() && linstor.loadable().is_empty(), "{linstor:?}");
}

#[test]
fn a_driver_that_is_only_remembered_is_told_from_one_that_is_registered() {
    let drivers = BTreeSet::from(["topolvm.io".to_owned(), "nfs.csi.k8s.io".to_owned()]);
    let now = BTreeSet::from(["nfs.csi.k8s.io".to_owned()]);
    let node = OnNode {
        drivers: &drivers,
        present: Some(&now),
        has_program: &|_| false,
        has_directory: &|_| false,
        iscsid: &[],
    };
    let demand = demand(&Settings::default(), &builtin(), &node);
    let present = |name: &str| demand.drivers.iter().find(|one| one.driver == name).unwrap().present;
    assert!(present("nfs.csi.k8s.io") && !present("topolvm.io"));
}
