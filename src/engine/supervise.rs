//! Supervision of a process of csihost that does the work: its accesses have a deadline.
//!
//! An access without an answer ends that process. Another one begins anew and leaves the object out, which is safe at any
//! moment: a reconciliation that is interrupted is completed by the next one. The kernel decides which accesses wait, so
//! this process reads nothing but what never does: /proc/1/mountinfo, and stat, syscall and ns/mnt of processes.

use crate::host::process::Proc;
use crate::host::worker::{Wait, Worker};
use crate::host::{Host, Signals};
use crate::model::path::HostPath;
use crate::model::unanswered::{Access, ProcessId, Unanswered};
use crate::mounts::answer::{self, waits_for};
use crate::mounts::mountinfo;
use crate::report::journal;
use crate::report::notify::{Notify, Relay};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How often the record is looked at while the process works.
const LOOK: Duration = Duration::from_millis(200);
/// How many objects are left out one by one. More than that, each with its deadline, would take longer than a boot should:
/// then all processes of containers and users are left out at once.
const MOST: usize = 3;
/// How long the process may take to end when it is told to.
const LAST: Duration = Duration::from_secs(2);
/// How long an agent leaves everything out that it cannot access by itself to see if it answers again. An agent that has
/// to start anew again and again waits as long at most.
const LEFT_OUT_FOR: Duration = Duration::from_secs(600);
/// How long an agent leaves an object out at first, and at most before it tries if the object answers again.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The socket for what the process that does the work tells the service manager, which hears the main process alone.
const NOTIFY: &str = "/run/csihost/notify";

/// How a supervised process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit status.
    Code(u8),
    /// By a signal.
    Signal(i32),
}

/// Does what `arguments` say in another process, and waits for its end.
///
/// # Errors
/// The process cannot be started, or too much does not answer.
pub async fn supervise(arguments: &[OsString], is_agent: bool) -> Result<Ended> {
    let host = Host::open(None)?;
    let proc = host.proc()?.context("there is no /proc")?;
    let mut signals = Signals::take().context("cannot take signals")?;
    let mut memory = match is_agent {
        true => Memory::load(&host, &proc),
        false => Memory::default(),
    };
    let relay = match is_agent {
        true => Relay::new(NOTIFY.as_ref()).with_context(|| format!("cannot make the socket {NOTIFY}"))?,
        false => None,
    };
    loop {
        let worker = Worker::start(arguments, &memory.left_out, relay.as_ref().map(Relay::path))
            .context("cannot start csihost's second process")?;
        let again = again(is_agent, &memory);
        let pass = async {
            match &relay {
                Some(relay) => relay.pass().await,
                None => std::future::pending().await,
            }
        };
        let followed = tokio::select! {
            biased;
            followed = follow(worker, &host, &proc, &mut signals, again) => followed?,
            () = pass => bail!("the socket {NOTIFY} is closed"),
        };
        if let Some(relay) = &relay {
            relay.pass_what_is_there();
        }
        let found = match followed {
            Followed::Ended(Ended::Signal(signal)) => {
                signals.end_by(signal);
                return Ok(Ended::Signal(signal));
            }
            Followed::Ended(ended) => return Ok(ended),
            Followed::Unanswered(found) => found,
            Followed::LookAgain(objects) => {
                memory.left_out.retain(|one| !objects.contains(one));
                if Notify::has_manager() {
                    memory.save(&host)?;
                    let objects: Vec<String> = objects.iter().map(shown).collect();
                    bail!("the agent starts anew, to access {} again", objects.join(", "));
                }
                continue;
            }
        };
        let left_out = &mut memory.left_out;
        let is_process = matches!(found, Unanswered::Process(_));
        let is_too_much = left_out.len() > MOST || left_out.len() == MOST && !is_process;
        let last = shown(&found);
        left_out.push(if left_out.len() == MOST && is_process { Unanswered::Tenants } else { found });
        if is_too_much && !is_agent {
            bail!("{} objects do not answer, the last one is {last}", left_out.len());
        }
        if is_agent && Notify::has_manager() {
            // Gates of drivers close with the end of this process, and its service starts it anew.
            memory.pause = if memory.pause == 0 { PAUSE.as_secs() } else { memory.pause * 2 };
            memory.pause = memory.pause.min(LEFT_OUT_FOR.as_secs());
            memory.save(&host)?;
            bail!("the agent starts anew without what did not answer");
        }
    }
}

