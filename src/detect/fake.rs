//! Pure: a made-up host for the tests of this room.

use super::world::{Ids, World};
use crate::model::file::{FileId, Trust};
use crate::model::kubelet::KubeletRoot;
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::process::Process;
use std::collections::BTreeMap;

/// A host on which everything is root's and a socket, unless it is said otherwise.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) trust: BTreeMap<HostPath, Trust>,
    pub(super) not_sockets: Vec<HostPath>,
    pub(super) there: Vec<HostPath>,
    pub(super) links: BTreeMap<HostPath, HostPath>,
    pub(super) ids: BTreeMap<HostPath, FileId>,
    pub(super) mounts: MountTable,
    pub(super) elsewhere: BTreeMap<i32, HostPath>,
    /// Ids do not tell one file from another.
    pub(super) overlay: bool,
}

impl World for Fake {
    fn mounts<'a>(&'a self, process: &'a Process) -> &'a MountTable {
        process.mounts.as_ref().unwrap_or(&self.mounts)
    }
    fn canonical(&self, _: Option<&Process>, path: &HostPath) -> HostPath {
        self.links.get(path).unwrap_or(path).clone()
    }
    fn host_dir(&self, process: &Process, root: &KubeletRoot) -> Option<HostPath> {
        Some(self.elsewhere.get(&process.pid).unwrap_or(root.as_path()).clone())
    }
    fn trust(&self, _: Option<&Process>, path: &HostPath) -> Trust {
        self.trust.get(path).cloned().unwrap_or(Trust::Root)
    }
    fn is_socket(&self, _: &Process, path: &HostPath) -> Option<bool> {
        Some(!self.not_sockets.contains(path))
    }
    fn ids(&self, _: &Process, path: &HostPath) -> Option<Ids> {
        self.ids.get(path).map(|&id| Ids { ids: vec![id], sure: !self.overlay })
    }
    fn exists(&self, path: &HostPath) -> bool {
        self.there.contains(path)
    }
}
