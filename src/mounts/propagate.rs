//! Mounts: where a new mount appears, in all mount namespaces that are known.
//!
//! What the kernel does (fs/pnode.c, `propagate_mnt`; fs/namespace.c, `attach_recursive_mnt`): the
//! mount is attached to the one that a lookup of its path ends on, at a directory of that one's
//! file system. If that mount is shared, a copy is attached, at the same directory, to each mount
//! that receives from its group ([`super::travel`]) *and shows the directory*: where only a
//! subdirectory was bound, the directory may be outside of it. Groups pass on what their own
//! members do not show.
//!
//! Where something is mounted at that directory of the receiving mount already, the copy slips in
//! below it, and is hidden (since Linux 4.11, "mnt: Tuck mounts under others instead of creating
//! shadow/side mounts"; earlier kernels hide it in most cases too). That a mount cannot be bound
//! (`unbindable`) matters to bind mounts alone: it is a private mount.

use super::resolve::{descend, joined, place, remainder};
use super::travel::Groups;
use crate::model::mount::{Mount, Prefixes};
use std::collections::BTreeMap;

/// One place where a new mount appears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appearance<'a> {
    /// The number of its table, in the order in which [`Groups`] was given them.
    pub table: usize,
    /// The mount that it is attached to.
    pub parent: &'a Mount,
    /// Its mount point.
    pub point: Vec<u8>,
    /// What was mounted there already: it is then attached to the new mount, and hides it.
    pub under: Option<&'a Mount>,
    /// A lookup of [`point`](Self::point) ends on it.
    pub visible: bool,
}

