//! Engine: one turn, at boot and in the agent alike.

use super::apply::Writer;
use super::config::Config;
use super::gate;
use super::kubelet::Said;
use super::lock::lock;
use super::manager::{Manager, manager};
use super::observe::{observe, observe_with_version, with_configuration};
use super::receipt::{self, Store};
use super::status;
use super::undo::{self, Continued, Fate, Undoing};
use crate::checks;
use crate::host::Host;
use crate::iscsi::initiator;
use crate::model::align::AlignRecord;
use crate::model::bytes::shown;
use crate::model::contract::Contract;
use crate::model::facts::{Facts, Init, Mode};
use crate::model::finding::{CheckStatus, Finding, ready};
use crate::model::graft::Graft;
use crate::model::kubelet::{Detection, KubeletRoot};
use crate::model::plan::{Action, Plan, Refusal};
use crate::model::receipt::Changed;
use crate::model::status::{ContractStatus, Note, Outcome, Status, StepStatus, TurnResult, Turns};
use crate::model::unit::ActiveState;
use crate::plan;
use crate::profile::Needs;
use crate::report::journal;
use crate::settings::Repair;
use crate::systemd::{ServiceManager, Systemd};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::time::Instant;

/// What was seen and decided, nothing changed.
#[derive(Debug)]
pub struct Seen {
    /// The facts.
    pub facts: Facts,
    /// What would be done.
    pub plan: Plan,
    /// What the checks find.
    pub findings: Vec<Finding>,
}

/// What a turn did.
#[derive(Debug)]
pub struct Report {
    /// What goes to `status`.
    pub status: Status,
    /// What the checks find afterwards.
    pub findings: Vec<Finding>,
}

/// How often a turn decides anew because it installed something: a package may bring what asks for
/// another one, and no more.
const ROUNDS: usize = 3;

/// The kind of step that can follow from others of the same turn.
pub(super) const GRAFT: &str = "graft";
/// The kind of an unmount of a volume of a pod that is gone.
pub(super) const UNMOUNT_VOLUME: &str = "unmount-volume";

/// The kubelet's root, with what configuration says of its next start.
pub async fn detect(host: &Host, config: &Config) -> Result<Detection> {
    let given = Said { root_dir: config.settings.root_dir.clone(), ..Said::default() };
    let said = match &mut manager(host, config).await {
        Manager::Systemd(manager) => with_configuration(host, Some(manager.as_mut()), given).await,
        Manager::Offline(manager) => with_configuration(host, Some(manager), given).await,
        Manager::Direct(manager) => with_configuration(host, Some(manager), given).await,
        Manager::None(_) => with_configuration::<Systemd>(host, None, given).await,
    };
    observe_with_version(host, &said)
}

/// Observes and decides.
pub async fn look(host: &Host, config: &Config) -> Result<Seen> {
    match &mut manager(host, config).await {
        Manager::Systemd(manager) => look_with(host, config, Ok(manager.as_mut())).await,
        Manager::Offline(manager) => look_with(host, config, Ok(manager)).await,
        Manager::Direct(manager) => look_with(host, config, Ok(manager)).await,
        Manager::None(init) => look_with::<Systemd>(host, config, Err(init.clone())).await,
    }
}

pub(super) async fn look_with<M: ServiceManager>(
    host: &Host,
    config: &Config,
    manager: Result<&mut M, Init>,
) -> Result<Seen> {
    let facts = observe(host, config, manager).await?;
    let settings = plan::in_effect(&config.settings, facts.align.as_ref());
    let plan = plan::decide(&facts, &settings, &config.profile.profile);
    let mut findings = checks::run(&facts, &settings, &config.profile, &config.os_release);
    findings.extend(checks::alignment(&plan, &settings));
    Ok(Seen { facts, plan, findings })
}

/// One whole turn: observe, decide, apply, verify.
pub async fn apply(host: &Host, config: &Config) -> Result<Report> {
    let started = Instant::now();
    let _lock = lock(host).await?;
    let made = apply_under_lock(host, config, started).await;
    if let (Err(error), Mode::Live) = (&made, host.mode()) {
        status::record_failure(host, error, started);
    }
    made
}

