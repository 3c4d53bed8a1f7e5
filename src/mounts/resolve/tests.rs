//! Mounts: paths resolved as a lookup in the kernel does.

use super::*;
use crate::mounts::mountinfo::parse;
use proptest::prelude::*;
use std::collections::HashMap;

/// A table from "id parent device root point" a line.
fn table(rows: &str) -> MountTable {
    let text: String =
        rows.lines().map(str::trim).filter(|row| !row.is_empty()).fold(String::new(), |text, row| {
            let fields: Vec<&str> = row.split(' ').collect();
            text + &format!(
                "{} {} 0:{} {} {} rw - t s rw\n",
                fields[0], fields[1], fields[2], fields[3], fields[4]
            )
        });
    parse(text.as_bytes()).unwrap()
}

fn covering(table: &MountTable, path: &str) -> Option<u64> {
    cover(table, path.as_bytes()).map(|mount| mount.id)
}

fn inside(table: &MountTable, path: &str) -> String {
    String::from_utf8(place(table, path.as_bytes()).unwrap().inside).unwrap()
}

fn names(table: &MountTable, minor: u32, inside: &str) -> Vec<String> {
    names_of(table, Device { major: 0, minor }, inside.as_bytes())
        .into_iter()
        .map(|name| String::from_utf8(name).unwrap())
        .collect()
}

#[test]
fn a_path_lies_on_the_deepest_mount_above_it() {
    let table = table("20 1 1 / /\n21 20 2 / /var\n22 21 3 /k /var/lib/kubelet");
    assert_eq!(covering(&table, "/"), Some(20));
    assert_eq!(covering(&table, "/var/lib"), Some(21));
    assert_eq!(covering(&table, "/var/lib/kubelet/pods"), Some(22));
    assert_eq!(covering(&table, "/var/lib/kubelet2"), Some(21));
    assert_eq!(covering(&table, "/var2"), Some(20));
    assert_eq!(inside(&table, "/var/lib/kubelet/pods"), "/k/pods");
    assert_eq!(inside(&table, "/var/lib/kubelet"), "/k");
    assert_eq!(inside(&table, "/var"), "/");
}

#[test]
fn of_stacked_mounts_the_last_is_seen() {
    let table = table("20 1 1 / /\n21 20 2 / /a\n22 21 3 / /a\n23 22 4 / /a\n24 23 5 / /a/b");
    assert_eq!(covering(&table, "/a"), Some(23));
    assert_eq!(covering(&table, "/a/b/c"), Some(24));
    assert_eq!(top_at(&table, b"/a").map(|mount| mount.id), Some(23));
    assert_eq!(top_at(&table, b"/a/c"), None);
}

#[test]
fn a_mount_over_an_ancestor_hides_what_was_below() {
    // 22 was mounted on 20 before 23 came over /a; 25 sits on the stacked 24.
    let table = table("20 1 1 / /\n22 20 2 / /a/b\n23 20 3 / /a\n24 23 4 / /a\n25 24 5 / /a/b/c");
    assert_eq!(covering(&table, "/a/b"), Some(24));
    assert_eq!(top_at(&table, b"/a/b"), None);
    assert_eq!(covering(&table, "/a/b/c/d"), Some(25));
    assert_eq!(names(&table, 2, "/"), Vec::<String>::new());
    assert_eq!(below(&table, b"/a").map(|mount| mount.id).collect::<Vec<_>>(), [22, 25]);
}

#[test]
fn what_is_mounted_over_the_root_directory_is_not_seen() {
    // A kernel thread's table, whose root is the rootfs; and a shell that mounted over its `/`.
    let table = table("1 1 1 / /\n20 1 2 / /\n21 1 3 / /boot\n22 20 4 / /boot");
    assert_eq!(covering(&table, "/etc"), Some(1));
    assert_eq!(covering(&table, "/boot"), Some(21));
}

#[test]
fn a_plain_directory_as_root_has_no_row_of_its_own() {
    let table = table("30 12 1 / /proc\n31 30 2 / /proc/sys\n32 12 3 / /a/b\n33 12 4 / /a");
    assert_eq!(covering(&table, "/etc"), None);
    assert_eq!(covering(&table, "/proc/sys/x"), Some(31));
    assert_eq!(covering(&table, "/a/b"), Some(33));
    assert_eq!(covering(&MountTable::default(), "/"), None);
}

#[test]
fn a_row_whose_parent_was_lost_does_not_deceive() {
    let table = table("20 1 1 / /\n22 99 2 / /a/b");
    assert_eq!(covering(&table, "/a/b"), Some(20));
}

#[test]
fn a_corrupt_table_with_a_cycle_ends() {
    let table = table("20 1 1 / /\n21 20 2 / /a\n22 21 2 / /a\n21 22 2 / /a");
    assert!(covering(&table, "/a").is_some());
}

