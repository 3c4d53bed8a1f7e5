//! Mounts: which way a new mount travels between two mounts.
//!
//! The rules are those of the kernel's Documentation/filesystems/sharedsubtree.rst: a mount made
//! on a shared mount appears on every member of its peer group, on every slave of that group,
//! and, where such a slave is itself shared, on that one's peers and slaves in turn. Nothing
//! travels up from a slave to its master. Peer group numbers are the kernel's own and the same in
//! all mount namespaces.
//!
//! What this cannot see:
//! - A group of which no member is in either table. The chain of masters ends there; only
//!   `propagate_from` may tell of a group further up. [`Travel`] then errs on the side of "does
//!   not travel".
//! - Which directory the mount is made on. It appears on the other mount only if that shows the
//!   directory too; ask with mounts that cover the same directory.

use crate::model::mount::{Mount, MountTable};
use std::collections::BTreeSet;

/// Which way a new mount travels between a first and a second mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Travel {
    /// Made on either, it appears on the other.
    Both,
    /// Made on the first, it appears on the second; not the other way round.
    FromFirst,
    /// Made on the second, it appears on the first; not the other way round.
    FromSecond,
    /// It stays where it is made.
    Neither,
}

/// Which way a mount made on `first` or `second` travels to the other; each is a mount of the
/// table next to it, which may be the same table.
pub fn travel(first: &Mount, first_table: &MountTable, second: &Mount, second_table: &MountTable) -> Travel {
    // Mount ids are unique in the kernel: this is one mount seen twice.
    if first.id == second.id {
        return Travel::Both;
    }
    let reaches = |from: &Mount, to: &Mount| {
        from.shared.is_some_and(|group| sources(to, [first_table, second_table]).contains(&group))
    };
    match (reaches(first, second), reaches(second, first)) {
        (true, true) => Travel::Both,
        (true, false) => Travel::FromFirst,
        (false, true) => Travel::FromSecond,
        (false, false) => Travel::Neither,
    }
}

/// The peer groups from which mounts reach `mount`: its own, its master, and the masters of those
/// as far as any member of them is in the tables.
fn sources(mount: &Mount, tables: [&MountTable; 2]) -> BTreeSet<u64> {
    let mut found: BTreeSet<u64> = BTreeSet::new();
    let mut unvisited: Vec<u64> =
        [mount.shared, mount.master, mount.propagate_from].into_iter().flatten().collect();
    while let Some(group) = unvisited.pop() {
        if found.insert(group) {
            // All members of a peer group have the same master (struct mount's mnt_master).
            let members =
                tables.iter().flat_map(|table| table.iter()).filter(|member| member.shared == Some(group));
            unvisited.extend(members.flat_map(|member| [member.master, member.propagate_from]).flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::mountinfo::parse;

    /// A table of mounts with these tags.
    fn table(first_id: u64, tags: &[&str]) -> MountTable {
        let text: String = tags
            .iter()
            .zip(first_id..)
            .map(|(tags, id)| {
                format!("{id} 1 0:1 / /{id} rw {tags}{}- t s rw\n", if tags.is_empty() { "" } else { " " })
            })
            .collect();
        parse(text.as_bytes()).unwrap()
    }

    fn between(first: &MountTable, first_id: u64, second: &MountTable, second_id: u64) -> Travel {
        travel(first.by_id(first_id).unwrap(), first, second.by_id(second_id).unwrap(), second)
    }

    #[test]
    fn a_mount_travels_among_peers_and_down_to_slaves() {
        let host = table(20, &["shared:1", ""]);
        let plugin = table(40, &["shared:1", "master:1", "shared:9 master:1", "", "unbindable", "shared:2"]);
        for (id, expected) in [
            (40, Travel::Both),
            (41, Travel::FromFirst),
            (42, Travel::FromFirst),
            (43, Travel::Neither),
            (44, Travel::Neither),
            (45, Travel::Neither),
        ] {
            assert_eq!(between(&host, 20, &plugin, id), expected, "{id}");
            assert_eq!(between(&host, 21, &plugin, id), Travel::Neither, "{id}");
        }
        assert_eq!(between(&plugin, 42, &host, 20), Travel::FromSecond);
        assert_eq!(between(&plugin, 41, &plugin, 42), Travel::Neither);
        assert_eq!(between(&host, 21, &host, 21), Travel::Both);
    }

    #[test]
    fn a_chain_of_masters_is_followed_through_both_tables() {
        let host = table(20, &["shared:1", "shared:2 master:1"]);
        let plugin = table(40, &["shared:3 master:2", "master:3"]);
        assert_eq!(between(&host, 20, &plugin, 41), Travel::FromFirst);
        assert_eq!(between(&host, 21, &plugin, 41), Travel::FromFirst);
        assert_eq!(between(&plugin, 41, &plugin, 40), Travel::FromSecond);
    }

    #[test]
    fn a_master_that_no_table_shows_is_bridged_by_propagate_from_alone() {
        let host = table(20, &["shared:1"]);
        let hidden = table(40, &["master:5"]);
        let told = table(40, &["master:5 propagate_from:1"]);
        assert_eq!(between(&host, 20, &hidden, 40), Travel::Neither);
        assert_eq!(between(&host, 20, &told, 40), Travel::FromFirst);
    }

    #[test]
    fn groups_that_name_each_other_as_masters_end() {
        let table = table(20, &["shared:1 master:2", "shared:2 master:1"]);
        assert_eq!(between(&table, 20, &table, 21), Travel::Both);
    }
}
