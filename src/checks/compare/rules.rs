//! Pure: what may not be equal between nodes, what has to be, and what is worth knowing.

use super::report::{Kubelet, Node, Report};
use super::{Comparison, Difference, Group, Level};
use crate::model::finding::CheckStatus;
use std::collections::{BTreeMap, BTreeSet};

/// A report, and what its node is called here.
struct Named<'a> {
    name: String,
    report: &'a Report,
}

/// Compares nodes. The order of reports does not matter.
pub fn compare(reports: &[Report]) -> Comparison {
    let nodes = named(reports);
    let mut findings = Vec::new();
    unique(&nodes, &mut findings);
    same(&nodes, &mut findings);
    drivers(&nodes, &mut findings);
    checks(&nodes, &mut findings);
    told(&nodes, &mut findings);
    // What was found first stays first among equals.
    findings.sort_by_key(|finding| finding.status);
    let mut names: Vec<String> = nodes.into_iter().map(|node| node.name).collect();
    names.sort();
    Comparison { ready: findings.iter().all(|finding| finding.status != Level::Fail), nodes: names, findings }
}

/// Nodes by their hosts' names, or by their files where a name is not known or not one node's.
fn named(reports: &[Report]) -> Vec<Named<'_>> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for name in reports.iter().filter_map(|report| report.body.node.hostname.as_deref()) {
        *times.entry(name).or_default() += 1;
    }
    let name = |report: &Report| match report.body.node.hostname.as_deref() {
        Some(name) if times.get(name) == Some(&1) => name.to_owned(),
        _ => report.file.clone(),
    };
    reports.iter().map(|report| Named { name: name(report), report }).collect()
}

/// Who has which value, by value.
fn groups<'a>(nodes: &'a [Named<'a>], value: impl Fn(&'a Report) -> Option<&'a str>) -> Vec<Group> {
    let mut found: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for node in nodes {
        found.entry(value(node.report)).or_default().push(node.name.clone());
    }
    let group = |(value, mut nodes): (Option<&str>, Vec<String>)| {
        nodes.sort();
        Group { value: value.map(str::to_owned), nodes }
    };
    found.into_iter().map(group).collect()
}

/// How many values there are; nodes that do not say have none.
fn values(groups: &[Group]) -> usize {
    groups.iter().filter(|group| group.value.is_some()).count()
}

struct Rule {
    id: &'static str,
    value: for<'a> fn(&'a Node) -> Option<&'a str>,
    what: &'static str,
    detail: &'static str,
    remedy: &'static str,
}

/// What no two nodes may share.
const UNIQUE: [Rule; 3] = [
    Rule {
        id: "initiator-name",
        value: |node| node.initiator_name.as_deref(),
        what: "the initiator name",
        detail: "targets mistake nodes of one name for each other: sessions are taken over, and data is lost",
        remedy: "on all of them but one log out of all sessions, remove /etc/iscsi/initiatorname.iscsi, and run csihost apply",
    },
    Rule {
        id: "machine-id",
        value: |node| node.machine.as_deref(),
        what: "the machine id",
        detail: "they are copies of one machine, or one node's report is given twice; what was made for one machine (its initiator name) is on each",
        remedy: "on all of them but one remove /etc/machine-id, run systemd-machine-id-setup, and reboot",
    },
    Rule {
        id: "hostname",
        value: |node| node.hostname.as_deref(),
        what: "the name",
        detail: "nodes of one name take each other's place in the cluster, and in Longhorn",
        remedy: "give each node a name of its own (hostnamectl set-hostname NAME) before it joins the cluster",
    },
];

