//! Pure: tests of the bridge's decisions.

use super::*;
use crate::model::contract::Plugins;
use crate::model::facts::{Init, Mode};
use crate::model::kubelet::{Confidence, Detection, Distribution, Kubelet, KubeletRoot};
use crate::mounts::mountinfo;
use std::collections::BTreeMap;

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
    let kubelet = Kubelet {
        root_dir: KubeletRoot::parse(root.as_bytes()).unwrap(),
        host_dir: Some(path(root)),
        confidence: Confidence::Certain,
        distribution: Distribution::Kubelet,
        pid: Some(7),
        version: None,
        volume_plugin_dir: None,
    };
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
    assert!(matches!(decided(&facts(STANDARD_PATH, SHARED, &[])), Decision::Same(_)));
    let whole = format!("{SHARED}2 1 8:1 {ROOT} /var/lib/kubelet rw shared:1 - ext4 x rw\n");
    assert!(matches!(decided(&facts(ROOT, &whole, &[])), Decision::Same(_)));
    let mut linked = facts(ROOT, SHARED, &[]);
    let canonical = path(ROOT);
    linked.dirs.insert(path(STANDARD_PATH), DirFact::Directory { canonical, entries: Vec::new() });
    assert!(matches!(decided(&linked), Decision::Same(_)));
}

#[test]
fn a_root_within_a_bridged_directory_is_refused() {
    let facts = facts("/var/lib/kubelet/plugins/root", SHARED, &[]);
    assert!(refused(&facts).contains(&"bridge-overlap"));
}

#[test]
fn a_root_on_a_network_file_system_is_refused() {
    let mounts = format!("{SHARED}2 1 0:50 / {ROOT} rw shared:5 - nfs4 server:/x rw\n");
    assert_eq!(refused(&facts(ROOT, &mounts, &[])), ["bridge-network-root"]);
}

#[test]
fn without_a_kubelet_an_earlier_bridge_is_kept_and_none_is_begun() {
    let mut facts = facts(ROOT, SHARED, &[]);
    facts.detection = Detection::default();
    assert_eq!(decided(&facts), Decision::NoKubelet);
    facts.bridge = Some(crate::model::receipt::BridgeRecord { root: path(ROOT) });
    assert!(matches!(decided(&facts), Decision::Build(_)));
}

#[test]
fn an_assumed_root_builds_no_bridge_and_moves_none() {
    let mut facts = facts(ROOT, SHARED, &[]);
    facts.detection.kubelet.as_mut().unwrap().confidence = Confidence::Assumed;
    assert_eq!(decided(&facts), Decision::NoKubelet);
    facts.bridge = Some(crate::model::receipt::BridgeRecord { root: path("/srv/kubelet") });
    let Decision::Build(bridge) = decided(&facts) else { panic!() };
    assert_eq!(bridge.root, path("/srv/kubelet"));
}