async fn apply_under_lock(host: &Host, config: &Config, started: Instant) -> Result<Report> {
    // At boot nothing is left of a probe in /run, and the unit has no right to unmount.
    if !config.boot {
        super::probe::clean(host);
    }
    if receipt::load(host)?.undo_pending {
        if config.boot && host.mode() == Mode::Live {
            return continue_undo(host, config, started).await;
        }
        cancel_undo(host)?;
    }
    let (seen, steps, settled) = match &mut manager(host, config).await {
        Manager::Systemd(manager) => {
            let manager = manager.as_mut();
            let (mut seen, steps, settled) = turn(host, config, &mut *manager, &mut |_| {}).await?;
            if gate::without_agent(host, manager, &seen, config).await? {
                seen = look_with(host, config, Ok(manager)).await?;
            }
            (seen, steps, settled)
        }
        Manager::Offline(manager) => turn(host, config, manager, &mut |_| {}).await?,
        Manager::Direct(manager) => turn(host, config, manager, &mut |_| {}).await?,
        Manager::None(init) => {
            (look_with::<Systemd>(host, config, Err(init.clone())).await?, Vec::new(), true)
        }
    };
    for refusal in &seen.plan.refused {
        journal::refused(refusal);
    }
    for later in &seen.plan.later {
        journal::later(later);
    }
    let mut status = conclude(&seen, steps, settled, started);
    if host.mode() == Mode::Live {
        status = status::record(host, &config.settings, &seen.facts.generated, &seen.findings, status)?;
    }
    journal::verdict(&status);
    Ok(Report { status, findings: seen.findings })
}

/// The boot unit's reconciliation while an undo waits.
async fn continue_undo(host: &Host, config: &Config, started: Instant) -> Result<Report> {
    let continued = match &mut manager(host, config).await {
        Manager::Systemd(manager) => {
            let continued = undo::go_on(host, config, manager.as_mut()).await?;
            if !continued.undoing.pending {
                // The boot is about to start it, and it would apply.
                undo::stop_agent_for_good(manager.as_mut()).await;
            } else {
                gate::without_agent(host, manager.as_mut(), &continued.seen, config).await?;
            }
            continued
        }
        Manager::Direct(manager) => undo::go_on(host, config, manager).await?,
        Manager::Offline(manager) => undo::go_on(host, config, manager).await?,
        Manager::None(Init::Unreachable(why)) => bail!("{why}"),
        Manager::None(_) => bail!("an undo waits for systemd, which is not PID 1 now"),
    };
    let mut status = undo_status(&continued, started);
    let Continued { seen, .. } = continued;
    status = status::record(host, &config.settings, &seen.facts.generated, &seen.findings, status)?;
    journal::verdict(&status);
    Ok(Report { status, findings: seen.findings })
}

/// The status of a node whose undo waits, or has just ended.
pub(super) fn undo_status(continued: &Continued, started: Instant) -> Status {
    let Continued { undoing, seen, steps, settled } = continued;
    let mut status = conclude(seen, steps.clone(), *settled, started);
    let left = undoing.undone.iter().filter(|undone| matches!(undone.fate, Fate::Left(_))).count();
    status.verdict = match (undoing.pending, undoing.hold.is_empty()) {
        (false, _) if left > 0 => {
            format!(
                "undone except for {left} changes; csihost.service and csihost-boot.service are disabled; run csihost \
                 undo, which names them"
            )
        }
        (false, _) => "undone: csihost.service and csihost-boot.service are disabled".to_owned(),
        (true, true) if left > 0 => {
            format!("undoing: {left} changes cannot be undone yet, and are tried again: {}", reasons(undoing))
        }
        (true, true) => "undoing: the rest waits for the kubelet's restart or for a reboot".to_owned(),
        (true, false) => {
            format!("undoing: waits for {}; {}", undoing.hold.summary(), undoing.hold.remedy())
        }
    };
    status
}

/// Why changes are left.
fn reasons(undoing: &Undoing) -> String {
    let reasons = undoing.undone.iter().filter_map(|undone| match &undone.fate {
        Fate::Left(why) => Some(format!("{} {}: {why}", undone.what, undone.target)),
        _ => None,
    });
    reasons.collect::<Vec<_>>().join("; ")
}

