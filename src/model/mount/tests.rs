//! Model: what the lookups in a mount table promise.

use super::*;
use proptest::prelude::*;

fn mount(id: u64, parent: u64, minor: u32, root: &str, point: &str) -> Mount {
    Mount {
        id,
        parent,
        device: Device { major: 0, minor },
        root: root.into(),
        point: point.into(),
        shared: None,
        master: None,
        propagate_from: None,
        unbindable: false,
        options: b"rw".to_vec(),
        fs_type: b"tmpfs".to_vec(),
        source: b"t".to_vec(),
    }
}

#[test]
fn the_prefixes_of_a_path_go_from_the_root_down() {
    let prefixes = |path: &'static str| {
        let prefixes = Prefixes::new(path.as_bytes());
        prefixes.iter().map(|prefix| String::from_utf8_lossy(prefix.path).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(prefixes("/"), ["/"]);
    assert_eq!(prefixes("/a"), ["/", "/a"]);
    assert_eq!(prefixes("/a/bc/d"), ["/", "/a", "/a/bc", "/a/bc/d"]);
    assert!(prefixes("").is_empty() && prefixes("a/b").is_empty());
}

#[test]
fn tables_are_equal_by_their_mounts_whatever_was_asked_of_them() {
    let table = MountTable::new(vec![mount(1, 0, 1, "/", "/")]);
    let other = table.clone();
    assert!(table.by_id(1).is_some() && table.below(b"/").next().is_none());
    assert_eq!(table, other);
    assert_ne!(table, MountTable::default());
}

/// Paths over an alphabet so small that they meet; `-` sorts before `/`.
fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just("a"), Just("a-"), Just("b")], 0..4)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn ids<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Vec<u64> {
    mounts.map(|mount| mount.id).collect()
}

proptest! {
    /// Any rows: ids twice, parents that are not there, cycles.
    #[test]
    fn what_the_indexes_find_is_what_a_search_through_all_rows_finds(
        rows in proptest::collection::vec((0..12u64, 0..12u64, 0..2u32, path(), path()), 0..20),
        asked in path(),
    ) {
        let rows: Vec<Mount> = rows.iter().map(|(id, parent, minor, root, point)| {
            mount(*id, *parent, *minor, root, point)
        }).collect();
        let table = MountTable::new(rows.clone());
        let path = asked.as_bytes();
        let prefixes = Prefixes::new(path);
        let known = |id: u64| rows.iter().any(|mount| mount.id == id);
        // Of those at the path or above it, the shortest; the last of those.
        let first = |mounts: Vec<&Mount>| {
            let mounts = mounts.into_iter().filter(|mount| within(path, &mount.point));
            mounts.rev().min_by_key(|mount| mount.point.len()).cloned()
        };

        let roots = rows.iter().filter(|mount| mount.parent == mount.id || !known(mount.parent)).collect();
        prop_assert_eq!(table.start(&prefixes).cloned(), first(roots));
        for parent in &rows {
            let children = || rows.iter().filter(|mount| mount.parent == parent.id && mount.id != parent.id);
            prop_assert_eq!(ids(table.children(parent)), ids(children()));
            let met = children().filter(|mount| mount.point != b"/").collect();
            prop_assert_eq!(table.next(parent, &prefixes).cloned(), first(met));
            prop_assert_eq!(table.attached_at(parent, path), children().rfind(|mount| mount.point == path));
            prop_assert_eq!(table.by_id(parent.id), rows.iter().find(|mount| mount.id == parent.id));
        }
        let device = Device { major: 0, minor: 1 };
        let showing = rows.iter().filter(|mount| mount.device == device && within(path, &mount.root));
        prop_assert_eq!(ids(table.showing(device, path)), ids(showing));
        let below = rows.iter().filter(|mount| within(&mount.point, path) && mount.point != path);
        prop_assert_eq!(ids(table.below(path)), ids(below));
    }
}
