//! Engine: the only writer. Does the steps of a plan one by one.
//!
//! Before a step the receipt says what is about to change, after it that it has; a failed step
//! stops what needs it and nothing else.

use super::link::{self, vacant};
use super::receipt::Store;
use super::unmount::unmount;
use super::volumes::unmount_volume;
use crate::host::{Host, HostError};
use crate::iscsi::initiator;
use crate::model::digest::Digest;
use crate::model::edit::{self, Text};
use crate::model::file::{Attributes, FileFact};
use crate::model::generated::{Origin, origin};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Step};
use crate::model::receipt::{BridgeRecord, Changed, InitiatorRecord, PendingRestart};
use crate::model::status::{Outcome, StepStatus};
use crate::model::unit::UnitName;
use crate::model::unit_file;
use crate::plan::{RUNTIME_UNITS_DIR, UNITS};
use crate::report::{journal, notify};
use crate::systemd::ServiceManager;
use anyhow::{Context, Result, bail};

/// The writer of one turn.
pub(super) struct Writer<'a, M> {
    pub(super) host: &'a Host,
    pub(super) manager: &'a mut M,
    pub(super) store: Store<'a>,
}

impl<M: ServiceManager> Writer<'_, M> {
    /// Does all steps that can be done, and says how each ended.
    pub(super) async fn apply(&mut self, plan: &Plan) -> Vec<StepStatus> {
        let mut statuses: Vec<StepStatus> = Vec::new();
        let mut failed = Vec::new();
        let mut told = Told::default();
        if let Err(error) = self.note_bridge(plan) {
            // Without a receipt nothing is changed: it could not be undone.
            let error = format!("{error:#}");
            journal::failed("receipt", "/var/lib/csihost/receipt.json", &error);
            return plan
                .steps()
                .map(|(_, step)| status(step, Outcome::Failed, Some(error.clone())))
                .collect();
        }
        for (id, step) in plan.steps() {
            if step.needs.iter().any(|need| failed.contains(need)) {
                failed.push(id);
                told.tell();
                journal::skipped(step.action.kind(), &step.action.target());
                statuses.push(status(step, Outcome::Skipped, None));
                continue;
            }
            let result = self.step(&step.action).await;
            notify::progressed();
            match result {
                Ok(()) => {
                    told.add(step);
                    statuses.push(status(step, Outcome::Done, None));
                }
                Err(error) => {
                    failed.push(id);
                    told.tell();
                    let error = format!("{error:#}");
                    journal::failed(step.action.kind(), &step.action.target(), &error);
                    statuses.push(status(step, Outcome::Failed, Some(error)));
                }
            }
        }
        told.tell();
        // Units that nothing had to be started for, such as a drop-in.
        if let Err(error) = self.reload().await {
            let error = format!("{error:#}");
            journal::failed("reload", "systemd", &error);
            statuses.push(StepStatus {
                kind: "reload".to_owned(),
                target: "systemd".to_owned(),
                outcome: Outcome::Failed,
                error: Some(error),
            });
        }
        statuses
    }

    fn note_bridge(&mut self, plan: &Plan) -> Result<()> {
        // Before the first step: where the kubelet's data are must be known once its root has changed.
        if plan.aligns.is_some() && self.store.receipt.align != plan.aligns {
            self.store.receipt.align.clone_from(&plan.aligns);
            self.store.save()?;
        }
        let earlier = self.store.receipt.bridge.as_ref();
        if let Some(root) = &plan.bridge
            && earlier.map(|bridge| &bridge.root) != Some(root)
        {
            let next = earlier.map_or_else(|| BridgeRecord::new(root.clone()), |b| b.followed_by(root));
            self.store.receipt.bridge = Some(next);
            self.store.save()?;
        }
        Ok(())
    }

    async fn step(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::InstallPackages(install) => self.install(install).await,
            Action::PatchFile { path, splices, before, after, .. } => {
                let what = Changed::Patched {
                    path: path.clone(),
                    splices: splices.clone(),
                    before: before.clone(),
                    after: after.clone(),
                };
                let FileFact::File(file) = self.host.file(path) else { bail!("{path} is no longer a file") };
                let patched = edit::apply(&file.bytes, splices)
                    .filter(|patched| Digest::of(&file.bytes) == *before && Digest::of(patched) == *after)
                    .with_context(|| format!("{path} was changed meanwhile; run csihost apply again"))?;
                self.store.receipt.reload_pending |= is_systemds(path);
                self.store.intend(&what)?;
                self.host.write(path, &patched, file.attributes)?;
                self.store.done(&what)
            }
            Action::WriteFile { path, bytes, .. } => self.write(path, bytes),
            Action::NameInitiator { path, prefix, before, service, .. } => {
                self.name_initiator(path, prefix, before.as_ref(), service.as_ref())
            }
            Action::WriteUnit { path, bytes, .. } => {
                // Noted first: a crash in between must not leave systemd with the old bytes.
                self.store.receipt.reload_pending = true;
                self.write(path, bytes)
            }
            Action::RemoveFile { path } => self.remove(path, false),
            Action::RemoveUnit { path } => self.remove(path, true),
            Action::MakeDirectory { path, mode } => self.make_directory(path, *mode),
            Action::EnableUnit { unit } => {
                let what = Changed::Enabled { unit: unit.clone() };
                self.store.intend(&what)?;
                self.manager.enable(unit).await?;
                self.store.done(&what)
            }
            Action::DisableUnit { unit } => {
                let enabled = Changed::Enabled { unit: unit.clone() };
                if self.store.receipt.changes.iter().any(|change| change.what == enabled) {
                    // csihost's own doing: with that undone there is nothing left to undo.
                    self.manager.disable(unit).await?;
                    return self.store.forget(&enabled);
                }
                let what = Changed::Disabled { unit: unit.clone() };
                self.store.intend(&what)?;
                self.manager.disable(unit).await?;
                self.store.done(&what)
            }
            Action::ShareMount { path, unit: None } => self.mount(path, |host| host.share(path)),
            Action::Mount { from, to } => self.mount(to, |host| host.bind(from, to)),
            Action::Unmount { path, unit } => {
                unmount(self.host, self.manager, &mut self.store, unit, path).await
            }
            Action::StartUnit { unit } | Action::ShareMount { unit: Some(unit), .. } => {
                self.reload().await?;
                let what = Changed::Started { unit: unit.clone() };
                self.store.intend(&what)?;
                self.manager.start(unit).await?;
                self.store.done(&what)?;
                self.verify_mount(unit).await
            }
            Action::RestartUnit { unit } => {
                self.reload().await?;
                self.owe(unit)?;
                self.manager.restart(unit).await?;
                self.paid(unit)
            }
            Action::ReloadUnit { unit } => {
                self.owe(unit)?;
                self.manager.reload_unit(unit).await?;
                self.paid(unit)
            }
            Action::ResetFailedUnit { unit } => Ok(self.manager.reset_failed(unit).await?),
            Action::MoveAside { path, to } => {
                if let Some(parent) = to.parent() {
                    self.make_directory(&parent, 0o700)?;
                }
                let to = vacant(self.host, to);
                let what = Changed::Moved { path: path.clone(), to: to.clone() };
                self.store.receipt.reload_pending |= is_systemds(path);
                self.store.intend(&what)?;
                self.host.move_to(path, &to)?;
                self.store.done(&what)
            }
            Action::ReplaceLink { path, mode } => {
                self.reload().await?;
                let what = Changed::Replaced { path: path.clone(), to: Text(self.host.link(path)?) };
                self.store.intend(&what)?;
                link::replace(self.host, path, *mode)?;
                self.store.done(&what)
            }
            Action::Graft(graft) => self.graft(graft).await,
            Action::UnmountVolume { pod, volume } => {
                unmount_volume(self.host, self.manager, pod, volume).await
            }
            Action::LoadModule { module } => {
                self.manager.load_module(module).await.with_context(|| format!("cannot load {module}"))
            }
        }
    }

    /// Mounts something at `path` by csihost itself.
    fn mount(
        &mut self,
        path: &HostPath,
        mount: impl FnOnce(&Host) -> std::result::Result<(), HostError>,
    ) -> Result<()> {
        let what = Changed::Mounted { path: path.clone() };
        self.store.intend(&what)?;
        mount(self.host)?;
        self.store.done(&what)
    }

    /// Writes a name that no other host has, and notes that the daemon has to learn it.
    fn name_initiator(
        &mut self,
        path: &HostPath,
        prefix: &str,
        before: Option<&Digest>,
        service: Option<&UnitName>,
    ) -> Result<()> {
        let fact = self.host.file(path);
        let there = match &fact {
            FileFact::Absent => None,
            FileFact::File(file) => Some(file),
            _ => bail!("{path} is no longer a file"),
        };
        if there.map(|file| Digest::of(&file.bytes)).as_ref() != before {
            bail!("{path} was changed meanwhile; run csihost apply again");
        }
        let name = initiator::name(prefix, self.host.random()?);
        let bytes = there.map_or(&[][..], |file| &file.bytes);
        let splices = initiator::renamed(bytes, &name);
        let named = edit::apply(bytes, &splices).context("the edit does not fit the file")?;
        let after = Digest::of(&named);
        if there.is_none()
            && let Some(parent) = path.parent()
        {
            self.make_directory(&parent, 0o755)?;
        }
        let what = match before {
            Some(before) => Changed::Patched { path: path.clone(), splices, before: before.clone(), after },
            None => Changed::Created { path: path.clone(), after },
        };
        if let Some(service) = service {
            self.owe(service)?;
        }
        self.store.intend(&what)?;
        self.host.write(path, &named, Attributes { mode: 0o600, uid: 0, gid: 0 })?;
        let machine = self.host.machine().id;
        // Without a machine-id nothing is remembered: once there is one, the name would pass for a copy's.
        self.store.receipt.initiator = machine
            .map(|machine| InitiatorRecord { name: Digest::of(name.as_bytes()), machine: Some(machine) });
        self.store.done(&what)
    }

    /// Compares what a mount unit of csihost's has mounted with the directory that the unit names, and takes it away where it
    /// is another one: somebody replaced the directory by a link while mount(8) followed the path.
    async fn verify_mount(&mut self, unit: &UnitName) -> Result<()> {
        if !unit.as_str().ends_with(".mount") {
            return Ok(());
        }
        let named = |key: &str| {
            [UNITS, RUNTIME_UNITS_DIR].into_iter().find_map(|directory| {
                let file = self.host.file(&HostPath::from(directory).join(unit.as_str()));
                let (assignments, _) = unit_file::assignments(file.bytes()?);
                let value =
                    assignments.into_iter().rfind(|one| one.section == "Mount" && one.key == key)?.value;
                HostPath::parse(value.replace("%%", "%").as_bytes()).ok()
            })
        };
        let (Some(what), Some(place)) = (named("What"), named("Where")) else { return Ok(()) };
        let is_link = self.host.canonical(&what).is_none_or(|path| path != what);
        if !is_link && self.host.file_id(&what) == self.host.file_id(&place) {
            return Ok(());
        }
        unmount(self.host, self.manager, &mut self.store, unit, &place).await?;
        bail!(
            "{what} was replaced while it was mounted: what came to {place} is another directory, and is unmounted again; \
             find out who may write there, then run csihost apply again"
        )
    }

    /// Notes that a daemon goes by what is no longer so, until it is restarted.
    fn owe(&mut self, unit: &UnitName) -> Result<()> {
        let due = PendingRestart { unit: unit.clone(), boot: self.host.boot_id() };
        if self.store.receipt.restart.contains(&due) {
            return Ok(());
        }
        self.store.receipt.restart.push(due);
        self.store.save()
    }

    fn paid(&mut self, unit: &UnitName) -> Result<()> {
        self.store.receipt.restart.retain(|due| due.unit != *unit);
        self.store.save()
    }

    /// Has systemd read its unit files again, once, and only if one was changed.
    async fn reload(&mut self) -> Result<()> {
        if !self.store.receipt.reload_pending {
            return Ok(());
        }
        self.manager.reload().await?;
        self.store.receipt.reload_pending = false;
        self.store.save()
    }

    fn write(&mut self, path: &HostPath, bytes: &[u8]) -> Result<()> {
        let there = self.host.file(path);
        match &there {
            FileFact::Absent => {}
            FileFact::File(file) if origin(&file.bytes) == Origin::Ours => {}
            _ => bail!("{path} was changed meanwhile; run csihost apply again"),
        }
        if let Some(parent) = path.parent() {
            self.make_directory(&parent, 0o755)?;
        }
        let what = Changed::Generated { path: path.clone() };
        self.store.intend(&what)?;
        self.host.write(path, bytes, Attributes { mode: 0o644, uid: 0, gid: 0 })?;
        self.store.done(&what)
    }

    /// Removes what csihost generated; systemd has to read its units again where it was one.
    fn remove(&mut self, path: &HostPath, unit: bool) -> Result<()> {
        if self.host.file(path).bytes().is_some_and(|bytes| origin(bytes) != Origin::Ours) {
            bail!("{path} was edited; remove it by hand");
        }
        self.store.receipt.reload_pending |= unit;
        self.store.save()?;
        self.host.remove_file(path)?;
        self.store.forget(&Changed::Generated { path: path.clone() })
    }

    fn make_directory(&mut self, path: &HostPath, mode: u32) -> Result<()> {
        let missing = self.host.missing_directories(path);
        if missing.is_empty() {
            return Ok(());
        }
        for path in &missing {
            self.store.receipt.intend(Changed::Directory { path: path.clone() });
        }
        self.store.save()?;
        self.host.make_directory(path, mode)?;
        for path in missing {
            self.store.receipt.done(&Changed::Directory { path });
        }
        self.store.save()
    }
}

/// Whether systemd makes units of what is at `path`.
pub(super) fn is_systemds(path: &HostPath) -> bool {
    ["/etc/systemd", "/run/systemd"].iter().any(|place| path.starts_with(&HostPath::from(*place)))
        || path.as_bytes() == b"/etc/fstab"
}

/// Steps of one kind in a row are told in one line.
#[derive(Default)]
struct Told<'a> {
    steps: Vec<&'a Step>,
}

impl<'a> Told<'a> {
    fn add(&mut self, step: &'a Step) {
        if self.steps.last().is_some_and(|last| last.action.kind() != step.action.kind()) {
            self.tell();
        }
        self.steps.push(step);
    }

    fn tell(&mut self) {
        if let Some(first) = self.steps.first() {
            let targets: Vec<String> = self.steps.iter().map(|step| step.action.target()).collect();
            let same = self.steps.iter().all(|step| step.reason == first.reason);
            journal::done(first.action.kind(), &targets, same.then_some(first.reason.as_str()));
        }
        self.steps.clear();
    }
}

fn status(step: &Step, outcome: Outcome, error: Option<String>) -> StepStatus {
    StepStatus { kind: step.action.kind().to_owned(), target: step.action.target(), outcome, error }
}

#[cfg(test)]
mod tests;
