//! What is read of a process that may be a kubelet.

use super::mount::MountTable;

/// Namespaces by inode number; `None` where the link could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// PID namespace.
    pub pid: Option<u64>,
    /// User namespace.
    pub user: Option<u64>,
    /// Mount namespace.
    pub mnt: Option<u64>,
}

/// One process, read once and completely, or not at all: its start time was the same before and
/// after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number in csihost's PID namespace.
    pub pid: i32,
    /// The kernel's short name; a process can set it to anything.
    pub comm: Vec<u8>,
    /// Its arguments; a process can set them to anything.
    pub args: Vec<Vec<u8>>,
    /// The target of /proc/PID/exe, as the kernel shows it.
    pub exe: Option<Vec<u8>>,
    /// Real user.
    pub uid: u32,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Inode numbers of the sockets that it holds open.
    pub sockets: Vec<u64>,
    /// The raw text of /proc/PID/net/unix.
    pub net_unix: Vec<u8>,
    /// The raw text of /proc/PID/cgroup.
    pub cgroup: Vec<u8>,
    /// Its mount table, where its mount namespace is not PID 1's.
    pub mounts: Option<MountTable>,
}
