//! The agent's connection to the container runtime: a thread that finds the NRI socket, serves the runtime
//! and connects again, whatever a reconciliation waits for.
//!
//! In come the decision data of each reconciliation ([`Nri::decide`]); out go the connection's state and
//! a wake-up where it changes, and where a container that may hold a plugin has started.

use crate::host::{Events, Host, Watched};
use crate::model::file::Trust;
use crate::model::path::HostPath;
use crate::model::runtime::{ContainerMount, NRI_SOCKET, NewContainer, Runtime};
use crate::nri::{Handler, serve};
use crate::plan::adjust::{Adjust, Unadjusted};
use crate::report::journal;
use anyhow::{Context, Result, bail};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};

/// The plugin's name and its place among others.
const NAME: &str = "csihost";
const INDEX: &str = "50";

/// The first pause before connecting again; each is twice the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause. A socket that appears is noticed at once.
const PAUSE_LONGEST: Duration = Duration::from_secs(10);
/// The pause before a socket that is not there is looked for without an event.
const PAUSE_ABSENT: Duration = Duration::from_secs(60);
/// A connection that lasted this long was none of a series of failures.
const LASTED: Duration = Duration::from_secs(10);

/// Reports from the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Report {
    runtime: Runtime,
    /// How many containers have started that may hold a plugin, or left [`Shared::unstarted`].
    started: u64,
    /// How many connections have ended: the runtime then may have created a container without its mounts.
    lost: u64,
}

/// The connection, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Nri {
    shared: Arc<Shared>,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// An event for the journal. The thread does not write there itself: a journal that blocks would cost a
/// container its mounts.
#[derive(Debug)]
enum Note {
    Connected,
    Lost(String),
    Adjusted { container: String, targets: String },
}

/// Notes that are kept until the agent writes them.
const NOTES: usize = 64;

#[derive(Debug)]
struct Shared {
    adjust: Mutex<Option<Adjust>>,
    /// Containers that the runtime had created before it reported them, and has not started.
    unstarted: Mutex<Vec<NewContainer>>,
    notes: Mutex<Vec<Note>>,
    report: watch::Sender<Report>,
}

/// Waits for reports.
#[derive(Debug)]
pub(super) struct Changes(watch::Receiver<Report>);

impl Changes {
    /// Waits until the connection's state changes or a container starts.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Nri {
    /// No connection yet.
    pub(super) fn new() -> Self {
        let report = watch::Sender::new(Report::default());
        Self {
            shared: Arc::new(Shared {
                adjust: Mutex::default(),
                unstarted: Mutex::default(),
                notes: Mutex::default(),
                report,
            }),
            thread: None,
        }
    }

    /// Reports of changes from now on.
    pub(super) fn changes(&self) -> Changes {
        Changes(self.shared.report.subscribe())
    }

    /// The state of the connection: [`Runtime::Synchronized`] only while new containers of the named drivers
    /// have their mounts before their first process runs.
    pub(super) fn state(&self) -> Runtime {
        match self.shared.state() {
            Runtime::Synchronized if locked(&self.shared.adjust).is_none() => Runtime::Disconnected,
            state => state,
        }
    }

    /// True if each container of the named drivers that starts now has its mounts: the connection is there, and
    /// none was created before it was, and is still to start.
    pub(super) fn grafts_all(&self) -> bool {
        let unstarted = locked(&self.shared.unstarted);
        let lacks = |adjust: &Adjust| unstarted.iter().any(|container| adjust.mounts(container).is_ok());
        self.state() == Runtime::Synchronized
            && !self.shared.with_adjust(|adjust| adjust.as_ref().is_none_or(lacks))
    }

    /// How many connections have ended so far.
    pub(super) fn lost(&self) -> u64 {
        self.shared.report.borrow().lost
    }

    /// Takes the data of a reconciliation. The connection is there while plugins are to be grafted.
    pub(super) fn decide(&mut self, wanted: bool, adjust: impl FnOnce(Option<&Adjust>) -> Option<Adjust>) {
        self.shared.with_adjust(|data| *data = adjust(data.as_ref()).filter(|_| wanted));
        match wanted {
            false => self.stop(),
            // A thread that could not begin is started anew by a later reconciliation.
            true if self.thread.as_ref().is_none_or(|(_, thread)| thread.is_finished()) => {
                self.stop();
                self.start();
            }
            true => {}
        }
    }

    /// Writes to the journal what has happened since.
    pub(super) fn journal(&self) {
        let notes = std::mem::take(&mut *locked(&self.shared.notes));
        for note in notes {
            match note {
                Note::Connected => journal::runtime(
                    true,
                    "connected to the container runtime: new containers of drivers are grafted",
                ),
                Note::Lost(why) => {
                    let text = format!("not connected to the container runtime: {NRI_SOCKET}: {why}");
                    journal::runtime(false, &text);
                }
                Note::Adjusted { container, targets } => journal::adjusted(&container, &targets),
            }
        }
    }

    fn start(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => Ok(()),
                        ended = shared.follow() => ended,
                    }
                }),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = ended {
                shared.note(Note::Lost(format!("{error:#}")));
            }
            shared.set(Runtime::NoRuntime);
        };
        match std::thread::Builder::new().name("nri".to_owned()).spawn(run) {
            Ok(thread) => self.thread = Some((stop, thread)),
            Err(error) => self.shared.note(Note::Lost(error.to_string())),
        }
    }

    /// Ends the connection, which never takes long: all that the thread waits for is left at once.
    fn stop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

