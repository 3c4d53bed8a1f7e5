//! Engine: puts back what the receipt says, as far as that harms nobody.
//!
//! The bridge's unit files go at once; a bridge that carries volumes of running pods stays
//! mounted until a reboot, because unmounting it would take them from both trees.

mod align;

use super::apply::is_systemds;
use super::config::Config;
use super::gate;
use super::manager::{Manager, manager};
use super::receipt::Store;
use super::unmount::mounts;
use crate::host::Host;
use crate::iscsi::multipath::{DROP_IN, SERVICE};
use crate::model::digest::Digest;
use crate::model::edit;
use crate::model::facts::{Init, Mode};
use crate::model::generated::{Origin, origin};
use crate::model::kubelet::KubeletRoot;
use crate::model::path::HostPath;
use crate::model::receipt::Changed;
use crate::model::unit::{ActiveState, UnitName};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::{resolve, unit_name};
use crate::report::journal;
use crate::systemd::{ServiceManager, StopMode};
use anyhow::{Context, Result, bail};

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

/// Undoes everything in the receipt that can be undone.
pub async fn undo(host: &Host, config: &Config) -> Result<Vec<Undone>> {
    let _lock = match host.lock()? {
        Ok(lock) => lock,
        Err(waiting) => {
            journal::waiting();
            waiting.wait()?
        }
    };
    let store = Store::open(host)?;
    if store.receipt.is_empty() {
        store.remove()?;
        return Ok(Vec::new());
    }
    let fates = Vec::new();
    match &mut manager(host, config).await {
        Manager::Systemd(manager) => {
            stop_agent(manager.as_mut()).await?;
            Undo { host, manager: manager.as_mut(), store, fates }.run().await
        }
        Manager::Offline(manager) => Undo { host, manager, store, fates }.run().await,
        Manager::Direct(manager) => Undo { host, manager, store, fates }.run().await,
        Manager::None(Init::Unreachable(why)) => bail!("{why}"),
        Manager::None(_) => {
            bail!("systemd, with which this was done, is not PID 1 now; boot it, then run csihost undo")
        }
    }
}

/// An agent that runs would do again what is undone.
async fn stop_agent<M: ServiceManager>(manager: &mut M) -> Result<()> {
    let agent = UnitName::from("csihost.service");
    match manager.activity(std::slice::from_ref(&agent)).await?.get(&agent).active {
        ActiveState::Active | ActiveState::Activating => {
            manager.stop(&agent, StopMode::Replace).await?;
            journal::done("stop-unit", &[agent.to_string()], Some("it would do again what is undone"));
            Ok(())
        }
        _ => Ok(()),
    }
}

struct Undo<'a, M> {
    host: &'a Host,
    manager: &'a mut M,
    store: Store<'a>,
    fates: Vec<Undone>,
}

impl<M: ServiceManager> Undo<'_, M> {
    async fn run(mut self) -> Result<Vec<Undone>> {
        if let Some(align) = &mut self.store.receipt.align {
            align.ends = true;
            self.store.save()?;
        }
        let mut changes: Vec<Changed> =
            self.store.receipt.changes.iter().rev().map(|c| c.what.clone()).collect();
        if let Some(why) = self.link_waits(&changes)? {
            changes.retain(|change| !align::is_of_mount(change));
            journal::left("restore", STANDARD_PATH, &why);
            self.fates.push(Undone {
                target: STANDARD_PATH.to_owned(),
                what: "restore",
                fate: Fate::Left(why),
            });
        }
        // A closed gate lies on the bridge, and no agent is left to open it.
        if !self.store.receipt.gates.is_empty() {
            let drivers: Vec<String> =
                self.store.receipt.gates.iter().map(|gate| gate.driver.clone()).collect();
            let target = drivers.join(" ");
            let fate = match gate::forget(self.host, self.manager, &mut self.store).await {
                Ok(()) => Fate::Restored,
                Err(error) => Fate::Left(format!("{error:#}")),
            };
            match &fate {
                Fate::Left(why) => journal::left("gate", &target, why),
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
        }
        self.store.receipt.reload_pending = false;
        self.store.save()?;
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
        if self.store.receipt.is_empty() {
            self.store.remove()?;
        } else {
            self.store.save()?;
        }
        Ok(self.fates)
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
        let fate = fate.unwrap_or_else(|error| Fate::Left(format!("{error:#}")));
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
            Fate::AtBoot(why) | Fate::Left(why) => journal::left(what, &target, why),
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

    async fn stop(&mut self, unit: &UnitName) -> Result<Fate> {
        if self.host.mode() == Mode::Offline {
            return Ok(Fate::Restored);
        }
        if let Some(point) = unit_name::mount_point(unit) {
            return self.unmount(Some(unit), &point).await;
        }
        if !self.host.iscsi_sessions().is_empty() {
            return Ok(Fate::Left("iSCSI sessions are up; log out, then run csihost undo again".to_owned()));
        }
        if self.manager.units(std::slice::from_ref(unit)).await?.get(unit).active == ActiveState::Active {
            self.manager.stop(unit, StopMode::Replace).await?;
        }
        Ok(Fate::Restored)
    }

    async fn unmount(&mut self, unit: Option<&UnitName>, point: &HostPath) -> Result<Fate> {
        let table = mounts(self.host)?;
        let Some(top) = resolve::top_at(&table, point.as_bytes()) else { return Ok(Fate::Restored) };
        let below = resolve::below(&table, point.as_bytes()).count();
        if below > 0 {
            return Ok(Fate::AtBoot(format!("{below} mounts are below {point}; it goes at the next reboot")));
        }
        // A kubelet that runs on it would be left on a mount that is not shared.
        let kubelet = super::observe::observe_kubelet(self.host, &super::kubelet::Said::default())?;
        let aligned = self.store.receipt.align.is_some()
            && kubelet.kubelet.as_ref().is_some_and(|kubelet| kubelet.root_dir == KubeletRoot::standard());
        if aligned && kubelet.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some()) {
            return Ok(Fate::AtBoot(format!(
                "the kubelet finds its data by {point} until it restarts with its old root"
            )));
        }
        if kubelet.host_dir() == Some(point) {
            return Ok(Fate::AtBoot(format!("the kubelet uses {point}; it goes at the next reboot")));
        }
        let id = top.id;
        // Alone: what somebody mounts below in this moment makes it fail, and is not taken along.
        let stopped = match unit {
            Some(unit) => self.manager.stop(unit, StopMode::Alone).await.map_err(anyhow::Error::from),
            None => self.host.unmount(point).map_err(anyhow::Error::from),
        };
        let table = mounts(self.host)?;
        match resolve::top_at(&table, point.as_bytes()) {
            Some(top) if top.id == id => {
                let why =
                    stopped.err().map_or_else(|| "it is still mounted".to_owned(), |error| error.to_string());
                Ok(Fate::AtBoot(format!("{why}; it goes at the next reboot")))
            }
            _ => Ok(Fate::Restored),
        }
    }

    fn remove_directory(&mut self, path: &HostPath) -> Result<Fate> {
        if self.host.mode() == Mode::Live && resolve::top_at(&mounts(self.host)?, path.as_bytes()).is_some() {
            return Ok(Fate::AtBoot(
                "it is still mounted; run csihost undo again after the reboot".to_owned(),
            ));
        }
        match self.host.list(path) {
            Ok(names) if !names.is_empty() => Ok(Fate::Kept("others have put something there".to_owned())),
            _ => {
                self.host.remove_directory(path)?;
                Ok(Fate::Restored)
            }
        }
    }
}
