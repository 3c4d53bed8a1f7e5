//! Pure: from claims to an answer, by the ranks of the evidence.

use super::program::{Program, program};
use super::{arguments, cgroup, listener};
use crate::model::bytes::shown;
use crate::model::file::Trust;
use crate::model::kubelet::{
    Confidence, Conflict, Detection, Distribution, Evidence, Kubelet, KubeletRoot, Rejection,
    RejectionReason, Source, Unread,
};
use crate::model::path::HostPath;
use crate::model::process::Process;

/// What detection has to ask the host about a root that somebody claims.
pub trait World {
    /// The host's name for the directory that `process` sees at `root`; `None` if it has none.
    fn host_dir(&self, process: &Process, root: &KubeletRoot) -> Option<HostPath>;
    /// Whether only root can change what `path` names.
    fn trust(&self, path: &HostPath) -> Trust;
    /// Whether `path` is a socket; `None` in a scene, which has none.
    fn is_socket(&self, path: &HostPath) -> Option<bool>;
}

/// What detection starts from.
#[derive(Debug, Default)]
pub struct Observed {
    /// Processes that are a kubelet by their program, namespaces and user, with what they hold.
    pub processes: Vec<Process>,
    /// What was refused already.
    pub rejected: Vec<Rejection>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// `kubelet.root-dir` of the settings.
    pub settings: Option<KubeletRoot>,
}

/// One running kubelet, and what its own evidence says.
struct Candidate<'a> {
    process: &'a Process,
    program: Program,
    evidence: Vec<Evidence>,
}

/// Decides which root is the kubelet's.
pub fn detect(observed: Observed, world: &dyn World) -> Detection {
    let Observed { processes, rejected, unread, settings } = observed;
    let mut found = Detection { rejected, unread, ..Detection::default() };
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for process in &processes {
        let Some(program) = program(process) else { continue };
        let evidence = claims(process, program, world, &mut found);
        if !evidence.is_empty() {
            candidates.push(Candidate { process, program, evidence });
        }
    }
    found.evidence = candidates.iter().flat_map(|candidate| candidate.evidence.clone()).collect();
    found.evidence.sort_by_key(|evidence| (evidence.rank, evidence.pid));

    let mut roots: Vec<KubeletRoot> = found.evidence.iter().map(|evidence| evidence.value.clone()).collect();
    roots.sort();
    roots.dedup();
    match (settings, roots.as_slice()) {
        (Some(root), seen) => {
            let evidence =
                Evidence { source: Source::Settings, pid: None, value: root.clone(), rank: 0, applies: None };
            found.evidence.insert(0, evidence);
            let running = candidates.iter().find(|c| c.evidence.iter().any(|e| e.value == root));
            for other in seen.iter().filter(|seen| **seen != root) {
                found.warnings.push(format!("kubelet.root-dir says {root}, a running kubelet uses {other}"));
            }
            found.unit = candidates.first().and_then(|c| cgroup::service(&c.process.cgroup));
            found.kubelet = Some(match running {
                Some(candidate) => kubelet(candidate, root, world),
                None => Kubelet {
                    host_dir: Some(root.as_path().clone()),
                    root_dir: root,
                    confidence: Confidence::Declared,
                    distribution: Distribution::Unknown,
                    pid: None,
                    version: None,
                    volume_plugin_dir: None,
                },
            });
        }
        (None, []) => {}
        (None, [root]) => {
            // Several processes may agree (a wrapper and its child); the best evidence speaks.
            let pid = found.evidence.first().and_then(|evidence| evidence.pid);
            if let Some(candidate) = candidates.iter().find(|c| Some(c.process.pid) == pid) {
                found.unit = cgroup::service(&candidate.process.cgroup);
                found.kubelet = Some(kubelet(candidate, root.clone(), world));
            }
        }
        (None, values) => {
            let says = found.evidence.iter().map(|e| {
                let pid = e.pid.map_or_else(String::new, |pid| format!("process {pid}: "));
                format!("{pid}{} says {}", source_name(e.source), e.value)
            });
            let explanation = says.collect::<Vec<_>>().join("; ");
            found.conflict = Some(Conflict { values: values.to_vec(), explanation });
        }
    }
    if let Some(host_dir) = found.host_dir()
        && let Trust::WritableItself { mode } = world.trust(host_dir)
    {
        found.warnings.push(format!("{host_dir} can be written by others than root (mode {mode:04o})"));
    }
    found
}

