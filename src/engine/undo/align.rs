//! Engine: undoes what had the kubelet use the standard path as its root.

use super::super::kubelet::Said;
use super::super::observe::observe_kubelet;
use super::super::unmount::mounts;
use super::super::{align, link};
use super::{Fate, Undo};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use crate::model::receipt::Changed;
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::resolve;
use crate::systemd::ServiceManager;
use anyhow::Result;

/// Whether `change` is about a mount of the bridge, or the link that one is in the place of.
pub(super) fn is_of_mount(change: &Changed) -> bool {
    match change {
        Changed::Replaced { .. } => true,
        Changed::Generated { path } => path.as_bytes().ends_with(b".mount"),
        Changed::Enabled { unit } | Changed::Started { unit } => unit.as_str().ends_with(".mount"),
        _ => false,
    }
}

impl<M: ServiceManager> Undo<'_, M> {
    /// Why a link cannot be back yet. Until then its mount stays, at every boot: a kubelet would make
    /// directories of its own beneath it, and its pods' volumes are seen through it.
    pub(super) fn link_waits(&self, changes: &[Changed]) -> Result<Option<String>> {
        let replaced = changes.iter().find_map(|change| match change {
            Changed::Replaced { path, .. } => Some(path),
            _ => None,
        });
        let Some(path) = replaced.filter(|_| self.host.mode() == Mode::Live) else { return Ok(None) };
        let found = observe_kubelet(self.host, &Said::default())?;
        let runs = found.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
        let volumes = resolve::below(&mounts(self.host)?, path.as_bytes()).count();
        let unit = found.unit.as_ref().map_or("its unit", |unit| unit.as_str());
        Ok((runs || volumes > 0).then(|| {
            let why = match runs {
                true => "a kubelet runs".to_owned(),
                false => format!("{volumes} mounts are below it"),
            };
            format!(
                "it is a link again when no kubelet and no pod uses it, and {why}: drain the node, stop the kubelet \
                 ({unit}), run csihost undo again, and start the kubelet"
            )
        }))
    }

    /// Puts a link back where the mount that was in its place is gone.
    pub(super) fn restore_link(&mut self, path: &HostPath, to: &[u8]) -> Result<Fate> {
        if self.host.link(path).is_ok() {
            return Ok(Fate::Kept("it is a link already".to_owned()));
        }
        if self.host.mode() == Mode::Live && resolve::top_at(&mounts(self.host)?, path.as_bytes()).is_some() {
            return Ok(Fate::Left("it is still mounted; run csihost undo again".to_owned()));
        }
        Ok(match link::restore(self.host, path, to)? {
            None => Fate::Restored,
            Some(aside) => Fate::Kept(format!("the link is back; what was in the directory is in {aside}")),
        })
    }

    /// A kubelet at the standard path still finds its data by the bridge; one that has its old root
    /// again, or will have it at its next start, does not need that.
    pub(super) fn end_alignment(&mut self) -> Result<()> {
        let Some(record) = self.store.receipt.align.as_ref().filter(|record| record.ends) else {
            return Ok(());
        };
        if record.whole {
            // It is told with the link.
            let left = self.store.receipt.changes.iter().any(|change| is_of_mount(&change.what));
            self.store.receipt.align.take_if(|_| !left);
            return Ok(());
        }
        let running = observe_kubelet(self.host, &Said::default())?.kubelet;
        let running = running.filter(|kubelet| kubelet.pid.is_some());
        let over = match &running {
            Some(kubelet) => record.is_over(Some(kubelet)),
            None => self.store.receipt.changes.is_empty(),
        };
        if over {
            align::put_aside(self.host, record)?;
            self.store.receipt.align = None;
        } else if running.is_some() {
            let why = match record.moves() {
                true => format!(
                    "its root becomes {} again when it restarts; csihost.service then undoes the rest, or csihost undo. With a static policy of \
                     the CPU or memory manager drain the node first: what the kubelet noted since stays in {STANDARD_PATH}",
                    record.root
                ),
                false => "it has its old name again when the kubelet restarts; csihost.service then undoes the rest, or csihost undo"
                    .to_owned(),
            };
            self.leave("the kubelet's root", "restore", Fate::AtBoot(why));
        }
        Ok(())
    }
}
