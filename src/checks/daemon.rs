//! Pure: whether iscsid can be reached, and what stands in its way now.

use super::kernel::{container, has_own_network, missing};
use super::newer::Place;
use super::quoted;
use crate::iscsi::multipath::rules::{Doubt, Gap, Kind, Verdict};
use crate::iscsi::multipath::{DROP_IN, SERVICE, verdict, verdict_with_drop_in};
use crate::iscsi::records::{damaged, is_longhorns, without_session};
use crate::model::bytes::shown;
use crate::model::facts::{Facts, Init, Mode, NodeRecord};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::unit::{ActiveState, FileState, UnitName};
use crate::settings::{Multipath, Settings, StaleRecords};

/// As many targets are named.
const NAMED: usize = 3;

/// Whether the kernel has the socket that iscsid talks to it by.
pub(super) fn control(facts: &Facts, place: &Place<'_>) -> Finding {
    const ID: &str = "iscsi-kernel";
    if has_own_network(facts) {
        let what = container(facts).map_or_else(String::new, |kind| format!(", a container ({kind}),"));
        return Finding::new(ID, CheckStatus::Fail, "iSCSI does not work in this network namespace")
            .detail(format!(
                "this node{what} is not in the machine's first network namespace, and the kernel answers to iSCSI \
                 (NETLINK_ISCSI) in that one alone: no volume can be attached over iSCSI here"
            ))
            .remedy(
                "use a virtual machine, or give this node the machine's network; or use a driver without iSCSI, and \
                 set iscsi.enabled = false in /etc/csihost/csihost.toml",
            );
    }
    match facts.iscsi.control {
        Some(true) => Finding::new(ID, CheckStatus::Pass, "the kernel has iSCSI's control socket"),
        Some(false) => {
            Finding::new(ID, CheckStatus::Fail, "the kernel has no control socket for iSCSI (NETLINK_ISCSI)")
                .detail("iscsid hangs at its start on this kernel, or ends")
                .remedy(missing(facts, place, "scsi_transport_iscsi"))
        }
        None if facts.mode == Mode::Offline => {
            Finding::new(ID, CheckStatus::Skip, "which kernel will run is not known offline")
        }
        None => {
            Finding::new(ID, CheckStatus::Skip, "comes with the module iscsi_tcp, which is not loaded yet")
        }
    }
}

/// Whether somebody listens where iscsiadm looks.
pub(super) fn reachable(facts: &Facts) -> Finding {
    const ID: &str = "iscsid-reachable";
    let why = "iscsiadm fails with \"can not connect to iSCSI daemon (111)\"";
    match facts.iscsi.listening {
        Some(true) => Finding::new(ID, CheckStatus::Pass, "somebody listens where iscsiadm looks for iscsid"),
        Some(false) if facts.iscsi.control == Some(false) => {
            Finding::new(ID, CheckStatus::Fail, "nobody listens where iscsiadm looks for iscsid")
                .detail(why)
                .remedy("iscsid cannot run on this kernel: see iscsi-kernel")
        }
        Some(false) => Finding::new(ID, CheckStatus::Fail, "nobody listens where iscsiadm looks for iscsid")
            .detail(why)
            .remedy("run csihost apply; what listens in another network namespace does not count"),
        None if facts.mode == Mode::Offline => {
            Finding::new(ID, CheckStatus::Skip, "what runs is not known offline")
        }
        None => Finding::new(ID, CheckStatus::Skip, "the kernel could not be asked who listens"),
    }
}

/// Records that a crash has left without content, with the command that removes what is empty.
fn damaged_records(id: &str, damaged: &[&NodeRecord]) -> Finding {
    let names: Vec<String> = damaged.iter().map(|record| shown(&record.target)).collect();
    let paths: Vec<String> = damaged.iter().flat_map(|record| &record.damaged).map(quoted).collect();
    let s = if damaged.len() == 1 { " is" } else { "s are" };
    Finding::new(id, CheckStatus::Warn, format!("{} record{s} damaged: {}", damaged.len(), few(&names)))
        .detail(
            "a file or a directory of each is empty, as a crash leaves it: discovery may fail on it, and iscsiadm -o delete does \
             not find it",
        )
        .remedy(format!("run rm -r {}; the driver or a discovery makes the record anew", paths.join(" ")))
}

