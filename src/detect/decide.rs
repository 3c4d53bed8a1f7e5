//! Pure: from what processes show, and configuration declares, to an answer.

use super::program::{Program, program};
use super::world::World;
use super::{arguments, cgroup, claims, distribution, flexvolume, stopped};
use crate::model::file::Trust;
use crate::model::kubelet::{
    Confidence, Conflict, Declaration, Detection, Evidence, Kubelet, KubeletRoot, Rejection, RejectionReason,
    Source, Unread,
};
use crate::model::path::HostPath;
use crate::model::process::Process;

/// What detection starts from.
#[derive(Debug, Default)]
pub struct Observed {
    /// Processes that are a kubelet by their program, namespaces and user, with what they hold.
    pub processes: Vec<Process>,
    /// What configuration says of the next start, best first.
    pub declarations: Vec<Declaration>,
    /// Configuration is there that could not be read or understood, and may name a root.
    pub undecided: bool,
    /// What was refused already.
    pub rejected: Vec<Rejection>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// `kubelet.root-dir` of the settings.
    pub settings: Option<KubeletRoot>,
}

/// So many rejections are listed: anyone can start any number of processes called kubelet.
const REJECTIONS: usize = 20;

/// One running kubelet, and what its own evidence says.
struct Candidate<'a> {
    process: &'a Process,
    program: Program,
    evidence: Vec<Evidence>,
}

/// Decides which root is the kubelet's.
pub fn detect(observed: Observed, world: &dyn World) -> Detection {
    let Observed { processes, declarations, undecided, rejected, unread, settings } = observed;
    let mut found = Detection { rejected, unread, ..Detection::default() };
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    let mut refused = false;
    for process in &processes {
        let Some(program) = program(process) else { continue };
        let claims = claims::of(process, program, &declarations, world);
        found.rejected.extend(claims.rejected);
        match claims.evidence.is_empty() {
            true => refused |= claims.refused,
            false => candidates.push(Candidate { process, program, evidence: claims.evidence }),
        }
    }
    found.evidence = candidates.iter().flat_map(|candidate| candidate.evidence.clone()).collect();
    found.evidence.sort_by_key(|evidence| (evidence.rank, evidence.pid));

    match (settings, candidates.as_slice()) {
        (Some(root), running) => by_settings(root, running, &declarations, world, &mut found),
        // What a running kubelet uses is refused: nothing else may stand in for it.
        (None, []) if refused => {}
        (None, []) => stopped::answer(&declarations, undecided, world, &mut found),
        (None, running) => by_running(running, &declarations, world, &mut found),
    }
    if let Some(host_dir) = found.host_dir()
        && let Trust::WritableItself { mode } = world.trust(None, host_dir)
    {
        found.warnings.push(format!("{host_dir} can be written by others than root (mode {mode:04o})"));
    }
    found.on_host = flexvolume::on_host(found.kubelet.as_ref(), &processes, world);
    found.evidence.sort_by_key(|evidence| evidence.rank);
    found.rejected.sort_by_key(|rejection| (weight(rejection.reason), rejection.pid));
    // The listener and the arguments of one process are refused for the same reason.
    found.rejected.dedup();
    found.unlisted = found.rejected.len().saturating_sub(REJECTIONS);
    found.rejected.truncate(REJECTIONS);
    found
}

/// Rejections that are likelier to matter come first.
fn weight(reason: RejectionReason) -> u8 {
    match reason {
        RejectionReason::UntrustedPath | RejectionReason::RelativePath | RejectionReason::Beneath => 0,
        RejectionReason::ForeignUserNamespace | RejectionReason::NestedPidNamespace => 1,
        RejectionReason::NotRoot => 2,
        RejectionReason::NotAKubelet => 3,
    }
}

