//! A service manager in memory, for tests of those who ask one.

use super::{Attempt, Fault, ManagerError, ServiceManager, StopMode, Transient};
use crate::model::service::Service;
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState, Units};
use std::collections::BTreeMap;

/// Does what it is told, remembers it, and fails where it shall.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    /// The units that exist.
    pub(crate) units: BTreeMap<UnitName, UnitState>,
    /// What was asked that changes something, in order: "enable iscsid.socket", "reload".
    pub(crate) calls: Vec<String>,
    /// What the units that are services run.
    pub(crate) services: Vec<Service>,
    /// What was run.
    pub(crate) ran: Vec<Transient>,
    /// What fails, by the same words.
    pub(crate) failing: BTreeMap<String, Fault>,
}

impl Fake {
    /// One more unit, loaded and not active.
    pub(crate) fn with(mut self, unit: &'static str, file: FileState) -> Self {
        let load = if file == FileState::Masked { LoadState::Masked } else { LoadState::Loaded };
        let state = UnitState { load, active: ActiveState::Inactive, file };
        self.units.insert(UnitName::from(unit), state);
        self
    }

    /// Has the call fail with `fault`.
    pub(crate) fn failing(mut self, call: &str, fault: Fault) -> Self {
        self.failing.insert(call.to_owned(), fault);
        self
    }

    fn call(
        &mut self,
        word: &str,
        attempt: Attempt,
        change: impl FnOnce(&mut UnitState),
    ) -> Result<(), ManagerError> {
        let unit = attempt.unit().cloned();
        let call = unit.as_ref().map_or_else(|| word.to_owned(), |unit| format!("{word} {unit}"));
        let fault = self.failing.get(&call).cloned();
        self.calls.push(call);
        let state = unit.map(|unit| self.units.get_mut(&unit));
        match (fault, state) {
            (Some(fault), _) => Err(ManagerError { attempt, fault }),
            (None, Some(None)) => Err(ManagerError { attempt, fault: Fault::NotFound }),
            (None, Some(Some(state))) if state.load == LoadState::Masked => {
                Err(ManagerError { attempt, fault: Fault::Masked })
            }
            (None, Some(Some(state))) => {
                change(state);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }
}

impl ServiceManager for Fake {
    async fn units(&mut self, names: &[UnitName]) -> Result<Units, ManagerError> {
        let state = |name: &UnitName| self.units.get(name).copied().unwrap_or(UnitState::ABSENT);
        Ok(names.iter().map(|name| (name.clone(), state(name))).collect())
    }

    async fn service(&mut self, unit: &UnitName) -> Result<Option<Service>, ManagerError> {
        Ok(self.services.iter().find(|service| service.unit == *unit).cloned())
    }

    async fn enable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.call("enable", Attempt::Enable(unit.clone()), |state| state.file = FileState::Enabled)
    }

    async fn disable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.call("disable", Attempt::Disable(unit.clone()), |state| state.file = FileState::Disabled)
    }

    async fn reload(&mut self) -> Result<(), ManagerError> {
        self.call("reload", Attempt::Reload, |_| {})
    }

    async fn start(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.call("start", Attempt::Start(unit.clone()), |state| state.active = ActiveState::Active)
    }

    async fn restart(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.call("restart", Attempt::Restart(unit.clone()), |state| state.active = ActiveState::Active)
    }

    async fn reload_unit(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.call("reload-unit", Attempt::ReloadUnit(unit.clone()), |_| {})
    }

    async fn reset_failed(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.call("reset-failed", Attempt::ResetFailed(unit.clone()), |state| {
            state.active = ActiveState::Inactive
        })
    }

    async fn run(&mut self, unit: &UnitName, what: &Transient) -> Result<(), ManagerError> {
        // It comes with the call, and goes with its end.
        self.units.insert(unit.clone(), UnitState { load: LoadState::Loaded, ..UnitState::ABSENT });
        self.ran.push(what.clone());
        let attempt = Attempt::Run { unit: unit.clone(), command: what.command() };
        let outcome = self.call("run", attempt, |_| {});
        self.units.remove(unit);
        outcome
    }

    async fn stop(&mut self, unit: &UnitName, mode: StopMode) -> Result<(), ManagerError> {
        let word = if mode == StopMode::Alone { "stop alone" } else { "stop" };
        self.call(word, Attempt::Stop(unit.clone()), |state| state.active = ActiveState::Inactive)
    }
}

#[test]
fn the_fake_does_what_it_is_told_and_fails_where_it_shall() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let unit = UnitName::from("a.service");
        let mut fake = Fake::default()
            .with("a.service", FileState::Disabled)
            .failing("stop alone a.service", Fault::Lost { why: "test".into() });
        fake.enable(&unit).await.unwrap();
        fake.start(&unit).await.unwrap();
        let state = fake.units(std::slice::from_ref(&unit)).await.unwrap().get(&unit);
        assert_eq!((state.file, state.active), (FileState::Enabled, ActiveState::Active));
        assert!(fake.stop(&unit, StopMode::Alone).await.is_err());
        assert_eq!(fake.start(&UnitName::from("b.service")).await.unwrap_err().fault, Fault::NotFound);
        assert_eq!(
            fake.calls,
            ["enable a.service", "start a.service", "stop alone a.service", "start b.service"]
        );
    });
}
