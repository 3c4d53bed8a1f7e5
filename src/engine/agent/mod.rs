//! Engine: the agent: the same turn in a loop, woken by what happens, and quiet otherwise.
//!
//! Wait for something to happen, let it settle, look whether it matters, make one turn, watch what
//! that turn has read. Turns never overlap: what comes during one is kept by the kernel and the
//! bus, and causes one more.

mod fight;
mod nri;
mod rows;
mod sources;
mod turns;
mod window;

use super::config::{Config, load};
use super::gate;
use super::lock::lock;
use super::status;
use super::turn::Seen;
use crate::host::{Asked, Host, monotonic_usec};
use crate::model::facts::Init;
use crate::model::runtime::Runtime;
use crate::model::status::Status;
use crate::plan;
use crate::plan::adjust::Adjust;
use crate::report::journal;
use crate::report::notify::{self, Notify, State};
use anyhow::Result;
use nri::Nri;
use rows::{Points, Rows};
use sources::{Sources, Woken};
use std::path::Path;
use std::time::{Duration, Instant};
use turns::{Connection, Turns, Undo};
use window::Window;

/// The first pause before a turn that could not be made is tried again; each is twice the one before.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// The first pause between attempts to continue an undo that waits for volumes: no event reports that the
/// kubelet has taken one down. Each is twice the one before, and a mount or another event begins anew.
const UNDO_FIRST: Duration = Duration::from_secs(5);
/// What a part of a turn may take beside one job: systemd reads all its units again.
const PART: Duration = Duration::from_secs(120);

/// Runs until it is told to end. `file` are the settings, where they are not in the usual places.
pub async fn run(host: Host, file: Option<&Path>) -> Result<()> {
    let host = host.recording();
    let config = load(&host, file)?;
    let own = host.take_asked();
    let notify = Notify::from_env()?;
    journal::limited();
    let nri = Nri::new();
    let sources = Sources::new(&host, nri.changes())?;
    let mut agent = Agent {
        host,
        file,
        config,
        own,
        wrong: None,
        notify,
        sources,
        turns: Turns::default(),
        points: Points::default(),
        nri,
        rows: Rows::default(),
        lost: 0,
        again: false,
        retry: None,
        looked: Instant::now(),
        fed: Instant::now(),
    };
    let ended = agent.turn(true).await;
    if !ended {
        let (paths, units) = agent.sources.count();
        journal::watching(paths, units);
        agent.follow().await;
    }
    agent.notify.tell(&[State::Stopping, State::Status("ended")]);
    Ok(())
}

struct Agent<'a> {
    host: Host,
    file: Option<&'a Path>,
    config: Config,
    /// What was read for the configuration.
    own: Asked,
    /// Why newer settings are not in effect.
    wrong: Option<String>,
    notify: Notify,
    sources: Sources,
    turns: Turns,
    points: Points,
    /// The connection to the container runtime.
    nri: Nri,
    /// The rows that the last turn saw.
    rows: Rows,
    /// The runtime's connections that had ended when the last reconciliation began.
    lost: u64,
    /// Something may have changed that nobody told.
    again: bool,
    /// When a turn is tried again that could not be made, and the pause before.
    retry: Option<(Instant, Duration)>,
    looked: Instant,
    fed: Instant,
}

