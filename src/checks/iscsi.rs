//! Pure: whether an iSCSI login can work.

use super::contract::few;
use super::newer::Place;
use super::{daemon, programs, record_modes};
use crate::iscsi::conf::{Conf, Line};
use crate::iscsi::initiator::{self, Naming};
use crate::iscsi::on_host::{Daemon, advice, daemon as unit_of};
use crate::iscsi::startup::StartupAdvice;
use crate::model::bytes::shown;
use crate::model::demand::IscsiDemand;
use crate::model::facts::{Facts, Init};
use crate::model::file::FileFact;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::unit::{ActiveState, FileState};
use crate::profile::{Needs, SystemdUnits};
use crate::settings::Settings;

const PACKAGE: &str = "iscsi-package";

pub(super) fn check(facts: &Facts, settings: &Settings, needs: &Needs, place: &Place<'_>) -> Vec<Finding> {
    let demand = &facts.demand.iscsi;
    if let IscsiDemand::NotNeeded(drivers) = demand {
        let summary = match drivers.as_slice() {
            [] => "not needed: the settings expect no driver on this node".to_owned(),
            names => {
                format!("not needed: no driver of this node uses iSCSI ({})", few(names.iter().cloned()))
            }
        };
        return vec![Finding::new(PACKAGE, CheckStatus::Skip, summary)];
    }
    if !demand.is_needed() {
        return Vec::new();
    }
    let package = (!programs::ignored(settings, &needs.packages)).then(|| package(facts, settings, needs));
    let absent = needs.iscsi.daemon_among(&facts.programs).is_none();
    let ignored = package.is_none();
    let mut findings: Vec<Finding> = package.into_iter().collect();
    findings.push(daemon::control(facts, place));
    // What is not installed is configured by installing it.
    if !absent {
        findings.extend([daemon_conf(facts, needs), name(facts, needs)]);
        findings.extend(node_startup(facts, needs));
        if let Some(systemd) = needs.iscsi.systemd.as_ref().filter(|_| facts.has_units()) {
            findings.push(unit(facts, needs, systemd));
        }
        findings.push(daemon::reachable(facts));
    } else if ignored {
        // It may run in a container; where it does not, apply has nothing to start.
        findings.push(match daemon::reachable(facts) {
            finding if finding.status == CheckStatus::Fail && facts.iscsi.control != Some(false) => {
                finding.remedy(needs.packages.remedy(&needs.packages.iscsi))
            }
            finding => finding,
        });
    }
    findings.extend(daemon::records(facts, settings));
    findings.extend(record_modes::check(facts, place));
    findings.extend(daemon::multipathd(facts, settings));
    findings
}

/// Who needs iSCSI, as the end of a sentence.
fn needed_by(demand: &IscsiDemand) -> String {
    match demand {
        IscsiDemand::ByDrivers(names) => format!(", as {} does", few(names.iter().cloned())),
        IscsiDemand::ByPossible(names) => format!(
            "; {} may use iSCSI or another protocol: drivers.expected = [\"NAME/PROTOCOL\"] in /etc/csihost/csihost.toml says \
             which (csihost driver list)",
            few(names.iter().cloned())
        ),
        IscsiDemand::ByUnknown(names) => format!(
            "; no driver profile says whether {} does: iscsi.enabled = false in /etc/csihost/csihost.toml if not",
            few(names.iter().cloned())
        ),
        IscsiDemand::ByDefault => {
            "; no driver is on this node yet, and Longhorn is the default: drivers.expected in \
            /etc/csihost/csihost.toml names others"
                .to_owned()
        }
        _ => String::new(),
    }
}

fn package(facts: &Facts, settings: &Settings, needs: &Needs) -> Finding {
    let (iscsi, packages) = (&needs.iscsi, &needs.packages);
    let name = packages.iscsi_name();
    match iscsi.daemon_among(&facts.programs).is_some() {
        true => Finding::new(PACKAGE, CheckStatus::Pass, format!("{name} is installed")),
        false => Finding::new(PACKAGE, CheckStatus::Fail, format!("{name} is not installed"))
            .detail(format!(
                "{} is not there; no volume can be attached over iSCSI{}",
                iscsi.daemon_name(),
                needed_by(&facts.demand.iscsi)
            ))
            .remedy(programs::remedy(facts, settings, packages, &packages.iscsi)),
    }
}

