//! Engine: which service manager a host has.

use super::config::Config;
use super::observe::other_init;
use super::tree::Tree;
use crate::host::Host;
use crate::model::facts::{Init, Mode};
use crate::plan::direct;
use crate::systemd::{Direct, Offline, Service, Systemd};
use std::collections::BTreeMap;

/// The service manager of a host, or why there is none to talk to.
pub(super) enum Manager<'a> {
    /// systemd is PID 1.
    Systemd(Box<Systemd>),
    /// Files whose units are systemd's.
    Offline(Offline<Tree<'a>>),
    /// Another init, or the files of a host with one.
    Direct(Direct<Tree<'a>>),
    /// None.
    None(Init),
}

/// Finds the service manager of a host.
pub(super) async fn manager<'a>(host: &'a Host, config: &Config) -> Manager<'a> {
    let direct = direct::daemon(&config.profile.profile).map(|daemon| {
        let program = daemon.programs.iter().find(|path| host.is_program(path)).or(daemon.programs.first());
        let service = match (daemon.openrc, program) {
            (Some(name), _) => Some(Service::OpenRc(name)),
            (None, program) => program.cloned().map(Service::Daemon),
        };
        let services: BTreeMap<_, _> = service.map(|service| (daemon.unit, service)).into_iter().collect();
        Direct::new(Tree::new(host), services, config.settings.job_timeout)
    });
    match (host.mode(), direct) {
        (Mode::Live, _) if host.systemd_booted() => {
            match Systemd::connect(config.settings.job_timeout).await {
                Ok(systemd) => Manager::Systemd(Box::new(systemd)),
                Err(error) => Manager::None(Init::Unreachable(error.to_string())),
            }
        }
        (_, Some(direct)) => Manager::Direct(direct),
        (Mode::Live, None) => Manager::None(other_init(host)),
        (Mode::Offline, None) => Manager::Offline(Offline::new(Tree::new(host))),
    }
}
