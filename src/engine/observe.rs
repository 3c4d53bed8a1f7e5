//! Engine: reads the facts of a turn. It changes nothing.

use super::config::Config;
use super::declared::{declared, next_start};
use super::kubelet::{Found, Said, kubelet, version};
use super::leftovers::leftovers;
use super::plugins::{drivers_on_node, plugins};
use super::pods::{names_of_pods, pods_of};
use super::receipt;
use super::runtimes::runtimes;
use super::unanswered::left_out;
use crate::checks;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::asked::Interests;
use crate::model::bytes::shown;
use crate::model::demand::Demand;
use crate::model::facts::{Facts, Init, Mode};
use crate::model::file::DirFact;
use crate::model::kubelet::{Detection, Distribution};
use crate::model::path::HostPath;
use crate::model::runtime::{NRI_SOCKET, Runtime};
use crate::model::unit::{ActiveState, FileState, LoadState, Order, UnitName, UnitState, Units};
use crate::mounts::bridge::{Decision, decide, ends_a_chain, late_mounts, order_by_fstab, to_follow};
use crate::mounts::contract::contracts;
use crate::mounts::registration::registrations;
use crate::plan::{self, UNITS, interests};
use crate::profile::{self, OnNode};
use crate::settings::{Repair, Settings};
use crate::systemd::ServiceManager;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The kubelet's root.
pub(super) fn observe_kubelet(host: &Host, said: &Said) -> Result<Detection> {
    let proc = host.proc()?;
    Ok(kubelet(host, proc.as_ref(), said)?.detection)
}

/// The kubelet's root, and its version: no turn needs to know that, and to learn it may take long.
pub(super) fn observe_with_version(host: &Host, said: &Said) -> Result<Detection> {
    let proc = host.proc()?;
    let mut found = kubelet(host, proc.as_ref(), said)?;
    learn_version(host, proc.as_ref(), &mut found);
    Ok(found.detection)
}

fn learn_version(host: &Host, proc: Option<&Proc<'_>>, found: &mut Found<'_>) {
    let version = proc.and_then(|proc| version(host, proc, found));
    if let Some(kubelet) = &mut found.detection.kubelet {
        kubelet.version = version;
    }
}

/// Adds what configuration says to `said`.
pub(super) async fn with_configuration<M: ServiceManager>(
    host: &Host,
    manager: Option<&mut M>,
    said: Said,
) -> Said {
    Said { configuration: declared(host, manager).await, ..said }
}

