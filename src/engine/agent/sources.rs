//! Engine: what wakes the agent: files that it has read, the mount table, units, processes, signals
//! of a person or of the service manager.

use super::arrivals::usual_control_groups;
use crate::host::{Asked, Events, Exits, Host, MountsWatch, Watched};
use crate::model::facts::Facts;
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::mounts::bridge::STANDARD_PATH;
use crate::report::journal;
use crate::systemd::Signals;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where the system bus listens: its return is a change of its directory.
const BUS: &str = "/run/dbus/system_bus_socket";

/// What woke the agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Woken {
    /// The mount table changed somewhere.
    pub(super) mounts: bool,
    /// Something changed that a turn reads.
    pub(super) facts: bool,
    /// csihost's own settings or profiles changed.
    pub(super) configuration: bool,
    /// A container begins, where a plugin may come of it.
    pub(super) containers: bool,
    /// A person asks for the settings to be read again.
    pub(super) reload: bool,
    /// It is to end.
    pub(super) end: bool,
}

impl Woken {
    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            mounts: self.mounts || other.mounts,
            facts: self.facts || other.facts,
            configuration: self.configuration || other.configuration,
            containers: self.containers || other.containers,
            reload: self.reload || other.reload,
            end: self.end || other.end,
        }
    }

    /// Whether anything did.
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }
}

/// All that can wake the agent.
#[derive(Debug)]
pub(super) struct Sources {
    events: Option<Events>,
    /// The control groups of pods, where they are of interest.
    containers: Option<Events>,
    groups: BTreeSet<HostPath>,
    mounts: Option<MountsWatch>,
    exits: Exits,
    /// The signals of systemd, where it can be reached.
    pub(super) signals: Option<Signals>,
    watched: Asked,
    units: BTreeSet<UnitName>,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// It was told to end, and has not yet.
    ended: bool,
}

