//! Engine: what the configuration of a host says of its kubelet's next start.

use super::files::HostFiles;
use super::tree::Tree;
use crate::detect::config::{self, Declared};
use crate::host::Host;
use crate::model::kubelet::Unread;
use crate::model::service::Service;
use crate::model::unit::UnitName;
use crate::systemd::{Offline, ServiceManager};

/// Reads what configuration says. systemd is asked only about units whose files are there; without
/// one, the files themselves are read: another init, or a bus that does not answer.
pub(super) async fn declared<M: ServiceManager>(host: &Host, manager: Option<&mut M>) -> Declared {
    let files = HostFiles::new(host);
    let units = config::units(&files);
    let (services, mut unread) = match manager {
        Some(manager) => services(manager, &units).await,
        None => services(&mut Offline::new(Tree::new(host)), &units).await,
    };
    let mut declared = config::declarations(&files, &services);
    declared.unread.append(&mut unread);
    declared
}

async fn services<M: ServiceManager>(manager: &mut M, units: &[UnitName]) -> (Vec<Service>, Vec<Unread>) {
    let (mut services, mut unread) = (Vec::new(), Vec::new());
    for unit in units {
        match manager.service(unit).await {
            Ok(Some(service)) => services.push(service),
            Ok(None) => {}
            Err(error) => unread.push(Unread { path: unit.to_string(), error: error.to_string() }),
        }
    }
    // Two names of one unit.
    services.dedup_by(|a, b| a.unit == b.unit);
    (services, unread)
}