/// Reads everything that the plan for this host depends on.
pub(super) async fn observe<M: ServiceManager>(
    host: &Host,
    config: &Config,
    mut manager: std::result::Result<&mut M, Init>,
) -> Result<Facts> {
    let (receipt, receipt_lost) = receipt::look(host)?;
    let settings = &plan::in_effect(&config.settings, receipt.align.as_ref());
    let profile = &config.profile.profile;
    let proc = host.proc()?;
    let mut said = Said { root_dir: settings.root_dir.clone(), ..Said::default() };
    // What is to be changed for the next start is of interest beside a running kubelet, too.
    let aligns = settings.contract.repair == Repair::Align || receipt.align.is_some();
    if aligns {
        let manager = manager.as_mut().ok().map(|manager| &mut **manager);
        said = with_configuration(host, manager, said).await;
    }
    let mut found = kubelet(host, proc.as_ref(), &said)?;
    // Configuration decides only where no kubelet runs; beside a running one it is for detect.
    if !aligns && found.detection.kubelet.as_ref().is_none_or(|kubelet| kubelet.pid.is_none()) {
        let manager = manager.as_mut().ok().map(|manager| &mut **manager);
        said = with_configuration(host, manager, said).await;
        found = kubelet(host, proc.as_ref(), &said)?;
    }
    // Some versions do not know the setting.
    let by_version = [Distribution::K3s, Distribution::Rke2, Distribution::K0s];
    let distribution = found.detection.kubelet.as_ref().map(|kubelet| kubelet.distribution);
    let unsure = aligns && receipt.align.is_none() && distribution.is_some_and(|d| by_version.contains(&d));
    if config.version || unsure {
        learn_version(host, proc.as_ref(), &mut found);
    }
    let has_gates = !receipt.gates.is_empty();
    let plugins = |proc| plugins(host, proc, &found, config.tables, has_gates);
    let mut plugins = proc.as_ref().map(plugins).unwrap_or_default();
    plugins.runtimes = proc.as_ref().map(|proc| runtimes(host, proc, &found)).unwrap_or_default();
    let Found { detection, world } = found;
    let align = receipt.align.clone().filter(|record| !record.is_over(detection.kubelet.as_ref()));
    let settings = &plan::in_effect(&config.settings, align.as_ref());
    let init = match (&manager, host.mode()) {
        (Err(init), _) => init.clone(),
        (Ok(_), Mode::Live) if host.systemd_booted() => Init::Systemd,
        (Ok(_), Mode::Live) => other_init(host),
        (Ok(_), Mode::Offline) => Init::Offline,
    };
    let boot = host.boot_id();
    let named_pods = pods_of(host, settings);
    let mut facts = Facts {
        detection,
        mounts: world.mounts,
        machine: host.machine(),
        boot: config.boot,
        initiator: receipt.initiator.clone(),
        restart: receipt.restart.iter().filter(|due| due.boot == boot).map(|due| due.unit.clone()).collect(),
        plugins,
        named_pods,
        at_reboot: receipt
            .at_reboot
            .iter()
            .filter(|due| due.boot == boot)
            .flat_map(|due| due.packages.iter().cloned())
            .collect(),
        generated: receipt.generated().cloned().collect(),
        started: receipt.started().cloned().collect(),
        units_read_only: host.mode() == Mode::Live && host.read_only(&HostPath::from(UNITS)),
        gates: receipt.gates.clone(),
        bridge: receipt.bridge.clone(),
        whole: align.as_ref().filter(|align| align.whole).map(|align| align.root.clone()),
        align,
        next_start: aligns.then(|| next_start(host, &said.configuration)),
        grafted: receipt.grafted_names(),
        undoing: receipt.undo_pending,
        receipt_lost,
        left_out: proc.as_ref().map(left_out).transpose()?.unwrap_or_default(),
        restart_kubelet: config.restart_kubelet,
        ..Facts::new(host.mode(), init)
    };
    if plan::grafts(&facts, settings) {
        facts.runtime = runtime(host, config.runtime);
    }
    let present = drivers_on_node(&facts.plugins);
    facts.drivers = receipt.drivers.clone().unwrap_or_default().with(&boot, present.clone());
    facts.demand = demand(host, config, &mut facts, &present);
    let mut early = interests::early(
        &facts.detection,
        facts.bridge.as_ref(),
        facts.align.as_ref(),
        &facts.demand,
        settings,
        profile,
    );
    early.extend(checks::early(&facts.machine, &facts.demand, settings, profile));
    facts.modules.extend(host.modules(proc.as_ref(), &early.modules)?);
    if let Some(needs) = profile.needs().filter(|_| facts.demand.iscsi.is_needed()) {
        facts.iscsi = host.iscsi(proc.as_ref(), facts.module("iscsi_tcp"), &needs.iscsi.nodes);
    }
    fetch(host, &mut facts, &early);
    let contents = interests::contents(&facts, settings);
    fetch(host, &mut facts, &contents);

    let mut units = interests::units(&facts, settings, profile);
    let services = checks::units(&facts);
    units.enablement.extend(services.iter().cloned());
    units.units.extend(services);
    fetch(host, &mut facts, &units);
    if let Ok(manager) = manager {
        let closed = facts.closed_gates().next().is_some();
        facts.agent = super::gate::agent(manager, closed).await?;
        facts.units = unit_states(host, manager, &units).await?;
        facts.orders = orders(manager, &facts, settings).await?;
        if let Some((unit, ..)) = checks::late_mount(&facts) {
            facts.kubelet_order = manager.order(&unit).await?;
        }
    }
    let mut late = interests::late(&facts, settings);
    late.extend(checks::late(&facts));
    fetch(host, &mut facts, &late);
    if let Some(proc) = &proc {
        facts.leftovers = leftovers(host, proc, &facts);
    }
    facts.contracts = contracts(&facts.plugins, &facts.mounts, shares_root(&facts, settings));
    let restart = registrations(&facts.plugins, &facts.mounts)
        .into_iter()
        .filter(|one| one.is_missing() || !one.covered.is_empty())
        .filter_map(|one| one.owner.pod)
        .collect();
    facts.pod_names = names_of_pods(host, &restart);
    Ok(facts)
}

/// The needs of the drivers of this node: of those that are on it now, and of those that were lately.
fn demand(host: &Host, config: &Config, facts: &mut Facts, present: &BTreeSet<String>) -> Demand {
    let iscsid =
        config.profile.profile.needs().map(|needs| needs.iscsi.daemon.as_slice()).unwrap_or_default();
    let known = facts.plugins.kubelet.is_some();
    let drivers = facts.drivers.names().cloned().collect();
    let profiles = profile::relevant(&config.settings, &config.drivers, &drivers);
    fetch(host, facts, &profile::demand_interests(&config.settings, &profiles, &drivers, iscsid));
    let node = OnNode {
        drivers: &drivers,
        present: known.then_some(present),
        has_program: &|path| facts.programs.contains(path),
        has_directory: &|path| matches!(facts.dirs.get(path), Some(DirFact::Directory { .. })),
        iscsid,
    };
    profile::demand(&config.settings, &profiles, &node)
}

/// The connection to the container runtime; of the agent's own, outside of it the socket decides.
fn runtime(host: &Host, own: Runtime) -> Runtime {
    match host.is_socket(&HostPath::from(NRI_SOCKET)) {
        true if own == Runtime::NoRuntime => Runtime::Disconnected,
        _ => own,
    }
}

