//! Mounts: which way a new mount travels between mounts.
//!
//! The rules are those of the kernel's Documentation/filesystems/sharedsubtree.rst: a mount made
//! on a shared mount appears on every member of its peer group, on every slave of that group,
//! and, where such a slave is itself shared, on that one's peers and slaves in turn. Nothing
//! travels up from a slave to its master. Peer group numbers are the kernel's own and the same in
//! all mount namespaces; the members of a group all have the same master.
//!
//! Given the tables of all mount namespaces, the answers are the kernel's. Mount tables do not show
//! - mounts of namespaces whose tables are not given, of trees that are in none (open_tree(2),
//!   fsmount(2)), and those outside of the root directory of a process in a chroot(2). Where a
//!   chain of masters leads through a group that has only such members, it is seen up to that
//!   group. Then [`Groups::unseen_above`] is not empty: "travels" still holds, and "does not
//!   travel" may be wrong in the direction of that mount.
//! - Of what lies beyond such a group, mountinfo tells one thing: `propagate_from`, the closest
//!   group above it with a member in the *same* namespace (fs/pnode.c, `get_dominating_id`). So
//!   what is above that group is seen again, and what is between the two is not.
//! - Tables are read one after the other; a group that was dissolved meanwhile, and its number
//!   used anew, looks like one.

use super::resolve::{Place, remainder};
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
/// table next to it, which may be the same table. [`Groups`] follows chains through other tables.
pub fn travel(first: &Mount, first_table: &MountTable, second: &Mount, second_table: &MountTable) -> Travel {
    Groups::new([first_table, second_table]).between(first, second)
}

