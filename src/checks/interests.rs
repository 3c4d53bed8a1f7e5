//! Pure: what the checks want to know that no decision asks for.

use super::{driver_needs, kernel, nfs, programs, record_modes};
use crate::model::asked::Interests;
use crate::model::demand::Demand;
use crate::model::facts::{Facts, Machine};
use crate::model::unit::UnitName;
use crate::profile::Profile;
use crate::settings::Settings;

/// What can be named before anything but the machine is known.
pub fn early(machine: &Machine, demand: &Demand, settings: &Settings, profile: &Profile) -> Interests {
    let mut interests = Interests::default();
    if profile.needs().is_none() {
        return interests;
    }
    kernel::interests(machine, demand, &mut interests);
    interests.extend(driver_needs::interests(demand));
    if demand.iscsi.is_needed() {
        record_modes::interests(&mut interests);
    }
    let features = &settings.features;
    if features.rwx {
        nfs::interests(machine, &mut interests);
    }
    for (asked, tools) in [
        (features.rwx, &[programs::NFS][..]),
        (features.encryption, &[programs::CRYPTSETUP]),
        (features.flexvolume, &programs::FLEXVOLUME),
    ] {
        if asked {
            interests.programs.extend(tools.iter().flat_map(|tool| programs::places(tool)));
        }
    }
    interests
}

/// Units whose state is asked for.
pub fn units(facts: &Facts) -> Vec<UnitName> {
    driver_needs::units(&facts.demand)
}

/// What can be named once directories are known.
pub fn late(facts: &Facts) -> Interests {
    let mut interests = nfs::late(facts);
    interests.extend(driver_needs::late(facts));
    interests
}
