//! Rows of a mount table, as the kernel shows them in /proc/PID/mountinfo (proc(5)).

mod index;

pub use index::Prefixes;

use super::gate::{GATE_SOURCE, GATE_TYPE};
use index::{ByPath, Ids, Prefix};
use std::fmt;
use std::sync::OnceLock;

/// A file system's device number, `major:minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Device {
    /// The number as the kernel keeps it for itself and shows it in fdinfo and sock_diag
    /// (include/linux/kdev_t.h: 12 bits of major number over 20 of minor).
    pub fn from_kernel(dev: u32) -> Self {
        Self { major: dev >> 20, minor: dev & 0xf_ffff }
    }
}

/// One mount. Paths are bytes with the kernel's octal escapes decoded; `point` is a path of the
/// mount namespace (and root directory) of the process whose table it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Unique while mounted.
    pub id: u64,
    /// The mount that this one is attached to; itself, or unknown to the table, for the root.
    pub parent: u64,
    /// The file system.
    pub device: Device,
    /// Which directory of the file system is mounted.
    pub root: Vec<u8>,
    /// Where it is mounted.
    pub point: Vec<u8>,
    /// Its peer group, where it is shared.
    pub shared: Option<u64>,
    /// The peer group that it receives mounts from, where it is a slave.
    pub master: Option<u64>,
    /// The closest dominating peer group under the process's root, where that is not the master.
    pub propagate_from: Option<u64>,
    /// It cannot be bound.
    pub unbindable: bool,
    /// Per-mount options, such as `rw,relatime`.
    pub options: Vec<u8>,
    /// File-system type.
    pub fs_type: Vec<u8>,
    /// What is mounted, in the file system's own words.
    pub source: Vec<u8>,
}

impl Mount {
    /// Returns true for the mount that closes a gate: an empty tmpfs of csihost's own, whole.
    pub fn is_gate(&self) -> bool {
        self.source == GATE_SOURCE.as_bytes() && self.fs_type == GATE_TYPE.as_bytes() && self.root == b"/"
    }
}

/// The mounts that one process sees, in the kernel's order.
///
/// A gate of csihost's is none of them: what it covers is what all decisions are about.
///
/// What is asked of it is looked up in indexes, which are made when they are first needed: most
/// tables of a node are asked for one path.
#[derive(Clone, Default)]
pub struct MountTable {
    mounts: Vec<Mount>,
    gates: Vec<Mount>,
    ids: OnceLock<Ids>,
    attached: OnceLock<ByPath>,
    shown: OnceLock<ByPath>,
    points: OnceLock<Vec<u32>>,
}

impl PartialEq for MountTable {
    fn eq(&self, other: &Self) -> bool {
        self.mounts == other.mounts
    }
}

impl Eq for MountTable {}

impl fmt::Debug for MountTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.mounts).finish()
    }
}

impl MountTable {
    /// A table of `mounts`, in the kernel's order.
    pub fn new(mounts: Vec<Mount>) -> Self {
        let (gates, mounts) = match mounts.iter().any(Mount::is_gate) {
            true => mounts.into_iter().partition(Mount::is_gate),
            false => (Vec::new(), mounts),
        };
        Self { mounts, gates, ..Self::default() }
    }

    /// The closed gates, hidden ones included.
    pub fn gates(&self) -> &[Mount] {
        &self.gates
    }

