//! Pure: tests of how the evidence is weighed.

use super::fake::Fake;
use super::*;
use crate::model::file::{FileId, Trust};
use crate::model::kubelet::{
    Confidence, Declaration, Detection, Distribution, KubeletRoot, Rejection, RejectionReason, Source, Unread,
};
use crate::model::mount::{Device, Mount, MountTable};
use crate::model::path::HostPath;
use crate::model::process::{Listener, Process};
use crate::model::unit::UnitName;

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
    let found = answer(vec![kubelet_process(8, &["kubelet", "--root-dir=/tmp/k"], Some("/tmp/k"))], &world);
    assert_eq!(found.kubelet, None);
    assert_eq!(found.rejected.len(), 1);
    assert!(found.rejected[0].detail.contains("/tmp (mode 1777)"));

    let found = answer(vec![kubelet_process(8, &["kubelet", "--root-dir=kubelet"], None)], &Fake::default());
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

fn root(text: &str) -> KubeletRoot {
    KubeletRoot::parse(text.as_bytes()).unwrap()
}

fn id(inode: u64) -> FileId {
    FileId { device: Device { major: 254, minor: 0 }, inode }
}

fn declaration(distribution: Distribution, path: &str, confidence: Confidence) -> Declaration {
    Declaration {
        distribution,
        source: Source::ConfigFile,
        root: root(path),
        confidence,
        unit: None,
        volume_plugin_dir: None,
    }
}

fn volumes_below(path: &str) -> MountTable {
    let uid = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";
    MountTable::new(vec![Mount {
        id: 1,
        parent: 0,
        device: Device { major: 0, minor: 40 },
        root: b"/".to_vec(),
        point: format!("{path}/pods/{uid}/volumes/kubernetes.io~secret/s").into_bytes(),
        shared: None,
        master: None,
        propagate_from: None,
        unbindable: false,
        options: Vec::new(),
        fs_type: b"tmpfs".to_vec(),
        source: b"tmpfs".to_vec(),
    }])
}

fn sources(found: &Detection) -> Vec<(Source, Option<&'static str>)> {
    found.evidence.iter().map(|evidence| (evidence.source, evidence.applies)).collect()
}

#[test]
fn arguments_with_watches_or_with_volume_mounts_are_certain() {
    let mut watching = kubelet_process(8, &["kubelet", "--root-dir", "/srv/kubelet"], None);
    watching.watches = vec![id(1), id(7)];
    for name in ["plugins_registry", "plugins"] {
        let mut world = Fake::default();
        world.ids.insert(HostPath::from("/srv/kubelet").join(name), id(7));
        let found = answer(vec![watching.clone()], &world);
        assert_eq!(found.kubelet.as_ref().unwrap().confidence, Confidence::Certain);
        assert_eq!(found.evidence[1].source, Source::InotifyWatch);
    }
    let mut world = Fake { mounts: volumes_below("/srv/kubelet"), ..Fake::default() };
    let found = answer(vec![watching.clone()], &world);
    assert_eq!(found.kubelet.unwrap().confidence, Confidence::Certain);
    // The kernel shows mounts below the directory that a link in the root names.
    world.mounts = volumes_below("/data/kubelet");
    assert_eq!(answer(vec![watching.clone()], &world).kubelet.unwrap().confidence, Confidence::Observed);
    world.links.insert(HostPath::from("/srv/kubelet"), HostPath::from("/data/kubelet"));
    let found = answer(vec![watching], &world);
    let kubelet = found.kubelet.unwrap();
    assert_eq!((kubelet.root_dir, kubelet.confidence), (root("/srv/kubelet"), Confidence::Certain));
}

#[test]
fn stale_volumes_and_the_watches_of_others_contradict_nothing() {
    let mut process = kubelet_process(8, &["kubelet"], Some("/var/lib/kubelet"));
    process.watches = vec![id(99)];
    let mut world = Fake { mounts: volumes_below("/srv/old"), ..Fake::default() };
    world.ids.insert(HostPath::from("/var/lib/kubelet/plugins_registry"), id(7));
    let found = answer(vec![process], &world);
    assert_eq!(found.kubelet.unwrap().confidence, Confidence::Certain);
    assert_eq!(found.conflict, None);
}

