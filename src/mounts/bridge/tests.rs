//! Pure: tests of the bridge's decisions.

use super::*;
use crate::model::contract::{Plugins, Publisher};
use crate::model::facts::{Init, Mode};
use crate::model::file::Survey;
use crate::model::kubelet::{Confidence, Detection, Distribution, Kubelet, KubeletRoot};
use crate::model::receipt::BridgeRecord;
use crate::model::runtime::RuntimeProcess;
use crate::model::unit::{ActiveState, FileState, LoadState, Order, UnitState};
use crate::mounts::mountinfo;
use std::collections::BTreeMap;

mod hidden;

const ROOT: &str = "/opt/rke/var/lib/kubelet";
const SHARED: &str = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";
const PRIVATE: &str = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";

fn path(text: &str) -> HostPath {
    HostPath::parse(text.as_bytes()).unwrap()
}

/// A host whose kubelet's root is `root`, with these mounts, where each directory is there and
/// empty but for `full`.
fn facts(root: &str, mounts: &str, full: &[&str]) -> Facts {
    let mut dirs = BTreeMap::new();
    for base in [STANDARD_PATH, root] {
        for name in ["", "pods", "plugins"] {
            let path = path(base).join(name);
            let entries = match full.contains(&path.to_string().as_str()) {
                true => vec![b"0b8d".to_vec()],
                false => Vec::new(),
            };
            dirs.insert(path.clone(), DirFact::Directory { canonical: path, entries });
        }
    }
    let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::parse(root.as_bytes()).unwrap());
    Facts {
        detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
        mounts: mountinfo::parse(mounts.as_bytes()).unwrap(),
        plugins: Plugins::default(),
        contracts: Vec::new(),
        dirs,
        ..Facts::new(Mode::Live, Init::Systemd)
    }
}

fn decided(facts: &Facts) -> Decision {
    decide(facts, &["pods", "plugins"])
}