/// Waits until left-out objects are to be accessed again, and gives them: one that answers by now, as another process
/// finds out, or after a long time those that cannot be tried.
async fn again(is_agent: bool, memory: &Memory) -> Vec<Unanswered> {
    let can_be_tried = |one: &&Unanswered| matches!(one, Unanswered::Process(_) | Unanswered::Mount { .. });
    let (objects, others): (Vec<&Unanswered>, Vec<&Unanswered>) =
        memory.left_out.iter().partition(can_be_tried);
    if !is_agent || memory.left_out.is_empty() {
        return std::future::pending().await;
    }
    let mut attempts: Vec<Attempt> = objects.into_iter().cloned().map(Attempt::new).collect();
    let (mut pause, end) = (memory.pause(), Instant::now() + LEFT_OUT_FOR);
    loop {
        tokio::time::sleep(pause).await;
        for attempt in &mut attempts {
            if attempt.answers().await {
                return vec![attempt.object.clone()];
            }
        }
        if !others.is_empty() && Instant::now() >= end {
            return others.into_iter().cloned().collect();
        }
        pause = (pause * 2).min(LONGEST_PAUSE.max(memory.pause()));
    }
}

/// The verb of the process that accesses an object to see if it answers.
const VERB: &str = "answers";

/// Attempts to access an object.
struct Attempt {
    object: Unanswered,
    /// A process that was killed and has not ended. While it waits, no other one has to.
    stuck: Option<Worker>,
}

impl Attempt {
    fn new(object: Unanswered) -> Self {
        Self { object, stuck: None }
    }

    /// Returns true if a process could access the object in time.
    async fn answers(&mut self) -> bool {
        let mut worker = match (self.stuck.take(), serde_json::to_string(&self.object)) {
            (Some(worker), _) => worker,
            (None, Ok(object)) => match Worker::start(&[VERB.into(), object.into()], &[], None) {
                Ok(worker) => worker,
                Err(_) => return false,
            },
            (None, Err(_)) => return false,
        };
        let end = Instant::now() + answer::REMOTE;
        while Instant::now() < end {
            match worker.ended() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => tokio::time::sleep(LOOK / 4).await,
                Err(_) => return false,
            }
        }
        if !worker.kill() {
            self.stuck = Some(worker);
        }
        false
    }
}

/// Accesses an object as the agent would; returns when it answers, or is gone.
///
/// # Errors
/// The text names no object.
pub fn access_object(object: &str) -> Result<()> {
    let object: Unanswered = serde_json::from_str(object).context("the text names no object")?;
    let host = Host::open_first()?;
    let proc = host.proc()?.context("there is no /proc")?;
    match object {
        Unanswered::Process(id) if proc.started(id.pid) == Some(id.start) => {
            // An error is an answer.
            let _ = proc.cmdline(id.pid);
            let _ = proc.view_of(id.pid).map(|view| view.exists(&HostPath::root()));
        }
        Unanswered::Mount { point, .. } => {
            let table = mountinfo::parse(&proc.mountinfo()?).context("cannot read the mount table")?;
            if table.iter().any(|mount| mount.point == point.as_bytes()) {
                let _ = host.list(&point);
            }
        }
        Unanswered::Process(_) | Unanswered::Journal | Unanswered::Tenants => {}
    }
    Ok(())
}

enum Followed {
    Ended(Ended),
    Unanswered(Unanswered),
    /// These left-out objects are due for another access.
    LookAgain(Vec<Unanswered>),
}

/// Follows one process, to its end, to an access without an answer, which ends it, or until `again` while it sleeps.
async fn follow(
    mut worker: Worker,
    host: &Host,
    proc: &Proc<'_>,
    signals: &mut Signals,
    again: impl Future<Output = Vec<Unanswered>>,
) -> Result<Followed> {
    let mut is_asleep = false;
    let mut told: Option<(i32, Instant)> = None;
    tokio::pin!(again);
    loop {
        if let Some(status) = worker.ended().context("cannot wait for csihost's second process")? {
            return Ok(Followed::Ended(ended(status)));
        }
        let mut looks = false;
        tokio::select! {
            biased;
            signal = signals.next() => match signal.context("cannot read signals")? {
                None => {}
                Some(signal) => {
                    worker.signal(signal);
                    if signal != Signals::HANGUP && told.is_none() {
                        told = Some((signal, Instant::now()));
                    }
                }
            },
            () = worker.woken(), if is_asleep => is_asleep = false,
            objects = &mut again, if is_asleep => {
                end(worker, host)?;
                return Ok(Followed::LookAgain(objects));
            }
            () = tokio::time::sleep(LOOK), if !is_asleep || told.is_some() => looks = true,
        }
        if let Some((signal, at)) = told
            && at.elapsed() >= LAST
        {
            end(worker, host)?;
            return Ok(Followed::Ended(Ended::Signal(signal)));
        }
        if looks {
            let waits = worker.waits(proc).context("cannot read what csihost accesses")?;
            if let Some((found, elapsed)) = waits.iter().find_map(|wait| unanswered(proc, wait)) {
                let is_gone = end(worker, host)?;
                // A message to who does not take it would wait here.
                if found != Unanswered::Journal {
                    journal::unanswered(&shown(&found), elapsed, is_gone);
                }
                return Ok(Followed::Unanswered(found));
            }
            is_asleep = worker.sleeps();
        }
    }
}