#[test]
fn an_embedded_kubelet_that_does_not_listen_is_known_by_what_it_watches() {
    let mut k3s = kubelet_process(8, &["/usr/local/bin/k3s server"], None);
    k3s.watches = vec![id(7)];
    let mut world = Fake::default();
    // A bridge: one directory with two names. What configuration says is tried first.
    world.ids.insert(HostPath::from("/var/lib/kubelet/plugins_registry"), id(7));
    world.ids.insert(HostPath::from("/srv/kubelet/plugins_registry"), id(7));
    let declarations = vec![declaration(Distribution::K3s, "/srv/kubelet", Confidence::Declared)];
    let observed = Observed { processes: vec![k3s.clone()], declarations, ..Observed::default() };
    let kubelet = detect(observed, &world).kubelet.unwrap();
    assert_eq!((kubelet.root_dir, kubelet.confidence), (root("/srv/kubelet"), Confidence::Observed));
    let found = answer(vec![k3s], &world);
    assert_eq!(found.kubelet.unwrap().root_dir, KubeletRoot::standard());
}

#[test]
fn what_the_kernel_says_of_a_socket_counts_and_not_the_text_of_proc() {
    let mut process = kubelet_process(8, &["kubelet", "--root-dir=/srv/kubelet"], Some("/forged"));
    let name = b"/srv/kubelet/pod-resources/123".to_vec();
    process.listeners = Some(vec![Listener { name, file: Some(id(0x0000_0007)) }]);
    let socket = HostPath::from("/srv/kubelet/pod-resources/kubelet.sock");
    let mut world = Fake::default();
    // Of the inode's number 32 bits are told.
    world.ids.insert(socket.clone(), id(0x5_0000_0007));
    let found = answer(vec![process.clone()], &world);
    assert_eq!(found.kubelet.unwrap().confidence, Confidence::Certain);

    world.ids.insert(socket, id(8));
    let found = answer(vec![process.clone()], &world);
    assert_eq!(found.kubelet.unwrap().confidence, Confidence::Observed);
    assert!(found.rejected[0].detail.contains("another socket"), "{:?}", found.rejected);
    world.overlay = true;
    assert_eq!(answer(vec![process], &world).kubelet.unwrap().confidence, Confidence::Certain);
}

#[test]
fn without_a_running_kubelet_the_best_declaration_answers() {
    let declarations = vec![
        declaration(Distribution::K0s, "/srv/k0s/kubelet", Confidence::Declared),
        declaration(Distribution::K0s, "/var/lib/k0s/kubelet", Confidence::Assumed),
    ];
    let world = Fake { there: vec![HostPath::from("/var/lib/kubelet/cpu_manager_state")], ..Fake::default() };
    let found = detect(Observed { declarations, ..Observed::default() }, &world);
    let kubelet = found.kubelet.as_ref().unwrap();
    assert_eq!(
        (&kubelet.root_dir, kubelet.confidence, kubelet.distribution, kubelet.pid),
        (&root("/srv/k0s/kubelet"), Confidence::Declared, Distribution::K0s, None)
    );
    assert_eq!(sources(&found)[0], (Source::StateFiles, None));
}

#[test]
fn two_distributions_that_would_use_different_roots_are_a_conflict() {
    let declarations = vec![
        declaration(Distribution::K0s, "/var/lib/k0s/kubelet", Confidence::Declared),
        declaration(Distribution::K3s, "/var/lib/kubelet", Confidence::Assumed),
    ];
    let found =
        detect(Observed { declarations: declarations.clone(), ..Observed::default() }, &Fake::default());
    let conflict = found.conflict.unwrap();
    assert_eq!((found.kubelet, conflict.values.len()), (None, 2));
    assert_eq!(
        conflict.explanation,
        "no kubelet runs; k0s would use /var/lib/k0s/kubelet; k3s would use /var/lib/kubelet"
    );
    // One that runs decides; the other is for its next start.
    let processes = vec![kubelet_process(8, &["/usr/local/bin/k3s server"], Some("/var/lib/kubelet"))];
    let found = detect(Observed { processes, declarations, ..Observed::default() }, &Fake::default());
    assert_eq!((found.kubelet.as_ref().unwrap().pid, &found.conflict), (Some(8), &None));
    assert_eq!(
        sources(&found),
        [
            (Source::PodResourcesSocket, None),
            (Source::ConfigFile, Some("next-start")),
            (Source::ConfigFile, None)
        ]
    );
}

