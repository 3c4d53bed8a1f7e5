//! Engine: closes and opens gates, in two processes as grafts are made: the agent has no right to mount,
//! and has systemd run this same program with the right that it takes. The agent's unit runs it too, when
//! the agent has ended for whatever reason, and the boot unit's reconciliation before there is an agent.
//!
//! The mount table of process 1 decides, before and after: a gate is recognised by the mount that is
//! there, and no other mount is ever unmounted.

use super::config::Config;
use super::own;
use super::receipt::{self, Store};
use super::turn::Seen;
use super::unmount::mounts;
use crate::host::Host;
use crate::model::facts::Mode;
use crate::model::gate::Gate;
use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::model::receipt::Receipt;
use crate::model::unit::{ActiveState, FileState, UnitName, UnitState};
use crate::mounts::bridge::STANDARD_PATH;
use crate::plan::{self, UNITS, gate};
use crate::report::journal;
use crate::systemd::{Patience, Rights, ServiceManager, Systemd, Transient};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The verb of the process that closes and opens; it is not for people.
const VERB: &str = "gate";
/// The variable with the [`Order`]; without it all gates are meant.
const ORDER: &str = "CSIHOST_GATE";
/// Some mounts are milliseconds; a node under load may be slow.
const LIMIT: Duration = Duration::from_secs(20);
/// All of it is root's: nothing else is needed.
const RIGHTS: Rights = Rights { capabilities: &["sys_admin"] };
/// The agent.
const AGENT: &str = "csihost.service";

/// Direction in which a gate is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The kubelet no longer reaches the driver, and no new container can serve it.
    Close,
    /// All is as without csihost.
    Open,
}

impl Way {
    fn word(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Open => "open",
        }
    }

    /// The kind of step that the journal names.
    fn kind(self) -> &'static str {
        match self {
            Self::Close => "close-gate",
            Self::Open => "open-gate",
        }
    }
}

/// The gates to move, for the process that moves them.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    directories: Vec<HostPath>,
    /// The process that gives the order, and its start time in clock ticks since boot (proc_pid_stat(5)).
    giver: (i32, u64),
}

/// Has gates moved by a process of its own.
async fn run<M: ServiceManager>(host: &Host, manager: &mut M, way: Way, gates: &[Gate]) -> Result<()> {
    let own = own::program(host)?;
    let proc = host.proc()?.context("there is no /proc here")?;
    let pid = i32::try_from(std::process::id()).context("the process ID is no PID")?;
    let started = proc.started(pid).context("cannot read the start time of this process")?;
    let directories = gates.iter().map(|gate| gate.directory.clone()).collect();
    let order = Order { directories, giver: (pid, started) };
    let what = Transient {
        description: format!("{} the gate of {} for csihost", way.word(), drivers(gates).join(", ")),
        commands: vec![(own, vec![VERB.to_owned(), way.word().to_owned()])],
        environment: vec![(ORDER.to_owned(), serde_json::to_string(&order)?)],
        patience: Patience::Limit(LIMIT),
        rights: Some(RIGHTS),
    };
    let unit =
        UnitName::parse(&format!("csihost-gate-{}.service", way.word())).map_err(anyhow::Error::msg)?;
    Ok(manager.run(&unit, &what).await?)
}

fn drivers(gates: &[Gate]) -> Vec<String> {
    let mut names: Vec<String> = gates.iter().map(|gate| gate.driver.clone()).collect();
    names.dedup();
    names
}

/// Moves gates, and reports it; false where that failed.
async fn moved<M: ServiceManager>(host: &Host, manager: &mut M, way: Way, gates: &[Gate], why: &str) -> bool {
    if gates.is_empty() {
        return true;
    }
    match run(host, manager, way, gates).await {
        Ok(()) => {
            journal::done(way.kind(), &drivers(gates), Some(why));
            true
        }
        Err(error) => {
            journal::failed(way.kind(), &drivers(gates).join(" "), &format!("{error:#}"));
            false
        }
    }
}