fn unique(nodes: &[Named<'_>], findings: &mut Vec<Difference>) {
    for rule in &UNIQUE {
        let shared = groups(nodes, |report| (rule.value)(&report.body.node));
        for group in shared.into_iter().filter(|group| group.value.is_some() && group.nodes.len() > 1) {
            // The digest of a machine's id says nothing to anybody.
            let value = group.value.as_deref().filter(|_| rule.id != "machine-id");
            let value = value.map_or_else(String::new, |value| format!(" {value}"));
            findings.push(Difference {
                id: rule.id.to_owned(),
                status: Level::Fail,
                summary: format!("{} nodes share {}{value}", group.nodes.len(), rule.what),
                detail: rule.detail.to_owned(),
                remedy: rule.remedy.to_owned(),
                groups: vec![group],
            });
        }
    }
}

fn kubelet(report: &Report) -> Option<&Kubelet> {
    report.body.node.kubelet.as_ref()
}

/// What all nodes with a kubelet have to share.
fn same(nodes: &[Named<'_>], findings: &mut Vec<Difference>) {
    let roots = groups(nodes, |report| Some(kubelet(report)?.root_dir.as_str()));
    if values(&roots) > 1 {
        findings.push(Difference {
            id: "kubelet-root".to_owned(),
            status: Level::Fail,
            summary: format!("{} different kubelet roots", values(&roots)),
            detail: "drivers are told one root for the whole cluster (Longhorn: csi.kubeletRootDir), and cannot serve nodes with another".to_owned(),
            remedy: "give all kubelets one --root-dir, or each kind of nodes a DaemonSet of the driver's own".to_owned(),
            groups: roots,
        });
    }
    let asked =
        nodes.iter().any(|node| node.report.body.checks.iter().any(|check| check.id == "flexvolume-dir"));
    let directories = groups(nodes, |report| kubelet(report)?.volume_plugin_dir.as_deref());
    if values(&directories) > 1 {
        findings.push(Difference {
            id: "flexvolume-dir".to_owned(),
            // Without FlexVolume drivers nobody looks there.
            status: if asked { Level::Fail } else { Level::Warn },
            summary: format!("{} different FlexVolume directories", values(&directories)),
            detail: "a FlexVolume driver is installed into one directory on all nodes".to_owned(),
            remedy: "give all kubelets one --volume-plugin-dir".to_owned(),
            groups: directories,
        });
    }
}

/// The check of what drivers and the kubelet are to each other.
const CONTRACT: &str = "path-contract";

/// Drivers that the kubelet understands on some nodes and not on others.
fn drivers(nodes: &[Named<'_>], findings: &mut Vec<Difference>) {
    let all = nodes.iter().flat_map(|node| &node.report.body.contracts);
    let drivers: BTreeSet<&str> = all.filter_map(|contract| contract.driver.as_deref()).collect();
    for driver in drivers {
        let mut groups = groups(nodes, |report| {
            let mut own =
                report.body.contracts.iter().filter(|c| c.driver.as_deref() == Some(driver)).peekable();
            own.peek()?;
            Some(if own.all(|contract| contract.holds) { "holds" } else { "broken" })
        });
        if values(&groups) > 1 {
            groups.retain(|group| group.value.is_some());
            findings.push(Difference {
                id: CONTRACT.to_owned(),
                status: Level::Fail,
                summary: format!("{driver}: its path contract holds on some nodes only"),
                detail: "its settings are for the whole cluster, and do not fit the nodes where it is broken"
                    .to_owned(),
                remedy: "run csihost check on a node where it is broken: it names the repair".to_owned(),
                groups,
            });
        }
    }
}

/// Checks that fail on some nodes and not on others. One that fails on all is no difference.
fn checks(nodes: &[Named<'_>], findings: &mut Vec<Difference>) {
    // By check, the nodes by whether it fails; one pass, for there may be many nodes.
    let mut by_check: BTreeMap<&str, BTreeMap<bool, BTreeSet<&str>>> = BTreeMap::new();
    for node in nodes {
        let mut own: BTreeMap<&str, bool> = BTreeMap::new();
        let counts = node.report.body.checks.iter().filter(|check| check.status != CheckStatus::Skip);
        for check in counts {
            *own.entry(&check.id).or_default() |= check.status == CheckStatus::Fail;
        }
        for (id, fails) in own {
            by_check.entry(id).or_default().entry(fails).or_default().insert(&node.name);
        }
    }
    for (id, by_result) in by_check {
        // Told by driver already, which says more.
        if findings.iter().any(|finding| finding.id == CONTRACT && id == CONTRACT) {
            continue;
        }
        let (Some(failing), Some(fine)) = (by_result.get(&true), by_result.get(&false)) else { continue };
        let group = |value: &str, nodes: &BTreeSet<&str>| Group {
            value: Some(value.to_owned()),
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        };
        findings.push(Difference {
            id: id.to_owned(),
            status: Level::Fail,
            summary: format!("fails on {} of {} nodes", failing.len(), failing.len() + fine.len()),
            detail: String::new(),
            remedy: "run csihost check on a node where it fails: it names the repair".to_owned(),
            groups: vec![group("fail", failing), group("pass", fine)],
        });
    }
}

/// What may differ, and is good to know when one node behaves as no other does.
fn told(nodes: &[Named<'_>], findings: &mut Vec<Difference>) {
    type Value = for<'a> fn(&'a Report) -> Option<&'a str>;
    const TOLD: [(&str, &str, Value); 6] = [
        ("kubernetes-version", "versions of the kubelet", |report| kubelet(report)?.version.as_deref()),
        ("distribution", "Kubernetes distributions", |report| kubelet(report)?.distribution.as_deref()),
        ("kernel-version", "kernels", |report| report.body.node.kernel.as_deref()),
        ("os", "operating systems", |report| report.body.node.os.as_deref()),
        ("os-profile", "os-profiles", |report| Some(&report.body.profile)),
        ("csihost", "versions of csihost", |report| report.body.node.csihost.as_deref()),
    ];
    for (id, what, value) in TOLD {
        let groups = groups(nodes, value);
        if values(&groups) > 1 {
            findings.push(Difference {
                id: id.to_owned(),
                status: Level::Info,
                summary: format!("{} different {what}", values(&groups)),
                detail: String::new(),
                remedy: String::new(),
                groups,
            });
        }
    }
}