/// Kills a worker, and gives up its lock where it cannot be ended; false in that case.
fn end(mut worker: Worker, host: &Host) -> Result<bool> {
    let pid = worker.pid();
    let is_gone = worker.kill();
    if !is_gone {
        host.abandon_lock(pid)?;
    }
    Ok(is_gone)
}

fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(u8::try_from(code).unwrap_or(1)),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

/// The object that an access waits for, where its deadline is over.
fn unanswered(proc: &Proc<'_>, wait: &Wait) -> Option<(Unanswered, Duration)> {
    if wait.elapsed < answer::REMOTE {
        return None;
    }
    let found = match &wait.access {
        Access::Journal => Unanswered::Journal,
        // A process that has ended meanwhile is not accessed again.
        Access::Process(pid) => Unanswered::Process(proc.process_id(*pid).unwrap_or(ProcessId {
            pid: *pid,
            start: 0,
            namespace: None,
            is_root: true,
        })),
        Access::Path(path) => {
            let table = mountinfo::parse(&proc.mountinfo().ok()?).ok()?;
            let (mount, deadline) = waits_for(&table, path)?;
            if wait.elapsed < deadline {
                return None;
            }
            Unanswered::Mount {
                point: HostPath::parse(&mount.point).ok()?,
                fs_type: String::from_utf8_lossy(&mount.fs_type).into_owned(),
            }
        }
    };
    Some((found, wait.elapsed))
}

fn shown(object: &Unanswered) -> String {
    match object {
        Unanswered::Journal => "systemd-journald".to_owned(),
        Unanswered::Tenants => "each process of a container or of a user".to_owned(),
        Unanswered::Process(id) => format!("process {}", id.pid),
        Unanswered::Mount { point, fs_type } => format!("the {fs_type} mount at {point}"),
    }
}

fn memory() -> HostPath {
    HostPath::from("/run/csihost/unanswered.json")
}

/// The objects that agents left out, from one to the next: its service starts an agent anew.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    left_out: Vec<Unanswered>,
    /// The first pause before it is tried if they answer, in seconds. Each agent that meets an object soon after the one
    /// before doubles it: an object that answers when it is tried, and only then, ends no agent more often.
    pause: u64,
}

impl Memory {
    /// What the agent before left.
    fn load(host: &Host, proc: &Proc<'_>) -> Self {
        let file = host.file(&memory());
        // A file that cannot be read, or that an earlier version wrote, only costs the time to find out once more.
        let read: Option<Self> = file.bytes().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let minutes = host.minutes_unchanged(&memory()).ok().flatten();
        let Some((mut read, minutes)) = read.zip(minutes) else { return Self::default() };
        let age = Duration::from_secs(minutes * 60);
        if age >= read.pause() * 2 + Duration::from_secs(120) {
            read.pause = 0;
        }
        if age >= LEFT_OUT_FOR {
            read.left_out.clear();
        }
        let table = proc.mountinfo().ok().and_then(|text| mountinfo::parse(&text).ok()).unwrap_or_default();
        // What is gone by now is in nobody's way.
        read.left_out.retain(|one| match one {
            Unanswered::Process(id) => proc.started(id.pid) == Some(id.start),
            Unanswered::Mount { point, .. } => table.iter().any(|mount| mount.point == point.as_bytes()),
            Unanswered::Journal | Unanswered::Tenants => true,
        });
        read
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(self.pause).clamp(PAUSE, LEFT_OUT_FOR)
    }

    fn save(&self, host: &Host) -> Result<()> {
        host.write_volatile(&memory(), &serde_json::to_vec(self)?, 0o600)?;
        Ok(())
    }
}