    /// All mounts.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Mount> + ExactSizeIterator {
        self.mounts.iter()
    }

    /// The mount with `id`.
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.row(self.ids().row(id)?)
    }

    /// Whether nothing is known of mounts (offline, without a captured /proc).
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }

    /// The mount that a lookup of `path` starts on: of those that are attached to nothing in the
    /// table (the root, whose parent is outside of it, or a rootfs that is its own parent) the one
    /// with the shortest point at `path` or above it, and of several the last.
    pub fn start(&self, path: &Prefixes) -> Option<&Mount> {
        path.iter().find_map(|prefix| self.at(None, prefix))
    }

    /// Of the mounts attached to `parent`, the one that a lookup of `path` meets first: that with
    /// the shortest point at `path` or above it. At one point there is but one (of several, in a
    /// table read while mounts came and went, it is the last).
    ///
    /// A mount attached to `/` is not met: a process's lookups start *below* what is mounted over
    /// its root directory (fs/namei.c, `nd_jump_root`).
    pub fn next(&self, parent: &Mount, path: &Prefixes) -> Option<&Mount> {
        path.iter().filter(|prefix| prefix.path != b"/").find_map(|prefix| self.at(Some(parent), prefix))
    }

    /// The mounts attached to `parent`, in the kernel's order.
    pub fn children(&self, parent: &Mount) -> impl Iterator<Item = &Mount> {
        let owner = self.ids().row(parent.id).map(u64::from);
        let mut rows: Vec<u32> = owner.into_iter().flat_map(|owner| self.attached().all(owner)).collect();
        rows.sort_unstable();
        rows.into_iter().filter_map(|row| self.row(row))
    }

    /// The mount that is attached to `parent` at `point`, `/` included.
    pub fn attached_at(&self, parent: &Mount, point: &[u8]) -> Option<&Mount> {
        self.at(Some(parent), &Prefix::new(point))
    }

    /// The mounts of `device` that show its directory `inside`, at their root or below it, in the
    /// kernel's order; hidden ones included.
    pub fn showing(&self, device: Device, inside: &[u8]) -> impl Iterator<Item = &Mount> {
        let shown = self.shown.get_or_init(|| {
            ByPath::new(self.mounts.iter().map(|mount| (owner(mount.device), mount.root.as_slice())))
        });
        let mut rows: Vec<u32> = Prefixes::new(inside)
            .iter()
            .flat_map(|prefix| shown.rows(owner(device), prefix))
            .filter(|&row| self.row(row).is_some_and(|mount| within(inside, &mount.root)))
            .collect();
        rows.sort_unstable();
        rows.into_iter().filter_map(|row| self.row(row))
    }

    /// The mounts whose points lie strictly below `path`, in the kernel's order; hidden ones
    /// included.
    pub fn below(&self, path: &[u8]) -> impl Iterator<Item = &Mount> {
        let point = |&row: &u32| self.row(row).map(|mount| mount.point.as_slice()).unwrap_or_default();
        let points = self.points.get_or_init(|| {
            let mut rows: Vec<u32> = (0u32..).zip(&self.mounts).map(|(row, _)| row).collect();
            rows.sort_by(|a, b| point(a).cmp(point(b)));
            rows
        });
        // What begins with `path/` is together; `path-x` may lie between it and `path`.
        let mut prefix = path.strip_suffix(b"/").unwrap_or(path).to_vec();
        prefix.push(b'/');
        let from = points.partition_point(|row| point(row) <= prefix.as_slice());
        let rest = points.get(from..).unwrap_or_default();
        let length = rest.partition_point(|row| point(row).starts_with(&prefix));
        let mut rows = rest.get(..length).unwrap_or_default().to_vec();
        rows.sort_unstable();
        rows.into_iter().filter_map(|row| self.row(row))
    }

    fn row(&self, row: u32) -> Option<&Mount> {
        self.mounts.get(usize::try_from(row).ok()?)
    }

    fn ids(&self) -> &Ids {
        self.ids.get_or_init(|| Ids::new(self.mounts.iter().map(|mount| mount.id)))
    }

    fn attached(&self) -> &ByPath {
        self.attached.get_or_init(|| {
            let ids = self.ids();
            ByPath::new(self.mounts.iter().map(|mount| {
                let parent = (mount.parent != mount.id).then(|| ids.row(mount.parent)).flatten();
                (parent.map_or(NOTHING, u64::from), mount.point.as_slice())
            }))
        })
    }

    fn at(&self, parent: Option<&Mount>, prefix: &Prefix) -> Option<&Mount> {
        let owner = match parent {
            Some(parent) => u64::from(self.ids().row(parent.id)?),
            None => NOTHING,
        };
        self.attached()
            .rows(owner, prefix)
            .filter_map(|row| self.row(row))
            .filter(|mount| mount.point == prefix.path)
            .last()
    }
}

/// What mounts are attached to that are attached to nothing in the table; no row has this number.
const NOTHING: u64 = u64::MAX;

fn owner(device: Device) -> u64 {
    u64::from(device.major) << 32 | u64::from(device.minor)
}

/// Whether the clean, absolute `path` is `ancestor` or lies below it; compares components, so that
/// `/var/lib/kubelet2` is not below `/var/lib/kubelet`.
fn within(path: &[u8], ancestor: &[u8]) -> bool {
    ancestor == b"/"
        || path.strip_prefix(ancestor).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

#[cfg(test)]
mod tests;
