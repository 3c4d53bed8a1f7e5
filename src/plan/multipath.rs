//! Pure: the steps that keep multipathd from Longhorn's disks, where the settings ask for it, and no
//! longer where they did.

use super::files::{Kind, place, retire};
use crate::iscsi::multipath::rules::Verdict;
use crate::iscsi::multipath::{CONF, DIRECTORY, DROP_IN, SECTION, SERVICE, verdict, verdict_with_drop_in};
use crate::model::asked::Interests;
use crate::model::demand::IscsiDemand;
use crate::model::facts::{Facts, Init};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, StepId};
use crate::model::unit::{ActiveState, UnitName};
use crate::settings::{Multipath, Settings};

pub(super) fn early(settings: &Settings, interests: &mut Interests) {
    if settings.multipath != Multipath::Ignore {
        interests.dirs.push(HostPath::from(DIRECTORY));
        interests.files.extend([CONF, DROP_IN].map(HostPath::from));
    }
}

pub(super) fn interests(facts: &Facts, settings: &Settings, interests: &mut Interests) {
    let (unit, drop_in) = (UnitName::from(SERVICE), HostPath::from(DROP_IN));
    // What earlier settings have left.
    if facts.generated.contains(&drop_in) || facts.restart.contains(&unit) {
        interests.files.push(drop_in);
        interests.units.push(unit.clone());
    }
    if !facts.demand.iscsi.is_needed() || settings.multipath == Multipath::Ignore {
        return;
    }
    interests.units.push(unit);
    interests.files.extend(facts.conf_files(&HostPath::from(DIRECTORY)));
}

pub(super) fn plan(facts: &Facts, settings: &Settings, plan: &mut Plan) {
    let unit = UnitName::from(SERVICE);
    // What was made for iSCSI stays while no driver of the node uses it.
    if matches!(facts.demand.iscsi, IscsiDemand::NotNeeded(_)) && settings.multipath == Multipath::Blacklist {
        return;
    }
    let changed: Vec<StepId> =
        match facts.demand.iscsi.is_needed() && settings.multipath == Multipath::Blacklist {
            true => blacklist(facts, plan),
            false => {
                let why = "the settings no longer ask for it";
                retire(plan, facts, HostPath::from(DROP_IN), why).into_iter().collect()
            }
        };
    let due = !changed.is_empty() || facts.owes_restart(&unit);
    if due && facts.init == Init::Systemd && facts.units.get(&unit).active == ActiveState::Active {
        plan.push(Action::ReloadUnit { unit }, "multipathd reads its configuration when told", &changed);
    }
}

fn blacklist(facts: &Facts, plan: &mut Plan) -> Vec<StepId> {
    let unit = UnitName::from(SERVICE);
    let path = HostPath::from(DROP_IN);
    let ours = facts.generated.contains(&path);
    let state = facts.units.get(&unit);
    // An image's multipathd is not running, and may well be once it is a machine.
    let counts = state.active == ActiveState::Active || facts.init == Init::Offline && state.usable();
    // Where an exception lets multipathd have the disks, a rule more changes nothing.
    let needed = counts
        && !matches!(verdict(facts), Verdict::LeftAlone(_))
        && !matches!(verdict_with_drop_in(facts), Verdict::Takes(_));
    if !needed && !ours {
        return Vec::new();
    }
    let why = "multipathd would take Longhorn's disks";
    place(plan, facts, Kind::File, path, SECTION, why, &[]).written()
}