#[test]
fn a_directory_is_known_by_all_its_visible_names() {
    // A container's kubelet root /k is /opt/rke/k of the host, bound to /var/lib/kubelet too,
    // and to /hidden/k, which a later mount covers.
    let table = table(
        "20 1 1 / /
         21 20 1 /opt/rke/k /var/lib/kubelet
         22 20 1 /opt /hidden/o
         23 20 2 / /hidden
         24 20 1 /opt/rke /srv",
    );
    assert_eq!(names(&table, 1, "/opt/rke/k"), ["/srv/k", "/opt/rke/k", "/var/lib/kubelet"]);
    assert_eq!(
        names(&table, 1, "/opt/rke/k/pods"),
        ["/srv/k/pods", "/opt/rke/k/pods", "/var/lib/kubelet/pods"]
    );
    assert_eq!(names(&table, 1, "/opt/rke/k2"), ["/srv/k2", "/opt/rke/k2"]);
    assert_eq!(names(&table, 2, "/"), ["/hidden"]);
    assert_eq!(names(&table, 3, "/"), Vec::<String>::new());
    let (host, bound) = (place(&table, b"/opt/rke/k").unwrap(), place(&table, b"/var/lib/kubelet").unwrap());
    assert!(same_directory(&host, &bound));
    assert!(!same_directory(&host, &place(&table, b"/hidden").unwrap()));
}

#[test]
fn below_compares_components_and_leaves_out_the_path_itself() {
    let table = table(
        "20 1 1 / /\n21 20 2 / /var/lib/kubelet\n22 21 3 / /var/lib/kubelet/pods/x\n23 20 4 / /var/lib/kubelet2",
    );
    assert_eq!(below(&table, b"/var/lib/kubelet").map(|mount| mount.id).collect::<Vec<_>>(), [22]);
    assert_eq!(below(&table, b"/").count(), 3);
}

/// What the kernel does, without mount points as strings: every mount sits on a directory of
/// its parent, and a lookup crosses it when it gets to that directory.
struct Kernel {
    mounts: Vec<Attached>,
    on: HashMap<(usize, Vec<u8>), usize>,
}

struct Attached {
    parent: Option<(usize, Vec<u8>)>,
    device: u32,
    root: Vec<u8>,
}

impl Kernel {
    fn new() -> Self {
        let root = Attached { parent: None, device: 0, root: b"/".to_vec() };
        Self { mounts: vec![root], on: HashMap::new() }
    }

    fn lookup(&self, path: &[u8]) -> (usize, Vec<u8>) {
        let mut at = (0, b"/".to_vec());
        for part in path.split(|&b| b == b'/').filter(|part| !part.is_empty()) {
            at = self.cross((at.0, joined(&at.1, part)));
        }
        at
    }

    fn cross(&self, mut at: (usize, Vec<u8>)) -> (usize, Vec<u8>) {
        while let Some(&mount) = self.on.get(&at) {
            at = (mount, self.mounts[mount].root.clone());
        }
        at
    }

    fn attach(&mut self, device: u32, root: Vec<u8>, path: &[u8]) {
        let at = self.cross(self.lookup(path));
        self.on.insert(at.clone(), self.mounts.len());
        self.mounts.push(Attached { parent: Some(at), device, root });
    }

    fn bind(&mut self, from: &[u8], to: &[u8]) {
        let (mount, directory) = self.lookup(from);
        self.attach(self.mounts[mount].device, directory, to);
    }

    fn shown_point(&self, mount: usize) -> Vec<u8> {
        match &self.mounts[mount].parent {
            None => b"/".to_vec(),
            Some((parent, directory)) => {
                joined(&self.shown_point(*parent), remainder(directory, &self.mounts[*parent].root).unwrap())
            }
        }
    }

    fn table(&self) -> MountTable {
        let rows: String = (0..self.mounts.len())
            .map(|id| {
                let mount = &self.mounts[id];
                format!(
                    "{} {} {} {} {}\n",
                    id + 20,
                    mount.parent.as_ref().map_or(1, |parent| parent.0 + 20),
                    mount.device,
                    String::from_utf8_lossy(&mount.root),
                    String::from_utf8_lossy(&self.shown_point(id)),
                )
            })
            .collect();
        table(&rows)
    }
}

/// Paths over an alphabet so small that mounts meet.
fn paths() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("aa"), Just("b")], 0..4)
        .prop_map(|parts| format!("/{}", parts.join("/")).into_bytes())
}

proptest! {
    #[test]
    fn every_path_resolves_as_a_lookup_from_the_root_does(
        acts in proptest::collection::vec((any::<bool>(), paths(), paths()), 0..12),
        asked in proptest::collection::vec(paths(), 1..12),
    ) {
        let mut kernel = Kernel::new();
        for (index, (bind, from, to)) in acts.iter().enumerate() {
            match bind {
                true => kernel.bind(from, to),
                false => kernel.attach(index as u32 + 1, b"/".to_vec(), to),
            }
        }
        let table = kernel.table();
        for path in asked.iter().chain(acts.iter().flat_map(|(_, from, to)| [from, to])) {
            let (mount, directory) = kernel.lookup(path);
            let place = place(&table, path).unwrap();
            prop_assert_eq!(place.mount.id, mount as u64 + 20);
            prop_assert_eq!(&place.inside, &directory);

            let names = names_of(&table, place.mount.device, &directory);
            prop_assert!(names.contains(path));
            for name in names {
                let (mount, found) = kernel.lookup(&name);
                prop_assert_eq!((kernel.mounts[mount].device, found), (place.mount.device.minor, directory.clone()));
            }
        }
    }
}