/// The administrator's word wins over all; who contradicts it is told.
fn by_settings(
    root: KubeletRoot,
    running: &[Candidate<'_>],
    declarations: &[Declaration],
    world: &dyn World,
    found: &mut Detection,
) {
    for other in roots(running).iter().filter(|seen| **seen != root) {
        found.warnings.push(format!("kubelet.root-dir says {root}, a running kubelet uses {other}"));
    }
    add_declarations(&root, !running.is_empty(), declarations, found);
    let evidence =
        Evidence { source: Source::Settings, pid: None, value: root.clone(), rank: 0, applies: None };
    found.evidence.insert(0, evidence);
    found.unit = running.first().and_then(|candidate| cgroup::service(&candidate.process.cgroup));
    if let Some(detail) = claims::untrusted_path(None, root.as_path(), world) {
        let detail = format!("kubelet.root-dir {root}: {detail}");
        found.rejected.push(Rejection { pid: None, reason: RejectionReason::UntrustedPath, detail });
        return;
    }
    let agrees = running.iter().find(|candidate| candidate.evidence.iter().any(|e| e.value == root));
    found.kubelet = Some(match agrees {
        Some(candidate) => kubelet(candidate, root, declarations, world),
        None => {
            let declared = declarations.iter().find(|declaration| declaration.root == root);
            if running.is_empty() {
                found.unit = declared.and_then(|declaration| declaration.unit.clone());
            }
            let mut kubelet = stopped::at(&root);
            if let Some(declared) = declared {
                kubelet.distribution = declared.distribution;
                kubelet.volume_plugin_dir = declared.volume_plugin_dir.clone();
            }
            kubelet
        }
    });
}

/// What a running kubelet uses; configuration that differs is for its next start.
fn by_running(
    running: &[Candidate<'_>],
    declarations: &[Declaration],
    world: &dyn World,
    found: &mut Detection,
) {
    let roots = roots(running);
    let places = places(running, world);
    match (roots.as_slice(), places.len()) {
        ([root], 0 | 1) => {
            // Several processes may agree (a wrapper and its child); the best evidence speaks.
            let pid = found.evidence.first().and_then(|evidence| evidence.pid);
            if let Some(candidate) = running.iter().find(|c| Some(c.process.pid) == pid) {
                found.unit = cgroup::service(&candidate.process.cgroup);
                found.kubelet = Some(kubelet(candidate, root.clone(), declarations, world));
            }
            add_declarations(root, true, declarations, found);
        }
        (values, _) => {
            // Of each process its best evidence for each value.
            let mut seen = Vec::new();
            let best = found.evidence.iter().filter(|evidence| {
                let said = (evidence.pid, &evidence.value);
                let new = !seen.contains(&said);
                seen.push(said);
                new
            });
            let says = best.map(|e| {
                let pid = e.pid.map_or_else(String::new, |pid| format!("process {pid}: "));
                format!("{pid}{} says {}", e.source.phrase(), e.value)
            });
            let mut explanation = says.collect::<Vec<_>>().join("; ");
            if let [_] = values {
                let places: Vec<String> = places.iter().map(ToString::to_string).collect();
                explanation += &format!("; on the host these are {}", places.join(" and "));
            }
            found.conflict = Some(Conflict { values: values.to_vec(), explanation });
            for declaration in declarations {
                let evidence = stopped::evidence(declaration);
                found.evidence.push(Evidence { applies: Some("next-start"), ..evidence });
            }
        }
    }
}

/// All roots that running kubelets show.
fn roots(running: &[Candidate<'_>]) -> Vec<KubeletRoot> {
    let all = running.iter().flat_map(|candidate| &candidate.evidence);
    let mut roots: Vec<KubeletRoot> = all.map(|evidence| evidence.value.clone()).collect();
    roots.sort();
    roots.dedup();
    roots
}

/// Which directories of the host those are: two kubelets can use one string for two of them.
fn places(running: &[Candidate<'_>], world: &dyn World) -> Vec<HostPath> {
    let [_, _, ..] = running else { return Vec::new() };
    let mut places: Vec<HostPath> = running
        .iter()
        .filter_map(|candidate| world.host_dir(candidate.process, &candidate.evidence.first()?.value))
        .collect();
    places.sort();
    places.dedup();
    places
}

fn add_declarations(root: &KubeletRoot, runs: bool, declarations: &[Declaration], found: &mut Detection) {
    for declaration in declarations {
        let differs = runs && declaration.root != *root;
        let applies = differs.then_some("next-start");
        found.evidence.push(Evidence { applies, ..stopped::evidence(declaration) });
    }
}

fn kubelet(
    candidate: &Candidate<'_>,
    root: KubeletRoot,
    declarations: &[Declaration],
    world: &dyn World,
) -> Kubelet {
    let process = candidate.process;
    let shown = |source| candidate.evidence.iter().any(|e| e.source == source && e.value == root);
    let confirmed = shown(Source::InotifyWatch) || shown(Source::VolumeMounts);
    let certain = shown(Source::PodResourcesSocket) || (shown(Source::ProcessArguments) && confirmed);
    let distribution = distribution::of(process, candidate.program, &root, declarations, world);
    const FLEX: &str = "volume-plugin-dir";
    let given = match candidate.program {
        Program::Kubelet => arguments::flag(&process.args, FLEX),
        Program::K3s => arguments::kubelet_arg(&process.args, FLEX),
        Program::Kubelite | Program::Microshift => None,
    };
    let declared = || {
        // An embedded kubelet's arguments are not to be seen; its configuration is.
        let mut same = declarations.iter().filter(|d| d.distribution == distribution && d.root == root);
        same.find_map(|declaration| declaration.volume_plugin_dir.clone())
    };
    let volume_plugin_dir = match (given, candidate.program) {
        (Some(given), _) => Some(given.to_vec()),
        (None, Program::Kubelet) => None,
        (None, _) => declared(),
    };
    Kubelet {
        host_dir: world.host_dir(process, &root),
        root_dir: root,
        confidence: if certain { Confidence::Certain } else { Confidence::Observed },
        distribution,
        pid: Some(process.pid),
        version: None,
        volume_plugin_dir,
    }
}
