//! One step's action: what it does, to what, and when in a plan.

use super::digest::Digest;
use super::edit::Splice;
use super::graft::Graft;
use super::install::Installation;
use super::path::HostPath;
use super::unit::UnitName;

/// What one step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Installs packages, and upgrades nothing else.
    InstallPackages(Installation),
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
    /// Removes a file that csihost generated, and that the settings no longer ask for.
    RemoveFile {
        /// Which.
        path: HostPath,
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
    /// Puts an empty directory in the place of a link.
    ReplaceLink {
        /// The link.
        path: HostPath,
        /// Permission bits of the directory.
        mode: u32,
    },
    /// Gives this host an iSCSI initiator name that no other host has.
    NameInitiator {
        /// The file that holds it, symbolic links resolved.
        path: HostPath,
        /// What the new name begins with; the rest is random, made when the step is done.
        prefix: String,
        /// The file as it was read; `None` where there is none.
        before: Option<Digest>,
        /// A unified diff in which the new name's end is left open.
        diff: String,
        /// The service that has to read it again, if it runs then.
        service: Option<UnitName>,
    },
    /// Takes what open-iscsi remembers of a target that is gone out of its sight.
    MoveAside {
        /// The target's directory.
        path: HostPath,
        /// Where it is kept, on the same file system.
        to: HostPath,
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
    /// Stops a daemon and starts it, so that it reads what was changed.
    RestartUnit {
        /// Which.
        unit: UnitName,
    },
    /// Has a daemon read its configuration again, without a stop.
    ReloadUnit {
        /// Which.
        unit: UnitName,
    },
    /// Has systemd forget that a unit failed, and how often.
    ResetFailedUnit {
        /// Which.
        unit: UnitName,
    },
    /// Makes a path a shared mount of its own, by starting the mount unit that binds it to itself.
    ShareMount {
        /// The path.
        path: HostPath,
        /// Its mount unit; `None` where there is no systemd, and csihost mounts by itself.
        unit: Option<UnitName>,
    },
    /// Binds a directory somewhere else, where no mount unit can: shared, with what is mounted below.
    Mount {
        /// The directory.
        from: HostPath,
        /// Where it is to be seen as well.
        to: HostPath,
    },
    /// Unmounts what the mount unit has mounted, and nothing with it: where something is mounted
    /// below, or in use, it stays.
    Unmount {
        /// The mount point.
        path: HostPath,
        /// Its mount unit.
        unit: UnitName,
    },
    /// Makes the kubelet root's string exist inside a plugin.
    Graft(Graft),
    /// Unmounts a volume where it is published to a pod that is gone.
    UnmountVolume {
        /// The pod's UID.
        pod: String,
        /// The volume's directory.
        volume: String,
    },
    /// Loads a kernel module.
    LoadModule {
        /// Which.
        module: String,
    },
}

impl Action {
    /// The kind's stable name in `plan --json`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InstallPackages(_) => "install-package",
            Self::PatchFile { .. } => "patch-file",
            Self::WriteFile { .. } | Self::NameInitiator { .. } => "write-file",
            Self::MoveAside { .. } => "move-aside",
            Self::RestartUnit { .. } => "restart-unit",
            Self::ReloadUnit { .. } => "reload-unit",
            Self::ResetFailedUnit { .. } => "reset-failed-unit",
            Self::WriteUnit { .. } => "write-unit",
            Self::RemoveFile { .. } => "remove-file",
            Self::RemoveUnit { .. } => "remove-unit",
            Self::MakeDirectory { .. } => "make-directory",
            Self::ReplaceLink { .. } => "replace-link",
            Self::EnableUnit { .. } => "enable-unit",
            Self::DisableUnit { .. } => "disable-unit",
            Self::StartUnit { .. } => "start-unit",
            Self::ShareMount { .. } => "share-mount",
            Self::Mount { .. } => "mount",
            Self::Unmount { .. } => "unmount",
            Self::LoadModule { .. } => "load-module",
            Self::Graft(_) => "graft",
            Self::UnmountVolume { .. } => "unmount-volume",
        }
    }

    /// What it changes.
    pub fn target(&self) -> String {
        match self {
            Self::InstallPackages(install) => install.packages.join(" "),
            Self::PatchFile { path, .. }
            | Self::WriteFile { path, .. }
            | Self::WriteUnit { path, .. }
            | Self::RemoveFile { path }
            | Self::RemoveUnit { path }
            | Self::ShareMount { path, .. }
            | Self::Mount { to: path, .. }
            | Self::Unmount { path, .. }
            | Self::NameInitiator { path, .. }
            | Self::MoveAside { path, .. }
            | Self::ReplaceLink { path, .. }
            | Self::MakeDirectory { path, .. } => path.to_string(),
            Self::EnableUnit { unit }
            | Self::DisableUnit { unit }
            | Self::StartUnit { unit }
            | Self::RestartUnit { unit }
            | Self::ResetFailedUnit { unit }
            | Self::ReloadUnit { unit } => unit.to_string(),
            Self::LoadModule { module } => module.clone(),
            // Another process is another container: to graft that too is no fight.
            Self::Graft(graft) => format!("{} (process {})", graft.name, graft.pid),
            Self::UnmountVolume { pod, volume } => format!("{volume} of pod {pod}"),
        }
    }

    /// When in a plan it is done: packages, files, units, links, then what has to start.
    pub(super) fn phase(&self) -> u8 {
        match self {
            Self::InstallPackages(_) => 0,
            Self::PatchFile { .. } | Self::WriteFile { .. } | Self::NameInitiator { .. } => 1,
            Self::RemoveFile { .. } => 1,
            Self::MakeDirectory { .. } => 2,
            // A unit's links are found by its file: they go before it.
            Self::DisableUnit { .. } | Self::RemoveUnit { .. } | Self::WriteUnit { .. } => 3,
            Self::MoveAside { .. } => 3,
            Self::EnableUnit { .. } => 4,
            Self::LoadModule { .. } | Self::Unmount { .. } => 5,
            // After systemd has read the units: nothing else comes between it and the mount.
            Self::ShareMount { .. } | Self::ReplaceLink { .. } => 6,
            Self::RestartUnit { .. } | Self::ReloadUnit { .. } | Self::ResetFailedUnit { .. } => 7,
            Self::StartUnit { .. } | Self::Mount { .. } => 8,
            Self::Graft(_) | Self::UnmountVolume { .. } => 9,
        }
    }

    /// The text that changes, where it is text.
    pub fn diff(&self) -> Option<&str> {
        match self {
            Self::PatchFile { diff, .. }
            | Self::WriteFile { diff, .. }
            | Self::WriteUnit { diff, .. }
            | Self::NameInitiator { diff, .. } => Some(diff),
            _ => None,
        }
    }
}
