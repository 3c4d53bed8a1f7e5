//! Jobs: what systemd does later than it answers.
//!
//! StartUnit answers with a job, and JobRemoved says how that job ended. csihost listens before
//! it asks, so that no end is missed, and knows its own job by the path in the answer.

use super::StopMode;
use super::bus::{CALL_DEADLINE, fault, read};
use super::error::Fault;
use super::manager::Systemd;
use crate::model::unit::UnitName;
use futures_util::StreamExt as _;
use futures_util::future::join;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;
use zbus::message::Message;
use zbus::{DynamicType, OwnedObjectPath};

/// The end of a job as JobRemoved tells it.
struct Ended {
    /// The job's path.
    job: String,
    /// How it ended.
    result: String,
}

impl Systemd {
    /// Starts or restarts a unit, and sees that it is active then.
    pub(super) async fn bring_up(&mut self, method: &'static str, unit: &UnitName) -> Result<(), Fault> {
        let outcome = self.started(method, unit).await;
        self.release(unit, &outcome).await;
        outcome
    }

    async fn started(&mut self, method: &'static str, unit: &UnitName) -> Result<(), Fault> {
        self.job(method, unit, &(unit.as_str(), "replace"), self.job_deadline).await?;
        // "done" is also said of a unit whose condition failed and that was not started.
        let state = self.active_now(unit).await?;
        match state.as_str() {
            "active" | "reloading" | "refreshing" => Ok(()),
            _ => Err(Fault::WrongState { state, because: self.failed_condition(unit).await }),
        }
    }

    /// Stops a unit, and sees that it no longer runs.
    pub(super) async fn take_down(&mut self, unit: &UnitName, mode: StopMode) -> Result<(), Fault> {
        let outcome = self.stopped(unit, mode).await;
        self.release(unit, &outcome).await;
        outcome
    }

    async fn stopped(&mut self, unit: &UnitName, mode: StopMode) -> Result<(), Fault> {
        let mode = match mode {
            StopMode::Replace => "replace",
            StopMode::Alone => "ignore-dependencies",
        };
        self.job("StopUnit", unit, &(unit.as_str(), mode), self.job_deadline).await?;
        let state = self.active_now(unit).await?;
        match state.as_str() {
            "inactive" | "failed" | "maintenance" => Ok(()),
            _ => Err(Fault::WrongState { state, because: None }),
        }
    }

    /// Lets systemd forget the unit again, which it was asked to remember with its job.
    pub(super) async fn release(&self, unit: &UnitName, outcome: &Result<(), Fault>) {
        // One that does not answer is not waited for twice; the bus tells it when csihost goes.
        if !matches!(outcome, Err(Fault::Silent { .. } | Fault::Lost { .. })) {
            let _ = self.bus.manager("UnrefUnit", &(unit.as_str(),)).await;
        }
    }

    async fn active_now(&self, unit: &UnitName) -> Result<String, Fault> {
        let unit = self.list(&[unit.as_str()]).await?.pop();
        unit.map(|unit| unit.active).ok_or_else(|| Fault::Garbled { why: "no unit answered".into() })
    }

    /// Queues a job of `unit` by calling `method` with `body`, and waits `patience` for its end.
    pub(super) async fn job<B: Serialize + DynamicType>(
        &mut self,
        method: &'static str,
        unit: &UnitName,
        body: &B,
        patience: Duration,
    ) -> Result<(), Fault> {
        // systemd sends no signals to anybody until somebody subscribes, once per connection.
        if !self.subscribed {
            self.bus.manager("Subscribe", &()).await?;
            self.subscribed = true;
        }
        let end = Instant::now() + patience;
        let (job, result) = self.job_until(end, method, unit, body).await?;
        match result.as_deref() {
            Some("done") => Ok(()),
            Some(result) => {
                let detail = self.why_failed(unit).await;
                Err(Fault::Job { result: result.to_owned(), detail })
            }
            None => Err(Fault::JobTimeout { job, after: patience }),
        }
    }

    /// The job's number and how it ended; no end if it did not by `end`.
    async fn job_until<B: Serialize + DynamicType>(
        &self,
        end: Instant,
        method: &'static str,
        unit: &UnitName,
        body: &B,
    ) -> Result<(u32, Option<String>), Fault> {
        // Dropped with this function: a stream that nobody reads holds up the whole connection
        // once its queue is full, and everybody's jobs end in it.
        let mut signals = self.bus.signals("JobRemoved").await?;
        let remember = (unit.as_str(),);
        let left = end.saturating_duration_since(Instant::now()).min(CALL_DEADLINE);
        // Both go out at once. Without the reference, systemd forgets a unit that did not start
        // as soon as the job ends, and with it why; systemd before 236 does not know it.
        let call = join(
            self.bus.manager_within(left, "RefUnit", &remember),
            self.bus.manager_within(left, method, body),
        );
        tokio::pin!(call);
        let mut early = Vec::new();
        let reply: Message = loop {
            tokio::select! {
                (_, reply) = &mut call => break reply?,
                signal = signals.next() => early.extend(ended(signal)?),
            }
        };
        let path: OwnedObjectPath = read(&reply)?;
        let path = path.as_str();
        let job = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        if let Some(ended) = early.into_iter().find(|ended| ended.job == path) {
            return Ok((job, Some(ended.result)));
        }
        let awake = self.bus.keep_awake();
        tokio::pin!(awake);
        loop {
            tokio::select! {
                signal = signals.next() => {
                    if let Some(ended) = ended(signal)?.filter(|ended| ended.job == path) {
                        return Ok((job, Some(ended.result)));
                    }
                }
                never = &mut awake => match never {},
                () = tokio::time::sleep_until(end) => return Ok((job, None)),
            }
        }
    }
}

/// Reads a JobRemoved signal: number, path, unit, result. `None` for a forged one.
fn ended(signal: Option<zbus::Result<Message>>) -> Result<Option<Ended>, Fault> {
    let lost = || Fault::Lost { why: "the bus closed the connection".into() };
    let signal = signal.ok_or_else(lost)?.map_err(|error| fault(&error))?;
    // Any program may send a signal of this name straight to csihost. One that is addressed to
    // nobody came because csihost asked the bus for those of systemd, and the bus knows whose it
    // is; the name of its sender tells less, as it changes when systemd is re-executed.
    if signal.header().destination().is_some() {
        return Ok(None);
    }
    let (_, job, _, result): (u32, OwnedObjectPath, String, String) = read(&signal)?;
    Ok(Some(Ended { job: job.as_str().to_owned(), result }))
}
