//! What was observed of the host in one turn.

use super::file::{DirFact, FileFact};
use super::kubelet::Detection;
use super::mount::MountTable;
use super::path::HostPath;
use super::receipt::BridgeRecord;
use super::unit::Units;
use std::collections::{BTreeMap, BTreeSet};

/// Which host a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The one that csihost runs on.
    Live,
    /// A tree of files (`--root`): nothing runs there.
    Offline,
}

/// The init system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Init {
    /// systemd is PID 1, and answers on the bus.
    Systemd,
    /// systemd is PID 1, and does not answer; why.
    Unreachable(String),
    /// Another one, by the name of PID 1.
    Other(String),
    /// Offline: unit files are links, nothing is started.
    Offline,
}

/// What the kernel can do for iSCSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Loaded.
    Loaded,
    /// A part of the kernel itself.
    BuiltIn,
    /// Not loaded; there is a file to load it from.
    Loadable,
    /// The running kernel has no such module.
    Missing,
    /// Offline: which kernel will run is not known.
    Unknown,
}

/// Everything that a decision may depend on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Live or offline.
    pub mode: Mode,
    /// The init system.
    pub init: Init,
    /// The kubelet's root, and why.
    pub detection: Detection,
    /// PID 1's mounts; empty where they are not known.
    pub mounts: MountTable,
    /// Directories that were asked for.
    pub dirs: BTreeMap<HostPath, DirFact>,
    /// Files that were asked for.
    pub files: BTreeMap<HostPath, FileFact>,
    /// Programs that were asked for and are there, executable.
    pub programs: BTreeSet<HostPath>,
    /// Units that were asked for.
    pub units: Units,
    /// Kernel modules that were asked for.
    pub modules: BTreeMap<String, Module>,
    /// Files that csihost generated in earlier turns.
    pub generated: BTreeSet<HostPath>,
    /// The bridge of earlier turns.
    pub bridge: Option<BridgeRecord>,
}

impl Facts {
    /// What is at the file path; a path that was never asked for counts as absent.
    pub fn file(&self, path: &HostPath) -> &FileFact {
        self.files.get(path).unwrap_or(&FileFact::Absent)
    }

    /// What is known of a module.
    pub fn module(&self, name: &str) -> Module {
        self.modules.get(name).copied().unwrap_or(Module::Unknown)
    }

    /// Whether units can be enabled, and started where the host is live.
    pub fn has_units(&self) -> bool {
        matches!(self.init, Init::Systemd | Init::Offline)
    }
}
