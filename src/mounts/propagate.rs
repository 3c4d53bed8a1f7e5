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