/// A person's `apply` after an undo that waits: the node is to be ready again.
fn cancel_undo(host: &Host) -> Result<()> {
    let mut store = Store::open(host)?;
    store.receipt.undo_pending = false;
    store.save()?;
    journal::undo_ended("the pending undo is cancelled by csihost apply");
    Ok(())
}

/// Gives what is seen at the end, how the steps went, and whether a second plan is empty. Every plan
/// is shown to `restrain` first, which may take steps out of it.
pub(super) async fn turn<M: ServiceManager>(
    host: &Host,
    config: &Config,
    manager: &mut M,
    restrain: &mut dyn FnMut(&mut Plan),
) -> Result<(Seen, Vec<StepStatus>, bool)> {
    let mut seen = look_with(host, config, Ok(&mut *manager)).await?;
    let mut store = Store::open(host)?;
    if seen.facts.receipt_lost.is_some() && store.receipt.recovered {
        store.save()?;
        seen = look_with(host, config, Ok(&mut *manager)).await?;
    }
    if remember(&mut store, &seen.facts, config)? {
        seen = look_with(host, config, Ok(&mut *manager)).await?;
    }
    gate::keep(host, manager, &mut store, &seen, config).await?;
    restrain(&mut seen.plan);
    let pending = store.receipt.reload_pending;
    // That a kubelet's data stay where they are has to be known, whether or not a file is written.
    let noted = seen.plan.aligns.is_none() || store.receipt.align == seen.plan.aligns;
    if seen.plan.is_empty() && !pending && noted {
        return Ok((seen, Vec::new(), true));
    }
    let mut writer = Writer { host, manager, store };
    let (mut after, mut steps) = (seen, Vec::new());
    for _ in 0..ROUNDS {
        // What failed in the round before is tried again in this one.
        steps.retain(|step: &StepStatus| step.outcome == Outcome::Done);
        let round = writer.apply(&after.plan).await;
        let installed = after.plan.steps().zip(&round).any(|((_, step), status)| {
            matches!(step.action, Action::InstallPackages(_)) && status.outcome == Outcome::Done
        });
        steps.extend(round);
        after = look_with(host, config, Ok(&mut *writer.manager)).await?;
        restrain(&mut after.plan);
        // What a package brought has to be made ready too, and into a plugin is grafted what the bridge
        // brought it; all else is done at once.
        let grafts = |steps: &[StepStatus]| steps.iter().any(|step| step.kind == GRAFT);
        let bridged = !grafts(&steps) && after.plan.steps().any(|(_, step)| step.action.kind() == GRAFT);
        if !(installed || bridged) || after.plan.is_empty() {
            break;
        }
    }
    let failed = steps.iter().any(|step| step.outcome != Outcome::Done);
    let settled = after.plan.is_empty() || failed;
    if !settled {
        for (_, step) in after.plan.steps() {
            journal::unsettled(step.action.kind(), &step.action.target());
        }
    }
    Ok((after, steps, settled))
}

