//! Pure: whether the volumes that CSI plugins mount reach the kubelet.

use super::kubelet_unit;
use crate::model::bytes::shown;
use crate::model::contract::{Contract, Propagation, Publisher, Seen};
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::mount::Mount;
use crate::mounts::resolve::cover;
use crate::mounts::travel::{Travel, travel};
use crate::settings::Repair;

pub(super) const PROPAGATION: &str = "mount-propagation";
const CONTRACT: &str = "path-contract";

/// What csihost could do about it, with other settings.
fn hint(repair: Repair) -> Option<&'static str> {
    match repair {
        Repair::Report => Some("or let csihost repair it on this node: contract.repair in csihost.toml"),
        Repair::Graft => Some(
            "or have csihost graft it: contract.drivers in csihost.toml has to name the driver (csihost plan says what it \
             refuses)",
        ),
        // What is left to do for it is told by its own check.
        Repair::Align => None,
    }
}

/// As many breaches are told one by one; `--json` has all.
const TOLD: usize = 5;

/// Adds what is to be said of plugins to `findings`. The bridge is judged by the host's mounts,
/// which the kubelet need not have: where its own say less, they count.
pub(super) fn add(facts: &Facts, repair: Repair, findings: &mut Vec<Finding>) {
    let propagates = |finding: &Finding| finding.id == PROPAGATION;
    let failed = |finding: &Finding| finding.status == CheckStatus::Fail;
    if let Some(finding) = propagation(facts)
        && !findings.iter().any(|earlier| propagates(earlier) && failed(earlier))
    {
        findings.retain(|earlier| !propagates(earlier) || finding.status == CheckStatus::Pass);
        if !findings.iter().any(propagates) {
            findings.push(finding);
        }
    }
    findings.push(check(facts, repair));
}

fn check(facts: &Facts, repair: Repair) -> Finding {
    let skip = |why: &str| Finding::new(CONTRACT, CheckStatus::Skip, why);
    if facts.plugins.kubelet.is_none() {
        return match facts.plugins.unread.as_slice() {
            [] => skip("no kubelet runs, or its mounts are not known"),
            unread => Finding::new(CONTRACT, CheckStatus::Warn, unread.join("; "))
                .detail("whether what plugins mount reaches the kubelet is not known")
                .remedy("run csihost as root, in the host's PID namespace"),
        };
    }
    let breaches: Vec<&Contract> = facts.contracts.iter().filter(|contract| !contract.holds).collect();
    let all = facts.contracts.len();
    match (all, breaches.as_slice()) {
        (0, _) => skip("no CSI plugin runs here"),
        (_, []) => {
            let summary = match all {
                1 => "1 plugin: what it mounts reaches the kubelet".to_owned(),
                all => format!("{all} plugins: what they mount reaches the kubelet"),
            };
            Finding::new(CONTRACT, CheckStatus::Pass, summary)
        }
        (_, breaches) => {
            let names: Vec<String> = breaches.iter().map(|breach| named(breach)).collect();
            let summary = format!("broken for {} of {all}: {}", breaches.len(), few(names));
            let absent = breaches.iter().any(|breach| breach.seen == Seen::Absent);
            Finding::new(CONTRACT, CheckStatus::Fail, summary)
                .detail(few(breaches.iter().map(|breach| format!("{} {}", named(breach), why(breach)))))
                .remedy(few(breaches
                    .iter()
                    .filter_map(|breach| Some(format!("{}: {}", named(breach), breach.remedy.as_ref()?)))
                    .chain(hint(repair).filter(|_| absent).map(str::to_owned))))
        }
    }
}

/// The first of them, each once.
pub(super) fn few(texts: impl IntoIterator<Item = String>) -> String {
    let mut told: Vec<String> = Vec::new();
    for text in texts {
        if !told.contains(&text) {
            told.push(text);
        }
    }
    let more = told.len().saturating_sub(TOLD);
    told.truncate(TOLD);
    if more > 0 {
        told.push(format!("and {more} more (csihost check --json)"));
    }
    told.join("; ")
}

fn named(contract: &Contract) -> String {
    match (&contract.driver, &contract.pod) {
        (Some(driver), _) => shown(driver),
        (None, Some(pod)) => format!("pod {pod}"),
        (None, None) => format!("process {}", contract.pid),
    }
}

pub(super) fn why(contract: &Contract) -> String {
    let root = &contract.kubelet_path;
    match (contract.seen, contract.propagation) {
        (Seen::Absent, _) => format!(
            "does not have the kubelet's {root}/pods: what it mounts there stays in its container, while it \
             answers that all went well"
        ),
        (Seen::Different, _) => {
            format!("has another directory at {root}/pods: what it mounts there never gets to the kubelet")
        }
        (Seen::Same, Propagation::ToPlugin) => {
            format!("is only told of the host's mounts below {root}: its own do not travel to the kubelet")
        }
        (Seen::Same, _) => format!("has {root}/pods, but its mounts there do not travel to the kubelet"),
    }
}

