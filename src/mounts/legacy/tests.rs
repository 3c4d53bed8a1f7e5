//! Pure: tests of how known wrong cures are told from what looks like them.

use super::*;
use crate::model::contract::{Plugin, Seat, View};
use crate::model::facts::{Init, Mode};
use crate::model::file::{Attributes, File, FileFact};
use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
use crate::mounts::mountinfo;

const NAMES: [&str; 3] = ["pods", "plugins", "plugins_registry"];
const OLD: &str = "/var/lib/rancher/k3s/agent/kubelet";
const BASE: &str = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";

fn path(text: &str) -> HostPath {
    HostPath::parse(text.as_bytes()).unwrap()
}

/// A k3s whose kubelet is where it is since v0.10.0, with these mounts.
fn k3s(mounts: &str) -> Facts {
    let kubelet = Kubelet::running(Distribution::K3s, KubeletRoot::standard());
    Facts {
        detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
        mounts: mountinfo::parse(format!("{BASE}{mounts}").as_bytes()).unwrap(),
        ..Facts::new(Mode::Live, Init::Systemd)
    }
}

fn over(id: u32, tree: &str, name: &str) -> String {
    format!("{id} 1 8:1 {tree}/{name} /var/lib/kubelet/{name} rw shared:1 - ext4 /dev/sda1 rw\n")
}

fn with_file(mut facts: Facts, name: &str, text: &str) -> Facts {
    let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
    let file = File { bytes: text.into(), attributes, canonical: path(name) };
    facts.files.insert(path(name), FileFact::File(file));
    facts
}

#[test]
fn the_old_tree_of_k3s_over_the_kubelets_is_found_however_it_was_mounted() {
    let by_hand: String = NAMES.iter().zip(2..).map(|(name, id)| over(id, OLD, name)).collect();
    let legacy = find(&k3s(&by_hand), &NAMES).unwrap();
    assert!(legacy.known);
    assert_eq!(legacy.binds.len(), 3);
    assert_eq!(legacy.binds[0].tree, path(OLD));
    assert_eq!((legacy.binds[0].mounted, legacy.binds[0].line), (Some(0), None));

    let table = format!("{OLD}/pods /var/lib/kubelet/pods none bind 0 0\n");
    let legacy = find(&with_file(k3s(""), FSTAB, &table), &NAMES).unwrap();
    assert!(legacy.known);
    assert_eq!((legacy.binds[0].mounted, legacy.binds[0].line), (None, Some(1)));

    let unit = format!("[Mount]\nWhat={OLD}/pods\nWhere=/var/lib/kubelet/pods\nOptions=rbind\n");
    let file = "/etc/systemd/system/var-lib-kubelet-pods.mount";
    let legacy = find(&with_file(k3s(""), file, &unit), &NAMES).unwrap();
    assert!(legacy.known);
    assert_eq!(legacy.binds[0].unit.as_ref().unwrap().1, path(file));
}

#[test]
fn mounts_below_are_counted_for_each() {
    let rows = format!(
        "{}3 2 0:9 / /var/lib/kubelet/pods/x/volumes/v rw shared:9 - tmpfs t rw\n",
        over(2, OLD, "pods")
    );
    assert_eq!(find(&k3s(&rows), &NAMES).unwrap().binds[0].mounted, Some(1));
}

#[test]
fn storage_that_was_moved_is_told_and_is_not_the_known_cure() {
    let legacy = find(&k3s(&over(2, "/data/kubelet", "pods")), &NAMES).unwrap();
    assert!(!legacy.known);
    // In a registry there is nothing to store.
    let both = over(2, "/data/kubelet", "pods") + &over(3, "/data/kubelet", "plugins_registry");
    assert!(find(&k3s(&both), &NAMES).unwrap().known);
}

#[test]
fn storage_that_a_kubelet_used_or_that_drivers_work_with_is_moved_registry_and_all() {
    let rows = over(2, "/data/kubelet", "pods") + &over(3, "/data/kubelet", "plugins_registry");
    let mut used = k3s(&rows);
    let canonical = path("/data/kubelet/pod-resources");
    used.dirs.insert(canonical.clone(), DirFact::Directory { canonical, entries: Vec::new() });
    assert!(!find(&used, &NAMES).unwrap().known);

    let mut works = k3s(&rows);
    works.plugins.found.push(Plugin {
        seat: Seat::default(),
        driver: Some(b"driver.longhorn.io".to_vec()),
        registration: Some(path("/var/lib/kubelet/plugins/driver.longhorn.io/csi.sock")),
        registrar: None,
        view: View::unseen(&KubeletRoot::standard()),
    });
    assert!(!find(&works, &NAMES).unwrap().known);
}

#[test]
fn a_tree_that_a_driver_believes_in_is_the_known_cure() {
    let mut facts = k3s(&over(2, "/data/kubelet", "pods"));
    facts.plugins.found.push(Plugin {
        seat: Seat::default(),
        driver: Some(b"driver.longhorn.io".to_vec()),
        registration: Some(path("/data/kubelet/plugins/driver.longhorn.io/csi.sock")),
        registrar: None,
        view: View::unseen(&KubeletRoot::standard()),
    });
    assert!(find(&facts, &NAMES).unwrap().known);
}

#[test]
fn file_systems_self_binds_and_csihosts_own_mounts_are_no_cure() {
    let disk = "2 1 8:9 / /var/lib/kubelet/pods rw shared:9 - ext4 /dev/sdb rw\n";
    assert_eq!(find(&k3s(disk), &NAMES), None);
    let table =
        "/var/lib/kubelet/pods /var/lib/kubelet/pods none bind\n/dev/sdb /var/lib/kubelet/plugins ext4\n";
    assert_eq!(find(&with_file(k3s(""), FSTAB, table), &NAMES), None);
    // A kubelet that was moved to the standard path keeps its data where it was.
    let mut aligned = k3s(&over(2, OLD, "pods"));
    aligned.generated.insert(path("/etc/systemd/system/var-lib-kubelet-pods.mount"));
    assert_eq!(find(&aligned, &NAMES), None);
}

#[test]
fn a_data_dir_that_only_the_table_takes_for_the_root_is_told() {
    let table = format!("/dev/sdb {OLD} ext4 defaults\n/dev/sdc /data ext4\n");
    let facts = with_file(k3s(""), FSTAB, &table);
    assert_eq!(believed_in(&facts), [("line 1 of /etc/fstab".to_owned(), path(OLD))]);
    assert_eq!(to_survey(&facts, &NAMES), [path(OLD).join("pods")]);
    let mut old_k3s = facts;
    let kubelet = old_k3s.detection.kubelet.as_mut().unwrap();
    (kubelet.root_dir, kubelet.host_dir) = (KubeletRoot::parse(OLD.as_bytes()).unwrap(), Some(path(OLD)));
    assert_eq!(believed_in(&old_k3s), []);
}
