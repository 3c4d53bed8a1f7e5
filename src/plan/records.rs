//! Pure: the steps that take records of targets that are gone out of open-iscsi's sight.

use crate::iscsi::records;
use crate::model::facts::{Facts, Mode};
use crate::model::plan::{Action, Plan};
use crate::settings::{Settings, StaleRecords};

pub(super) fn plan(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    // Offline no session can be seen, and a record of an image is somebody's intention.
    if settings.stale_records != StaleRecords::Remove || facts.mode == Mode::Offline {
        return;
    }
    for record in records::without_session(facts).filter(|record| records::is_longhorns(record)) {
        if let Some(to) = records::aside(record) {
            let path = record.path.clone();
            plan.push(
                Action::MoveAside { path, to },
                "its volume is not attached; every login waits for it",
                &[],
            );
        }
    }
}
