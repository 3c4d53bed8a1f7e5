//! Pure: the answer where no kubelet runs: what configuration declares for its next start, else
//! what a stopped one left on disk.

use super::claims::untrusted_path;
use super::world::World;
use crate::model::kubelet::{
    Confidence, Conflict, Declaration, Detection, Distribution, Evidence, Kubelet, KubeletRoot, Rejection,
    RejectionReason, Source,
};
use crate::model::path::HostPath;

/// Where kubelets are known to keep their state, besides what configuration names.
const KNOWN: [&str; 9] = [
    "/var/lib/kubelet",
    "/opt/rke/var/lib/kubelet",
    "/mnt/sda1/rke/var/lib/kubelet",
    "/var/lib/k0s/kubelet",
    "/var/snap/microk8s/common/var/lib/kubelet",
    "/var/data/kubelet",
    "/var/vcap/data/kubelet",
    "/var/nutanix/var/lib/kubelet",
    "/var/lib/rancher/k3s/agent/kubelet",
];

/// What only a kubelet writes into its root. A tree without any of it is no sign of one: hostPath
/// volumes of CSI drivers make `pods` and `plugins` wherever a wrong setting points, and
/// device-plugins and pki are in /var/lib/kubelet whatever the root is.
const STATE: [&str; 5] = [
    "pod-resources",
    "cpu_manager_state",
    "memory_manager_state",
    "dra_manager_state",
    "allocated_pods_state",
];

/// The rank of a declaration, after all that a running kubelet can show.
pub(super) fn rank(declaration: &Declaration) -> u8 {
    match declaration.confidence {
        Confidence::Assumed => 7,
        _ => 6,
    }
}

/// The evidence that `declaration` is.
pub(super) fn evidence(declaration: &Declaration) -> Evidence {
    Evidence {
        source: declaration.source,
        pid: None,
        value: declaration.root.clone(),
        rank: rank(declaration),
        applies: None,
    }
}

/// Answers from `declarations` and state files, into `found`; not where configuration is
/// `undecided`: what could not be read or understood may name another root.
pub(super) fn answer(
    declarations: &[Declaration],
    undecided: bool,
    world: &dyn World,
    found: &mut Detection,
) {
    let (refused, trusted): (Vec<_>, Vec<_>) = declarations
        .iter()
        .map(|declaration| (declaration, untrusted_path(None, declaration.root.as_path(), world)))
        .partition(|(_, untrusted)| untrusted.is_some());
    for (declaration, detail) in &refused {
        let detail = format!("configured {}: {}", declaration.root, detail.as_deref().unwrap_or_default());
        found.rejected.push(Rejection { pid: None, reason: RejectionReason::UntrustedPath, detail });
    }
    let trusted: Vec<&Declaration> = trusted.into_iter().map(|(declaration, _)| declaration).collect();
    let left = state_files(declarations, world, found);
    found.evidence.extend(trusted.iter().map(|declaration| evidence(declaration)));
    found.evidence.extend(left.iter().map(|root| Evidence {
        source: Source::StateFiles,
        pid: None,
        value: root.clone(),
        rank: 5,
        applies: None,
    }));
    // A configured root that was refused, or may be there and is not known, is not replaced.
    if !refused.is_empty() || undecided {
        return;
    }
    let best = best_of_each(&trusted);
    let mut roots: Vec<&KubeletRoot> = best.iter().map(|declaration| &declaration.root).collect();
    roots.sort();
    roots.dedup();
    match (roots.as_slice(), left.as_slice()) {
        ([_], _) => {
            if let Some(declaration) = best.iter().max_by_key(|declaration| declaration.confidence) {
                found.unit = declaration.unit.clone();
                found.kubelet = Some(declared(declaration));
            }
        }
        ([], [root]) => {
            found.kubelet = Some(Kubelet {
                confidence: Confidence::Assumed,
                distribution: Distribution::Unknown,
                ..at(root)
            });
        }
        ([], []) => {}
        ([], several) => {
            let explanation = format!(
                "no kubelet runs, and {} each hold what one left behind",
                several.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
            );
            found.conflict = Some(Conflict { values: several.to_vec(), explanation });
        }
        (several, _) => {
            let says = best.iter().map(|declaration| {
                let name = declaration.unit.as_ref().map_or_else(String::new, |unit| format!(" ({unit})"));
                format!(
                    "{}{name} would use {}",
                    distribution_name(declaration.distribution),
                    declaration.root
                )
            });
            let explanation = format!("no kubelet runs; {}", says.collect::<Vec<_>>().join("; "));
            let values = several.iter().map(|root| (*root).clone()).collect();
            found.conflict = Some(Conflict { values, explanation });
        }
    }
}

