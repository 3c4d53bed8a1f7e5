//! A plan: what should change, as data that can be shown, compared and tested.

use super::digest::Digest;
use super::edit::Splice;
use super::path::HostPath;
use super::unit::UnitName;

/// What one step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Changes a few lines of somebody else's file; all other bytes stay.
    PatchFile {
        /// The file, symbolic links resolved.
        path: HostPath,
        /// The lines.
        splices: Vec<Splice>,
        /// The file as it was read.
        before: Digest,
        /// The file as it will be.
        after: Digest,
        /// A unified diff of the lines.
        diff: String,
    },
    /// Writes a file that csihost generates whole.
    WriteFile {
        /// Where.
        path: HostPath,
        /// What; its first line says whose it is.
        bytes: Vec<u8>,
        /// A unified diff against what is there.
        diff: String,
    },
    /// Writes a unit file or a drop-in; systemd reads it again before the first unit is started.
    WriteUnit {
        /// Where.
        path: HostPath,
        /// What; its first line says whose it is.
        bytes: Vec<u8>,
        /// A unified diff against what is there.
        diff: String,
    },
    /// Removes a unit file or drop-in that csihost generated.
    RemoveUnit {
        /// Which.
        path: HostPath,
    },
    /// Makes a directory, and those above it that are missing.
    MakeDirectory {
        /// Where.
        path: HostPath,
        /// Permission bits of the last one; those above get 0755.
        mode: u32,
    },
    /// Has a unit started at boot.
    EnableUnit {
        /// Which.
        unit: UnitName,
    },
    /// No longer has a unit started at boot.
    DisableUnit {
        /// Which.
        unit: UnitName,
    },
    /// Starts a unit now.
    StartUnit {
        /// Which.
        unit: UnitName,
    },
    /// Makes a path a shared mount of its own, by starting the mount unit that binds it to itself.
    ShareMount {
        /// The path.
        path: HostPath,
        /// Its mount unit.
        unit: UnitName,
    },
    /// Loads a kernel module, by having systemd-modules-load read its configuration again.
    LoadModule {
        /// Which.
        module: String,
    },
}

impl Action {
    /// The kind's stable name (DESIGN §5).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PatchFile { .. } => "patch-file",
            Self::WriteFile { .. } => "write-file",
            Self::WriteUnit { .. } => "write-unit",
            Self::RemoveUnit { .. } => "remove-unit",
            Self::MakeDirectory { .. } => "make-directory",
            Self::EnableUnit { .. } => "enable-unit",
            Self::DisableUnit { .. } => "disable-unit",
            Self::StartUnit { .. } => "start-unit",
            Self::ShareMount { .. } => "share-mount",
            Self::LoadModule { .. } => "load-module",
        }
    }

    /// What it changes.
    pub fn target(&self) -> String {
        match self {
            Self::PatchFile { path, .. }
            | Self::WriteFile { path, .. }
            | Self::WriteUnit { path, .. }
            | Self::RemoveUnit { path }
            | Self::ShareMount { path, .. }
            | Self::MakeDirectory { path, .. } => path.to_string(),
            Self::EnableUnit { unit } | Self::DisableUnit { unit } | Self::StartUnit { unit } => {
                unit.to_string()
            }
            Self::LoadModule { module } => module.clone(),
        }
    }

    /// The text that changes, where it is text.
    pub fn diff(&self) -> Option<&str> {
        match self {
            Self::PatchFile { diff, .. } | Self::WriteFile { diff, .. } | Self::WriteUnit { diff, .. } => {
                Some(diff)
            }
            _ => None,
        }
    }
}

/// A step's place in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepId(usize);

/// One change, why it is needed, and what must have gone well before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Steps without which this one is left out.
    pub needs: Vec<StepId>,
}

/// Something that csihost could do and does not, because it would harm.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Stable name.
    pub id: &'static str,
    /// What it is about.
    pub target: String,
    /// Why not.
    pub reason: String,
    /// What to do instead.
    pub remedy: String,
}

/// The difference between what is and what should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
    /// What is not done, and why.
    pub refused: Vec<Refusal>,
}

impl Plan {
    /// Adds a step that is done once those in `needs` went well.
    pub fn push(&mut self, action: Action, reason: impl Into<String>, needs: &[StepId]) -> StepId {
        self.steps.push(Step { action, reason: reason.into(), needs: needs.to_vec() });
        StepId(self.steps.len() - 1)
    }

    /// The steps in the order in which they are done.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter().enumerate().map(|(index, step)| (StepId(index), step))
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}