/// Remembers the gates that the plan names. One that is no longer needed is opened for good first.
pub(super) async fn keep<M: ServiceManager>(
    host: &Host,
    manager: &mut M,
    store: &mut Store<'_>,
    seen: &Seen,
    config: &Config,
) -> Result<()> {
    let settings = plan::in_effect(&config.settings, seen.facts.align.as_ref());
    let mut gates = gate::gates(&seen.facts, &settings);
    if gates == store.receipt.gates {
        return Ok(());
    }
    let over = |gate: &&Gate| !gates.iter().any(|kept| kept.directory == gate.directory);
    let closed = seen.facts.closed_gates().filter(over).cloned().collect::<Vec<_>>();
    if !moved(host, manager, Way::Open, &closed, "it is no longer grafted").await {
        // It stays remembered until it is open.
        gates.extend(closed);
    }
    store.receipt.gates = gates;
    store.save()
}

/// Moves the gates that change as a reconciliation of the agent ended; true where one was moved, `None`
/// where that failed.
pub(super) async fn settle<M: ServiceManager>(
    host: &Host,
    manager: &mut M,
    changes: &gate::Changes,
    connected: bool,
) -> Option<bool> {
    let why = match connected {
        true => "its contract is broken",
        false => "the container runtime is not connected",
    };
    let closed = moved(host, manager, Way::Close, &changes.close, why).await;
    let opened = moved(host, manager, Way::Open, &changes.open, "the agent grafts it").await;
    (closed && opened).then_some(!changes.close.is_empty() || !changes.open.is_empty())
}

/// Closes the gates of the receipt that are open, because a container may have started without its mounts.
pub(super) async fn close_open_ones<M: ServiceManager>(host: &Host, manager: &mut M) {
    let (Ok(receipt), Ok(table)) = (receipt::load(host), mounts(host)) else { return };
    let closed = |gate: &Gate| table.gates().iter().any(|mount| mount.point == gate.directory.as_bytes());
    let open: Vec<Gate> = receipt.gates.into_iter().filter(|gate| !closed(gate)).collect();
    moved(host, manager, Way::Close, &open, "the container runtime was not connected").await;
}

/// The same over a connection to systemd of its own. Without one it does nothing: what ends the agent
/// closes them.
pub(super) async fn close_without_connection(host: &Host, config: &Config) {
    if host.systemd_booted()
        && let Ok(mut systemd) = Systemd::connect(config.settings.job_timeout).await
    {
        close_open_ones(host, &mut systemd).await;
    }
}

/// Moves gates after a reconciliation that is not the agent's: at boot they are closed until the agent
/// runs, and where no agent is to run they are opened. True where one was moved.
pub(super) async fn without_agent<M: ServiceManager>(
    host: &Host,
    manager: &mut M,
    seen: &Seen,
    config: &Config,
) -> Result<bool> {
    let facts = &seen.facts;
    let settings = plan::in_effect(&config.settings, facts.align.as_ref());
    if facts.gates.is_empty() || !plan::grafts(facts, &settings) || host.mode() != Mode::Live {
        return Ok(false);
    }
    let agent = UnitName::from(AGENT);
    let UnitState { active, file, .. } = manager.units(std::slice::from_ref(&agent)).await?.get(&agent);
    let stopped = matches!(active, ActiveState::Inactive | ActiveState::Failed);
    let closed: Vec<Gate> = facts.closed_gates().cloned().collect();
    let (way, gates, why) = match file {
        FileState::Enabled if stopped && config.boot => {
            let open = facts.gates.iter().filter(|gate| !closed.contains(gate)).cloned().collect();
            (Way::Close, open, "until the agent runs")
        }
        FileState::Enabled => return Ok(false),
        _ if stopped => (Way::Open, closed, "no agent is to run"),
        _ => return Ok(false),
    };
    Ok(moved(host, manager, way, &gates, why).await && !gates.is_empty())
}

