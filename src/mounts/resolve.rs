//! Mounts: which mount a path lies on, and which directory it names.
//!
//! Paths here are absolute, clean and free of symbolic links, as the process whose table it is
//! would name them. All answers are those of a lookup in that mount namespace.

use crate::model::mount::{Device, Mount, MountTable, Prefixes};

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
/// another one's root is simply the next that it meets. Only what is mounted over the process's own
/// root directory is never met: lookups start below it.
///
/// `None` where the table does not say: it is empty, or the process has a plain directory for its
/// root (chroot) and `path` is on no mount of its own.
pub fn cover<'a>(table: &'a MountTable, path: &[u8]) -> Option<&'a Mount> {
    descend(table, &Prefixes::new(path), |_, _| false)
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
    let mut names: Vec<Vec<u8>> = table
        .showing(device, inside)
        .filter_map(|mount| Some(joined(&mount.point, remainder(inside, &mount.root)?)))
        .filter(|name| {
            place(table, name).is_some_and(|place| place.mount.device == device && place.inside == inside)
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

/// The directories that `path` would name without some of the mounts at it and above: what a process has of it that
/// entered before they were made.
pub(super) fn beneath(table: &MountTable, path: &[u8]) -> Vec<(Device, Vec<u8>)> {
    let top = cover(table, path).map(|mount| mount.id);
    let others = table.iter().filter(|mount| Some(mount.id) != top);
    others.filter_map(|mount| placed(mount, path)).map(|place| (place.mount.device, place.inside)).collect()
}

/// The mounts whose points lie strictly below `path`, hidden ones included: they keep the mount
/// at `path` busy all the same.
pub fn below<'a>(table: &'a MountTable, path: &[u8]) -> impl Iterator<Item = &'a Mount> {
    table.below(path)
}

/// Follows a lookup from mount to mount. `ends` is asked, with the mount that it is on and the one
/// that it would go to, whether something else ends it there.
pub(super) fn descend<'a>(
    table: &'a MountTable,
    path: &Prefixes,
    ends: impl Fn(&Mount, Option<&Mount>) -> bool,
) -> Option<&'a Mount> {
    let mut on = table.start(path)?;
    // A table read while mounts came and went may hold an id twice; a lookup must end all the same.
    for _ in table.iter() {
        let next = table.next(on, path);
        if ends(on, next) {
            break;
        }
        match next {
            Some(next) => on = next,
            None => break,
        }
    }
    Some(on)
}

pub(super) fn placed<'a>(mount: &'a Mount, path: &[u8]) -> Option<Place<'a>> {
    Some(Place { mount, inside: joined(&mount.root, remainder(path, &mount.point)?) })
}

/// What of `path` lies below `ancestor`, without a leading `/`; compares components, so that
/// `/var/lib/kubelet2` is not below `/var/lib/kubelet`.
pub(super) fn remainder<'p>(path: &'p [u8], ancestor: &[u8]) -> Option<&'p [u8]> {
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

pub(super) fn joined(directory: &[u8], rest: &[u8]) -> Vec<u8> {
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
mod tests;
