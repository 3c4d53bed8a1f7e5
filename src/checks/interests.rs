//! Pure: what the checks want to know that no decision asks for.

use super::{kernel, nfs, programs};
use crate::model::asked::Interests;
use crate::model::facts::{Facts, Machine};
use crate::profile::Profile;
use crate::settings::Settings;

/// What can be named before anything but the machine is known.
pub fn early(machine: &Machine, settings: &Settings, profile: &Profile) -> Interests {
    let mut interests = Interests::default();
    if profile.needs().is_none() {
        return interests;
    }
    kernel::interests(machine, settings, &mut interests);
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

/// What can be named once directories are known.
pub fn late(facts: &Facts) -> Interests {
    nfs::late(facts)
}
