//! iSCSI: what the facts of a host say about iscsid's unit and its startup line.

use super::conf::Conf;
use super::startup::{Known, StartupAdvice, Wanted, advise};
use crate::model::facts::{Facts, Init};
use crate::model::path::HostPath;
use crate::model::unit::{LoadState, UnitName, Units};

/// Where systemctl is; the first that is there is written into a startup line.
pub const SYSTEMCTL: [&str; 2] = ["/bin/systemctl", "/usr/bin/systemctl"];

/// The unit that stands for iscsid on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Daemon {
    /// The unit to enable and start: the first of those that can stand for it that exists.
    Unit(UnitName),
    /// The administrator masked it.
    Masked(UnitName),
    /// None of them exists.
    None,
}

/// Picks the unit that stands for iscsid from `names`, best first.
pub fn daemon(units: &Units, names: &[UnitName]) -> Daemon {
    for unit in names {
        match units.get(unit).load {
            LoadState::Loaded | LoadState::Broken => return Daemon::Unit(unit.clone()),
            LoadState::Masked => return Daemon::Masked(unit.clone()),
            LoadState::NotFound => {}
        }
    }
    Daemon::None
}

/// Whether the startup line of `conf` does what it should here; `None` where there is no file to
/// read, or no unit that it could name.
///
/// Without systemd (it is not PID 1, or `units` names none because it never is) nobody but
/// open-iscsi's own tools starts the daemon when it is needed, and the line has to name its program:
/// one of `daemons`, best first.
pub fn advice(
    facts: &Facts,
    conf: &HostPath,
    units: &[UnitName],
    daemons: &[HostPath],
) -> Option<StartupAdvice> {
    let bytes = facts.file(conf).bytes()?;
    let there = |path: &HostPath| facts.programs.contains(path);
    let first = |paths: &[HostPath]| paths.iter().find(|path| there(path)).or(paths.first()).cloned();
    let systemd = !units.is_empty() && !matches!(facts.init, Init::Other(_));
    let known = Known {
        program_exists: &there,
        unit_exists: &|name| UnitName::parse(name).is_ok_and(|unit| facts.units.get(&unit).usable()),
        // The unit is enabled, or will be when the plan is done.
        iscsid_enabled: systemd,
    };
    if !systemd {
        return Some(advise(&Conf::new(bytes), Wanted::Daemon { program: &first(daemons)? }, &known));
    }
    let Daemon::Unit(unit) = daemon(&facts.units, units) else { return None };
    let systemctl = first(&SYSTEMCTL.map(HostPath::from))?;
    let wanted = Wanted::Systemd { systemctl: &systemctl, unit: unit.as_str() };
    Some(advise(&Conf::new(bytes), wanted, &known))
}
