//! Engine: puts back what the receipt says, as far as that harms nobody.
//!
//! What a volume in use depends on stays as it is until the volume is gone (`undo/hold.rs`), and the undo
//! then waits in the receipt (`undo/pending.rs`). A bridge below which something else is mounted goes with
//! the next boot, because unmounting it would take the mounts from both trees.

mod align;
mod hold;
mod pending;
mod unmount;

use super::apply::is_systemds;
use super::config::Config;
use super::gate;
use super::lock::lock;
use super::manager::{Manager, manager};
use super::receipt::Store;
use crate::host::Host;
use crate::iscsi::multipath::{DROP_IN, SERVICE};
use crate::model::digest::Digest;
use crate::model::edit;
use crate::model::facts::Init;
use crate::model::generated::{Origin, origin};
use crate::model::path::HostPath;
use crate::model::receipt::{Changed, Receipt};
use crate::model::unit::{ActiveState, UnitName};
use crate::model::volumes::Hold;
use crate::mounts::bridge::STANDARD_PATH;
use crate::report::journal;
use crate::settings::Settings;
use crate::systemd::ServiceManager;
use anyhow::{Context, Result, bail};
pub(super) use pending::{Continued, go_on, stop_agent_for_good};

/// How the undoing of one change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// As it was before csihost.
    Restored,
    /// No longer csihost's: it stays, and why.
    Kept(String),
    /// Left as it is, and why; undo can be run again.
    Left(String),
    /// The rest happens at the next boot, and why.
    AtBoot(String),
    /// Kept as it is while a volume or a driver uses it.
    Waits,
}

/// One change that was undone, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// What it is about.
    pub target: String,
    /// What was tried.
    pub what: &'static str,
    /// How it ended.
    pub fate: Fate,
}

/// How far an undo is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undoing {
    /// The changes, each with how it ended.
    pub undone: Vec<Undone>,
    /// What the changes that wait are kept for.
    pub hold: Hold,
    /// True if the agent and the boot unit continue it.
    pub pending: bool,
    /// True if the agent runs and does so.
    pub agent: bool,
}

/// Undoes everything in the receipt that can be undone.
pub async fn undo(host: &Host, config: &Config) -> Result<Undoing> {
    let _lock = lock(host).await?;
    let store = Store::open(host)?;
    if store.receipt.is_empty() {
        store.remove()?;
        return Ok(Undoing::default());
    }
    match &mut manager(host, config).await {
        Manager::Systemd(manager) => {
            let mut undoing = Undo::new(host, config, manager.as_mut(), true)?.run().await?;
            let runs = pending::agent_runs(manager.as_mut()).await?;
            match undoing.pending {
                true => undoing.agent = runs,
                false if runs => pending::stop_agent(manager.as_mut()).await?,
                false => {}
            }
            Ok(undoing)
        }
        Manager::Offline(manager) => Undo::new(host, config, manager, true)?.run().await,
        Manager::Direct(manager) => Undo::new(host, config, manager, true)?.run().await,
        Manager::None(Init::Unreachable(why)) => bail!("{why}"),
        Manager::None(_) => {
            bail!("systemd, with which this was done, is not PID 1 now; boot it, then run csihost undo")
        }
    }
}

struct Undo<'a, M> {
    host: &'a Host,
    manager: &'a mut M,
    settings: &'a Settings,
    store: Store<'a>,
    fates: Vec<Undone>,
    /// True if a person has asked for it just now, and not the receipt.
    by_person: bool,
    /// True if a change was left because an attempt failed: another one may succeed.
    failed: bool,
}

impl<'a, M: ServiceManager> Undo<'a, M> {
    fn new(host: &'a Host, config: &'a Config, manager: &'a mut M, by_person: bool) -> Result<Self> {
        let store = Store::open(host)?;
        Ok(Self {
            host,
            manager,
            settings: &config.settings,
            store,
            fates: Vec::new(),
            by_person,
            failed: false,
        })
    }