/// Whether an apply would make the mount that covers the kubelet's root shared.
fn shares_root(facts: &Facts, settings: &Settings) -> bool {
    let names: Vec<&str> = settings.bridge.directories.iter().map(|d| d.as_str()).collect();
    let root = facts.detection.host_dir();
    match settings.bridge.enabled.then(|| decide(facts, &names)) {
        Some(Decision::Build(bridge)) => {
            bridge.shares.iter().any(|share| root.is_some_and(|root| root.starts_with(&share.path)))
        }
        _ => false,
    }
}

/// Targets that the units of a profile, and csihost's own, are wanted by.
const WANTED_BY: [&str; 4] = ["sockets.target", "local-fs.target", "multi-user.target", "sysinit.target"];

/// The states of units. Whether one is started at boot is read from its links, where it has one
/// in a usual place: that is what systemd would do, unit by unit at a millisecond each. It is
/// asked about all others.
async fn unit_states<M: ServiceManager>(host: &Host, manager: &mut M, asked: &Interests) -> Result<Units> {
    let mut states = manager.activity(&asked.units).await?;
    let wanted = |unit: &UnitName| {
        let wants = |target: &&str| HostPath::from(UNITS).join(format!("{target}.wants")).join(unit.as_str());
        WANTED_BY.iter().any(|target| host.exists(&wants(target)))
    };
    let there = asked.enablement.iter().filter(|unit| states.get(unit).load == LoadState::Loaded);
    let (sure, doubtful): (Vec<UnitName>, Vec<UnitName>) = there.cloned().partition(wanted);
    for unit in sure {
        let state = states.get(&unit);
        states.insert(unit, UnitState { file: FileState::Enabled, ..state });
    }
    if !doubtful.is_empty() {
        for (unit, state) in manager.units(&doubtful).await?.iter() {
            states.insert(unit.clone(), *state);
        }
    }
    Ok(states)
}

fn fetch(host: &Host, facts: &mut Facts, interests: &Interests) {
    for path in &interests.dirs {
        facts.dirs.entry(path.clone()).or_insert_with(|| host.directory(path));
    }
    for path in &interests.surveys {
        facts.surveys.entry(path.clone()).or_insert_with(|| host.survey(path, &facts.mounts));
    }
    for path in &interests.files {
        facts.files.entry(path.clone()).or_insert_with(|| host.file(path));
    }
    for path in &interests.programs {
        if host.is_program(path) {
            facts.programs.insert(path.clone());
        }
    }
}

/// What late mounts below the bridge are ordered after, as far as it may lead to a container runtime.
async fn orders<M: ServiceManager>(
    manager: &mut M,
    facts: &Facts,
    settings: &Settings,
) -> Result<BTreeMap<UnitName, Order>> {
    /// A chain of orders that is longer than so many units is not followed.
    const MOST: usize = 128;
    let names: Vec<&str> = settings.bridge.directories.iter().map(|d| d.as_str()).collect();
    let mut orders = BTreeMap::new();
    if !settings.bridge.enabled {
        return Ok(orders);
    }
    let Decision::Build(bridge) = decide(facts, &names) else { return Ok(orders) };
    let mounts = late_mounts(facts, [&bridge.standard, &bridge.root]);
    // The nearest first: a chain to a container runtime is short.
    let mut to_ask: VecDeque<UnitName> = mounts.iter().cloned().collect();
    while let Some(unit) = to_ask.pop_front() {
        if orders.contains_key(&unit) || orders.len() == MOST {
            continue;
        }
        if !mounts.contains(&unit) && !is_started_at_boot(manager, &unit).await? {
            continue;
        }
        if ends_a_chain(facts, &unit) {
            orders.insert(unit, Order::default());
            continue;
        }
        let order = match manager.order(&unit).await? {
            // Offline no generator has made a unit of a line of fstab.
            Some(order) if facts.mode == Mode::Live || !order.after.is_empty() => Some(order),
            _ => order_by_fstab(facts, &unit),
        };
        if let Some(order) = order {
            to_ask.extend(to_follow(&order).cloned());
            orders.insert(unit, order);
        }
    }
    Ok(orders)
}

/// True for a unit that systemd starts at boot: by its own links, or because another unit had it started in this boot.
async fn is_started_at_boot<M: ServiceManager>(manager: &mut M, unit: &UnitName) -> Result<bool> {
    let state = manager.units(std::slice::from_ref(unit)).await?.get(unit);
    let pulled_in = state.file == FileState::Static && state.active == ActiveState::Active;
    Ok(state.load == LoadState::Loaded && (state.file == FileState::Enabled || pulled_in))
}

/// The name of PID 1, where it is not systemd.
pub(super) fn other_init(host: &Host) -> Init {
    let mut comm = Vec::new();
    let name = match host.proc() {
        Ok(Some(proc)) if proc.read("1/comm", &mut comm).is_ok() => shown(comm.trim_ascii_end()),
        _ => "something other than systemd".to_owned(),
    };
    Init::Other(name)
}
