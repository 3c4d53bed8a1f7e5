//! Pure: checks of the system itself.

use crate::model::facts::{Facts, Init};
use crate::model::finding::{CheckStatus, Finding};
use crate::profile::{Chosen, OsRelease};

pub(super) fn check(facts: &Facts, chosen: &Chosen, os: &OsRelease) -> Vec<Finding> {
    let name = &chosen.profile.name;
    let profile = match chosen.exact {
        true => {
            Finding::new("os-profile", CheckStatus::Pass, format!("{}: profile {name}", os.pretty_name()))
        }
        false => {
            let summary = format!("no profile is for {}; the nearest is {name}", os.pretty_name());
            Finding::new("os-profile", CheckStatus::Warn, summary)
                .detail("units, packages and paths may be named otherwise here")
                .remedy("put a profile for this system into /etc/csihost/os-profiles.d")
        }
    };
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