/// True if the host's mounts reach the kubelet, and those that the kubelet makes do not reach the host: a service with a mount
/// namespace of its own has copies that are slaves of the host's mounts, and shared among themselves.
fn only_receives(facts: &Facts, kubelet: &Publisher, own: &Mount) -> bool {
    let (Some(table), Some(root)) = (&kubelet.mounts, facts.detection.host_dir()) else { return false };
    // A runtime in the same namespace (OpenShift's kubens, a confined snap) has what the kubelet mounts.
    if !kubelet.alone {
        return false;
    }
    let Some(hosts) = cover(&facts.mounts, root.join("pods").as_bytes()) else { return false };
    travel(own, table, hosts, &facts.mounts) == Travel::FromSecond
}

fn own_namespace(facts: &Facts, point: &str) -> Finding {
    let unit = kubelet_unit(facts);
    Finding::new(
        PROPAGATION,
        CheckStatus::Warn,
        format!("the kubelet has a mount namespace of its own, which only receives mounts at {point}"),
    )
    .detail(
        "what the kubelet itself mounts for pods (secrets, projected volumes, memory) reaches a container runtime in the same \
         namespace alone",
    )
    .remedy(format!(
        "look for the setting that makes it: systemctl cat {unit} | grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|\
         Temporary|Bind|Mount|Root|Dynamic)'; PrivateTmp=, ProtectHome=, ProtectSystem= and MountFlags= with any value do; take \
         it away in a drop-in of {unit}, then restart the kubelet"
    ))
}

/// Whether mounts below the kubelet's root travel at all, as the kubelet sees it.
fn propagation(facts: &Facts) -> Option<Finding> {
    let kubelet = facts.plugins.kubelet.as_ref()?;
    let table = kubelet.mounts.as_ref().unwrap_or(&facts.mounts);
    let mount = cover(table, kubelet.view.pods.path.as_bytes())?;
    let (root, point) = (&kubelet.root, shown(&mount.point));
    if mount.shared.is_some() && only_receives(facts, kubelet, mount) {
        return Some(own_namespace(facts, &point));
    }
    if mount.shared.is_some() {
        let summary = format!("mounts below {root} are shared");
        return Some(Finding::new(PROPAGATION, CheckStatus::Pass, summary));
    }
    if kubelet.mounts.is_some() && mount.master.is_some() {
        let summary = format!("the kubelet's container only receives mounts at {point}");
        return Some(
            Finding::new(PROPAGATION, CheckStatus::Warn, summary)
                .detail("what the kubelet itself mounts for pods (secrets, memory) does not reach the host")
                .remedy(format!("give the kubelet's container {point} with shared propagation (rshared)")),
        );
    }
    let whose = if kubelet.mounts.is_some() { "its container has" } else { "the host has" };
    Some(
        Finding::new(
            PROPAGATION,
            CheckStatus::Fail,
            format!("{root} lies on a mount that is not shared: {whose} {point} private"),
        )
        .detail("a volume that a plugin mounts there does not reach the kubelet")
        .remedy(match kubelet.mounts {
            Some(_) => format!("give the kubelet's container {point} with shared propagation (rshared)"),
            None => format!(
                "run mount --make-rshared {point}, then restart the pods of CSI plugins. It lasts until the next \
                 boot; a kubelet shares its root by itself when it starts, so find what made it private since"
            ),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
    use crate::mounts::mountinfo;

    #[test]
    fn a_mount_namespace_of_the_kubelets_own_matters_only_where_no_runtime_is_in_it() {
        let status = |tags: &str, alone: bool| {
            let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::standard());
            let own = format!("500 499 8:1 / / rw {tags} - ext4 /dev/sda1 rw\n");
            let mut facts = Facts {
                mounts: mountinfo::parse(b"20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n").unwrap(),
                detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
                ..Facts::new(Mode::Live, Init::Systemd)
            };
            let mounts = Some(mountinfo::parse(own.as_bytes()).unwrap());
            facts.plugins.kubelet =
                Some(Publisher { mounts, alone, ..Publisher::unseen(KubeletRoot::standard()) });
            propagation(&facts).unwrap().status
        };
        // PrivateTmp= and the like: a copy of the host's mounts.
        assert_eq!(status("shared:300 master:1", true), CheckStatus::Warn);
        // OpenShift's kubens hides kubelet and runtime together.
        assert_eq!(status("shared:300 master:1", false), CheckStatus::Pass);
        // A container with rshared.
        assert_eq!(status("shared:1", true), CheckStatus::Pass);
    }
}
