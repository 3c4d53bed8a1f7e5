//! Tests of what a bridge would hide: data, sockets, mounts and another kubelet.

use super::*;
use crate::model::contract::{Claims, Plugin, Publisher, Registrar, Seat, View};

fn with_survey(survey: Survey) -> Facts {
    let mut facts = facts(ROOT, SHARED, &["/var/lib/kubelet/plugins"]);
    facts.surveys.insert(path("/var/lib/kubelet/plugins"), Survey { complete: true, ..survey });
    facts
}

#[test]
fn a_false_tree_of_empty_directories_is_bridged_over() {
    assert!(matches!(decided(&with_survey(Survey::default())), Decision::Build(_)));
    let mut unfinished = with_survey(Survey::default());
    unfinished.surveys.values_mut().for_each(|survey| survey.complete = false);
    assert_eq!(refused(&unfinished), ["bridge-hides-data"]);
}

#[test]
fn a_false_tree_in_which_plugins_listen_is_bridged_over_and_said() {
    let sockets = vec![path("/var/lib/kubelet/plugins/driver.longhorn.io/csi.sock")];
    let facts = with_survey(Survey { sockets: sockets.clone(), ..Survey::default() });
    let Decision::Build(bridge) = decided(&facts) else { panic!() };
    let covers: Vec<_> = bridge.spans.iter().map(|span| span.covers.clone()).collect();
    assert_eq!(covers, [vec![], sockets]);
    let reasons: Vec<String> = bridge.spans.iter().map(Span::reason).collect();
    assert!(!reasons[0].contains("hides"), "{}", reasons[0]);
    assert!(
        reasons[1].contains("this hides /var/lib/kubelet/plugins/driver.longhorn.io/csi.sock"),
        "{}",
        reasons[1]
    );
}