fn refused(facts: &Facts) -> Vec<&'static str> {
    match decided(facts) {
        Decision::Refused(refused) => refused.iter().map(|refusal| refusal.id).collect(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn empty_directories_on_a_shared_mount_are_bridged_and_nothing_else() {
    let Decision::Build(bridge) = decided(&facts(ROOT, SHARED, &[])) else { panic!() };
    assert!(bridge.shares.is_empty());
    let spans: Vec<_> = bridge.spans.iter().map(|span| (span.place.to_string(), span.mounted)).collect();
    assert_eq!(spans, [("/var/lib/kubelet/pods".into(), false), ("/var/lib/kubelet/plugins".into(), false)]);
    assert_eq!(bridge.spans[0].what, path(ROOT).join("pods"));
    assert_eq!(bridge.spans[0].unit.as_str(), "var-lib-kubelet-pods.mount");
}

#[test]
fn on_a_private_mount_root_and_standard_path_are_shared_first() {
    let Decision::Build(bridge) = decided(&facts(ROOT, PRIVATE, &[])) else { panic!() };
    let shares: Vec<_> = bridge.shares.iter().map(|s| (s.path.to_string(), s.mounted)).collect();
    assert_eq!(shares, [("/var/lib/kubelet".into(), false), (ROOT.into(), false)]);
}

#[test]
fn the_mount_that_a_kubelet_made_of_its_root_still_needs_a_unit_for_the_next_boot() {
    let mounts = format!("{PRIVATE}2 1 8:1 {ROOT} {ROOT} rw shared:5 - ext4 /dev/sda1 rw\n");
    let Decision::Build(bridge) = decided(&facts(ROOT, &mounts, &[])) else { panic!() };
    let shares: Vec<_> = bridge.shares.iter().map(|s| (s.path.to_string(), s.mounted)).collect();
    assert_eq!(shares, [("/var/lib/kubelet".into(), false), (ROOT.into(), true)]);
}

#[test]
fn a_root_on_a_file_system_of_its_own_is_left_as_it_is() {
    let mounts = format!("{SHARED}2 1 8:2 / {ROOT} rw shared:5 - ext4 /dev/sdb rw\n");
    let Decision::Build(bridge) = decided(&facts(ROOT, &mounts, &[])) else { panic!() };
    assert!(bridge.shares.is_empty());
    let private = mounts.replace(" shared:5", "");
    assert_eq!(refused(&facts(ROOT, &private, &[])), ["bridge-private-mount"]);
}

#[test]
fn a_bridge_that_is_there_is_known_by_the_mount_table() {
    let span =
        |id, name| format!("{id} 1 8:1 {ROOT}/{name} /var/lib/kubelet/{name} rw shared:1 - ext4 x rw\n");
    let mounts = format!("{SHARED}{}{}", span(2, "pods"), span(3, "plugins"));
    // What is seen below a bridge is the kubelet's and no data that it hides.
    let full = ["/var/lib/kubelet/pods"];
    let Decision::Build(bridge) = decided(&facts(ROOT, &mounts, &full)) else { panic!() };
    assert!(bridge.spans.iter().all(|span| span.mounted));
}

#[test]
fn one_directory_with_data_refuses_the_whole_bridge() {
    assert_eq!(refused(&facts(ROOT, SHARED, &["/var/lib/kubelet/plugins"])), ["bridge-hides-data"]);
}

#[test]
fn a_foreign_mount_and_one_that_does_not_share_are_refused() {
    let foreign = format!("{SHARED}2 1 8:9 / /var/lib/kubelet/pods rw shared:9 - ext4 /dev/sdb rw\n");
    assert_eq!(refused(&facts(ROOT, &foreign, &[])), ["bridge-foreign-mount"]);
    let private = format!("{SHARED}2 1 8:1 {ROOT}/pods /var/lib/kubelet/pods rw - ext4 x rw\n");
    assert_eq!(refused(&facts(ROOT, &private, &[])), ["bridge-not-shared"]);
}

#[test]
fn a_kubelet_on_the_standard_path_needs_no_bridge() {
    assert_eq!(decided(&facts(STANDARD_PATH, SHARED, &[])), Decision::Same(Same::Standard));
}

/// A kubelet whose root `string` is a private directory of a snap's, with its runtime in the same namespace or not.
fn confined(string: &str, tags: &str, with_kubelet: bool) -> Facts {
    let mut facts = facts("/var/snap/x/kubelet", SHARED, &[]);
    let root = KubeletRoot::parse(string.as_bytes()).unwrap();
    facts.detection.kubelet.as_mut().unwrap().root_dir = root.clone();
    let own = format!(
        "7 1 7:3 / / ro - squashfs x ro\n8 7 8:1 /var/snap/x/kubelet {string} rw {tags}- ext4 x rw\n"
    );
    let mounts = Some(mountinfo::parse(own.as_bytes()).unwrap());
    facts.plugins.kubelet = Some(Publisher { mounts: mounts.clone(), ..Publisher::unseen(root) });
    facts.plugins.runtimes = vec![RuntimeProcess {
        pid: 5,
        name: "containerd".to_owned(),
        unit: UnitName::from("snap.x.containerd.service"),
        sandbox: None,
        mounts,
        with_kubelet,
    }];
    facts
}

#[test]
fn a_runtime_in_the_kubelets_own_namespace_is_given_no_bridge_on_the_host() {
    let on_host = Some(path("/var/snap/x/kubelet"));
    assert_eq!(decided(&confined(STANDARD_PATH, "", true)), Decision::Same(Same::Namespace(on_host.clone())));
    let repaired = confined(STANDARD_PATH, "shared:9 ", true);
    assert_eq!(decided(&repaired), Decision::Same(Same::Namespace(on_host)));
    assert_eq!(refused(&confined("/srv/kubelet", "", true)), ["bridge-own-namespace"]);
    // One that receives the host's mounts (snap-confine's, PrivateMounts=) has the bridge too.
    let mut receiving = confined("/var/snap/x/kubelet", "", true);
    let received = mountinfo::parse(b"7 1 8:1 / / rw master:1 - ext4 x rw\n").unwrap();
    receiving.plugins.kubelet.as_mut().unwrap().mounts = Some(received);
    assert!(matches!(decided(&receiving), Decision::Build(_)));
    // Where the namespace hands its mounts to the host, or the runtime is there, a bridge helps.
    assert!(matches!(decided(&confined("/srv/kubelet", "shared:1 ", true)), Decision::Build(_)));
    assert!(matches!(decided(&confined("/srv/kubelet", "", false)), Decision::Build(_)));
}

#[test]
fn a_standard_path_that_links_to_the_root_is_left_and_one_that_is_linked_to_too() {
    let mut linked = facts("/var/snap/microk8s/common/var/lib/kubelet", SHARED, &[]);
    let root = path("/var/snap/microk8s/common/var/lib/kubelet");
    linked
        .dirs
        .insert(path(STANDARD_PATH), DirFact::Directory { canonical: root.clone(), entries: Vec::new() });
    assert_eq!(decided(&linked), Decision::Same(Same::Link(root)));

    let mut ibm = facts("/var/data/kubelet", SHARED, &[]);
    let canonical = path(STANDARD_PATH);
    ibm.dirs.insert(path("/var/data/kubelet"), DirFact::Directory { canonical, entries: Vec::new() });
    // The kubelet goes on sending the string that it was given.
    assert_eq!(decided(&ibm), Decision::Same(Same::Link(path("/var/data/kubelet"))));
}

/// The whole root, bound over the standard path.
fn whole() -> Facts {
    facts(ROOT, &format!("{SHARED}2 1 8:1 {ROOT} /var/lib/kubelet rw shared:1 - ext4 x rw\n"), &[])
}

#[test]
fn a_bridge_of_the_whole_root_is_named_with_what_it_hides() {
    let mut facts = whole();
    for name in ["device-plugins", "pki"] {
        let canonical = path(STANDARD_PATH).join(name);
        facts.dirs.insert(canonical.clone(), DirFact::Absent { canonical });
    }
    let hidden = vec!["device-plugins", "pki"];
    assert_eq!(decided(&facts), Decision::Same(Same::Whole { root: path(ROOT), hidden }));
    // Nobody has made them yet: nothing is known to be hidden.
    facts.detection.kubelet.as_mut().unwrap().pid = None;
    assert_eq!(decided(&facts), Decision::Same(Same::Whole { root: path(ROOT), hidden: Vec::new() }));
}

#[test]
fn a_whole_bridge_under_which_the_kubelet_made_all_anew_hides_nothing_that_is_known() {
    let mut facts = whole();
    for name in ["device-plugins", "pki"] {
        let canonical = path(STANDARD_PATH).join(name);
        facts.dirs.insert(canonical.clone(), DirFact::Directory { canonical, entries: Vec::new() });
    }
    assert_eq!(decided(&facts), Decision::Same(Same::Whole { root: path(ROOT), hidden: Vec::new() }));
}

#[test]
fn a_root_within_a_bridged_directory_is_refused() {
    let facts = facts("/var/lib/kubelet/plugins/root", SHARED, &[]);
    assert!(refused(&facts).contains(&"bridge-overlap"));
}

#[test]
fn a_root_on_a_network_file_system_is_bridged() {
    let mounts = format!("{SHARED}2 1 0:50 / {ROOT} rw shared:5 - nfs4 server:/x rw\n");
    assert!(matches!(decided(&facts(ROOT, &mounts, &[])), Decision::Build(_)));
}

#[test]
fn without_a_kubelet_an_earlier_bridge_is_kept_and_none_is_begun() {
    let mut facts = facts(ROOT, SHARED, &[]);
    facts.detection = Detection::default();
    assert_eq!(decided(&facts), Decision::NoKubelet);
    facts.bridge = Some(BridgeRecord::new(path(ROOT)));
    assert!(matches!(decided(&facts), Decision::Build(_)));
}

#[test]
fn an_assumed_root_builds_no_bridge_and_moves_none() {
    let mut facts = facts(ROOT, SHARED, &[]);
    facts.detection.kubelet.as_mut().unwrap().confidence = Confidence::Assumed;
    assert_eq!(decided(&facts), Decision::NoKubelet);
    facts.bridge = Some(BridgeRecord::new(path("/srv/kubelet")));
    let Decision::Build(bridge) = decided(&facts) else { panic!() };
    assert_eq!(bridge.root, path("/srv/kubelet"));
}

// ---- what is to be mounted, and by whom

fn with_fstab(mut facts: Facts, text: &str) -> Facts {
    let attributes = crate::model::file::Attributes { mode: 0o644, uid: 0, gid: 0 };
    let canonical = path("/etc/fstab");
    let file = crate::model::file::File { bytes: text.into(), attributes, canonical: canonical.clone() };
    facts.files.insert(canonical, crate::model::file::FileFact::File(file));
    facts
}

#[test]
fn a_root_on_a_file_system_that_is_not_mounted_yet_is_waited_for() {
    let stopped = |mut facts: Facts| {
        let kubelet = facts.detection.kubelet.as_mut().unwrap();
        (kubelet.pid, kubelet.confidence) = (None, Confidence::Declared);
        facts
    };
    let table = "LABEL=rke /opt/rke ext4 defaults 0 2\n";
    let late = with_fstab(stopped(facts(ROOT, SHARED, &[])), table);
    let Decision::Refused(all) = decided(&late) else { panic!() };
    assert_eq!(all[0].id, "bridge-root-not-mounted");
    assert_eq!(all[0].target, "/opt/rke");
    assert!(all[0].reason.contains("line 1 of /etc/fstab mounts LABEL=rke"), "{}", all[0].reason);

    let there = format!("{SHARED}2 1 8:2 / /opt/rke rw shared:5 - ext4 /dev/sdb rw\n");
    assert!(matches!(decided(&with_fstab(stopped(facts(ROOT, &there, &[])), table)), Decision::Build(_)));
    // A kubelet that runs has its pods where it has them.
    assert!(matches!(decided(&with_fstab(facts(ROOT, SHARED, &[]), table)), Decision::Build(_)));
    // In an image nothing is mounted; systemd orders the units when it boots.
    let mut image = with_fstab(stopped(facts(ROOT, "", &[])), table);
    (image.mode, image.init) = (Mode::Offline, Init::Offline);
    assert!(matches!(decided(&image), Decision::Build(_)));

    let mut by_unit = stopped(facts(ROOT, SHARED, &[]));
    let state = UnitState { load: LoadState::Loaded, active: ActiveState::Failed, file: FileState::Static };
    by_unit.units.insert(UnitName::from("opt-rke.mount"), state);
    assert_eq!(refused(&by_unit), ["bridge-root-not-mounted"]);
    // csihost's own unit that shares the root is no file system to wait for.
    by_unit.generated.insert(path("/etc/systemd/system/opt-rke.mount"));
    assert!(matches!(decided(&by_unit), Decision::Build(_)));
}

#[test]
fn a_bridge_that_would_close_a_cycle_of_orders_is_refused_and_the_cycle_is_named() {
    let there = format!("{SHARED}2 1 8:2 / /opt/rke rw shared:5 - ext4 /dev/sdb rw\n");
    let order = |names: &[&'static str]| Order {
        after: names.iter().map(|name| UnitName::from(*name)).collect(),
        mounts: Vec::new(),
    };
    let host = |table: &str, orders: &[(&'static str, &[&'static str])]| {
        let mut host = with_fstab(facts(ROOT, &there, &[]), table);
        host.orders = orders.iter().map(|(unit, after)| (UnitName::from(*unit), order(after))).collect();
        host
    };
    let late = "LABEL=rke /opt/rke ext4 nofail 0 2\n";
    let cycle: &[(&str, &[&str])] = &[
        ("opt-rke.mount", &["relay.service"]),
        ("relay.service", &["docker.service"]),
        ("docker.service", &[]),
    ];
    let Decision::Refused(all) = decided(&host(late, cycle)) else { panic!() };
    assert_eq!(all[0].id, "bridge-order-cycle");
    assert!(
        all[0].reason.contains("opt-rke.mount after relay.service, relay.service after docker.service"),
        "{:?}",
        all[0]
    );
    assert!(all[0].remedy.contains("systemctl cat relay.service"), "{:?}", all[0]);
    // docker is not started at boot; the mount is early; the unit has no such order.
    for harmless in [
        host(late, &cycle[..2]),
        host("LABEL=rke /opt/rke ext4 defaults 0 2\n", cycle),
        host(late, &cycle[1..]),
    ] {
        assert!(matches!(decided(&harmless), Decision::Build(_)));
    }
}

#[test]
fn a_line_of_fstab_that_bridges_is_left_to_do_so_and_another_one_is_in_the_way() {
    let line = |source: &str| format!("{source} /var/lib/kubelet/pods none rbind,rshared 0 0\n");
    let kept = with_fstab(facts(ROOT, SHARED, &[]), &line(&format!("{ROOT}/pods")));
    let Decision::Build(bridge) = decided(&kept) else { panic!() };
    let lines: Vec<_> = bridge.spans.iter().map(|span| span.fstab).collect();
    assert_eq!(lines, [Some(1), None]);
    assert_eq!(refused(&with_fstab(facts(ROOT, SHARED, &[]), &line("/srv/pods"))), ["bridge-foreign-fstab"]);
}

#[test]
fn of_two_lines_of_fstab_for_one_directory_the_first_counts_with_systemd_and_the_last_without() {
    let (ours, other) = (
        format!("{ROOT}/pods /var/lib/kubelet/pods none bind 0 0\n"),
        "/srv/pods /var/lib/kubelet/pods none bind 0 0\n",
    );
    let line = |table: &str, init: Init| {
        let facts = Facts { init, ..with_fstab(facts(ROOT, SHARED, &[]), table) };
        match decided(&facts) {
            Decision::Build(bridge) => Ok(bridge.spans[0].fstab),
            Decision::Refused(all) => Err(all[0].id),
            other => panic!("{other:?}"),
        }
    };
    let none = || Init::Other("openrc".to_owned());
    assert_eq!(line(&format!("{ours}{other}"), Init::Systemd), Ok(Some(1)));
    assert_eq!(line(&format!("{other}{ours}"), Init::Systemd), Err("bridge-foreign-fstab"));
    assert_eq!(line(&format!("{ours}{other}"), none()), Err("bridge-foreign-fstab"));
    assert_eq!(line(&format!("{other}{ours}"), none()), Ok(Some(2)));
}

#[test]
fn a_line_of_fstab_that_not_every_systemd_mounts_gets_a_unit_beside_it_and_one_that_disagrees_is_in_the_way()
{
    let line = |source: &str, end: &str| format!("{source} /var/lib/kubelet/pods{end}\n");
    let ours = format!("{ROOT}/pods");
    let spans = |table: &str| {
        let Decision::Build(bridge) = decided(&with_fstab(facts(ROOT, SHARED, &[]), table)) else { panic!() };
        bridge.spans[0].fstab
    };
    for end in [" none bind # kept by ops", "", " none defaults 0 0"] {
        assert_eq!(spans(&line(&ours, end)), None, "{end}");
    }
    // systemd 252 mounts the first line, 262 the second one, and both are the kubelet's.
    let both = format!("{}{}", line(&ours, " none bind # kept by ops"), line(&ours, " none rbind 0 0"));
    assert_eq!(spans(&both), Some(2));
    for (first, second) in [(&ours[..], "/srv/pods"), ("/srv/pods", &ours)] {
        let table = format!("{}{}", line(first, " none bind # kept"), line(second, " none bind 0 0"));
        assert_eq!(
            refused(&with_fstab(facts(ROOT, SHARED, &[]), &table)),
            ["bridge-foreign-fstab"],
            "{table}"
        );
    }
    let two = with_fstab(facts(ROOT, SHARED, &[]), &line("/srv/pods", ""));
    let Decision::Refused(all) = decided(&two) else { panic!() };
    assert!(
        all[0].reason.contains("line 1 of /etc/fstab (mount(8) and systemd 259 and later ignore it"),
        "{}",
        all[0].reason
    );
}

#[test]
fn the_root_that_only_the_settings_believe_in_is_not_bridged_over_the_kubelets_own() {
    let old = "/var/lib/rancher/k3s/agent/kubelet";
    let mut facts = facts(old, SHARED, &[]);
    let evidence = |source, pid, value: &str| crate::model::kubelet::Evidence {
        source,
        pid,
        value: KubeletRoot::parse(value.as_bytes()).unwrap(),
        rank: 1,
        applies: None,
    };
    use crate::model::kubelet::Source;
    facts.detection.evidence = vec![
        evidence(Source::PodResourcesSocket, Some(7), STANDARD_PATH),
        evidence(Source::Settings, None, old),
    ];
    assert_eq!(refused(&facts), ["bridge-believed-root"]);
}

// ---- what an earlier bridge has left

/// A bridge to /srv/kubelet stands; the kubelet has moved.
fn moved(more: &str) -> Facts {
    let row = |id, name| {
        format!("{id} 1 8:1 /srv/kubelet/{name} /var/lib/kubelet/{name} rw shared:1 - ext4 x rw\n")
    };
    let mounts = format!("{SHARED}{}{}{more}", row(2, "pods"), row(3, "plugins"));
    let mut facts = facts(ROOT, &mounts, &[]);
    facts.bridge = Some(BridgeRecord::new(path("/srv/kubelet")));
    facts.started =
        ["var-lib-kubelet-pods.mount", "var-lib-kubelet-plugins.mount"].map(UnitName::from).into();
    facts
}

#[test]
fn an_earlier_bridge_gives_way_unless_something_is_mounted_below() {
    let below = "4 2 0:9 / /var/lib/kubelet/pods/x rw shared:9 - tmpfs t rw\n";
    let Decision::Build(bridge) = decided(&moved(below)) else { panic!() };
    let former: Vec<_> = bridge.spans.iter().map(|span| span.former.clone().unwrap().below).collect();
    assert_eq!(former, [1, 0]);
    // After the turn in which the receipt took the new root, it is still known.
    let mut next = moved("");
    next.bridge = Some(next.bridge.unwrap().followed_by(&path(ROOT)));
    let Decision::Build(bridge) = decided(&next) else { panic!() };
    assert!(bridge.spans.iter().all(|span| span.former.is_some() && !span.mounted));
}

#[test]
fn what_csihost_did_not_mount_is_never_taken_for_an_earlier_bridge() {
    let mut facts = moved("");
    facts.started.clear();
    assert_eq!(refused(&facts), ["bridge-foreign-mount"; 2]);
    let mut facts = moved("");
    facts.bridge = Some(BridgeRecord::new(path("/somewhere/else")));
    assert_eq!(refused(&facts), ["bridge-foreign-mount"; 2]);
    assert_eq!(remains(&facts, &Default::default()), []);
}

#[test]
fn remains_that_carry_mounts_or_the_kubelet_itself_stay_until_a_reboot() {
    let facts = moved("4 2 0:9 / /var/lib/kubelet/pods/x rw shared:9 - tmpfs t rw\n");
    let all: Vec<_> =
        remains(&facts, &Default::default()).into_iter().map(|r| (r.path.to_string(), r.busy)).collect();
    assert_eq!(
        all,
        [
            ("/var/lib/kubelet/plugins".to_owned(), None),
            ("/var/lib/kubelet/pods".to_owned(), Some("1 mount is below /var/lib/kubelet/pods".to_owned())),
        ]
    );
}

#[test]
fn what_shared_a_private_path_goes_after_what_was_bridged_on_it_but_not_under_a_kubelet() {
    let mounts = format!(
        "{PRIVATE}2 1 8:1 /var/lib/kubelet /var/lib/kubelet rw shared:5 - ext4 x rw\n\
         3 2 8:1 /srv/kubelet/pods /var/lib/kubelet/pods rw shared:6 - ext4 x rw\n"
    );
    let mut facts = facts(ROOT, &mounts, &[]);
    facts.bridge = Some(BridgeRecord::new(path("/srv/kubelet")));
    facts.started = ["var-lib-kubelet.mount", "var-lib-kubelet-pods.mount"].map(UnitName::from).into();
    let told = |facts: &Facts| -> Vec<_> {
        let all = remains(facts, &Default::default());
        all.into_iter().map(|r| (r.path.to_string(), r.busy.is_some())).collect()
    };
    let (pods, share) = ("/var/lib/kubelet/pods".to_owned(), STANDARD_PATH.to_owned());
    assert_eq!(told(&facts), [(pods.clone(), false), (share.clone(), false)]);
    facts.detection.kubelet.as_mut().unwrap().host_dir = Some(path(STANDARD_PATH));
    assert_eq!(told(&facts), [(pods, false), (share, true)]);
}
