//! Pure: checks of the system itself.

use crate::model::bytes::shown;
use crate::model::facts::{Facts, Init, Mode};
use crate::model::finding::{CheckStatus, Finding};
use crate::profile::{Chosen, Needs, OsRelease};

pub(super) fn check(facts: &Facts, chosen: &Chosen, os: &OsRelease) -> Vec<Finding> {
    let profile = os_profile(chosen, os);
    let Some(needs) = chosen.profile.needs() else { return vec![profile] };
    [Some(profile), systemd(facts, needs), Some(hostname(facts, os))].into_iter().flatten().collect()
}

fn systemd(facts: &Facts, needs: &Needs) -> Option<Finding> {
    const ID: &str = "systemd";
    match &facts.init {
        Init::Systemd | Init::Offline => None,
        Init::Unreachable(why) => Some(
            Finding::new(ID, CheckStatus::Fail, "systemd does not answer on the system bus")
                .detail(why.clone())
                .remedy("run systemctl start dbus.socket"),
        ),
        Init::Other(name) if needs.iscsi.systemd.is_none() => {
            Some(Finding::new(ID, CheckStatus::Pass, format!("{name} is PID 1, as it should be here")))
        }
        Init::Other(name) => Some(
            Finding::new(ID, CheckStatus::Fail, format!("{name} is PID 1, not systemd"))
                .detail("units can be neither checked nor made here"),
        ),
    }
}

/// The command that gives this host another name, for good.
fn renaming(facts: &Facts, os: &OsRelease, name: &str) -> String {
    match &facts.init {
        _ if os.id() == "rancheros" => format!("ros config set hostname {name} and reboot"),
        Init::Other(_) => format!("echo {name} >/etc/hostname and hostname {name}"),
        // The only verb that every version of it knows.
        _ => format!("hostnamectl set-hostname {name}"),
    }
}

/// The longest name of a node: it is the value of a label too (kubernetes.io/hostname).
const LONGEST: usize = 63;

/// A node is called as its host is, in lower case, unless its kubelet is told another name
/// (kubernetes, pkg/util/node, GetHostname; names are those of RFC 1123).
fn hostname(facts: &Facts, os: &OsRelease) -> Finding {
    const ID: &str = "hostname";
    let name = facts.machine.hostname.trim();
    if facts.mode == Mode::Offline {
        return Finding::new(ID, CheckStatus::Skip, "not known offline");
    }
    let lower = name.to_ascii_lowercase();
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let shown = shown(name.as_bytes());
    let remedy = format!(
        "run {}, with a name of its own for each node, before the node joins its cluster",
        renaming(facts, os, "NAME")
    );
    let bad = |summary: String, why: &str| {
        // A kubelet that runs goes by another name (--hostname-override).
        let runs = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
        let status = if runs { CheckStatus::Warn } else { CheckStatus::Fail };
        Finding::new(ID, status, summary).detail(why).remedy(remedy.clone())
    };
    let register = "a kubelet cannot register a node of this name";
    match () {
        () if name.is_empty() => bad("this host has no name".to_owned(), register),
        () if name.len() > LONGEST => bad(
            format!("{shown} has {} characters; a node's name has at most {LONGEST}", name.len()),
            register,
        ),
        () if !lower.split('.').all(part) => {
            bad(format!("{shown} cannot be a node's name: letters, digits, - and . alone"), register)
        }
        () if lower == "localhost" || lower.starts_with("localhost.") => {
            Finding::new(ID, CheckStatus::Warn, format!("{shown} is everybody's name"))
                .detail("nodes of one name take each other's place in the cluster, and in Longhorn")
                .remedy(remedy.clone())
        }
        () if lower != name => {
            Finding::new(ID, CheckStatus::Warn, format!("{shown} has capitals; the node is called {lower}"))
                .detail("what looks for the node by its host's name does not find it")
                .remedy(format!("run {}", renaming(facts, os, &lower)))
        }
        () => Finding::new(ID, CheckStatus::Pass, shown),
    }
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