/// Whether open-iscsi remembers targets that no session is up to.
pub(super) fn records(facts: &Facts, settings: &Settings) -> Option<Finding> {
    const ID: &str = "stale-iscsi-records";
    if settings.stale_records == StaleRecords::Ignore {
        return None;
    }
    // Offline no session can be seen, and a record of an image is somebody's intention.
    if facts.mode == Mode::Offline {
        return Some(Finding::new(ID, CheckStatus::Skip, "which sessions are up is not known offline"));
    }
    let stale: Vec<_> = without_session(facts).collect();
    let longhorns = stale.iter().filter(|record| is_longhorns(record)).count();
    let others: Vec<String> =
        stale.iter().filter(|record| !is_longhorns(record)).map(|record| shown(&record.target)).collect();
    let damaged: Vec<_> = damaged(facts).collect();
    if !damaged.is_empty() {
        return Some(damaged_records(ID, &damaged));
    }
    if stale.is_empty() {
        let young = facts
            .iscsi
            .records
            .iter()
            .filter(|record| !facts.iscsi.sessions.contains(&record.target))
            .count();
        let summary = match (facts.iscsi.records.len(), young) {
            (0, _) => "open-iscsi remembers no target".to_owned(),
            (known, 0) => format!("a session is up to each of {known} targets that open-iscsi remembers"),
            (known, young) => format!(
                "open-iscsi remembers {known} targets; {young} without a session changed within the last 15 minutes"
            ),
        };
        return Some(Finding::new(ID, CheckStatus::Pass, summary));
    }
    let whose = match (longhorns, others.len()) {
        (_, 0) => "Longhorn's".to_owned(),
        (0, _) => format!("others': {}", few(&others)),
        (longhorns, _) => format!("{longhorns} Longhorn's, the others {}", few(&others)),
    };
    let s = if stale.len() == 1 { "" } else { "s" };
    let mut remedies = Vec::new();
    if longhorns > 0 {
        remedies.push(match settings.stale_records {
            StaleRecords::Remove => "run csihost apply".to_owned(),
            _ => "set iscsi.stale-records = \"remove\" in /etc/csihost/csihost.toml and run csihost apply: Longhorn makes a record anew when it attaches the volume".to_owned(),
        });
    }
    if !others.is_empty() {
        remedies.push(
            "run iscsiadm -m node -T TARGET -o delete for each target of others that is gone for good"
                .to_owned(),
        );
    }
    Some(
        Finding::new(
            ID,
            CheckStatus::Warn,
            format!("{} record{s} of targets without a session: {whose}", stale.len()),
        )
        .detail("open-iscsi tries each at every boot and at every login to all; an attach waits for it, and fails")
        .remedy(remedies.join("; ")),
    )
}

fn few(names: &[String]) -> String {
    let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// As many lines that do not count are named.
const LINES: usize = 3;

/// Whether multipathd would take the disks that Longhorn brings.
pub(super) fn multipathd(facts: &Facts, settings: &Settings) -> Option<Finding> {
    const ID: &str = "multipathd";
    if settings.multipath == Multipath::Ignore {
        return None;
    }
    let pass = |summary: String| Some(Finding::new(ID, CheckStatus::Pass, summary));
    let state = facts.units.get(&UnitName::from(SERVICE));
    let runs = match facts.init {
        Init::Systemd if state.active != ActiveState::Active => return pass("does not run".to_owned()),
        Init::Systemd => "runs",
        Init::Offline if !state.usable() => return pass("is not installed".to_owned()),
        Init::Offline if state.file == FileState::Enabled => "starts at boot",
        _ => "",
    };
    let verdict = verdict(facts);
    if let Verdict::LeftAlone(place) = &verdict {
        return pass(format!("leaves Longhorn's disks alone: {place}"));
    }
    if runs.is_empty() {
        return Some(Finding::new(ID, CheckStatus::Skip, "whether it runs is not known here"));
    }
    let helps = !matches!(verdict_with_drop_in(facts), Verdict::Takes(_));
    let drop_in = match settings.multipath {
        Multipath::Blacklist => "run csihost apply".to_owned(),
        _ => format!(
            "set iscsi.multipath = \"blacklist\" in /etc/csihost/csihost.toml and run csihost apply: {DROP_IN} then takes vendor IET, product VIRTUAL-DISK from it, and no other disk"
        ),
    };
    let (summary, why, remedy) = match verdict {
        Verdict::LeftAlone(_) => return None,
        Verdict::Takes(gap) => taken(&gap, helps.then_some(drop_in)),
        Verdict::Unknown(doubt) => {
            let remedy = match &doubt {
                Doubt::Refused(_) => {
                    "correct the line, until multipath -t has no error, and run systemctl reload multipathd"
                        .to_owned()
                }
                // The drop-in would leave the same doubt.
                Doubt::Unread(..) | Doubt::Directory(_) => {
                    "look for a device with vendor \"IET\" in the section blacklist that multipath -t prints"
                        .to_owned()
                }
                _ => drop_in,
            };
            let summary = "whether it leaves Longhorn's disks alone is not known";
            (summary.to_owned(), format!("{doubt}; "), remedy)
        }
    };
    Some(
        Finding::new(ID, CheckStatus::Warn, format!("multipathd {runs}, and {summary}"))
            .detail(format!(
                "{why}a volume that it takes is busy: mounting it fails with \"already mounted or mount point busy\""
            ))
            .remedy(remedy),
    )
}

/// The summary, the reason and the remedy where multipathd takes Longhorn's disks.
fn taken(gap: &Gap, drop_in: Option<String>) -> (String, String, String) {
    let mut why = String::new();
    let mut summary = "nothing keeps it from Longhorn's disks".to_owned();
    if let Some((by, what, _)) = &gap.lifted {
        summary = format!("an exception lets it have Longhorn's disks: {by}");
        why += &format!("{by} is in blacklist_exceptions, and lifts {what}; ");
    } else if let Some((place, word)) = &gap.partly {
        summary = format!("not all of Longhorn's disks are kept from it: {place}");
        why += &format!("{place} does not hold for {word}; ");
    }
    for ignored in gap.ignored.iter().take(LINES) {
        why += &format!("{ignored}; ");
    }
    let remedy = match (drop_in, &gap.lifted) {
        (Some(drop_in), _) => drop_in,
        (None, Some((by, _, Kind::Device))) => format!(
            "narrow the exception at {by}, so that it does not hold for vendor IET, product VIRTUAL-DISK, and run systemctl reload multipathd"
        ),
        (None, _) => "take the exception for vendor IET, product VIRTUAL-DISK out of blacklist_exceptions, and run systemctl reload multipathd".to_owned(),
    };
    (summary, why, remedy)
}
