//! Plan: volumes of pods that are gone are unmounted, where the settings have csihost repair contracts.
//!
//! Input: the volumes that `engine::leftovers` proved to be left. Where `contract.repair` is `report` they are a
//! finding alone (`checks::leftovers`).

use crate::model::facts::Facts;
use crate::model::plan::{Action, Plan};
use crate::settings::{Repair, Settings};

pub(super) fn plan(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    if settings.contract.repair == Repair::Report {
        return;
    }
    for left in &facts.leftovers {
        let action = Action::UnmountVolume { pod: left.pod.clone(), volume: left.volume.clone() };
        plan.push(action, "this node has nothing else of the pod any more", &[]);
    }
}