/// The peer groups of several mount tables, and what is master of what.
#[derive(Debug, Clone)]
pub struct Groups<'a> {
    pub(super) tables: Vec<&'a MountTable>,
    /// (group, table, mount) of each shared mount, in order of the groups.
    members: Vec<(u64, usize, &'a Mount)>,
    /// (master, table, mount) of each slave, likewise.
    slaves: Vec<(u64, usize, &'a Mount)>,
    /// (group, a group above it) as `propagate_from` tells, likewise.
    told: Vec<(u64, u64)>,
    /// The same the other way round.
    heard: Vec<(u64, u64)>,
}

impl<'a> Groups<'a> {
    /// The groups of these tables: better all of a node than too few. Several of one namespace do
    /// no harm.
    pub fn new(tables: impl IntoIterator<Item = &'a MountTable>) -> Self {
        let tables: Vec<&MountTable> = tables.into_iter().collect();
        let (mut members, mut slaves, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (index, mount) in
            tables.iter().enumerate().flat_map(|(i, table)| table.iter().map(move |m| (i, m)))
        {
            members.extend(mount.shared.map(|group| (group, index, mount)));
            slaves.extend(mount.master.map(|group| (group, index, mount)));
            told.extend(mount.master.zip(mount.propagate_from));
        }
        members.sort_by_key(|&(group, ..)| group);
        slaves.sort_by_key(|&(group, ..)| group);
        told.sort_unstable();
        told.dedup();
        let mut heard: Vec<(u64, u64)> = told.iter().map(|&(group, above)| (above, group)).collect();
        heard.sort_unstable();
        Self { tables, members, slaves, told, heard }
    }

    /// Which way a mount made in the first or the second directory, or below it, travels to where
    /// the other place's mount shows that directory. Ask with places that are
    /// [one directory](super::resolve::same_directory): for others the answer says nothing about
    /// the path that the other place was found by.
    pub fn travel(&self, first: &Place, second: &Place) -> Travel {
        let reaches = |from: &Place, to: &Mount| {
            self.reaches(from.mount, to) && remainder(&from.inside, &to.root).is_some()
        };
        answer(reaches(first, second.mount), reaches(second, first.mount))
    }

    /// Which way a mount made on one of two mounts travels to the other, if both show the
    /// directory that it is made on.
    pub fn between(&self, first: &Mount, second: &Mount) -> Travel {
        answer(self.reaches(first, second), self.reaches(second, first))
    }

    /// Whether a mount made on `from` appears on `to`, if both show the directory that it is made
    /// on.
    pub fn reaches(&self, from: &Mount, to: &Mount) -> bool {
        // Mount ids are unique in the kernel: this is one mount seen twice.
        let peer = || from.shared.is_some_and(|group| to.shared == Some(group));
        from.id == to.id || peer() || from.shared.is_some_and(|group| self.above(to).0.contains(&group))
    }

    /// The groups from which mounts may come to `mount`, and of which no table shows a member:
    /// what is above them cannot be known.
    pub fn unseen_above(&self, mount: &Mount) -> BTreeSet<u64> {
        self.above(mount).1
    }

    /// The groups that `mount` receives from, its own left out; and those of them without a member
    /// in sight.
    fn above(&self, mount: &Mount) -> (BTreeSet<u64>, BTreeSet<u64>) {
        let (mut found, mut unseen) = (BTreeSet::new(), BTreeSet::new());
        let mut unvisited: Vec<u64> = [mount.master, mount.propagate_from].into_iter().flatten().collect();
        while let Some(group) = unvisited.pop() {
            if !found.insert(group) {
                continue;
            }
            unvisited.extend(pairs(&self.told, group));
            let mut members = self.members_of(group).peekable();
            if members.peek().is_none() {
                unseen.insert(group);
            }
            for (_, member) in members {
                unvisited.extend([member.master, member.propagate_from].into_iter().flatten());
            }
        }
        (found, unseen)
    }

    /// `group` and the groups that receive from it.
    pub(super) fn downwards(&self, group: u64) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        let mut unvisited = vec![group];
        while let Some(group) = unvisited.pop() {
            if found.insert(group) {
                unvisited.extend(self.slaves_of(group).filter_map(|(_, slave)| slave.shared));
                unvisited.extend(pairs(&self.heard, group));
            }
        }
        found
    }

    /// The shared mounts of `group`, each with the number of its table.
    pub(super) fn members_of(&self, group: u64) -> impl Iterator<Item = (usize, &'a Mount)> {
        equal(&self.members, group)
    }

    /// The mounts that have `group` for their master, each with the number of its table.
    pub(super) fn slaves_of(&self, group: u64) -> impl Iterator<Item = (usize, &'a Mount)> {
        equal(&self.slaves, group)
    }
}

fn answer(from_first: bool, from_second: bool) -> Travel {
    match (from_first, from_second) {
        (true, true) => Travel::Both,
        (true, false) => Travel::FromFirst,
        (false, true) => Travel::FromSecond,
        (false, false) => Travel::Neither,
    }
}

/// What belongs to `group` in sorted pairs.
fn pairs(sorted: &[(u64, u64)], group: u64) -> impl Iterator<Item = u64> {
    let from = sorted.partition_point(|&(other, _)| other < group);
    let rest = sorted.get(from..).unwrap_or_default().iter();
    rest.take_while(move |&&(other, _)| other == group).map(|&(_, with)| with)
}

/// What belongs to `group` in sorted mounts.
fn equal<'a>(sorted: &[(u64, usize, &'a Mount)], group: u64) -> impl Iterator<Item = (usize, &'a Mount)> {
    let from = sorted.partition_point(|&(other, ..)| other < group);
    let rest = sorted.get(from..).unwrap_or_default().iter();
    rest.take_while(move |&&(other, ..)| other == group).map(|&(_, table, mount)| (table, mount))
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
    fn a_chain_through_a_third_namespace_is_followed_where_its_table_is_given() {
        // The kubelet's container is a slave of the host; a plugin's is a slave of the kubelet's.
        let host = table(20, &["shared:1"]);
        let kubelet = table(40, &["shared:2 master:1"]);
        let plugin = table(60, &["master:2"]);
        let (first, last) = (host.by_id(20).unwrap(), plugin.by_id(60).unwrap());
        assert_eq!(between(&host, 20, &plugin, 60), Travel::Neither);
        let two = Groups::new([&host, &plugin]);
        assert_eq!(two.unseen_above(last), BTreeSet::from([2]));
        let three = Groups::new([&host, &plugin, &kubelet]);
        assert_eq!(three.between(first, last), Travel::FromFirst);
        assert!(three.unseen_above(last).is_empty());
    }

    #[test]
    fn what_one_mount_tells_of_an_unseen_group_holds_for_its_other_slaves() {
        let host = table(20, &["shared:1"]);
        let told = table(40, &["shared:1", "master:5 propagate_from:1"]);
        let other = table(60, &["master:5"]);
        let groups = Groups::new([&host, &told, &other]);
        let slave = other.by_id(60).unwrap();
        assert_eq!(groups.between(host.by_id(20).unwrap(), slave), Travel::FromFirst);
        // Between 1 and 5 there may be groups of which nothing is told.
        assert_eq!(groups.unseen_above(slave), BTreeSet::from([5]));
    }

    #[test]
    fn a_mount_travels_only_to_what_shows_its_directory() {
        let rows = "20 1 0:1 / / rw shared:1 - t s rw\n40 2 0:1 /k /k rw shared:1 - t s rw\n";
        let table = parse(rows.as_bytes()).unwrap();
        let place = |id, inside: &[u8]| Place { mount: table.by_id(id).unwrap(), inside: inside.to_vec() };
        let groups = Groups::new([&table]);
        assert_eq!(groups.travel(&place(20, b"/k/pods"), &place(40, b"/k/pods")), Travel::Both);
        assert_eq!(groups.travel(&place(20, b"/k2"), &place(40, b"/k/pods")), Travel::FromSecond);
    }

    #[test]
    fn groups_that_name_each_other_as_masters_end() {
        let table = table(20, &["shared:1 master:2", "shared:2 master:1"]);
        assert_eq!(between(&table, 20, &table, 21), Travel::Both);
    }
}