impl Agent<'_> {
    /// Waits and makes turns until it is to end.
    async fn follow(&mut self) {
        loop {
            let woken = self.wait().await;
            if woken.end {
                return;
            }
            self.nri.journal();
            let now = Instant::now();
            let reread = woken.reload || woken.configuration;
            if reread {
                self.reload(woken.reload);
            }
            let due = now >= self.next_look();
            let matters = reread
                || woken.facts
                || due
                || self.again
                || woken.mounts && (self.turns.undoing.waits() || self.rows_changed());
            if self.turns.undoing.waits() && (woken.facts || woken.mounts) {
                self.retry = None;
            }
            if matters && self.turn(woken.reload).await {
                return;
            }
            self.feed();
        }
    }

    /// What came, once it has settled.
    async fn wait(&mut self) -> Woken {
        let mut woken = Woken::default();
        if !self.again {
            woken = self.sources.next(self.next_look().min(self.next_feed())).await;
        }
        if woken.end || !woken.any() && !self.again {
            return woken;
        }
        let mut window = Window::open(Instant::now());
        loop {
            // Asleep, and not woken by each of a thousand mounts; but an end is heard at once.
            let quiet = tokio::time::sleep_until(window.end().into());
            tokio::select! {
                biased;
                () = self.sources.end() => return Woken { end: true, ..woken },
                () = quiet => {}
            }
            let more = self.sources.arrived().await;
            woken = woken.and(more);
            let now = Instant::now();
            if woken.end || !more.any() {
                return woken;
            }
            window.event(now);
            if window.end() <= now {
                return woken;
            }
        }
    }

    /// When it looks whether or not something was told.
    fn next_look(&self) -> Instant {
        let timer = self.looked + self.config.settings.interval;
        let retry = self.retry.map(|(at, _)| at);
        [retry, self.turns.fights.next(self.looked)].into_iter().flatten().fold(timer, Instant::min)
    }

    /// When the watchdog has to be fed: in time for the second half of what it allows.
    fn next_feed(&self) -> Instant {
        let watchdog = self.notify.watchdog().unwrap_or(Duration::from_secs(86_400));
        self.fed + watchdog / 2
    }

    fn feed(&mut self) {
        self.fed = Instant::now();
        self.notify.tell(&[State::Watchdog]);
    }

    /// Whether a mount on which the bridge depends came, went, or became another.
    fn rows_changed(&self) -> bool {
        let text = self.host.proc().ok().flatten().and_then(|proc| proc.mountinfo().ok());
        let rows = text.map(|text| Rows::read(&text, &self.points));
        // What cannot be read or understood is for a turn to say.
        !matches!(rows, Some(Ok(rows)) if rows == self.rows)
    }

    /// Reads the settings again; wrong ones change nothing.
    fn reload(&mut self, asked: bool) {
        if asked {
            if let Some(now) = monotonic_usec() {
                self.notify.tell(&[State::Reloading(now)]);
            }
            self.turns.fights.clear();
        }
        let _ = self.host.take_asked();
        match load(&self.host, self.file) {
            Ok(config) => {
                self.turns.heed(&config);
                self.config = config;
                self.own = self.host.take_asked();
                self.wrong = None;
                let (paths, units) = self.sources.count();
                journal::watching(paths, units);
            }
            Err(error) => {
                let error = error.to_string();
                journal::bad_settings(&error);
                // What was read until then is watched too: the repair will be seen there.
                let read = self.host.take_asked();
                self.own.paths.extend(read.paths);
                self.own.listed.extend(read.listed);
                self.wrong = Some(error);
            }
        }
    }

    /// Makes a turn, and watches what it has read; true where it is to end.
    async fn turn(&mut self, tell_ready: bool) -> bool {
        self.again = false;
        let _ = self.host.take_asked();
        if self.host.systemd_booted() {
            let had = self.sources.signals.is_some();
            self.sources.connect().await;
            if !had {
                // The bus was restarted, or it is the first turn: the other connection is gone too.
                self.turns.disconnect();
            }
        }
        let started = Instant::now();
        let Some(made) = self.made().await else { return true };
        self.looked = Instant::now();
        match made {
            Ok((seen, status)) => {
                self.saw(&seen).await;
                self.tell(&status.verdict, tell_ready);
                if self.turns.undoing == Undo::Complete {
                    self.end_for_good().await;
                    return true;
                }
            }
            Err(error) => {
                status::record_failure(&self.host, &error, started);
                let error = format!("{error:#}");
                journal::turn_failed(&error);
                self.try_again();
                self.tell(&format!("no turn could be made: {error}"), tell_ready);
            }
        }
        false
    }

    /// Ends an agent whose undo is complete: the unit would be restarted otherwise.
    async fn end_for_good(&mut self) {
        let Self { host, config, turns, sources, .. } = self;
        tokio::select! {
            biased;
            () = sources.end() => {}
            () = turns.stop_for_good(host, config) => {}
        }
    }

    /// A turn's end; `None` where it was left, because the agent is to end.
    ///
    /// Settings are read once more under the lock: whoever held it before may have done so after a change of
    /// them, and what they want must not be undone for what was wanted earlier.
    async fn made(&mut self) -> Option<Result<(Seen, Status)>> {
        self.config.runtime = self.nri.state();
        let (made, config) = self.made_under_lock().await?;
        self.config = config;
        Some(made)
    }

    async fn made_under_lock(&mut self) -> Option<(Result<(Seen, Status)>, Config)> {
        let Self { host, file, config, turns, sources, notify, fed, nri, lost, .. } = self;
        // Only while no connection has ended since the reconciliation before, each container that started was
        // grafted before its first process ran.
        let now = nri.lost();
        let kept = std::mem::replace(lost, now) == now;
        let connection = Connection {
            kept: kept && config.runtime == Runtime::Synchronized,
            lives: &|| nri.lost() == now && nri.grafts_all(),
        };
        // A reconciliation may wait for minutes; gates close meanwhile.
        let mut changes = nri.changes();
        let closing = async {
            while nri.lost() == now {
                changes.changed().await;
            }
            gate::close_without_connection(host, config).await;
            std::future::pending().await
        };
        tokio::pin!(closing);
        let part = config.settings.job_timeout + PART;
        let every = notify.watchdog().map_or(PART, |watchdog| watchdog / 2);
        let work = async {
            let started = Instant::now();
            turns.close_gates(host, config, &connection).await;
            let lock = match lock(host).await {
                Ok(lock) => lock,
                Err(error) => return (Err(error), config.clone()),
            };
            let runtime = config.runtime;
            // Wrong ones are reported when they are noticed, and change nothing.
            let config =
                load(host, *file).map_or_else(|_| config.clone(), |newer| Config { runtime, ..newer });
            turns.heed(&config);
            (turns.make(host, &config, &connection, &lock, started).await, config)
        };
        tokio::pin!(work);
        let (mut progress, mut moved) = (notify::progress(), Instant::now());
        loop {
            tokio::select! {
                biased;
                () = sources.end() => return None,
                made = &mut work => return Some(made),
                () = &mut closing => {}
                () = tokio::time::sleep_until((*fed + every).into()) => {
                    let now = Instant::now();
                    if notify::progress() != progress {
                        (progress, moved) = (notify::progress(), now);
                    }
                    // A part that takes longer than it can is no progress, and not told as such.
                    *fed = now;
                    if now.duration_since(moved) <= part + every {
                        notify.tell(&[State::Watchdog]);
                    }
                }
            }
        }
    }

    async fn saw(&mut self, seen: &Seen) {
        let asked = self.host.take_asked();
        let settings = plan::in_effect(&self.config.settings, seen.facts.align.as_ref());
        self.points = Points::of(&seen.facts, &settings);
        self.rows = Rows::of(&seen.facts.mounts, &self.points);
        self.nri.decide(plan::grafts(&seen.facts, &settings), |before| {
            Adjust::of(&seen.facts, &settings, before)
        });
        // A plan that is not empty now failed in part, or did not settle; pauses say when to go on.
        self.again = self.sources.watch(&self.host, &seen.facts, asked, &self.own).await;
        match &seen.facts.init {
            Init::Unreachable(_) => self.try_again(),
            _ if self.turns.gate_failed => self.try_again(),
            _ if self.turns.undoing == Undo::WaitsUnseen => self.try_again_after(UNDO_FIRST),
            _ => self.retry = None,
        }
    }

    fn try_again(&mut self) {
        self.try_again_after(RETRY_FIRST);
    }

    /// Tries again after `first`, or after twice the pause before.
    fn try_again_after(&mut self, first: Duration) {
        let pause = self.retry.map_or(first, |(_, pause)| (pause * 2).min(RETRY_LONGEST));
        self.retry = Some((Instant::now() + pause, pause));
    }

    /// Says how the node is; whether that completes a start or a reload is for the manager to know.
    fn tell(&mut self, verdict: &str, ready: bool) {
        let text = match &self.wrong {
            Some(wrong) => format!("{verdict}; newer settings are not in effect: {wrong}"),
            None => verdict.to_owned(),
        };
        let states = [State::Status(&text), State::Watchdog, State::Ready];
        self.fed = Instant::now();
        self.notify.tell(if ready { &states } else { states.get(..2).unwrap_or_default() });
    }
}