impl Sources {
    /// Signals of processes and the mount table from now on; all else when a turn says what it read.
    pub(super) fn new(host: &Host) -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen to signals");
        let events = Events::new().map_err(|error| journal::unwatched("files", &error.to_string()));
        let mounts = host.watch_mounts().map_err(|error| journal::unwatched("mounts", &error.to_string()));
        Ok(Self {
            events: events.ok(),
            containers: None,
            groups: BTreeSet::new(),
            mounts: mounts.ok(),
            exits: Exits::default(),
            signals: None,
            watched: Asked::default(),
            units: BTreeSet::new(),
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            ended: false,
        })
    }

    /// Watches what a turn with these facts has read. True where that is more than before: what
    /// changed between the reading and now was told to nobody, and has to be looked at.
    pub(super) async fn watch(&mut self, host: &Host, facts: &Facts, asked: Asked, own: &Asked) -> bool {
        let mut next = asked;
        next.paths.extend([BUS, "/var/lib/kubelet/device-plugins/kubelet.sock"].map(HostPath::from));
        for root in facts.detection.host_dir().cloned().into_iter().chain([HostPath::from(STANDARD_PATH)]) {
            next.paths.insert(root.join("pod-resources/kubelet.sock"));
            next.listed.insert(root.join("plugins_registry"));
        }
        let watched = Watched {
            paths: next.paths.iter().chain(&own.paths).collect(),
            listed: next.listed.iter().chain(&own.listed).collect(),
            configuration: own.paths.iter().chain(&own.listed).collect(),
        };
        if let Some(events) = &mut self.events {
            let refused = events.watch(host, &watched);
            if refused > 0 {
                journal::unwatched(&format!("{refused} directories"), "no more can be watched");
            }
        }
        let more_files =
            !(next.paths.is_subset(&self.watched.paths) && next.listed.is_subset(&self.watched.listed));
        self.watched = next;

        let plugins = facts.plugins.found.iter().map(|plugin| plugin.seat.pid);
        let kubelet = facts.detection.kubelet.as_ref().and_then(|kubelet| kubelet.pid);
        let all_run = self.exits.watch(kubelet.into_iter().chain(plugins));
        more_files | !all_run | self.watch_units(facts).await
    }

    async fn watch_units(&mut self, facts: &Facts) -> bool {
        let Self { signals: Some(signals), terminate, interrupt, ended, .. } = self else { return false };
        let asked = facts.units.iter().map(|(unit, _)| unit);
        let units: BTreeSet<UnitName> = asked.chain(facts.detection.unit.as_ref()).cloned().collect();
        tokio::select! {
            // Of a connection that has just ended the next wait tells.
            _ = signals.watch(&units) => {}
            () = told_to_end(terminate, interrupt) => *ended = true,
        }
        let more = !units.is_subset(&self.units);
        self.units = units;
        more
    }

    /// Has containers told that begin in these control groups; where a turn knows none, in those of
    /// before, or where pods usually are. `None`: nobody wants to know.
    pub(super) fn watch_containers(&mut self, host: &Host, groups: Option<Option<BTreeSet<HostPath>>>) {
        let Some(groups) = groups else {
            self.containers = None;
            self.groups.clear();
            return;
        };
        match groups {
            Some(groups) => self.groups = groups,
            None if self.groups.is_empty() => self.groups = usual_control_groups(host),
            None => {}
        }
        if self.containers.is_none() {
            let events = Events::new().map_err(|error| journal::unwatched("containers", &error.to_string()));
            self.containers = events.ok();
        }
        self.watch_new_containers(host);
    }

    /// Watches those of the control groups that came since.
    pub(super) fn watch_new_containers(&mut self, host: &Host) {
        if let Some(events) = &mut self.containers {
            events.watch_directories(host, &self.groups);
        }
    }

    /// How many paths and units are watched.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.watched.paths.len(), self.units.len())
    }

    /// Connects to the signals of systemd, if that is not done.
    pub(super) async fn connect(&mut self) {
        if self.signals.is_none() {
            self.units.clear();
            tokio::select! {
                signals = Signals::connect() => self.signals = signals.ok(),
                () = told_to_end(&mut self.terminate, &mut self.interrupt) => self.ended = true,
            }
        }
    }

    /// Waits until something comes, or until `until`, whichever is first.
    pub(super) async fn next(&mut self, until: Instant) -> Woken {
        let Self { events, containers, mounts, exits, signals, hangup, terminate, interrupt, ended, .. } =
            self;
        let facts = Woken { facts: true, ..Woken::default() };
        if *ended {
            return Woken { end: true, ..Woken::default() };
        }
        // In this order: an end is not kept waiting by a storm.
        tokio::select! {
            biased;
            () = told_to_end(terminate, interrupt) => {
                *ended = true;
                Woken { end: true, ..Woken::default() }
            }
            _ = hangup.recv() => Woken { reload: true, ..Woken::default() },
            touched = async { match events { Some(events) => events.touched().await, None => std::future::pending().await } } =>
                Woken { facts: touched.any, configuration: touched.configuration, ..Woken::default() },
            heard = async { match signals { Some(signals) => signals.next().await, None => std::future::pending().await } } => {
                if heard.is_err() {
                    *signals = None;
                }
                facts
            }
            () = exits.ended() => facts,
            _ = async { match containers { Some(containers) => containers.touched().await, None => std::future::pending().await } } =>
                Woken { containers: true, ..Woken::default() },
            () = async { match mounts { Some(mounts) => mounts.changed().await, None => std::future::pending().await } } =>
                Woken { mounts: true, ..Woken::default() },
            () = tokio::time::sleep_until(until.into()) => Woken::default(),
        }
    }

    /// Waits for the end alone: what else comes is kept.
    pub(super) async fn end(&mut self) {
        if !self.ended {
            told_to_end(&mut self.terminate, &mut self.interrupt).await;
            self.ended = true;
        }
    }

    /// Takes what has come by now, each kind once, without waiting.
    pub(super) async fn arrived(&mut self) -> Woken {
        let mut all = Woken::default();
        // One more than there are kinds: a storm of one kind is not drained but seen.
        for _ in 0..8 {
            let woken = self.next(Instant::now()).await;
            if !woken.any() {
                break;
            }
            all = all.and(woken);
        }
        all
    }
}

async fn told_to_end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
