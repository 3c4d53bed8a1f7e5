//! Pure: the steps that give this host an initiator name of its own.

use super::direct;
use crate::iscsi::initiator::{self, Naming, OPEN_END};
use crate::model::digest::Digest;
use crate::model::edit;
use crate::model::facts::Facts;
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal, StepId};
use crate::model::unit::ActiveState;
use crate::profile::Needs;

pub(super) fn plan(facts: &Facts, needs: &Needs, plan: &mut Plan) {
    let iscsi = &needs.iscsi;
    let path = &iscsi.initiator_name;
    let named = match initiator::naming(facts, path, &iscsi.baked_names) {
        Naming::Own(_) | Naming::AtFirstBoot | Naming::Baked(_) => None,
        Naming::Needed { why, .. } => match name(facts, needs, why) {
            Ok(action) => Some(plan.push(action, format!("targets tell nodes apart by it, and {why}"), &[])),
            Err(refusal) => {
                plan.refused.push(refusal);
                None
            }
        },
        Naming::Unusable(reason) => {
            let remedy = format!("make {path} a readable file, then run csihost apply");
            plan.refused.push(Refusal { id: "initiator-name", target: path.to_string(), reason, remedy });
            None
        }
    };
    restart(facts, needs, named, plan);
}

fn name(facts: &Facts, needs: &Needs, why: &str) -> Result<Action, Refusal> {
    let path = &needs.iscsi.initiator_name;
    let file = facts.file(path).file();
    let canonical = file.map_or(path, |file| &file.canonical);
    // Somebody keeps it elsewhere on purpose: a store, another package, a shared volume.
    if !canonical.starts_with(&HostPath::from("/etc")) {
        return Err(Refusal {
            id: "initiator-name",
            target: path.to_string(),
            reason: format!("{why}, and it is a link to {canonical}, outside of /etc"),
            remedy: format!("put InitiatorName=… into {canonical} where that comes from"),
        });
    }
    let bytes = file.map_or(&[][..], |file| &file.bytes);
    let prefix = needs.iscsi.prefix.as_str();
    let shown = initiator::renamed(bytes, &format!("{prefix}:{OPEN_END}"));
    Ok(Action::NameInitiator {
        path: canonical.clone(),
        prefix: prefix.to_owned(),
        before: file.map(|file| Digest::of(&file.bytes)),
        diff: edit::diff(&canonical.to_string(), bytes, &shown),
        service: direct::service(facts, needs),
    })
}

/// iscsid reads its name at its start alone. With a session up it stays as it is: the target
/// knows the session by the old name.
fn restart(facts: &Facts, needs: &Needs, named: Option<StepId>, plan: &mut Plan) {
    let Some(service) = direct::service(facts, needs) else { return };
    let runs = facts.units.get(&service).active == ActiveState::Active;
    let due = (named.is_some() && runs) || facts.owes_restart(&service);
    if due && facts.iscsi.sessions.is_empty() {
        let needed: Vec<StepId> = named.into_iter().collect();
        let action = Action::RestartUnit { unit: service };
        plan.push(action, "iscsid still goes by the name that it had", &needed);
    }
}