    async fn run(mut self) -> Result<Undoing> {
        let hold = self.look_for_users().await?;
        let before = self.store.receipt.clone();
        // From here on the agent, and the next boot, undo and do not apply.
        self.store.receipt.undo_pending = true;
        if let Some(align) = &mut self.store.receipt.align {
            align.ends |= !hold.has_volumes();
        }
        // Nothing is written where nothing changes: the agent would be woken by its own receipt.
        if self.store.receipt != before {
            self.store.save()?;
        }
        let before = self.store.receipt.clone();
        let mut changes: Vec<Changed> =
            self.store.receipt.changes.iter().rev().map(|c| c.what.clone()).collect();
        changes.retain(|change| {
            let kept = hold::keeps(&hold, change);
            if kept {
                self.fates.push(Undone { target: String::new(), what: "keep", fate: Fate::Waits });
            }
            !kept
        });
        let link = self.link_waits(&changes)?;
        let waits_for_link = link.is_some();
        if let Some(why) = link {
            changes.retain(|change| !align::is_of_mount(change));
            self.leave(STANDARD_PATH, "restore", Fate::Left(why));
        }
        // A closed gate lies on the bridge, and no agent is left to open it. While something waits, the agent is.
        if hold.is_empty() && !self.store.receipt.gates.is_empty() {
            let drivers: Vec<String> =
                self.store.receipt.gates.iter().map(|gate| gate.driver.clone()).collect();
            let target = drivers.join(" ");
            let fate = match gate::forget(self.host, self.manager, &mut self.store).await {
                Ok(()) => Fate::Restored,
                Err(error) => {
                    self.failed = true;
                    Fate::Left(format!("{error:#}"))
                }
            };
            match &fate {
                Fate::Left(why) if self.by_person => journal::left("gate", &target, why),
                Fate::Left(_) => {}
                _ => journal::undone("gate", &target),
            }
            self.fates.push(Undone { target, what: "gate", fate });
        }
        // Grafts lie on the bridge.
        for change in &changes {
            if let Changed::Grafted { graft } = change {
                let left = super::graft::undo(self.host, self.manager, graft).await;
                let fate = left.map_or(Fate::Restored, Fate::Kept);
                self.settle(change, "unmount", graft.name.clone(), Ok(fate))?;
            }
        }
        if self.store.receipt.recovered && self.by_person {
            let why = "an earlier receipt is lost: whether csihost has changed its startup line is not known; compare it with \
                       the file of the package";
            self.leave("/etc/iscsi/iscsid.conf", "restore", Fate::Kept(why.to_owned()));
        }
        // Links first: systemd finds them by the unit's file.
        for change in &changes {
            if let Changed::Enabled { unit } = change {
                let fate = self.manager.disable(unit).await.map(|()| Fate::Restored);
                self.settle(change, "disable", unit.to_string(), fate.map_err(Into::into))?;
            }
        }
        for change in &changes {
            match change {
                Changed::Installed { packages } => {
                    let why = "others may use them by now; the package manager removes them";
                    self.settle(change, "remove", packages.join(" "), Ok(Fate::Kept(why.to_owned())))?;
                }
                Changed::Generated { path } => {
                    let fate = self.remove(path);
                    self.settle(change, "remove", path.to_string(), fate)?;
                }
                Changed::Patched { path, splices, before, after } => {
                    let fate = self.unpatch(path, splices, before, after);
                    self.settle(change, "restore", path.to_string(), fate)?;
                }
                Changed::Created { path, after } => {
                    let fate = self.remove_created(path, after);
                    self.settle(change, "remove", path.to_string(), fate)?;
                }
                Changed::Moved { path, to } => {
                    let fate = self.move_back(path, to);
                    self.settle(change, "restore", path.to_string(), fate)?;
                }
                _ => {}
            }
        }
        if self.store.receipt.reload_pending {
            self.manager.reload().await?;
            self.store.receipt.reload_pending = false;
            self.store.save()?;
        }
        self.tell_multipathd(&changes).await;
        // The files of these are back by now.
        for change in &changes {
            if let Changed::Disabled { unit } = change {
                let fate = self.manager.enable(unit).await.map(|()| Fate::Restored);
                self.settle(change, "enable", unit.to_string(), fate.map_err(Into::into))?;
            }
        }
        // Deepest mounts first; the order in which they were made tells.
        for change in &changes {
            match change {
                Changed::Started { unit } => {
                    let fate = self.stop(unit).await;
                    self.settle(change, "stop", unit.to_string(), fate)?;
                }
                Changed::Mounted { path } => {
                    let fate = self.unmount(None, path).await;
                    self.settle(change, "unmount", path.to_string(), fate)?;
                }
                _ => {}
            }
        }
        for change in &changes {
            if let Changed::Directory { path } = change {
                let fate = self.remove_directory(path);
                self.settle(change, "remove", path.to_string(), fate)?;
            }
        }
        for change in &changes {
            if let Changed::Replaced { path, to } = change {
                let fate = self.restore_link(path, &to.0);
                self.settle(change, "restore", path.to_string(), fate)?;
            }
        }
        self.end_alignment()?;
        self.end(hold, waits_for_link, &before).await
    }