/// Opens all gates for good, and forgets them.
pub(super) async fn forget<M: ServiceManager>(
    host: &Host,
    manager: &mut M,
    store: &mut Store<'_>,
) -> Result<()> {
    if host.mode() == Mode::Live && !own_gates(&mounts(host)?, &store.receipt).is_empty() {
        run(host, manager, Way::Open, &store.receipt.gates).await?;
    }
    store.receipt.gates.clear();
    store.save()
}

/// The state of the agent's unit, where a gate is closed.
pub(super) async fn agent<M: ServiceManager>(manager: &mut M, closed: bool) -> Result<Option<ActiveState>> {
    if !closed {
        return Ok(None);
    }
    let agent = UnitName::from(AGENT);
    Ok(Some(manager.activity(std::slice::from_ref(&agent)).await?.get(&agent).active))
}

/// The work of the process that [`VERB`] starts. Without an order: at the end of the agent, all gates that
/// the receipt has; and all that are closed are opened.
pub fn move_gates(way: Way) -> Result<()> {
    let host = Host::open(None)?;
    let proc = host.proc()?.context("there is no /proc here")?;
    // A unit with a sandbox has a mount namespace of its own, and so has what it runs besides with all
    // rights (`+`, systemd 252): what is mounted there is seen nowhere else.
    let own = i32::try_from(std::process::id()).ok().and_then(|pid| proc.mount_namespace(pid));
    match proc.mount_namespace(1).filter(|first| own != Some(*first)) {
        Some(_) => {
            let door = proc.door(1, proc.started(1))?.context("process 1 is gone")?;
            door.inside_root(|| move_in(&Host::open(None)?, way))?
        }
        // A process that may not read it has too few rights to enter another namespace, and is in that of
        // process 1, which is checked by the mounts.
        None => move_in(&host, way),
    }
}

/// The same, in the mount namespace of process 1.
fn move_in(host: &Host, way: Way) -> Result<()> {
    let order = std::env::var(ORDER).ok();
    let order: Option<Order> = match &order {
        Some(order) => Some(serde_json::from_str(order).with_context(|| format!("{ORDER} is no order"))?),
        None => None,
    };
    let _lock = host.gate_lock()?;
    match (way, order) {
        (Way::Close, Some(Order { directories, .. })) => close_all(host, directories.iter()),
        (Way::Close, None) => {
            let gates = receipt::load(host)?.gates;
            if gates.is_empty() || is_left_stopped(host) {
                return Ok(());
            }
            close_all(host, gates.iter().map(|gate| &gate.directory))?;
            journal::done(way.kind(), &drivers(&gates), Some("the agent has ended"));
            Ok(())
        }
        (Way::Open, Some(Order { directories, giver })) => {
            // systemd may run an order after its giver has ended, and after the gates were closed for that.
            if !lives(host, giver)? {
                bail!("the process {} that ordered this has ended", giver.0);
            }
            let table = mounts(host)?;
            let asked = |gate: &&Mount| directories.iter().any(|of| of.as_bytes() == gate.point);
            let points = table.gates().iter().filter(asked).map(|gate| gate.point.clone()).collect();
            open(host, points)
        }
        (Way::Open, None) => {
            let receipt = receipt::load(host)?;
            open(host, own_gates(&mounts(host)?, &receipt))
        }
    }
}

/// Returns true if the process has not ended.
fn lives(host: &Host, (pid, started): (i32, u64)) -> Result<bool> {
    Ok(host.proc()?.context("there is no /proc here")?.started(pid) == Some(started))
}

/// Returns true at the end of an agent that was stopped and is not to be started again: systemd sets the
/// variable for what runs then (systemd.exec(5)).
fn is_left_stopped(host: &Host) -> bool {
    let stopped = std::env::var("SERVICE_RESULT").is_ok_and(|result| result == "success");
    let wanted = |place: &&'static str| {
        host.exists(&HostPath::from(*place).join("multi-user.target.wants").join(AGENT))
    };
    stopped && ![UNITS, "/run/systemd/system", "/usr/lib/systemd/system"].iter().any(wanted)
}

