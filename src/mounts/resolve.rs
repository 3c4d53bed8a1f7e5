//! Mounts: which mount a path lies on, and which directory it names.
//!
//! Paths here are absolute, clean and free of symbolic links, as the process whose table it is
//! would name them. All answers are those of a lookup in that mount namespace.

use crate::model::mount::{Device, Mount, MountTable};
use std::collections::HashSet;

/// Which directory a path names: the mount it lies on, and where that is in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// The mount.
    pub mount: &'a Mount,
    /// The path within the file system; with [`Mount::device`] it names the directory wherever
    /// that is mounted.
    pub inside: Vec<u8>,
}

/// The mount on which `path` lies.
///
/// A lookup starts at the namespace's root and crosses every mount point on its way down. Of the
/// mounts attached to the one that it is on, it meets the one with the shortest mount point first;
/// what is mounted at deeper points of the same mount is then hidden, and a mount stacked on
/// another one's root is simply the next that it meets.
///
/// `None` where the table does not say: it is empty, or the process has a plain directory for its
/// root (chroot) and `path` is on no mount of its own.
pub fn cover<'a>(table: &'a MountTable, path: &[u8]) -> Option<&'a Mount> {
    descend(table, &roots(table), path)
}

/// Where `path` is in its file system.
pub fn place<'a>(table: &'a MountTable, path: &[u8]) -> Option<Place<'a>> {
    placed(cover(table, path)?, path)
}

/// Whether two places, of the same namespace or not, are one directory.
///
/// This compares names: it cannot tell a directory from an earlier one of the same name that was
/// deleted while mounted (the kernel then shows a root that ends in `//deleted`).
pub fn same_directory(first: &Place, second: &Place) -> bool {
    first.mount.device == second.mount.device && first.inside == second.inside
}

/// All paths of `table`'s namespace that name the directory `inside` of `device`, the shortest
/// first; names that are hidden by another mount are left out.
pub fn names_of(table: &MountTable, device: Device, inside: &[u8]) -> Vec<Vec<u8>> {
    let roots = roots(table);
    let mut names: Vec<Vec<u8>> = table
        .iter()
        .filter(|mount| mount.device == device)
        .filter_map(|mount| Some(joined(&mount.point, remainder(inside, &mount.root)?)))
        .filter(|name| {
            descend(table, &roots, name)
                .and_then(|mount| placed(mount, name))
                .is_some_and(|place| place.mount.device == device && place.inside == inside)
        })
        .collect();
    names.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    names.dedup();
    names
}

/// The mount that a lookup of `path` ends on, if `path` is its mount point; `None` where `path`
/// is an ordinary directory, and where what was mounted there is hidden.
pub fn top_at<'a>(table: &'a MountTable, path: &[u8]) -> Option<&'a Mount> {
    cover(table, path).filter(|mount| mount.point == path)
}

/// The mounts whose points lie strictly below `path`, hidden ones included: they keep the mount
/// at `path` busy all the same.
pub fn below<'a>(table: &'a MountTable, path: &[u8]) -> impl Iterator<Item = &'a Mount> {
    table.iter().filter(move |mount| remainder(&mount.point, path).is_some_and(|rest| !rest.is_empty()))
}

/// The mounts that are attached to nothing in the table: the namespace's root (whose parent is
/// outside of it), or a rootfs that is its own parent.
fn roots(table: &MountTable) -> Vec<&Mount> {
    let ids: HashSet<u64> = table.iter().map(|mount| mount.id).collect();
    table.iter().filter(|mount| mount.parent == mount.id || !ids.contains(&mount.parent)).collect()
}

fn descend<'a>(table: &'a MountTable, roots: &[&'a Mount], path: &[u8]) -> Option<&'a Mount> {
    let mut on = nearest(roots.iter().copied(), path)?;
    // A table read while mounts came and went may hold an id twice; a lookup must end all the same.
    for _ in table.iter() {
        match nearest(table.children(on.id), path) {
            Some(next) => on = next,
            None => break,
        }
    }
    Some(on)
}

/// Of the mounts at `path` or above it the one with the shortest point, and of several the last.
fn nearest<'a>(mounts: impl Iterator<Item = &'a Mount>, path: &[u8]) -> Option<&'a Mount> {
    mounts.filter(|mount| remainder(path, &mount.point).is_some()).fold(
        None,
        |best: Option<&Mount>, mount| match best {
            Some(best) if best.point.len() < mount.point.len() => Some(best),
            _ => Some(mount),
        },
    )
}

fn placed<'a>(mount: &'a Mount, path: &[u8]) -> Option<Place<'a>> {
    Some(Place { mount, inside: joined(&mount.root, remainder(path, &mount.point)?) })
}

/// What of `path` lies below `ancestor`, without a leading `/`; compares components, so that
/// `/var/lib/kubelet2` is not below `/var/lib/kubelet`.
fn remainder<'p>(path: &'p [u8], ancestor: &[u8]) -> Option<&'p [u8]> {
    if ancestor == b"/" {
        return path.strip_prefix(b"/");
    }
    let rest = path.strip_prefix(ancestor)?;
    match rest.first() {
        None => Some(rest),
        Some(b'/') => rest.get(1..),
        Some(_) => None,
    }
}

fn joined(directory: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !rest.is_empty() {
        if directory != b"/" {
            path.push(b'/');
        }
        path.extend_from_slice(rest);
    }
    path
}

#[cfg(test)]
mod tests {
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
    fn a_rootfs_below_the_real_root_is_never_seen() {
        let table = table("1 1 1 / /\n20 1 2 / /\n21 1 3 / /boot\n22 20 4 / /boot");
        assert_eq!(covering(&table, "/etc"), Some(20));
        assert_eq!(covering(&table, "/boot"), Some(22));
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
        let (host, bound) =
            (place(&table, b"/opt/rke/k").unwrap(), place(&table, b"/var/lib/kubelet").unwrap());
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
            let mut at = self.cross((0, b"/".to_vec()));
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
            let at = self.lookup(path);
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
                Some((parent, directory)) => joined(
                    &self.shown_point(*parent),
                    remainder(directory, &self.mounts[*parent].root).unwrap(),
                ),
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
}
