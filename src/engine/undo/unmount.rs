//! Engine: undoes what is started and mounted, and removes the directories beneath.
//!
//! A mount below which something else is mounted stays until the next boot: unmounting it would take that
//! from both trees.

use super::super::kubelet::Said;
use super::super::observe::observe_kubelet;
use super::super::unmount::mounts;
use super::{Fate, Undo};
use crate::model::facts::Mode;
use crate::model::kubelet::KubeletRoot;
use crate::model::path::HostPath;
use crate::model::unit::{ActiveState, UnitName};
use crate::mounts::{resolve, unit_name};
use crate::systemd::{ServiceManager, StopMode};
use anyhow::Result;

impl<M: ServiceManager> Undo<'_, M> {
    pub(super) async fn stop(&mut self, unit: &UnitName) -> Result<Fate> {
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

    pub(super) async fn unmount(&mut self, unit: Option<&UnitName>, point: &HostPath) -> Result<Fate> {
        let table = mounts(self.host)?;
        let Some(top) = resolve::top_at(&table, point.as_bytes()) else { return Ok(Fate::Restored) };
        let below = resolve::below(&table, point.as_bytes()).count();
        if below > 0 {
            return Ok(Fate::AtBoot(format!("{below} mounts are below {point}; it goes at the next reboot")));
        }
        // A kubelet that runs on it would be left on a mount that is not shared.
        let kubelet = observe_kubelet(self.host, &Said::default())?;
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

    pub(super) fn remove_directory(&mut self, path: &HostPath) -> Result<Fate> {
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
