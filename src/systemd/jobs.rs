//! Jobs: what systemd does later than it answers.
//!
//! StartUnit answers with a job, and JobRemoved says how that job ended. csihost listens before
//! it asks, so that no end is missed, and knows its own job by the path in the answer.

use super::StopMode;
use super::bus::{fault, read};
use super::error::Fault;
use super::manager::Systemd;
use crate::model::unit::UnitName;
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::Instant;
use zbus::OwnedObjectPath;
use zbus::message::Message;

/// The end of a job as JobRemoved tells it.
struct Ended {
    /// Who said so.
    sender: String,
    /// The job.
    job: String,
    /// How it ended.
    result: String,
}

impl Systemd {
    /// Starts or restarts a unit, and sees that it is active then.
    pub(super) async fn bring_up(&mut self, method: &'static str, unit: &UnitName) -> Result<(), Fault> {
        self.job(method, unit, "replace").await?;
        // "done" is also said of a unit whose condition failed and that was not started.
        let state = self.active_now(unit).await?;
        match state.as_str() {
            "active" | "reloading" | "refreshing" => Ok(()),
            _ => Err(Fault::WrongState { state, because: self.failed_condition(unit).await }),
        }
    }

    /// Stops a unit, and sees that it no longer runs.
    pub(super) async fn take_down(&mut self, unit: &UnitName, mode: StopMode) -> Result<(), Fault> {
        let mode = match mode {
            StopMode::Replace => "replace",
            StopMode::Alone => "ignore-dependencies",
        };
        self.job("StopUnit", unit, mode).await?;
        let state = self.active_now(unit).await?;
        match state.as_str() {
            "inactive" | "failed" | "maintenance" => Ok(()),
            _ => Err(Fault::WrongState { state, because: None }),
        }
    }

    async fn active_now(&self, unit: &UnitName) -> Result<String, Fault> {
        let unit = self.list(&[unit.as_str()]).await?.pop();
        unit.map(|unit| unit.active).ok_or_else(|| Fault::Garbled { why: "no unit answered".into() })
    }

    /// Queues a job and waits for its end.
    async fn job(&mut self, method: &'static str, unit: &UnitName, mode: &str) -> Result<(), Fault> {
        // systemd sends no signals to anybody until somebody subscribes, once per connection.
        if !self.subscribed {
            self.bus.manager("Subscribe", &()).await?;
            self.subscribed = true;
        }
        let end = Instant::now() + self.job_deadline;
        let (job, result) = self.job_until(end, method, unit, mode).await?;
        match result.as_deref() {
            Some("done") => Ok(()),
            Some(result) => {
                let detail = self.why_failed(unit).await;
                Err(Fault::Job { result: result.to_owned(), detail })
            }
            None => Err(Fault::JobTimeout { job, after: self.job_deadline }),
        }
    }

    /// The job's number and how it ended; no end if it did not by `end`.
    async fn job_until(
        &self,
        end: Instant,
        method: &'static str,
        unit: &UnitName,
        mode: &str,
    ) -> Result<(u32, Option<String>), Fault> {
        // Dropped with this function: a stream that nobody reads holds up the whole connection
        // once its queue is full, and everybody's jobs end in it.
        let mut signals = self.bus.signals("JobRemoved").await?;
        let body = (unit.as_str(), mode);
        let call = self.bus.manager(method, &body);
        tokio::pin!(call);
        let mut early = Vec::new();
        let reply: Message = loop {
            tokio::select! {
                reply = &mut call => break reply?,
                signal = signals.next() => early.push(ended(signal)?),
            }
        };
        // Only the systemd that queued the job can end it: any program on the bus may send a
        // signal of this name straight to csihost.
        let sender = reply.header().sender().map(ToString::to_string).unwrap_or_default();
        let path: OwnedObjectPath = read(&reply)?;
        let path = path.as_str();
        let job = path.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        let ours = |ended: &Ended| ended.job == path && ended.sender == sender;
        if let Some(ended) = early.into_iter().find(ours) {
            return Ok((job, Some(ended.result)));
        }
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let Ok(signal) = tokio::time::timeout(left, signals.next()).await else {
                return Ok((job, None));
            };
            let ended = ended(signal)?;
            if ours(&ended) {
                return Ok((job, Some(ended.result)));
            }
        }
    }
}

/// Reads a JobRemoved signal: number, path, unit, result.
fn ended(signal: Option<zbus::Result<Message>>) -> Result<Ended, Fault> {
    let lost = || Fault::Lost { why: "the bus closed the connection".into() };
    let signal = signal.ok_or_else(lost)?.map_err(|error| fault(&error))?;
    let (_, job, _, result): (u32, OwnedObjectPath, String, String) = read(&signal)?;
    let sender = signal.header().sender().map(ToString::to_string).unwrap_or_default();
    Ok(Ended { sender, job: job.as_str().to_owned(), result })
}
