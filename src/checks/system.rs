//! Pure: checks of the system itself.

use crate::model::facts::{Facts, Init};
use crate::model::finding::{CheckStatus, Finding};
use crate::profile::{Chosen, OsRelease};

pub(super) fn check(facts: &Facts, chosen: &Chosen, os: &OsRelease) -> Vec<Finding> {
    let profile = os_profile(chosen, os);
    if chosen.profile.needs().is_none() {
        return vec![profile];
    }
    let init = match &facts.init {
        Init::Systemd | Init::Offline => None,
        Init::Unreachable(why) => Some(
            Finding::new("systemd", CheckStatus::Fail, "systemd does not answer on the system bus")
                .detail(why.clone())
                .remedy("run systemctl start dbus.socket"),
        ),
        Init::Other(name) => Some(
            Finding::new("systemd", CheckStatus::Fail, format!("{name} is PID 1, not systemd"))
                .detail("units can be neither checked nor made here"),
        ),
    };
    std::iter::once(profile).chain(init).collect()
}

fn os_profile(chosen: &Chosen, os: &OsRelease) -> Finding {
    const ID: &str = "os-profile";
    let (name, system) = (&chosen.profile.name, os.pretty_name());
    if let Some(why) = chosen.profile.unsupported() {
        return Finding::new(ID, CheckStatus::Fail, format!("{system}: csihost cannot help here ({name})"))
            .detail(format!("{}; csihost changes nothing on this system", why.reason))
            .remedy(why.remedy.clone());
    }
    if chosen.exact {
        return Finding::new(ID, CheckStatus::Pass, format!("{system}: profile {name}"));
    }
    Finding::new(ID, CheckStatus::Warn, format!("no profile is for {system}; the nearest is {name}"))
        .detail("units, packages and paths may be named otherwise here")
        .remedy(format!(
            "adapt what csihost profile show {name} prints to this system, and put it into /etc/csihost/os-profiles.d"
        ))
}