/// What one process shows of its root. Refusals go to `found`.
fn claims(process: &Process, program: Program, world: &dyn World, found: &mut Detection) -> Vec<Evidence> {
    let pid = Some(process.pid);
    let mut evidence = Vec::new();
    for claim in listener::claimed_roots(&process.net_unix, &process.sockets) {
        match listening_root(process, claim, world) {
            Ok(value) => {
                evidence.push(Evidence {
                    source: Source::PodResourcesSocket,
                    pid,
                    value,
                    rank: 1,
                    applies: None,
                });
            }
            Err((reason, detail)) => found.rejected.push(Rejection { pid, reason, detail }),
        }
    }
    if program == Program::Kubelet {
        let given = arguments::flag(&process.args, "root-dir");
        let parsed = given.map_or_else(|| Ok(KubeletRoot::standard()), KubeletRoot::parse);
        match parsed {
            Ok(value) => match untrusted(process, &value, world) {
                None => {
                    evidence.push(Evidence {
                        source: Source::ProcessArguments,
                        pid,
                        value,
                        rank: 2,
                        applies: None,
                    });
                }
                Some(detail) => {
                    found.rejected.push(Rejection { pid, reason: RejectionReason::UntrustedPath, detail });
                }
            },
            Err(error) => {
                let detail =
                    format!("--root-dir: {error}: it means whatever the kubelet's directory makes of it");
                found.rejected.push(Rejection { pid, reason: RejectionReason::RelativePath, detail });
            }
        }
    }
    evidence
}

/// The root that a listener's row claims, confirmed by the directory that it names: anyone can
/// forge a row, and only root can make `<root>/pod-resources` where only root can write.
fn listening_root(
    process: &Process,
    claim: &[u8],
    world: &dyn World,
) -> Result<KubeletRoot, (RejectionReason, String)> {
    let root = KubeletRoot::parse(claim).map_err(|error| {
        (RejectionReason::RelativePath, format!("a pod-resources socket below {}: {error}", shown(claim)))
    })?;
    if let Some(detail) = untrusted(process, &root, world) {
        return Err((RejectionReason::UntrustedPath, detail));
    }
    let Some(host_dir) = world.host_dir(process, &root) else {
        // Nothing on the host can confirm it; the string itself is all that there is.
        return Err((
            RejectionReason::UntrustedPath,
            format!("{root} has no name in the host's mount namespace"),
        ));
    };
    let directory = host_dir.join("pod-resources");
    match world.trust(&directory) {
        Trust::Root => {}
        // The root's own looseness was looked at above.
        Trust::Untrusted { path, .. } if path == host_dir => {}
        Trust::Missing(error) => {
            let detail = format!("a listener claims {root}, but {error}: the name is forged");
            return Err((RejectionReason::UntrustedPath, detail));
        }
        Trust::WritableItself { mode } => {
            return Err((
                RejectionReason::UntrustedPath,
                format!("{directory} can be written by others (mode {mode:04o})"),
            ));
        }
        Trust::Untrusted { path, mode, uid } => {
            return Err((RejectionReason::UntrustedPath, who_writes(&path, mode, uid)));
        }
    }
    if world.is_socket(&directory.join("kubelet.sock")) == Some(false) {
        let detail = format!(
            "a listener claims {root}, but {directory}/kubelet.sock is no socket: the name is forged"
        );
        return Err((RejectionReason::UntrustedPath, detail));
    }
    Ok(root)
}

/// Why `root` cannot be relied on: others than root can change what it names.
fn untrusted(process: &Process, root: &KubeletRoot, world: &dyn World) -> Option<String> {
    match world.trust(&world.host_dir(process, root)?) {
        Trust::Untrusted { path, mode, uid } => Some(who_writes(&path, mode, uid)),
        Trust::Root | Trust::WritableItself { .. } | Trust::Missing(_) => None,
    }
}

