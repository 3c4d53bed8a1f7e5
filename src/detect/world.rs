//! Pure: what detection has to ask the host, file by file, once somebody claims a root.

use crate::model::file::{FileId, Trust};
use crate::model::kubelet::KubeletRoot;
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::process::Process;

/// Which file or directory a path names, in all the ways in which the kernel tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// By stat(2), and by the device of the mount table: on btrfs they differ, and inotify and
    /// sock_diag tell the latter.
    pub ids: Vec<FileId>,
    /// Whether another id is another file. On overlayfs it need not be.
    pub sure: bool,
}

/// The host. Paths are those of `process`, where there is one, in its mount namespace.
pub trait World {
    /// The mounts that `process` sees.
    fn mounts<'a>(&'a self, process: &'a Process) -> &'a MountTable;
    /// `path` without symbolic links, as far as that is known.
    fn canonical(&self, process: Option<&Process>, path: &HostPath) -> HostPath;
    /// The host's name for the directory that `process` sees at `root`; `None` if it has none.
    fn host_dir(&self, process: &Process, root: &KubeletRoot) -> Option<HostPath>;
    /// Whether only root can change what `path` names, inside and on the host.
    fn trust(&self, process: Option<&Process>, path: &HostPath) -> Trust;
    /// Whether `path` is a socket; `None` in a scene, which has none.
    fn is_socket(&self, process: &Process, path: &HostPath) -> Option<bool>;
    /// Which file `path` is; `None` where nothing is there, and in a scene, whose inode numbers
    /// are not those of the node that it shows.
    fn ids(&self, process: &Process, path: &HostPath) -> Option<Ids>;
    /// Whether anything is at `path` on the host.
    fn exists(&self, path: &HostPath) -> bool;
}