fn daemon_conf(facts: &Facts, needs: &Needs) -> Finding {
    const ID: &str = "iscsid-conf";
    let path = &needs.iscsi.conf;
    let bad = |summary: String, remedy: String| Finding::new(ID, CheckStatus::Fail, summary).remedy(remedy);
    match facts.file(path) {
        FileFact::Absent => Finding::new(ID, CheckStatus::Warn, format!("{path} is not there"))
            .detail("open-iscsi uses its defaults")
            .remedy(format!("reinstall {}", needs.packages.iscsi_name())),
        FileFact::Unreadable(why) => bad(why.clone(), format!("make {path} a readable file")),
        FileFact::Directory | FileFact::Special | FileFact::Masked => bad(
            format!("{path} is not a file"),
            format!("move it away and reinstall {}", needs.packages.iscsi_name()),
        ),
        FileFact::File(_) => match advice(facts, path, needs.iscsi.units(), &needs.iscsi.daemon) {
            None => Finding::new(ID, CheckStatus::Skip, "which startup line is right is not known"),
            Some(StartupAdvice::Leave { why }) => Finding::new(ID, CheckStatus::Pass, why),
            Some(StartupAdvice::Repair { why, .. }) => bad(why, "run csihost apply".to_owned())
                .detail("iscsiadm cannot start iscsid when it finds it stopped: logins fail with error 111"),
            Some(StartupAdvice::Refuse { reason, remedy }) => bad(reason, remedy),
        },
    }
}

/// How records of targets are logged in to: by whoever asks for it, or at boot.
const NODE_STARTUP: &[u8] = b"node.startup";

/// Nothing where records are made for a login on demand, as drivers make it.
fn node_startup(facts: &Facts, needs: &Needs) -> Option<Finding> {
    let path = &needs.iscsi.conf;
    let conf = Conf::new(facts.file(path).bytes()?);
    // open-iscsi, idbm_recinfo_config(): a later line replaces the value of an earlier one.
    let named = |line: &Line<'_>| line.idbm_name() == Some(NODE_STARTUP);
    let lines = conf.lines().enumerate().filter(|(_, line)| named(line));
    let (line, value) =
        lines.filter_map(|(index, line)| Some((index + 1, line.value(NODE_STARTUP)?))).last()?;
    (value != b"manual").then(|| {
        Finding::new("node-startup", CheckStatus::Warn, format!("line {line} of {path}: node.startup = {}", shown(value)))
            .detail(
                "records that CSI drivers make inherit it: after a crash this node logs in again to volumes that another node \
                 may have by then, or waits for them at boot",
            )
            .remedy(format!(
                "run sed -i 's/^node.startup *=.*/node.startup = manual/' {path}; records that are there already keep theirs \
                 (iscsiadm -m node -o update -n node.startup -v manual)"
            ))
    })
}

