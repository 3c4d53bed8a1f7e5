//! The room of systemd: what csihost asks of a host's service manager, and who answers.
//!
//! [`ServiceManager`] is the whole conversation. [`Systemd`] has it with a running systemd over
//! the system bus (the only place that knows D-Bus); [`Offline`] stands in for one where only the
//! files of a host are there, and [`Direct`] where another init is PID 1. Nothing here knows plans or turns.

use crate::model::service::Service as Command;
use crate::model::unit::{Order, UnitName, Units};

mod bus;
mod diagnosis;
mod direct;
#[cfg(test)]
mod direct_tests;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod jobs;
mod manager;
mod offline;
#[cfg(test)]
mod offline_tests;
mod service;
mod signals;
#[cfg(test)]
mod stub;
#[cfg(test)]
mod stub_tests;
mod transient;
#[cfg(test)]
mod transient_tests;
mod unit_file;
mod unit_search;

pub use direct::{Direct, DirectHost, Ended, Service};
pub use error::{Attempt, Fault, ManagerError};
pub use manager::Systemd;
pub use offline::{Offline, UnitTree};
pub use signals::Signals;
pub use transient::{Patience, Rights, Transient};

/// How a unit is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// With everything that depends on it: job mode `replace`, what `systemctl stop` does.
    Replace,
    /// That unit and no other: job mode `ignore-dependencies`. A mount unit stopped this way
    /// fails while something is mounted below it, instead of taking that down first.
    Alone,
}

/// What csihost asks of a host's service manager.
///
/// Every answer is the state after the fact, not the promise of one: `start` returns when the
/// unit is active, `enable` when systemd itself says that the unit is enabled.
pub trait ServiceManager {
    /// The states of all of `names`; a unit that does not exist is in it as absent.
    async fn units(&mut self, names: &[UnitName]) -> Result<Units, ManagerError>;

    /// The same without the question whether they are started at boot, for which systemd reads
    /// the disk unit by unit: `file` may say `Other`.
    async fn activity(&mut self, names: &[UnitName]) -> Result<Units, ManagerError> {
        self.units(names).await
    }

    /// What `unit` will run, variables not yet in place; `None` where it is not there, masked, or no
    /// service.
    async fn service(&mut self, unit: &UnitName) -> Result<Option<Command>, ManagerError>;

    /// What `unit` is ordered after; `None` where that is not known.
    async fn order(&mut self, unit: &UnitName) -> Result<Option<Order>, ManagerError> {
        let _ = unit;
        Ok(None)
    }

    /// Has `unit` started at boot, with the units that its `Also=` names.
    async fn enable(&mut self, unit: &UnitName) -> Result<(), ManagerError>;

    /// No longer has `unit` started at boot, nor the units that its `Also=` names.
    async fn disable(&mut self, unit: &UnitName) -> Result<(), ManagerError>;

    /// Has all unit files read again, and returns when they are.
    async fn reload(&mut self) -> Result<(), ManagerError>;

    /// Starts `unit` and waits until it is active; one that is active already stays as it is.
    async fn start(&mut self, unit: &UnitName) -> Result<(), ManagerError>;

    /// Stops `unit` if it runs, starts it, and waits until it is active.
    async fn restart(&mut self, unit: &UnitName) -> Result<(), ManagerError>;

    /// Has the daemon of `unit` read its configuration again, and waits until it did.
    async fn reload_unit(&mut self, unit: &UnitName) -> Result<(), ManagerError>;

    /// Has the service manager forget that `unit` failed, and how often it was started.
    async fn reset_failed(&mut self, unit: &UnitName) -> Result<(), ManagerError>;

    /// Loads a kernel module that csihost has in modules-load.d(5).
    async fn load_module(&mut self, module: &str) -> Result<(), ManagerError> {
        // systemd reads them again when this service runs: csihost needs no right of its own.
        let _ = module;
        self.restart(&UnitName::from("systemd-modules-load.service")).await
    }

    /// Runs the commands of `what` as the service `unit`, and waits until the last has ended well.
    async fn run(&mut self, unit: &UnitName, what: &Transient) -> Result<(), ManagerError>;

    /// Stops `unit` and waits until it is inactive.
    async fn stop(&mut self, unit: &UnitName, mode: StopMode) -> Result<(), ManagerError>;
}
