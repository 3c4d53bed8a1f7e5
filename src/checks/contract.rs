//! Pure: whether the volumes that CSI plugins mount reach the kubelet.

use super::kubelet_unit;
use crate::model::bytes::{shell_word, shown};
use crate::model::contract::{Contract, Propagation, Publisher, Seen};
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::mount::Mount;
use crate::mounts::resolve::cover;
use crate::mounts::runtimes::{self, cut_off, share_in_namespace, shares_namespace};
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
            // A link on the host is not csihost's to take away, and a graft would follow it.
            let linked = facts.plugins.kubelet.as_ref().is_some_and(|kubelet| !kubelet.links.is_empty());
            let absent = !linked && breaches.iter().any(|breach| breach.seen == Seen::Absent);
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
    // A runtime in the same namespace (OpenShift's kubens, a confined snap, k3s) has what the kubelet mounts.
    if !kubelet.alone || shares_namespace(&facts.plugins.runtimes, kubelet) {
        return false;
    }
    let Some(hosts) = cover(&facts.mounts, root.join("pods").as_bytes()) else { return false };
    travel(own, table, hosts, &facts.mounts) == Travel::FromSecond
}

fn own_namespace(facts: &Facts, point: &str, receives: bool) -> Finding {
    let unit = kubelet_unit(facts);
    let (status, how, why) = match receives {
        true => (
            CheckStatus::Warn,
            "which only receives mounts at",
            "what the kubelet itself mounts for pods (secrets, projected volumes, memory) reaches a container runtime in the same \
             namespace alone",
        ),
        false => (
            CheckStatus::Fail,
            "in which mounts are private at",
            "a volume that a plugin mounts there does not reach the kubelet, and what the kubelet mounts for pods reaches no \
             container runtime",
        ),
    };
    Finding::new(PROPAGATION, status, format!("the kubelet has a mount namespace of its own, {how} {point}"))
    .detail(why)
    .remedy(format!(
        "look for the setting that makes it: systemctl cat {unit} | grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|\
         Temporary|Bind|Mount|Root|Dynamic)'; PrivateTmp=, ProtectHome=, ProtectSystem= and MountFlags= with any value do; take \
         it away in a drop-in of {unit}, then restart the kubelet"
    ))
}

/// Whether mounts below the kubelet's root travel at all, as the kubelet and the container runtime see it.
fn propagation(facts: &Facts) -> Option<Finding> {
    let kubelets = as_the_kubelet_sees_it(facts);
    let failed = kubelets.as_ref().is_some_and(|finding| finding.status == CheckStatus::Fail);
    let runtimes = || runtime_cut_off(facts);
    if failed { kubelets } else { runtimes().or(kubelets) }
}

/// A container runtime that does not hand to the kubelet what plugins mount.
fn runtime_cut_off(facts: &Facts) -> Option<Finding> {
    let plugins = &facts.plugins;
    let cut = cut_off(&plugins.runtimes, plugins.kubelet.as_ref(), facts.detection.host_dir(), &facts.mounts);
    // A plugin that runs and hands its mounts on was started by another runtime, or before this one had its namespace.
    let works = facts.contracts.iter().any(|contract| contract.holds && contract.container.is_some());
    let first = cut.iter().find(|one| one.only || !works)?;
    let sure = first.only && !works;
    let runtime = first.runtime;
    let how =
        if first.mount.master.is_some() { "only receives mounts" } else { "keeps its mounts to itself" };
    let summary = format!(
        "the container runtime {} (process {}, {}) {how}: it has a mount namespace of its own",
        runtime.name, runtime.pid, runtime.unit
    );
    let who = if first.only { "" } else { "if the kubelet uses this runtime, " };
    Some(
        Finding::new(PROPAGATION, if sure { CheckStatus::Fail } else { CheckStatus::Warn }, summary)
            .detail(format!(
                "{who}a volume that a plugin mounts does not reach the kubelet, or the plugin's container is not created \
                 (\"is not a shared mount\")"
            ))
            .remedy(format!("{}; then restart the pods of CSI plugins", runtimes::remedy(runtime))),
    )
}