fn name(facts: &Facts, needs: &Needs) -> Finding {
    const ID: &str = "initiator-name";
    let path = &needs.iscsi.initiator_name;
    let found = |status, summary: String| Finding::new(ID, status, summary);
    match initiator::naming(facts, path, &needs.iscsi.baked_names) {
        Naming::Own(name) if needs.iscsi.service().is_some_and(|unit| facts.owes_restart(unit)) => {
            found(CheckStatus::Warn, format!("{}, and iscsid still goes by an older one", shown(&name)))
                .detail("it reads its name at its start, and is not restarted while sessions are up")
                .remedy("log out of all sessions or reboot; csihost apply then restarts iscsid")
        }
        Naming::Own(name) if facts.iscsi.session_names.iter().any(|other| *other != name) => {
            let others = facts.iscsi.session_names.iter().filter(|other| **other != name).map(|other| shown(other));
            found(CheckStatus::Warn, format!("{}, and sessions are up under {}", shown(&name), few(others)))
                .detail(format!(
                    "{path} was changed after iscsid read it: a target that lists nodes by name may refuse the new one, at the \
                     next login or after a reboot"
                ))
                .remedy(format!(
                    "put the name that the targets know into {path}, or log out of all sessions and restart iscsid"
                ))
        }
        Naming::Own(name) => match initiator::fault(&name) {
            None => found(CheckStatus::Pass, shown(&name)),
            Some(why) => found(CheckStatus::Warn, format!("{} is no name of an initiator: {why}", shown(&name)))
                .detail("a target may refuse it, or take it for another node's; csihost does not replace what somebody wrote")
                .remedy(format!(
                    "log out of all sessions, then run printf 'InitiatorName=%s\\n' \"$(iscsi-iname)\" >{path} and restart \
                     iscsid; a target that lists nodes by name has to learn the new one"
                )),
        },
        Naming::AtFirstBoot => {
            found(CheckStatus::Pass, "each machine of this image makes its own".to_owned())
        }
        Naming::Baked(name) => {
            found(CheckStatus::Warn, format!("{} is the name of all machines of this image", shown(&name)))
                .detail("targets mistake nodes of one name for each other, and data is lost")
                .remedy(format!(
                    "remove {path} from the image; csihost gives each machine its own at its first boot"
                ))
        }
        Naming::Needed { why, shared } => {
            let summary = match shared {
                Some(name) => format!("{} is not this machine's own: {why}", shown(&name)),
                None => format!("{path} names no initiator: {why}"),
            };
            found(CheckStatus::Fail, summary)
                .detail("targets mistake nodes of one name for each other; without one iscsid does not start")
                .remedy("run csihost apply")
        }
        Naming::Unusable(why) => found(CheckStatus::Fail, why)
            .detail("iscsid does not start without a name")
            .remedy(format!("make {path} a readable file, then run csihost apply")),
    }
}

fn unit(facts: &Facts, needs: &Needs, systemd: &SystemdUnits) -> Finding {
    const ID: &str = "iscsid-unit";
    let unit = match unit_of(&facts.units, &systemd.units) {
        Daemon::Unit(unit) => unit,
        Daemon::Masked(unit) => {
            return Finding::new(ID, CheckStatus::Fail, format!("{unit} is masked"))
                .detail("iscsid cannot be started")
                .remedy(format!("run systemctl unmask {unit}, then csihost apply"));
        }
        Daemon::None => {
            return Finding::new(ID, CheckStatus::Fail, "systemd knows no unit of iscsid")
                .remedy(format!("reinstall {}", needs.packages.iscsi_name()));
        }
    };
    let state = facts.units.get(&unit);
    let service = facts.units.get(&systemd.service);
    let active = [state.active, service.active].contains(&ActiveState::Active);
    let enabled = [state.file, service.file].contains(&FileState::Enabled) || state.file == FileState::Static;
    if service.active == ActiveState::Failed {
        return Finding::new(ID, CheckStatus::Fail, format!("{} failed", systemd.service))
            .detail("systemd starts it no more once it failed a few times, and closes its socket")
            .remedy(format!("see journalctl -u {}, then run csihost apply", systemd.service));
    }
    let (status, summary) = match (active || facts.init == Init::Offline, enabled) {
        (true, true) if facts.init == Init::Offline => (CheckStatus::Pass, format!("{unit} is enabled")),
        (true, true) => (CheckStatus::Pass, format!("{unit} is enabled and active")),
        (true, false) => (CheckStatus::Fail, format!("{unit} is not enabled: iscsid is gone after a reboot")),
        (false, true) => (CheckStatus::Fail, format!("{unit} is enabled and not active")),
        (false, false) => (CheckStatus::Fail, format!("{unit} is neither enabled nor active")),
    };
    match status {
        CheckStatus::Fail => {
            Finding::new(ID, status, summary).detail("logins fail").remedy("run csihost apply")
        }
        _ => Finding::new(ID, status, summary),
    }
}