    /// Removes an empty receipt, or notes in it that the undo is to be continued.
    async fn end(mut self, hold: Hold, waits_for_link: bool, before: &Receipt) -> Result<Undoing> {
        let later = |undone: &Undone| matches!(undone.fate, Fate::AtBoot(_) | Fate::Waits);
        let kept = self.fates.iter().any(|undone| undone.fate == Fate::Waits);
        let hold = if kept { hold } else { Hold::default() };
        // A person reads of a failure and repeats the undo; where nobody is there, the agent does.
        let pending = waits_for_link || self.failed && !self.by_person || self.fates.iter().any(later);
        // What is left for a person is no reason to apply it all again at the next boot.
        if !pending && !self.by_person && self.host.systemd_booted() {
            pending::retire_units(self.manager).await;
        }
        if self.store.receipt.is_empty() {
            self.store.remove()?;
            return Ok(Undoing { undone: self.fates, ..Undoing::default() });
        }
        self.store.receipt.undo_pending = pending;
        if self.store.receipt != *before {
            self.store.save()?;
        }
        if kept && self.by_person {
            journal::undo_waits(&hold.summary(), hold.remedy());
        }
        Ok(Undoing { undone: self.fates, hold, pending, agent: false })
    }

    /// Notes a change that stays. An undo that is continued again and again reports it once, at its begin.
    fn leave(&mut self, target: &str, what: &'static str, fate: Fate) {
        if let (true, Fate::Left(why) | Fate::Kept(why) | Fate::AtBoot(why)) = (self.by_person, &fate) {
            journal::left(what, target, why);
        }
        self.fates.push(Undone { target: target.to_owned(), what, fate });
    }

    /// multipathd goes by csihost's file until it is told that it is gone.
    async fn tell_multipathd(&mut self, changes: &[Changed]) {
        let path = HostPath::from(DROP_IN);
        let gone = changes.contains(&Changed::Generated { path: path.clone() }) && !self.host.exists(&path);
        let unit = UnitName::from(SERVICE);
        let asked = std::slice::from_ref(&unit);
        if gone
            && let Ok(units) = self.manager.units(asked).await
            && units.get(&unit).active == ActiveState::Active
        {
            match self.manager.reload_unit(&unit).await {
                Ok(()) => journal::undone("reload", unit.as_str()),
                Err(error) => journal::left("reload", unit.as_str(), &error.to_string()),
            }
        }
    }

    fn settle(
        &mut self,
        change: &Changed,
        what: &'static str,
        target: String,
        fate: Result<Fate>,
    ) -> Result<()> {
        let fate = fate.unwrap_or_else(|error| {
            self.failed = true;
            Fate::Left(format!("{error:#}"))
        });
        match &fate {
            Fate::Restored => {
                journal::undone(what, &target);
                self.store.forget(change)?;
            }
            Fate::Kept(why) => {
                journal::left(what, &target, why);
                self.store.forget(change)?;
            }
            // The receipt keeps it: after the reboot a second undo finds the rest.
            Fate::AtBoot(_) | Fate::Left(_) | Fate::Waits => {
                self.leave(&target, what, fate);
                return Ok(());
            }
        }
        self.fates.push(Undone { target, what, fate });
        Ok(())
    }

    fn remove(&mut self, path: &HostPath) -> Result<Fate> {
        if self.host.file(path).bytes().is_some_and(|bytes| origin(bytes) != Origin::Ours) {
            return Ok(Fate::Left("it was edited since; remove it by hand if it is not needed".to_owned()));
        }
        self.store.receipt.reload_pending |= is_systemds(path);
        self.host.remove_file(path)?;
        Ok(Fate::Restored)
    }

    fn remove_created(&mut self, path: &HostPath, after: &Digest) -> Result<Fate> {
        match self.host.file(path).bytes() {
            Some(bytes) if Digest::of(bytes) != *after => Ok(Fate::Kept("it was edited since".to_owned())),
            _ => {
                self.host.remove_file(path)?;
                Ok(Fate::Restored)
            }
        }
    }

    fn move_back(&mut self, path: &HostPath, to: &HostPath) -> Result<Fate> {
        if !self.host.exists(to) {
            return Ok(Fate::Kept(format!("{to} is gone")));
        }
        if self.host.exists(path) {
            return Ok(Fate::Left(format!("there is a new one; remove {to} if that is not needed")));
        }
        self.store.receipt.reload_pending |= is_systemds(path);
        self.host.move_to(to, path)?;
        Ok(Fate::Restored)
    }

    fn unpatch(
        &mut self,
        path: &HostPath,
        splices: &[edit::Splice],
        before: &Digest,
        after: &Digest,
    ) -> Result<Fate> {
        let fact = self.host.file(path);
        let Some(file) = fact.file() else {
            return Ok(Fate::Left("it is no longer there".to_owned()));
        };
        let now = Digest::of(&file.bytes);
        if now == *before {
            return Ok(Fate::Restored);
        }
        if now != *after {
            return Ok(Fate::Left(
                "it was edited since; undo the line by hand (csihost's change is in the receipt)".to_owned(),
            ));
        }
        let restored = edit::apply(&file.bytes, &edit::reverse(splices))
            .filter(|restored| Digest::of(restored) == *before)
            .context("the receipt does not fit the file")?;
        self.store.receipt.reload_pending |= is_systemds(path);
        self.host.write(path, &restored, file.attributes)?;
        Ok(Fate::Restored)
    }
}
