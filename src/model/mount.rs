//! Rows of a mount table, as the kernel shows them in /proc/PID/mountinfo (proc(5)).

use std::collections::HashMap;

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

/// The mounts that one process sees, in the kernel's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountTable {
    mounts: Vec<Mount>,
    children: HashMap<u64, Vec<usize>>,
}

impl MountTable {
    /// A table of `mounts`, in the kernel's order.
    pub fn new(mounts: Vec<Mount>) -> Self {
        let mut children: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, mount) in mounts.iter().enumerate() {
            if mount.parent != mount.id {
                children.entry(mount.parent).or_default().push(index);
            }
        }
        Self { mounts, children }
    }

    /// All mounts.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// The mounts attached to the mount with `id`, in the kernel's order.
    pub fn children(&self, id: u64) -> impl Iterator<Item = &Mount> {
        self.children.get(&id).into_iter().flatten().filter_map(|&index| self.mounts.get(index))
    }

    /// The mount with `id`.
    pub fn by_id(&self, id: u64) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.id == id)
    }

    /// Whether nothing is known of mounts (offline, without a captured /proc).
    pub fn is_empty(&self) -> bool {
        self.mounts.is_empty()
    }
}
