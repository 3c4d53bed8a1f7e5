//! A plan: what should change, as data that can be shown, compared and tested.

use super::align::{AlignRecord, Alignment};
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
        }
    }

    /// When in a plan it is done: packages, files, units, links, then what has to start.
    fn phase(&self) -> u8 {
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
            Self::Graft(_) => 9,
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

/// Something that is to be done, and not in this turn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Later {
    /// What it is about.
    pub target: String,
    /// What it waits for.
    pub reason: String,
}

/// The difference between what is and what should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
    /// What is not done, and why.
    pub refused: Vec<Refusal>,
    /// What waits for another turn, or for a reboot.
    pub later: Vec<Later>,
    /// The kubelet root that the plan's bridge leads to, for turns in which no kubelet says so.
    pub bridge: Option<HostPath>,
    /// How far aligning the kubelet's root is; `None` where nobody asked for it.
    pub alignment: Option<Alignment>,
    /// The root that the plan makes the standard path in the kubelet's eyes, as it is recorded.
    pub aligns: Option<AlignRecord>,
}

impl Plan {
    /// Adds a step that is done once those in `needs` went well.
    pub fn push(&mut self, action: Action, reason: impl Into<String>, needs: &[StepId]) -> StepId {
        self.steps.push(Step { action, reason: reason.into(), needs: needs.to_vec() });
        StepId(self.steps.len() - 1)
    }

    /// Has the steps from `first` on that `which` names need `need`, which was added before them.
    pub fn also_need(&mut self, first: usize, need: StepId, which: impl Fn(&Action) -> bool) {
        for step in self.steps.iter_mut().skip(first).filter(|step| which(&step.action)) {
            step.needs.push(need);
        }
    }

    /// The steps in the order in which they are done.
    pub fn steps(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.steps.iter().enumerate().map(|(index, step)| (StepId(index), step))
    }

    /// The same plan with its steps in the order of [`Action::phase`] and of their needs, and otherwise as they were:
    /// systemd then
    /// has to read its units once, between writing and starting.
    pub fn in_phases(self) -> Self {
        // A step is done no sooner than what it needs, which was added before it.
        let mut phases: Vec<u8> = Vec::new();
        for step in &self.steps {
            let needed = step.needs.iter().filter_map(|need| phases.get(need.0).copied());
            phases.push(needed.fold(step.action.phase(), u8::max));
        }
        let mut order: Vec<usize> = (0..self.steps.len()).collect();
        order.sort_by_key(|index| phases.get(*index).copied());
        let moved: Vec<usize> = {
            let mut moved = vec![0; order.len()];
            for (new, old) in order.iter().enumerate() {
                if let Some(place) = moved.get_mut(*old) {
                    *place = new;
                }
            }
            moved
        };
        let mut steps: Vec<(usize, Step)> = self
            .steps
            .into_iter()
            .enumerate()
            .map(|(old, mut step)| {
                let renumber = |id: &StepId| moved.get(id.0).copied().map(StepId);
                step.needs = step.needs.iter().filter_map(renumber).collect();
                (moved.get(old).copied().unwrap_or(old), step)
            })
            .collect();
        steps.sort_by_key(|(new, _)| *new);
        Self { steps: steps.into_iter().map(|(_, step)| step).collect(), ..self }
    }

    /// Takes steps out, and with each those that need it; how many are left out.
    pub fn leave_out(&mut self, mut unwanted: impl FnMut(&Step) -> bool) -> usize {
        let mut out: Vec<bool> = self.steps.iter().map(&mut unwanted).collect();
        let is_out = |out: &[bool], id: &StepId| out.get(id.0).copied().unwrap_or(false);
        loop {
            let before = out.clone();
            for (index, step) in self.steps.iter().enumerate() {
                if let Some(place) = out.get_mut(index) {
                    *place |= step.needs.iter().any(|need| is_out(&before, need));
                }
            }
            if out == before {
                break;
            }
        }
        let places: Vec<usize> = out
            .iter()
            .scan(0, |next, &out| {
                let place = *next;
                *next += usize::from(!out);
                Some(place)
            })
            .collect();
        let mut index = 0;
        self.steps.retain(|_| {
            index += 1;
            !is_out(&out, &StepId(index - 1))
        });
        for step in &mut self.steps {
            step.needs.iter_mut().for_each(|need| need.0 = places.get(need.0).copied().unwrap_or(need.0));
        }
        out.iter().filter(|&&out| out).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_keep_what_each_step_needs() {
        let unit = |name| UnitName::from(name);
        let mut plan = Plan::default();
        let start = plan.push(Action::StartUnit { unit: unit("a.socket") }, "", &[]);
        let path = HostPath::from("/d");
        let made = plan.push(Action::MakeDirectory { path, mode: 0o750 }, "", &[]);
        plan.push(Action::EnableUnit { unit: unit("b.mount") }, "", &[made, start]);
        let plan = plan.in_phases();
        let kinds: Vec<_> = plan.steps().map(|(_, step)| step.action.kind()).collect();
        assert_eq!(kinds, ["make-directory", "start-unit", "enable-unit"]);
        let needs: Vec<_> = plan.steps().map(|(_, step)| step.needs.clone()).collect();
        assert_eq!(needs, [vec![], vec![], vec![StepId(0), StepId(1)]]);
    }

    #[test]
    fn a_step_that_is_left_out_takes_those_that_need_it_with_it_and_no_others() {
        let start = |name| Action::StartUnit { unit: UnitName::from(name) };
        let mut plan = Plan::default();
        let a = plan.push(start("a.service"), "", &[]);
        let b = plan.push(start("b.service"), "", &[a]);
        let c = plan.push(start("c.service"), "", &[]);
        plan.push(start("d.service"), "", &[b]);
        plan.push(start("e.service"), "", &[c]);
        assert_eq!(plan.leave_out(|step| step.action.target() == "a.service"), 3);
        let left: Vec<_> = plan.steps().map(|(_, step)| (step.action.target(), step.needs.clone())).collect();
        assert_eq!(left, [("c.service".to_owned(), vec![]), ("e.service".to_owned(), vec![StepId(0)])]);
    }
}