impl<'a> Groups<'a> {
    /// Where a mount appears that a process with the table of this number makes at `path` (absolute,
    /// clean, without symbolic links, of a directory that exists); that path included. `None` where
    /// the table does not say what the path lies on.
    pub fn appearances(&self, table: usize, path: &[u8]) -> Option<Vec<Appearance<'a>>> {
        let own: &'a _ = *self.tables.get(table)?;
        let mut at = place(own, path)?;
        // Nothing is in the way of a lookup's end but at the root directory.
        for _ in own.iter() {
            let Some(over) = own.attached_at(at.mount, &at.mount.point).filter(|over| over.point == path)
            else {
                break;
            };
            at = super::resolve::placed(over, path)?;
        }
        let mut found: Vec<Appearance> = self
            .receivers(at.mount)
            .into_iter()
            .filter_map(|((table, _), parent)| {
                let point = joined(&parent.point, remainder(&at.inside, &parent.root)?);
                let under = self.tables.get(table)?.attached_at(parent, &point);
                Some(Appearance { table, parent, point, under, visible: false })
            })
            .collect();
        let new: BTreeMap<(usize, u64), Vec<u8>> =
            found.iter().map(|copy| ((copy.table, copy.parent.id), copy.point.clone())).collect();
        for copy in &mut found {
            copy.visible = self.ends_on(&new, copy);
        }
        Some(found)
    }

    /// The mounts on which a mount made on `origin` appears if they show its directory, `origin` too.
    fn receivers(&self, origin: &Mount) -> BTreeMap<(usize, u64), &'a Mount> {
        let groups = origin.shared.map(|group| self.downwards(group)).unwrap_or_default();
        let own = self.tables.iter().enumerate().filter_map(|(i, table)| Some((i, table.by_id(origin.id)?)));
        let members = groups.iter().flat_map(|&group| self.members_of(group).chain(self.slaves_of(group)));
        own.chain(members).map(|(table, mount)| ((table, mount.id), mount)).collect()
    }

    /// Whether a lookup of the point of `copy` ends on it, once all the `new` mounts are there.
    fn ends_on(&self, new: &BTreeMap<(usize, u64), Vec<u8>>, copy: &Appearance) -> bool {
        let Some(table) = self.tables.get(copy.table) else { return false };
        // A new mount is empty: a lookup that meets it goes nowhere else. At one point with an
        // older mount it is below that one, and leads to it.
        let crosses = |on: &Mount, next: Option<&Mount>| {
            new.get(&(copy.table, on.id)).is_some_and(|point| {
                point != b"/"
                    && remainder(&copy.point, point).is_some()
                    && next.is_none_or(|next| point.len() < next.point.len())
            })
        };
        let last = descend(table, &Prefixes::new(&copy.point), crosses);
        last.is_some_and(|last| {
            last.id == copy.parent.id && crosses(last, table.next(last, &Prefixes::new(&copy.point)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::mount::MountTable;
    use crate::mounts::mountinfo::parse;

    /// A table from "id parent device root point tags…" a line.
    fn table(rows: &str) -> MountTable {
        let row = |row: &str| {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let [id, parent, device, root, point, tags @ ..] = &fields[..] else { panic!("{row}") };
            let tags: String = tags.iter().map(|tag| format!("{tag} ")).collect();
            format!("{id} {parent} 0:{device} {root} {point} rw {tags}- t s rw\n")
        };
        parse(rows.lines().map(row).collect::<String>().as_bytes()).unwrap()
    }

    /// "table parent point", with "under id" and "hidden" where that is so.
    fn said(tables: &[&MountTable], table: usize, path: &str) -> Vec<String> {
        let groups = Groups::new(tables.iter().copied());
        let found = groups.appearances(table, path.as_bytes()).unwrap();
        let text = |copy: &Appearance| {
            let under = copy.under.map(|under| format!(" under {}", under.id)).unwrap_or_default();
            let hidden = if copy.visible { "" } else { " hidden" };
            let point = String::from_utf8_lossy(&copy.point).into_owned();
            format!("{} {} {point}{under}{hidden}", copy.table, copy.parent.id)
        };
        found.iter().map(text).collect()
    }

    #[test]
    fn a_private_mount_keeps_what_is_made_on_it() {
        let host = table("20 1 1 / /");
        let slave = table("40 2 1 / / master:7");
        assert_eq!(said(&[&host, &slave], 0, "/a"), ["0 20 /a"]);
        assert_eq!(said(&[&slave, &host], 0, "/a"), ["0 40 /a"]);
    }

    #[test]
    fn peers_and_slaves_show_it_where_their_root_holds_the_directory() {
        let host = table("20 1 1 / / shared:1\n21 20 1 /k/pods /mnt shared:1\n22 20 1 /other /srv shared:1");
        let plugin = table("40 2 2 / /\n41 40 1 /k /var/lib/kubelet master:1");
        assert_eq!(
            said(&[&host, &plugin], 0, "/k/pods/x"),
            ["0 20 /k/pods/x", "0 21 /mnt/x", "1 41 /var/lib/kubelet/pods/x"]
        );
        assert_eq!(said(&[&host, &plugin], 1, "/var/lib/kubelet/pods/x"), ["1 41 /var/lib/kubelet/pods/x"]);
    }

    #[test]
    fn a_group_passes_on_what_its_members_do_not_show() {
        let tables = table("20 1 1 / /1 shared:1\n21 1 1 /b /2 shared:2 master:1\n22 1 1 / /3 master:2");
        assert_eq!(said(&[&tables], 0, "/1/a"), ["0 20 /1/a", "0 22 /3/a"]);
    }

    #[test]
    fn a_group_without_a_member_in_sight_passes_on_what_propagate_from_tells() {
        let host = table("20 1 1 / / shared:1");
        let container = table("40 2 1 / / shared:1\n41 40 1 / /s master:5 propagate_from:1");
        let other = table("60 3 1 / / master:5");
        let tables = [&host, &container, &other];
        assert_eq!(said(&tables, 0, "/a"), ["0 20 /a", "1 40 /a", "1 41 /s/a", "2 60 /a"]);
    }

    #[test]
    fn a_copy_slips_below_what_is_mounted_there() {
        let host = table("20 1 1 / / shared:1");
        let other = table("40 2 1 / / shared:1\n41 40 3 / /a");
        assert_eq!(said(&[&host, &other], 0, "/a"), ["0 20 /a", "1 40 /a under 41 hidden"]);
        // Made on top of it, it is made on another mount.
        assert_eq!(said(&[&host, &other], 1, "/a"), ["1 41 /a"]);
        let covered = table("40 2 1 / / shared:1\n41 40 3 / /a");
        assert_eq!(said(&[&host, &covered], 0, "/a/b"), ["0 20 /a/b", "1 40 /a/b hidden"]);
    }

    #[test]
    fn one_copy_can_hide_another() {
        // The root's directory /a is bound below itself.
        let host = table("20 1 1 / / shared:1\n21 20 1 / /a/x shared:1");
        assert_eq!(said(&[&host], 0, "/a/x/a"), ["0 20 /a", "0 21 /a/x/a hidden"]);
    }

    #[test]
    fn a_mount_over_the_root_directory_goes_on_top_and_is_not_met() {
        let host = table("20 1 1 / /\n21 20 2 / /");
        assert_eq!(said(&[&host], 0, "/"), ["0 21 / hidden"]);
    }
}
