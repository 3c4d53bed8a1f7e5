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
use crate::report::notify::Notify;
use anyhow::{Context, Result, bail};
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
/// How long an agent leaves an object out, before it is accessed once more.
const LEFT_OUT_FOR: Duration = Duration::from_secs(600);

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
    let mut left_out = match is_agent {
        true => remembered(&host, &proc),
        false => Vec::new(),
    };
    loop {
        let worker = Worker::start(arguments, &left_out).context("cannot start csihost's second process")?;
        let again = (is_agent && !left_out.is_empty()).then(|| Instant::now() + LEFT_OUT_FOR);
        let found = match follow(worker, &host, &proc, &mut signals, again).await? {
            Followed::Ended(Ended::Signal(signal)) => {
                signals.end_by(signal);
                return Ok(Ended::Signal(signal));
            }
            Followed::Ended(ended) => return Ok(ended),
            Followed::Unanswered(found) => found,
            Followed::LookAgain => bail!("the agent starts anew, to look again at what did not answer"),
        };
        let is_process = matches!(found, Unanswered::Process(_));
        let is_too_much = left_out.len() > MOST || left_out.len() == MOST && !is_process;
        let last = shown(&found);
        left_out.push(if left_out.len() == MOST && is_process { Unanswered::Tenants } else { found });
        if is_too_much && !is_agent {
            bail!("{} objects do not answer, the last one is {last}", left_out.len());
        }
        if is_agent && Notify::has_manager() {
            // Gates of drivers close with the end of this process, and its service starts it anew.
            remember(&host, &left_out)?;
            bail!("the agent starts anew without what did not answer");
        }
    }
}

enum Followed {
    Ended(Ended),
    Unanswered(Unanswered),
    /// The left-out objects are due for another access.
    LookAgain,
}

/// Follows one process, to its end, to an access without an answer, which ends it, or until `again`.
async fn follow(
    mut worker: Worker,
    host: &Host,
    proc: &Proc<'_>,
    signals: &mut Signals,
    again: Option<Instant>,
) -> Result<Followed> {
    let mut is_asleep = false;
    let mut told: Option<(i32, Instant)> = None;
    let look_again = async {
        match again {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(look_again);
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
            () = &mut look_again => {
                end(worker, host)?;
                return Ok(Followed::LookAgain);
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
fn end(worker: Worker, host: &Host) -> Result<bool> {
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

/// Objects that an earlier agent left out, while they still count.
fn remembered(host: &Host, proc: &Proc<'_>) -> Vec<Unanswered> {
    let file = host.file(&memory());
    let is_recent = host
        .minutes_unchanged(&memory())
        .is_ok_and(|minutes| minutes.is_some_and(|minutes| minutes < LEFT_OUT_FOR.as_secs() / 60));
    // A file that cannot be read only costs the time to find out once more.
    let mut left_out: Vec<Unanswered> = file
        .bytes()
        .filter(|_| is_recent)
        .and_then(|bytes| serde_json::from_slice(bytes).ok())
        .unwrap_or_default();
    let table = proc.mountinfo().ok().and_then(|text| mountinfo::parse(&text).ok()).unwrap_or_default();
    // What is gone by now is in nobody's way.
    left_out.retain(|one| match one {
        Unanswered::Process(id) => proc.started(id.pid) == Some(id.start),
        Unanswered::Mount { point, .. } => table.iter().any(|mount| mount.point == point.as_bytes()),
        Unanswered::Journal | Unanswered::Tenants => true,
    });
    left_out
}

fn remember(host: &Host, left_out: &[Unanswered]) -> Result<()> {
    host.write_volatile(&memory(), &serde_json::to_vec(left_out)?, 0o600)?;
    Ok(())
}