/// Of each distribution's declarations those that it is surest of: they replace its defaults.
fn best_of_each<'a>(declarations: &[&'a Declaration]) -> Vec<&'a Declaration> {
    let best = |distribution| {
        let same = declarations.iter().filter(|d| d.distribution == distribution);
        same.map(|declaration| declaration.confidence).max()
    };
    declarations.iter().filter(|d| Some(d.confidence) == best(d.distribution)).copied().collect()
}

/// The roots in which a kubelet left its state, links to the same directory counted once.
fn state_files(declarations: &[Declaration], world: &dyn World, found: &mut Detection) -> Vec<KubeletRoot> {
    let known = KNOWN.iter().filter_map(|root| KubeletRoot::parse(root.as_bytes()).ok());
    let mut roots: Vec<KubeletRoot> = Vec::new();
    let mut seen: Vec<HostPath> = Vec::new();
    let candidates = declarations.iter().map(|declaration| declaration.root.clone()).chain(known);
    // A root that is named by a link is looked at after those that are not: a link to the root is
    // not the string that the kubelet uses (MicroK8s' /var/lib/kubelet).
    let (plain, links): (Vec<_>, Vec<_>) = candidates
        .filter(|root| STATE.iter().any(|name| world.exists(&root.as_path().join(name))))
        .map(|root| (world.canonical(None, root.as_path()), root))
        .partition(|(canonical, root)| canonical == root.as_path());
    for (canonical, root) in plain.into_iter().chain(links) {
        if seen.contains(&canonical) {
            continue;
        }
        seen.push(canonical);
        match untrusted_path(None, root.as_path(), world) {
            None => roots.push(root),
            Some(detail) => {
                let detail = format!("state files in {root}: {detail}");
                found.rejected.push(Rejection { pid: None, reason: RejectionReason::UntrustedPath, detail });
            }
        }
    }
    roots
}

/// A kubelet that does not run, with this root.
pub(super) fn at(root: &KubeletRoot) -> Kubelet {
    Kubelet {
        root_dir: root.clone(),
        host_dir: Some(root.as_path().clone()),
        confidence: Confidence::Declared,
        distribution: Distribution::Unknown,
        pid: None,
        version: None,
        volume_plugin_dir: None,
    }
}

fn declared(declaration: &Declaration) -> Kubelet {
    Kubelet {
        confidence: declaration.confidence,
        distribution: declaration.distribution,
        volume_plugin_dir: declaration.volume_plugin_dir.clone(),
        ..at(&declaration.root)
    }
}

fn distribution_name(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::Kubelet | Distribution::Unknown => "the kubelet",
        Distribution::K3s => "k3s",
        Distribution::Rke => "RKE",
        Distribution::Rke2 => "RKE2",
        Distribution::K0s => "k0s",
        Distribution::Microk8s => "MicroK8s",
        Distribution::K8sSnap => "the k8s snap",
        Distribution::Kubeadm => "kubeadm",
        Distribution::Openshift => "OpenShift",
        Distribution::Microshift => "MicroShift",
    }
}
