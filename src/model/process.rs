//! What is read of a process that may be a kubelet.

use super::file::FileId;
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
    /// Network namespace.
    pub net: Option<u64>,
}

/// A named Unix socket that a process listens on, as the kernel itself tells (sock_diag(7)). Unlike
/// a row of /proc/PID/net/unix it cannot be forged: it is asked for by the inode that the process
/// holds, and the name comes with its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name given to bind(2); never an abstract one.
    pub name: Vec<u8>,
    /// The file that it was bound to; of the inode's number only the lower 32 bits are told.
    pub file: Option<FileId>,
}

/// One process, read once and completely, or not at all: its start time was the same before and
/// after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number in csihost's PID namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot: with the number it names one process.
    pub start: u64,
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
    /// Whether it has another number in a PID namespace below that of /proc (`NSpid:`).
    pub nested: bool,
    /// Its root directory, as the link /proc/PID/root shows it; `/` unless it is in a chroot.
    pub root: Vec<u8>,
    /// Inode numbers of the sockets that it holds open.
    pub sockets: Vec<u64>,
    /// Which of them listen, where the kernel could be asked; else there is `net_unix`.
    pub listeners: Option<Vec<Listener>>,
    /// The raw text of /proc/PID/net/unix, in which rows can be forged.
    pub net_unix: Vec<u8>,
    /// The directories that its inotify instances watch.
    pub watches: Vec<FileId>,
    /// The raw text of /proc/PID/cgroup.
    pub cgroup: Vec<u8>,
    /// Its mount table, where its mount namespace is not PID 1's.
    pub mounts: Option<MountTable>,
}