fn as_the_kubelet_sees_it(facts: &Facts) -> Option<Finding> {
    let kubelet = facts.plugins.kubelet.as_ref()?;
    let table = kubelet.mounts.as_ref().unwrap_or(&facts.mounts);
    let mount = cover(table, kubelet.view.pods.path.as_bytes())?;
    let (root, point) = (&kubelet.root, shown(&mount.point));
    if mount.shared.is_some() && only_receives(facts, kubelet, mount) {
        return Some(own_namespace(facts, &point, true));
    }
    if mount.shared.is_some() {
        let summary = format!("mounts below {root} are shared");
        return Some(Finding::new(PROPAGATION, CheckStatus::Pass, summary));
    }
    let with_runtime = shares_namespace(&facts.plugins.runtimes, kubelet);
    if kubelet.mounts.is_some() && mount.master.is_some() && !with_runtime {
        if !kubelet.in_container {
            return Some(own_namespace(facts, &point, true));
        }
        let summary = format!("the kubelet's container only receives mounts at {point}");
        return Some(
            Finding::new(PROPAGATION, CheckStatus::Warn, summary)
                .detail("what the kubelet itself mounts for pods (secrets, memory) does not reach the host")
                .remedy(format!("give the kubelet's container {point} with shared propagation (rshared)")),
        );
    }
    if kubelet.mounts.is_some() && !kubelet.in_container && kubelet.alone && !with_runtime {
        return Some(own_namespace(facts, &point, false));
    }
    let whose = match kubelet.mounts {
        Some(_) if kubelet.in_container => "its container has",
        Some(_) => "the kubelet's mount namespace has",
        None => "the host has",
    };
    Some(
        Finding::new(
            PROPAGATION,
            CheckStatus::Fail,
            format!("{root} lies on a mount that is not shared: {whose} {point} private"),
        )
        .detail(match with_runtime {
            true => {
                "the container runtime is in the same mount namespace and takes volumes from there: what a plugin mounts does \
                 not reach the kubelet, or the plugin's container is not created (\"is not a shared mount\")"
            }
            false => "a volume that a plugin mounts there does not reach the kubelet",
        })
        .remedy(match kubelet.mounts {
            Some(_) if kubelet.in_container => {
                format!("give the kubelet's container {point} with shared propagation (rshared)")
            }
            Some(_) => share_in_namespace(kubelet, &point),
            None => format!(
                "run mount --make-rshared {}, then restart the pods of CSI plugins. It lasts until the next \
                 boot; a kubelet shares its root by itself when it starts, so find what made it private since",
                shell_word(&point)
            ),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};
    use crate::model::runtime::RuntimeProcess;
    use crate::model::unit::UnitName;
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

    fn runtime(name: &str, own: Option<&str>) -> RuntimeProcess {
        let table =
            |tags| mountinfo::parse(format!("9 8 8:1 / / rw{tags} - ext4 x rw\n").as_bytes()).unwrap();
        RuntimeProcess {
            pid: 500,
            name: name.to_owned(),
            unit: UnitName::from(if name == "dockerd" { "docker.service" } else { "containerd.service" }),
            sandbox: None,
            mounts: own.map(table),
            with_kubelet: false,
        }
    }

    fn with_runtimes(runtimes: Vec<RuntimeProcess>) -> Facts {
        let kubelet = Kubelet::running(Distribution::Kubelet, KubeletRoot::standard());
        let mut facts = Facts {
            mounts: mountinfo::parse(b"20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n").unwrap(),
            detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
            ..Facts::new(Mode::Live, Init::Systemd)
        };
        facts.plugins.kubelet = Some(Publisher::unseen(KubeletRoot::standard()));
        facts.plugins.runtimes = runtimes;
        facts
    }

    fn held(holds: bool) -> Contract {
        Contract {
            pod: None,
            container: Some("0".repeat(64)),
            driver: None,
            pid: 9,
            kubelet_path: KubeletRoot::standard(),
            seen: Seen::Same,
            propagation: Propagation::None,
            holds,
            remedy: None,
        }
    }

    #[test]
    fn a_runtime_that_hands_no_mounts_to_the_kubelet_fails_as_far_as_it_is_the_kubelets() {
        let docker = || runtime("dockerd", Some(" master:1"));
        let found = propagation(&with_runtimes(vec![docker()])).unwrap();
        assert_eq!(found.status, CheckStatus::Fail);
        assert_eq!(
            found.summary,
            "the container runtime dockerd (process 500, docker.service) only receives mounts: it has a mount \
             namespace of its own"
        );
        let own = propagation(&with_runtimes(vec![runtime("dockerd", Some(""))])).unwrap();
        assert!(own.summary.contains("keeps its mounts to itself"), "{}", own.summary);
        assert_eq!(
            propagation(&with_runtimes(vec![runtime("dockerd", None)])).unwrap().status,
            CheckStatus::Pass
        );

        let status = |runtimes: Vec<RuntimeProcess>, contracts: Vec<Contract>| {
            let facts = Facts { contracts, ..with_runtimes(runtimes) };
            propagation(&facts).unwrap().status
        };
        // Plugins that work were started by another runtime, or before.
        assert_eq!(status(vec![docker()], vec![held(false)]), CheckStatus::Fail);
        assert_eq!(status(vec![docker()], vec![held(true)]), CheckStatus::Warn);
        let both = || vec![docker(), runtime("containerd", None)];
        assert_eq!(status(both(), vec![]), CheckStatus::Warn);
        assert_eq!(status(both(), vec![held(true)]), CheckStatus::Pass);
    }

    #[test]
    fn a_private_root_in_a_mount_namespace_is_repaired_there_and_no_container_is_told_of() {
        let table = || mountinfo::parse(b"500 499 8:1 / / rw - ext4 /dev/sda1 rw\n").ok();
        let facts = |with_kubelet: bool, in_container: bool| {
            let mut facts =
                with_runtimes(vec![RuntimeProcess { with_kubelet, ..runtime("containerd", None) }]);
            let unit = Some(UnitName::from("snap.k8s.kubelet.service"));
            let alone = !with_kubelet;
            let root = KubeletRoot::standard();
            facts.plugins.kubelet = Some(Publisher {
                pid: Some(800),
                unit,
                mounts: table(),
                alone,
                in_container,
                ..Publisher::unseen(root)
            });
            facts
        };
        let snap = propagation(&facts(true, false)).unwrap();
        assert_eq!(snap.status, CheckStatus::Fail);
        assert!(
            snap.remedy.starts_with("run nsenter --target 800 --mount mount --make-rshared /, then"),
            "{snap:?}"
        );
        assert!(snap.remedy.ends_with("snap refresh k8s"), "{}", snap.remedy);
        assert!(snap.summary.contains("the kubelet's mount namespace has / private"), "{}", snap.summary);
        let service = propagation(&facts(false, false)).unwrap();
        assert_eq!(service.status, CheckStatus::Fail);
        assert!(service.remedy.contains("take it away in a drop-in of"), "{}", service.remedy);
        let container = propagation(&facts(false, true)).unwrap();
        assert!(container.remedy.contains("give the kubelet's container"), "{}", container.remedy);
    }
}
