//! What systemd tells unasked: signals about the units that somebody cares for.
//!
//! A connection of its own: who waits for signals reads them rarely, and on a connection whose
//! signals nobody reads no call is answered. The bus is asked for signals about named units only:
//! a node on which pods come and go sends hundreds of others.
//!
//! `UnitNew` is not asked for: systemd sends it to whoever asks about a unit that is not loaded,
//! so that every look would be followed by another.

use super::bus::{Bus, MANAGER, MANAGER_PATH, PROPERTIES, SYSTEMD, fault};
use super::error::{Attempt, During as _, Fault, ManagerError};
use super::manager::UNIT;
use super::service::object_path;
use crate::model::unit::UnitName;
use futures_util::StreamExt as _;
use futures_util::future::{join_all, select};
use std::collections::BTreeSet;
use zbus::MessageStream;
use zbus::message::{Message, Type};

/// The signals of systemd about some units.
#[derive(Debug)]
pub struct Signals {
    bus: Bus,
    stream: MessageStream,
    units: BTreeSet<UnitName>,
}

impl Signals {
    /// Connects, and asks for what concerns all units: that unit files were changed or are read
    /// again, and that systemd came to the bus or left it.
    pub async fn connect() -> Result<Self, ManagerError> {
        let bus = Bus::connect().await.during(|| Attempt::Connect)?;
        Self::over(bus).await.during(|| Attempt::Connect)
    }

    pub(super) async fn over(bus: Bus) -> Result<Self, Fault> {
        let stream = bus.everything();
        let mut signals = Self { bus, stream, units: BTreeSet::new() };
        let manager = |member: &str| {
            format!(
                "type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',member='{member}'"
            )
        };
        let owner = format!(
            "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{SYSTEMD}'"
        );
        let rules = [manager("UnitFilesChanged"), manager("Reloading"), owner];
        signals.change(&rules, &[]).await?;
        // systemd sends signals to those alone who subscribe, once per connection.
        signals.bus.manager("Subscribe", &()).await?;
        Ok(signals)
    }

    /// Asks for the signals about `units`, and no longer for those about others.
    pub async fn watch(&mut self, units: &BTreeSet<UnitName>) -> Result<(), ManagerError> {
        let added: Vec<String> = units.difference(&self.units).flat_map(rules).collect();
        let removed: Vec<String> = self.units.difference(units).flat_map(rules).collect();
        self.change(&added, &removed).await.during(|| Attempt::Connect)?;
        self.units = units.clone();
        Ok(())
    }

    async fn change(&mut self, added: &[String], removed: &[String]) -> Result<(), Fault> {
        let Self { bus, stream, .. } = self;
        let calls = added.iter().map(|rule| (rule, true)).chain(removed.iter().map(|rule| (rule, false)));
        let calls = join_all(calls.map(|(rule, wanted)| bus.match_signals(rule, wanted)));
        // What arrives meanwhile has to be taken off, or the answers would wait behind it. A signal
        // among it is no loss: who changes what is watched has yet to look at it.
        let drain = async { while stream.next().await.is_some() {} };
        let (calls, drain) = (std::pin::pin!(calls), std::pin::pin!(drain));
        match select(calls, drain).await {
            futures_util::future::Either::Left((results, _)) => results.into_iter().collect(),
            futures_util::future::Either::Right(_) => Err(lost()),
        }
    }

    /// Waits for the next signal. An error means that the connection is gone.
    pub async fn next(&mut self) -> Result<(), ManagerError> {
        loop {
            let message = match self.stream.next().await {
                Some(message) => message.map_err(|error| fault(&error)).during(|| Attempt::Connect)?,
                None => return Err(lost()).during(|| Attempt::Connect),
            };
            if is_asked_for(&message) {
                return Ok(());
            }
        }
    }
}

fn lost() -> Fault {
    Fault::Lost { why: "the bus closed the connection".into() }
}

/// The rules for a unit: the state that it comes to, and the ends of its jobs.
fn rules(unit: &UnitName) -> [String; 2] {
    let path = object_path(unit.as_str());
    [
        format!(
            "type='signal',sender='{SYSTEMD}',path='{path}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{UNIT}'"
        ),
        // A unit's name may hold a backslash, which has no meaning between apostrophes.
        format!(
            "type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',member='JobRemoved',arg2='{unit}'"
        ),
    ]
}

/// Whether a message came because csihost asked the bus for it: a signal that is addressed to
/// somebody was sent by anybody.
fn is_asked_for(message: &Message) -> bool {
    message.message_type() == Type::Signal && message.header().destination().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::stub::{Stub, against};
    use super::*;
    use std::time::Duration;

    async fn answer_all(stub: &Stub, _: &str, call: &Message) -> bool {
        stub.answer(call, &()).await;
        true
    }

    #[test]
    fn a_signal_to_all_wakes_and_a_forged_one_does_not() {
        against(answer_all, async |systemd, stub| {
            let mut signals = Signals::over(systemd.bus).await.unwrap();
            signals.watch(&BTreeSet::from([UnitName::from("a.service")])).await.unwrap();
            stub.job_removed(1, "done", Some(":1.7")).await;
            let woken = tokio::time::timeout(Duration::from_millis(100), signals.next()).await;
            assert!(woken.is_err());
            stub.job_removed(1, "done", None).await;
            signals.next().await.unwrap();
        });
    }

    #[test]
    fn only_changes_of_what_is_watched_are_asked_for() {
        against(answer_all, async |systemd, stub| {
            let count = |member: &str| stub.asked().iter().filter(|asked| *asked == member).count();
            let mut signals = Signals::over(systemd.bus).await.unwrap();
            let units = BTreeSet::from([UnitName::from("a.service"), UnitName::from("b.socket")]);
            let before = count("AddMatch");
            signals.watch(&units).await.unwrap();
            assert_eq!(count("AddMatch") - before, 4);
            signals.watch(&units).await.unwrap();
            assert_eq!(count("AddMatch") - before, 4);
            signals.watch(&BTreeSet::from([UnitName::from("a.service")])).await.unwrap();
            assert_eq!(count("RemoveMatch"), 2);
        });
    }

    #[test]
    fn the_end_of_the_connection_is_an_error_and_not_silence() {
        let close = async |stub: &Stub, member: &str, call: &Message| {
            stub.answer(call, &()).await;
            member != "Subscribe" && stub.asked().len() < 4
        };
        against(close, async |systemd, _| {
            let mut signals = Signals::over(systemd.bus).await.unwrap();
            let watched = signals.watch(&BTreeSet::from([UnitName::from("a.service")])).await;
            assert!(watched.is_err() || signals.next().await.is_err());
        });
    }
}
