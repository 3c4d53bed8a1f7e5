//! Engine: an undo that waits: it is in the receipt, and the agent and the boot unit continue it until
//! nothing of the receipt is left.
//!
//! Meanwhile they plan nothing of their own, except that a plugin which restarts is grafted again, because
//! it has to unmount its volumes, and that volumes of pods that are gone are unmounted.

use super::super::config::Config;
use super::super::turn::{GRAFT, Seen, UNMOUNT_VOLUME, look_with, turn};
use super::{Undo, Undoing};
use crate::host::Host;
use crate::model::plan::Plan;
use crate::model::status::StepStatus;
use crate::model::unit::{ActiveState, UnitName};
use crate::report::journal;
use crate::systemd::{ServiceManager, StopMode};
use anyhow::Result;

/// The agent.
const AGENT: &str = "csihost.service";
/// The reconciliation at every boot.
const BOOT: &str = "csihost-boot.service";

/// What one attempt to continue an undo has led to.
#[derive(Debug)]
pub(in crate::engine) struct Continued {
    /// How far it is.
    pub undoing: Undoing,
    /// The node afterwards.
    pub seen: Seen,
    /// The grafts that were made anew.
    pub steps: Vec<StepStatus>,
    /// True if the grafts stay as they were made.
    pub settled: bool,
}

/// Continues the undo that waits. The lock is held.
pub(in crate::engine) async fn go_on<M: ServiceManager>(
    host: &Host,
    config: &Config,
    manager: &mut M,
) -> Result<Continued> {
    let undoing = Undo::new(host, config, manager, false)?.run().await?;
    // A reconciliation would write a receipt anew.
    if undoing.hold.is_empty() {
        let mut seen = look_with(host, config, Ok(&mut *manager)).await?;
        seen.plan = Plan::default();
        return Ok(Continued { undoing, seen, steps: Vec::new(), settled: true });
    }
    let mut restrain = |plan: &mut Plan| plan.keep_only(&[GRAFT, UNMOUNT_VOLUME]);
    let (seen, steps, settled) = turn(host, config, manager, &mut restrain).await?;
    Ok(Continued { undoing, seen, steps, settled })
}

/// Has neither unit do again what is undone: both are disabled, and the agent is stopped. A person who
/// undoes is there to decide about the next boot; an undo that ends by itself has nobody.
pub(super) async fn retire_units<M: ServiceManager>(manager: &mut M) {
    for unit in [AGENT, BOOT].map(UnitName::from) {
        match manager.disable(&unit).await {
            Ok(()) => journal::done("disable-unit", &[unit.to_string()], Some("the undo is complete")),
            Err(error) => journal::left("disable", unit.as_str(), &error.to_string()),
        }
    }
}

/// Stops the agent, started or about to be. It may be this very process, which then ends here.
pub(in crate::engine) async fn stop_agent_for_good<M: ServiceManager>(manager: &mut M) {
    let _ = manager.stop(&UnitName::from(AGENT), StopMode::Replace).await;
}

/// Returns true if the agent runs.
pub(super) async fn agent_runs<M: ServiceManager>(manager: &mut M) -> Result<bool> {
    let agent = UnitName::from(AGENT);
    let active = manager.activity(std::slice::from_ref(&agent)).await?.get(&agent).active;
    Ok(matches!(active, ActiveState::Active | ActiveState::Activating))
}

/// Stops the agent, which would do again what is undone.
pub(super) async fn stop_agent<M: ServiceManager>(manager: &mut M) -> Result<()> {
    let agent = UnitName::from(AGENT);
    manager.stop(&agent, StopMode::Replace).await?;
    journal::done("stop-unit", &[agent.to_string()], Some("it would do again what is undone"));
    Ok(())
}