/// Notes what later turns want to know and no step says: which initiator name this machine has,
/// and that a daemon which no longer runs needs no restart. True if the facts are no longer right: a
/// kubelet's files were moved out of the standard path.
fn remember(store: &mut Store<'_>, facts: &Facts, config: &Config) -> Result<bool> {
    let before = store.receipt.clone();
    let receipt = &mut store.receipt;
    receipt.restart.retain(|due| {
        facts.restart.contains(&due.unit) && facts.units.get(&due.unit).active == ActiveState::Active
    });
    // A plugin that restarts is grafted again, by its name.
    let aligned = facts.align.is_some()
        && facts
            .detection
            .kubelet
            .as_ref()
            .is_some_and(|kubelet| kubelet.root_dir == KubeletRoot::standard());
    receipt.grafted = match config.settings.contract.repair {
        _ if aligned => BTreeSet::new(),
        Repair::Report if !receipt.undo_pending => BTreeSet::new(),
        _ => receipt.grafted_names(),
    };
    // A graft has gone with its container.
    let runs = |graft: &Graft| {
        facts
            .plugins
            .found
            .iter()
            .any(|plugin| plugin.seat.pid == graft.pid && plugin.seat.started == Some(graft.started))
    };
    if facts.plugins.kubelet.is_some() {
        receipt.changes.retain(|change| !matches!(&change.what, Changed::Grafted { graft } if !runs(graft)));
    }
    receipt.at_reboot.retain(|due| due.packages.iter().all(|name| facts.at_reboot.contains(name)));
    // The kubelet has its data where it looks for them again.
    let over = |record: &mut AlignRecord| record.is_over(facts.detection.kubelet.as_ref());
    let ended = receipt.align.take_if(over);
    if let Some(record) = &ended {
        super::align::put_aside(store.host, record)?;
    }
    if let Some(Needs { iscsi, .. }) =
        config.profile.profile.needs().filter(|_| facts.demand.iscsi.is_needed())
        && let Some(record) = initiator::to_remember(facts, &iscsi.initiator_name, &iscsi.baked_names)
    {
        receipt.initiator = Some(record);
    }
    if store.host.mode() == Mode::Live
        && (receipt.drivers.is_some() || facts.drivers.names().next().is_some())
    {
        receipt.drivers = Some(facts.drivers.clone());
    }
    if *receipt != before {
        store.save()?;
    }
    Ok(ended.is_some())
}

pub(super) fn conclude(seen: &Seen, steps: Vec<StepStatus>, settled: bool, started: Instant) -> Status {
    let note = |refusal: &Refusal| Note {
        id: refusal.id.to_owned(),
        reason: format!("{}: {}", refusal.target, refusal.reason),
        remedy: refusal.remedy.clone(),
    };
    let refused: Vec<Note> = seen.plan.refused.iter().map(note).collect();
    let failing = seen.findings.iter().filter(|finding| finding.status == CheckStatus::Fail);
    let failing: Vec<Note> = failing
        .map(|finding| Note {
            id: finding.id.clone(),
            reason: finding.summary.clone(),
            remedy: finding.remedy.clone(),
        })
        .collect();
    let failed = steps.iter().filter(|step| step.outcome != Outcome::Done).count();
    let result = match () {
        () if failed > 0 || !settled || !refused.is_empty() => TurnResult::Failed,
        () if !ready(&seen.findings) => TurnResult::NotReady,
        () => TurnResult::Ready,
    };
    let root_dir = seen.facts.detection.kubelet.as_ref().map(|kubelet| kubelet.root_dir.to_string());
    let verdict = verdict(result, &steps, failed, settled, &refused, &failing, root_dir.as_deref());
    let contract = |contract: &Contract| ContractStatus {
        driver: contract.driver.as_deref().map(shown),
        pod: contract.pod.clone(),
        pid: contract.pid,
        holds: contract.holds,
        remedy: contract.remedy.clone(),
    };
    let at = status::now();
    Status {
        schema: 1,
        at,
        since: at,
        turns: Turns::default(),
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        result,
        verdict,
        root_dir,
        steps,
        refused,
        later: seen.plan.later.clone(),
        failing,
        contracts: seen.facts.contracts.iter().map(contract).collect(),
        last_failure: None,
    }
}

fn verdict(
    result: TurnResult,
    steps: &[StepStatus],
    failed: usize,
    settled: bool,
    refused: &[Note],
    failing: &[Note],
    root_dir: Option<&str>,
) -> String {
    let changes = match steps.len() - failed {
        0 => "nothing to do".to_owned(),
        1 => "1 change".to_owned(),
        n => format!("{n} changes"),
    };
    let root = root_dir.map_or_else(|| "no kubelet yet".to_owned(), |root| format!("kubelet root {root}"));
    let names = |notes: &[Note]| notes.iter().map(|note| note.id.as_str()).collect::<Vec<_>>().join(", ");
    match result {
        TurnResult::Ready => format!("ready: {root}, {changes}"),
        TurnResult::NotReady => format!("not ready: {} ({root}, {changes})", names(failing)),
        TurnResult::Failed if failed > 0 => format!("failed: {failed} of {} steps ({root})", steps.len()),
        TurnResult::Failed if !settled => format!("failed: the node does not stay as it was made ({root})"),
        TurnResult::Failed => format!("refused: {} ({root}, {changes})", names(refused)),
    }
}