fn who_writes(path: &HostPath, mode: u32, uid: u32) -> String {
    match uid {
        0 => format!("others than root can write to {path} (mode {mode:04o})"),
        uid => format!("{path} belongs to user {uid}"),
    }
}

fn kubelet(candidate: &Candidate<'_>, root: KubeletRoot, world: &dyn World) -> Kubelet {
    let listens =
        candidate.evidence.iter().any(|e| e.source == Source::PodResourcesSocket && e.value == root);
    let process = candidate.process;
    let host_dir = world.host_dir(process, &root);
    let in_docker = cgroup::service(&process.cgroup).is_some_and(|unit| unit.as_str() == "docker.service");
    let rke = in_docker || root.as_path().starts_with(&HostPath::from("/opt/rke"));
    let distribution = match candidate.program {
        Program::K3s => Distribution::K3s,
        Program::Kubelite => Distribution::Microk8s,
        Program::Microshift => Distribution::Microshift,
        Program::Kubelet if rke => Distribution::Rke,
        Program::Kubelet => Distribution::Kubelet,
    };
    let volume_plugin_dir = match candidate.program {
        Program::Kubelet => arguments::flag(&process.args, "volume-plugin-dir").map(<[u8]>::to_vec),
        _ => None,
    };
    Kubelet {
        root_dir: root,
        host_dir,
        confidence: if listens { Confidence::Certain } else { Confidence::Observed },
        distribution,
        pid: Some(process.pid),
        version: None,
        volume_plugin_dir,
    }
}

