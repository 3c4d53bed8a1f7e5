//! Check: gates of drivers that csihost grafts, and containers that were created while one was closed.

use super::contract::few;
use super::restart::restart;
use crate::model::contract::BehindGate;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::unit::ActiveState;

const ID: &str = "graft-gate";

/// `None` where no driver is grafted.
pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let drivers = |gates: &mut dyn Iterator<Item = &crate::model::gate::Gate>| {
        let mut names: Vec<&str> = gates.map(|gate| gate.driver.as_str()).collect();
        names.dedup();
        names.join(", ")
    };
    if facts.gates.is_empty() {
        return None;
    }
    let closed = drivers(&mut facts.closed_gates());
    if closed.is_empty() && !facts.plugins.behind_gate.is_empty() {
        return Some(behind(facts));
    }
    if closed.is_empty() {
        let all = drivers(&mut facts.gates.iter());
        return Some(Finding::new(ID, CheckStatus::Pass, format!("the kubelet can reach {all}")));
    }
    let runs = matches!(facts.agent, Some(ActiveState::Active));
    let (why, remedy) = match facts.agent {
        Some(ActiveState::Active) => (
            "the agent runs, and does not graft this driver: it is not connected to the container runtime, the \
             driver's contract is broken, or a container that was created before the agent ran is still to start",
            "see path-contract, csihost plan and journalctl -u csihost",
        ),
        Some(ActiveState::Activating) => ("the agent is starting", "wait, or see journalctl -u csihost"),
        _ => ("the agent does not run", "systemctl start csihost"),
    };
    let summary = format!("closed for {closed}: {why}");
    Some(
        Finding::new(ID, CheckStatus::Fail, summary)
            .detail(
                "the kubelet cannot reach the driver, and tries again: a plugin that starts now would not be \
                 grafted, and would answer for volumes that it neither mounts nor unmounts",
            )
            .remedy(match runs {
                true => remedy.to_owned(),
                false => format!("{remedy}; to do without, csihost undo or another contract.repair"),
            }),
    )
}

/// The finding for containers that do not find their driver's socket although the gate is open.
fn behind(facts: &Facts) -> Finding {
    let all = &facts.plugins.behind_gate;
    let named = |one: &BehindGate| match &one.owner.pod {
        Some(pod) => format!("process {} of pod {pod} at {}", one.pid, one.point),
        None => format!("process {} at {}", one.pid, one.point),
    };
    let summary =
        format!("an empty directory is in place of the driver's socket for {}", few(all.iter().map(named)));
    let remedies = all.iter().map(|one| restart(facts, &one.owner, one.pid));
    Finding::new(ID, CheckStatus::Fail, summary)
        .detail(
            "the container was created while no agent grafted the driver, and keeps the directory that covered the \
             socket then: a registrar that waits there registers nothing",
        )
        .remedy(few(remedies))
}