impl Drop for Nri {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Runs `with` on the decision data; never for longer than a decision takes.
    fn with_adjust<T>(&self, with: impl FnOnce(&mut Option<Adjust>) -> T) -> T {
        with(&mut locked(&self.adjust))
    }

    fn note(&self, note: Note) {
        let mut notes = locked(&self.notes);
        if notes.len() < NOTES {
            notes.push(note);
        }
    }

    /// Forgets a container that was not started, or is an earlier attempt at this one; false if it was none of them.
    fn has_left(&self, container: &NewContainer) -> bool {
        let mut unstarted = locked(&self.unstarted);
        let before = unstarted.len();
        let is_same = |one: &NewContainer| (&one.pod, &one.name) == (&container.pod, &container.name);
        unstarted.retain(|one| one.id != container.id && !is_same(one));
        unstarted.len() != before
    }

    fn state(&self) -> Runtime {
        self.report.borrow().runtime
    }

    fn set(&self, runtime: Runtime) {
        self.report.send_if_modified(|report| {
            let before = std::mem::replace(&mut report.runtime, runtime);
            report.lost += u64::from(before == Runtime::Synchronized && runtime != before);
            before != runtime
        });
    }

    async fn follow(&self) -> Result<()> {
        let host = Host::open_first()?;
        let socket = HostPath::from(NRI_SOCKET);
        let watched = Watched { paths: [&socket].into(), ..Watched::default() };
        // Without inotify the socket is found by the pauses alone.
        let mut events = Events::new().map_err(|error| self.note(Note::Lost(error.to_string()))).ok();
        let (mut pause, mut was_there) = (PAUSE_FIRST, false);
        loop {
            // Before connecting: a socket that appears after a failure is then noticed.
            if let Some(events) = &mut events {
                events.watch(&host, &watched);
            }
            let is_there = host.exists(&socket);
            was_there |= is_there;
            let begun = Instant::now();
            if is_there {
                let why = self.connection(&host, &socket).await;
                if self.state() == Runtime::Synchronized || pause == PAUSE_FIRST {
                    self.note(Note::Lost(format!("{why:#}")));
                }
                self.set(Runtime::Disconnected);
            } else {
                self.set(if was_there { Runtime::Disconnected } else { Runtime::NoRuntime });
            }
            if begun.elapsed() >= LASTED {
                pause = PAUSE_FIRST;
            }
            let touched = async {
                match &mut events {
                    Some(events) => drop(events.touched().await),
                    None => std::future::pending().await,
                }
            };
            // A watch may be refused or overflow: a socket is looked for in any case.
            let wait = if is_there { pause } else { PAUSE_ABSENT };
            tokio::select! {
                () = touched => {
                    // Listening follows binding.
                    tokio::time::sleep(PAUSE_FIRST).await;
                }
                () = tokio::time::sleep(wait) => {
                    if is_there {
                        pause = (pause * 2).min(PAUSE_LONGEST);
                    }
                }
            }
        }
    }

    /// One connection from its beginning to its end; why it ended.
    async fn connection(&self, host: &Host, socket: &HostPath) -> anyhow::Error {
        match connect(host, socket).await {
            Ok(mut stream) => serve(&mut stream, NAME, INDEX, self).await.into(),
            Err(error) => error,
        }
    }
}

/// Connects to a socket that is root's, in directories that only root can write.
async fn connect(host: &Host, socket: &HostPath) -> Result<UnixStream> {
    match host.trust(socket) {
        Trust::Root | Trust::WritableItself { .. } => {}
        other => bail!("others than root can replace it: {other:?}"),
    }
    UnixStream::connect(socket.as_path()).await.context("cannot connect")
}

impl Handler for Shared {
    fn synchronized(&self, created: Vec<NewContainer>) {
        *locked(&self.unstarted) = created;
        self.note(Note::Connected);
        self.set(Runtime::Synchronized);
    }

    fn create(&self, container: &NewContainer) -> Vec<ContainerMount> {
        // The kubelet has given up an earlier attempt at the same container.
        if self.has_left(container) {
            self.report.send_modify(|report| report.started += 1);
        }
        let decided = self.with_adjust(|adjust| adjust.as_ref().map(|adjust| adjust.mounts(container)));
        let Some(Ok(mounts)) = decided else { return Vec::new() };
        let targets: Vec<&str> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        self.note(Note::Adjusted { container: container.name.clone(), targets: targets.join(" ") });
        mounts
    }

    fn started(&self, container: &NewContainer) {
        let decided = self.with_adjust(|adjust| adjust.as_ref().map(|adjust| adjust.mounts(container)));
        // A container that has the kubelet's pods may be a plugin: its contract is looked at, and one that was
        // created while the connection was not there is grafted.
        if self.has_left(container) || !matches!(decided, None | Some(Err(Unadjusted::NoPods))) {
            self.report.send_modify(|report| report.started += 1);
        }
    }

    fn removed(&self, container: &NewContainer) {
        if self.has_left(container) {
            self.report.send_modify(|report| report.started += 1);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