fn source_name(source: Source) -> &'static str {
    match source {
        Source::PodResourcesSocket => "its pod-resources socket",
        Source::ProcessArguments => "its command line",
        Source::InotifyWatch => "what it watches",
        Source::VolumeMounts => "its volume mounts",
        Source::StateFiles => "its state files",
        Source::SystemdUnit => "its systemd unit",
        Source::ConfigFile => "its configuration",
        Source::ArgsFile => "its arguments file",
        Source::Settings => "csihost's configuration",
        Source::Default => "the default",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Fake {
        trust: BTreeMap<HostPath, Trust>,
        not_sockets: Vec<HostPath>,
    }

    impl World for Fake {
        fn host_dir(&self, _: &Process, root: &KubeletRoot) -> Option<HostPath> {
            Some(root.as_path().clone())
        }
        fn trust(&self, path: &HostPath) -> Trust {
            self.trust.get(path).cloned().unwrap_or(Trust::Root)
        }
        fn is_socket(&self, path: &HostPath) -> Option<bool> {
            Some(!self.not_sockets.contains(path))
        }
    }

    fn kubelet_process(pid: i32, args: &[&str], listens_at: Option<&str>) -> Process {
        let row = |root| format!("0: 2 0 00010000 0001 01 5 {root}/pod-resources/12\n");
        Process {
            pid,
            args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            sockets: vec![5],
            net_unix: listens_at.map(row).unwrap_or_default().into_bytes(),
            cgroup: b"0::/system.slice/kubelet.service\n".to_vec(),
            ..Process::default()
        }
    }

    fn answer(processes: Vec<Process>, world: &Fake) -> Detection {
        detect(Observed { processes, ..Observed::default() }, world)
    }

    #[test]
    fn the_listener_and_the_arguments_together_are_certain() {
        let process = kubelet_process(8, &["kubelet", "--root-dir=/srv/kubelet"], Some("/srv/kubelet"));
        let found = answer(vec![process], &Fake::default());
        let kubelet = found.kubelet.as_ref().unwrap();
        assert_eq!(kubelet.root_dir.to_string(), "/srv/kubelet");
        assert_eq!(kubelet.confidence, Confidence::Certain);
        assert_eq!(found.evidence.len(), 2);
        assert_eq!(found.unit, Some(UnitName::from("kubelet.service")));
    }

    use crate::model::unit::UnitName;

    #[test]
    fn arguments_alone_are_an_observation_and_none_mean_the_default() {
        let found = answer(vec![kubelet_process(8, &["kubelet"], None)], &Fake::default());
        let kubelet = found.kubelet.unwrap();
        assert_eq!((kubelet.root_dir, kubelet.confidence), (KubeletRoot::standard(), Confidence::Observed));
    }

    #[test]
    fn an_embedded_kubelet_is_known_by_its_listener_only() {
        let k3s = |listens| kubelet_process(8, &["/usr/local/bin/k3s server"], listens);
        assert_eq!(answer(vec![k3s(None)], &Fake::default()).kubelet, None);
        let found = answer(vec![k3s(Some("/var/lib/kubelet"))], &Fake::default());
        assert_eq!(found.kubelet.unwrap().distribution, Distribution::K3s);
    }

    #[test]
    fn two_true_answers_are_a_conflict_and_no_choice_is_made() {
        let two = vec![
            kubelet_process(8, &["kubelet", "--root-dir=/a"], Some("/a")),
            kubelet_process(9, &["kubelet", "--root-dir=/b"], Some("/b")),
        ];
        let found = answer(two, &Fake::default());
        assert_eq!(found.kubelet, None);
        assert_eq!(found.conflict.unwrap().values.len(), 2);

        let torn = kubelet_process(8, &["kubelet", "--root-dir=/a"], Some("/b"));
        let found = answer(vec![torn], &Fake::default());
        assert!(found.kubelet.is_none() && found.conflict.is_some());
    }

    #[test]
    fn a_forged_listener_is_refused_and_says_why() {
        let mut world = Fake::default();
        let fake = HostPath::from("/var/lib/other/pod-resources");
        world.trust.insert(fake, Trust::Missing("it is not there".into()));
        let process = kubelet_process(8, &["kubelet"], Some("/var/lib/other"));
        let found = answer(vec![process.clone()], &world);
        assert_eq!(found.kubelet.unwrap().root_dir, KubeletRoot::standard());
        assert_eq!(found.rejected[0].reason, RejectionReason::UntrustedPath);

        let mut world = Fake::default();
        world.not_sockets.push(HostPath::from("/var/lib/other/pod-resources/kubelet.sock"));
        assert_eq!(answer(vec![process], &world).kubelet.unwrap().root_dir, KubeletRoot::standard());
    }

    #[test]
    fn roots_that_others_can_change_and_relative_ones_are_refused() {
        let mut world = Fake::default();
        let tmp = HostPath::from("/tmp");
        world.trust.insert(HostPath::from("/tmp/k"), Trust::Untrusted { path: tmp, mode: 0o1777, uid: 0 });
        let found =
            answer(vec![kubelet_process(8, &["kubelet", "--root-dir=/tmp/k"], Some("/tmp/k"))], &world);
        assert_eq!(found.kubelet, None);
        assert_eq!(found.rejected.len(), 2);
        assert!(found.rejected[0].detail.contains("/tmp (mode 1777)"));

        let found =
            answer(vec![kubelet_process(8, &["kubelet", "--root-dir=kubelet"], None)], &Fake::default());
        assert_eq!((found.kubelet, found.rejected[0].reason), (None, RejectionReason::RelativePath));
    }

    #[test]
    fn a_world_writable_root_itself_is_a_warning() {
        let mut world = Fake::default();
        let root = HostPath::from("/var/lib/kubelet");
        world.trust.insert(root.clone(), Trust::WritableItself { mode: 0o777 });
        let loose = Trust::Untrusted { path: root.clone(), mode: 0o777, uid: 0 };
        world.trust.insert(root.join("pod-resources"), loose);
        let found = answer(vec![kubelet_process(8, &["kubelet"], Some("/var/lib/kubelet"))], &world);
        assert_eq!(found.kubelet.unwrap().confidence, Confidence::Certain);
        assert_eq!(found.warnings.len(), 1);
    }

    #[test]
    fn the_settings_win_and_a_kubelet_that_contradicts_them_is_told() {
        let observed = Observed {
            processes: vec![kubelet_process(8, &["kubelet"], None)],
            settings: KubeletRoot::parse(b"/srv/kubelet").ok(),
            ..Observed::default()
        };
        let found = detect(observed, &Fake::default());
        let kubelet = found.kubelet.unwrap();
        assert_eq!(
            (kubelet.root_dir.to_string().as_str(), kubelet.confidence),
            ("/srv/kubelet", Confidence::Declared)
        );
        assert_eq!(found.evidence[0].source, Source::Settings);
        assert_eq!(found.warnings.len(), 1);
    }
}