#[test]
fn a_tree_counts_only_with_what_a_kubelet_alone_writes() {
    let there = |paths: &[&'static str]| Fake {
        there: paths.iter().map(|&path| HostPath::from(path)).collect(),
        ..Fake::default()
    };
    let stopped = |world: &Fake| detect(Observed::default(), world);
    let false_tree = there(&["/var/lib/kubelet", "/var/lib/kubelet/pods", "/var/lib/kubelet/pki"]);
    assert_eq!(stopped(&false_tree), Detection::default());
    let found = stopped(&there(&["/var/lib/kubelet/pods", "/var/data/kubelet/memory_manager_state"]));
    let kubelet = found.kubelet.unwrap();
    assert_eq!((kubelet.root_dir, kubelet.confidence), (root("/var/data/kubelet"), Confidence::Assumed));

    let unread = vec![Unread { path: "http://x".into(), error: "it is a URL".into() }];
    let world = there(&["/var/lib/kubelet/cpu_manager_state"]);
    let found = detect(Observed { unread, undecided: true, ..Observed::default() }, &world);
    assert_eq!((found.kubelet, found.evidence.len(), found.unread.len()), (None, 1, 1));

    // MicroK8s links the standard path to its root: one directory, and the string is the target's.
    let microk8s = HostPath::from("/var/snap/microk8s/common/var/lib/kubelet");
    let mut world =
        there(&["/var/lib/kubelet/pod-resources", "/var/snap/microk8s/common/var/lib/kubelet/pod-resources"]);
    assert_eq!(stopped(&world).conflict.unwrap().values.len(), 2);
    world.links.insert(HostPath::from("/var/lib/kubelet"), microk8s.clone());
    assert_eq!(stopped(&world).kubelet.unwrap().root_dir.as_path(), &microk8s);
}

#[test]
fn nothing_stands_in_for_a_root_that_was_refused() {
    let mut world = Fake { there: vec![HostPath::from("/var/lib/kubelet/pod-resources")], ..Fake::default() };
    let tmp = Trust::Untrusted { path: HostPath::from("/tmp"), mode: 0o1777, uid: 0 };
    world.trust.insert(HostPath::from("/tmp/k"), tmp);
    for observed in [
        Observed {
            processes: vec![kubelet_process(8, &["kubelet", "--root-dir=/tmp/k"], None)],
            ..Observed::default()
        },
        Observed {
            declarations: vec![declaration(Distribution::K3s, "/tmp/k", Confidence::Declared)],
            ..Observed::default()
        },
        Observed { settings: Some(root("/tmp/k")), ..Observed::default() },
    ] {
        let found = detect(observed, &world);
        assert_eq!((found.kubelet, found.conflict), (None, None));
        assert_eq!(found.rejected[0].reason, RejectionReason::UntrustedPath);
    }
}

#[test]
fn one_string_for_two_directories_is_a_conflict() {
    let mut world = Fake::default();
    world.elsewhere.insert(9, HostPath::from("/srv/container/kubelet"));
    let two = vec![
        kubelet_process(8, &["kubelet"], Some("/var/lib/kubelet")),
        kubelet_process(9, &["kubelet"], Some("/var/lib/kubelet")),
    ];
    let found = answer(two, &world);
    let explanation = found.conflict.unwrap().explanation;
    assert!(explanation.contains("on the host these are /srv/container/kubelet and /var/lib/kubelet"));
}

#[test]
fn no_more_than_twenty_rejections_are_listed_and_the_likeliest_first() {
    let reject = |pid, reason| Rejection { pid: Some(pid), reason, detail: String::new() };
    let mut rejected: Vec<_> = (0..50).map(|pid| reject(pid, RejectionReason::NotAKubelet)).collect();
    rejected.push(reject(99, RejectionReason::NestedPidNamespace));
    let found = detect(Observed { rejected, ..Observed::default() }, &Fake::default());
    assert_eq!((found.rejected.len(), found.unlisted, found.rejected[0].pid), (20, 31, Some(99)));
}