#[test]
fn sockets_are_covered_only_where_drivers_make_them() {
    let at = |name: &str, socket: &str| {
        let mut facts = facts(ROOT, SHARED, &[]);
        let place = path(STANDARD_PATH).join(name);
        let there = DirFact::Directory { canonical: place.clone(), entries: vec![b"x".to_vec()] };
        facts.dirs.insert(place.clone(), there);
        let sockets = vec![place.join(socket)];
        facts.surveys.insert(place, Survey { complete: true, sockets, ..Survey::default() });
        match decide(&facts, &[name]) {
            Decision::Refused(refused) => refused[0].id,
            Decision::Build(_) => "built",
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(at("plugins", "x.example/csi.sock"), "built");
    assert_eq!(at("plugins_registry", "x.example-reg.sock"), "built");
    assert_eq!(at("plugins/x.example", "csi.sock"), "built");
    // A socket in a pod's directory is in a volume of the pod; device plugins and readers of
    // pod-resources connect to the kubelet's own.
    assert_eq!(at("pods", "0b8d/volumes/kubernetes.io~empty-dir/v/x.sock"), "bridge-hides-data");
    assert_eq!(at("device-plugins", "nvidia.sock"), "bridge-hides-data");
    assert_eq!(at("plugins", "kubelet.sock"), "bridge-hides-data");
}

#[test]
fn with_sockets_one_other_file_or_an_unfinished_look_still_refuses() {
    let sockets = || vec![path("/var/lib/kubelet/plugins/x.example/csi.sock")];
    let others = vec![path("/var/lib/kubelet/plugins/kubernetes.io/csi/x/vol_data.json")];
    let facts = with_survey(Survey { sockets: sockets(), others, ..Survey::default() });
    let Decision::Refused(all) = decided(&facts) else { panic!() };
    assert_eq!(all[0].id, "bridge-hides-data");
    // What could be covered is not in the way.
    let what = "/var/lib/kubelet/plugins/kubernetes.io/csi/x/vol_data.json";
    assert_eq!(all[0].reason, format!("it holds {what}, which a mount would hide"));
    let mut unfinished = with_survey(Survey { sockets: sockets(), ..Survey::default() });
    unfinished.surveys.values_mut().for_each(|survey| survey.complete = false);
    assert_eq!(refused(&unfinished), ["bridge-hides-data"]);
    let mounts = format!("{SHARED}2 1 0:77 / /var/lib/kubelet/plugins/x rw shared:7 - tmpfs t rw\n");
    let mut mounted = with_survey(Survey { sockets: sockets(), ..Survey::default() });
    mounted.mounts = mountinfo::parse(mounts.as_bytes()).unwrap();
    assert_eq!(refused(&mounted), ["bridge-hides-mounts"]);
}

#[test]
fn sockets_for_another_kubelet_are_not_covered_even_where_a_part_of_the_bridge_is_there() {
    let sockets = vec![path("/var/lib/kubelet/plugins/x.example/csi.sock")];
    let with_pods = format!("{SHARED}2 1 8:1 {ROOT}/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n");
    for mounts in [SHARED, &with_pods] {
        let mut facts = with_survey(Survey { sockets: sockets.clone(), ..Survey::default() });
        facts.mounts = mountinfo::parse(mounts.as_bytes()).unwrap();
        assert!(matches!(decided(&facts), Decision::Build(_)));
        let state = path(STANDARD_PATH).join("cpu_manager_state");
        facts.files.insert(state, crate::model::file::FileFact::Special);
        assert_eq!(refused(&facts), ["bridge-other-kubelet"], "{mounts}");
    }
}

#[test]
fn data_of_volumes_on_the_nodes_disk_is_told_before_all_else() {
    let volume = "/var/lib/kubelet/plugins/0b8d/volumes/kubernetes.io~csi/pvc-1/mount";
    let facts = with_survey(Survey {
        volumes: vec![path(volume)],
        others: vec![path("/var/lib/kubelet/plugins/x")],
        ..Survey::default()
    });
    let Decision::Refused(all) = decided(&facts) else { panic!() };
    assert_eq!(all[0].id, "bridge-hides-volumes");
    assert!(all[0].reason.contains(volume) && all[0].remedy.contains("find "), "{:?}", all[0]);
}

#[test]
fn what_is_mounted_below_is_not_hidden() {
    let mounts = format!("{SHARED}2 1 0:77 / /var/lib/kubelet/plugins/x rw shared:7 - tmpfs t rw\n");
    let mut facts = with_survey(Survey::default());
    facts.mounts = mountinfo::parse(mounts.as_bytes()).unwrap();
    assert_eq!(refused(&facts), ["bridge-hides-mounts"]);
}

/// The directory of a kubelet that listens there.
fn listening(canonical: HostPath) -> DirFact {
    DirFact::Directory { canonical, entries: vec![b"kubelet.sock".to_vec()] }
}

#[test]
fn the_root_of_another_kubelet_is_refused_by_its_state() {
    for name in ["pod-resources", "cpu_manager_state"] {
        let mut facts = facts(ROOT, SHARED, &[]);
        let canonical = path(STANDARD_PATH).join(name);
        match name {
            "pod-resources" => drop(facts.dirs.insert(canonical.clone(), listening(canonical))),
            _ => drop(facts.files.insert(canonical, crate::model::file::FileFact::Special)),
        }
        assert_eq!(refused(&facts), ["bridge-other-kubelet"], "{name}");
    }
}

#[test]
fn a_kubelet_that_is_so_old_that_it_listens_below_the_standard_path_is_no_other_one() {
    let mut facts = facts(ROOT, SHARED, &[]);
    let (there, own) = (path(STANDARD_PATH).join("pod-resources"), path(ROOT).join("pod-resources"));
    facts.dirs.insert(there.clone(), listening(there.clone()));
    facts.dirs.insert(own.clone(), DirFact::Absent { canonical: own });
    assert!(matches!(decided(&facts), Decision::Build(_)));
    // Where none runs, nobody is known to be so old.
    facts.detection.kubelet.as_mut().unwrap().pid = None;
    assert_eq!(refused(&facts), ["bridge-other-kubelet"]);
    // An empty directory is what a mount point leaves behind.
    facts.dirs.insert(there.clone(), DirFact::Directory { canonical: there, entries: Vec::new() });
    assert!(matches!(decided(&facts), Decision::Build(_)));
}

/// A bridge of `plugins` over a socket of x.example, which registers it in the directory `registry` of the host.
fn over_a_registered_socket(registry: &str) -> Decision {
    let socket = path("/var/lib/kubelet/plugins/x.example/csi.sock");
    let mut facts = with_survey(Survey { sockets: vec![socket.clone()], ..Survey::default() });
    let rows = format!(
        "300 299 0:60 / / rw - overlay overlay rw\n310 300 8:1 {registry} /registration rw - ext4 /dev/sda1 rw\n"
    );
    let claims = Claims { registry: Some(path("/registration")), ..Claims::default() };
    let seat = Seat {
        claims: vec![claims],
        mounts: Some(mountinfo::parse(rows.as_bytes()).unwrap()),
        ..Seat::default()
    };
    let root = KubeletRoot::parse(ROOT.as_bytes()).unwrap();
    let plugin = Plugin {
        seat: Seat::default(),
        driver: Some(b"x.example".to_vec()),
        registration: Some(socket),
        registrar: Some(Registrar { seat, settled: true }),
        view: View::unseen(&root),
    };
    facts.plugins = Plugins {
        found: vec![plugin],
        registered: Some(vec![b"x.example".to_vec()]),
        kubelet: Some(Publisher::unseen(root)),
        ..Plugins::default()
    };
    decided(&facts)
}

#[test]
fn a_socket_by_which_the_kubelet_reaches_a_driver_is_not_hidden() {
    let own = format!("{ROOT}/plugins_registry");
    let Decision::Refused(refused) = over_a_registered_socket(&own) else { panic!() };
    assert_eq!(refused[0].id, "bridge-hides-driver");
    assert!(refused[0].reason.contains("x.example by /var/lib/kubelet/plugins/x.example/csi.sock"));
    assert!(refused[0].remedy.contains(&format!("root {ROOT} in x.example")), "{}", refused[0].remedy);
    // At first contact the registration is in the tree that no kubelet uses, too.
    let beneath = over_a_registered_socket("/var/lib/kubelet/plugins_registry");
    assert!(matches!(beneath, Decision::Build(_)), "{beneath:?}");
}