/// The closed gates in the directories of kubelets: not those that a container got instead of its
/// driver's directory and that the kubelet itself bound elsewhere.
fn own_gates(table: &MountTable, receipt: &Receipt) -> Vec<Vec<u8>> {
    let standard = HostPath::from(STANDARD_PATH);
    let roots = receipt.bridge.iter().flat_map(|bridge| bridge.roots());
    let trees: Vec<HostPath> = roots.chain([&standard]).map(|root| root.join("plugins")).collect();
    let own = |gate: &&Mount| {
        let point = HostPath::parse(&gate.point).ok();
        receipt.gates.iter().any(|known| known.directory.as_bytes() == gate.point)
            || point.is_some_and(|point| trees.iter().any(|tree| point.starts_with(tree)))
    };
    table.gates().iter().filter(own).map(|gate| gate.point.clone()).collect()
}

/// Closes each of them, whatever becomes of the others.
fn close_all<'a>(host: &Host, directories: impl Iterator<Item = &'a HostPath>) -> Result<()> {
    let failed = |directory| close(host, directory).err().map(|error| format!("{directory}: {error:#}"));
    let failed: Vec<String> = directories.filter_map(failed).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("cannot close gates: {}", failed.join("; ")),
    }
}

/// Closes a gate, so that no container can be created with its directory. One that is closed stays as it is,
/// and where there is no directory there is nothing to reach.
fn close(host: &Host, directory: &HostPath) -> Result<()> {
    let Some(on) = host.gate_mount(directory)? else { return Ok(()) };
    let table = mounts(host)?;
    if let Some(gate) = closed(&table, directory, on) {
        return hold_back(host, &table, gate);
    }
    if table.by_id(on).is_none() {
        bail!("{directory} is on a mount that process 1 does not have; run csihost in its mount namespace");
    }
    host.close_gate(directory)?;
    let (on, table) = (host.gate_mount(directory)?, mounts(host)?);
    match on.and_then(|on| closed(&table, directory, on)) {
        Some(gate) => hold_back(host, &table, gate),
        None => bail!("{directory} was mounted over meanwhile"),
    }
}

/// The mount that closes a directory, if that is the mount `on` which is uppermost there.
fn closed<'a>(table: &'a MountTable, directory: &HostPath, on: u64) -> Option<&'a Mount> {
    table.gates().iter().find(|gate| gate.id == on && gate.point == directory.as_bytes())
}

/// Holds containers back at a gate and at its copies, which came to other paths by propagation.
fn hold_back(host: &Host, table: &MountTable, gate: &Mount) -> Result<()> {
    for copy in table.gates().iter().filter(|copy| copy.device == gate.device && !copy.unbindable) {
        if let Ok(directory) = HostPath::parse(&copy.point) {
            host.hold_back(&directory, copy.id)?;
        }
    }
    Ok(())
}

/// Opens the gates at these points, with those that came by propagation, which go with them.
fn open(host: &Host, points: Vec<Vec<u8>>) -> Result<()> {
    let mut left = Vec::new();
    for point in points {
        let directory = HostPath::parse(&point).map_err(|error| anyhow::anyhow!("{error}"))?;
        // One over the other where two bridges came after each other; the topmost goes first.
        loop {
            let table = mounts(host)?;
            let Some(on) = host.gate_mount(&directory)? else { break };
            let Some(gate) = table.gates().iter().find(|gate| gate.id == on && gate.point == point) else {
                if table.gates().iter().any(|gate| gate.point == point) {
                    left.push(format!("{directory} is mounted over"));
                }
                break;
            };
            if table.iter().any(|mount| mount.parent == gate.id) {
                left.push(format!("something is mounted on {directory}"));
                break;
            }
            if !host.open_gate(&directory, gate.id)? {
                left.push(format!("{directory} was mounted over meanwhile"));
                break;
            }
        }
    }
    match left.is_empty() {
        true => Ok(()),
        false => bail!("{}; unmount that, then run csihost apply", left.join(", ")),
    }
}
