//! Pure: the two checks of drivers that the kubelet cannot find.

use super::*;
use crate::model::contract::{
    Claims, Contract, Owner, Plugin, PodName, Propagation, Publisher, Registrar, Seat, Seen, View,
};
use crate::mounts::mountinfo;

const POD: &str = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";
const ROOT: &str = "/srv/k";
const BRIDGED: &str = "20 1 8:1 / / rw shared:1 - ext4 x rw\n\
    21 20 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n\
    22 20 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 x rw\n\
    23 20 8:1 /srv/k/plugins_registry /var/lib/kubelet/plugins_registry rw shared:1 - ext4 x rw\n";

/// A bridged host with a driver whose containers have `csi` and `registry`, and whose contract holds.
fn with_driver(csi: &str, registry: &str) -> Host {
    let mut host = healthy();
    host.kubelet(Distribution::Kubelet, ROOT, "v1.36.2");
    host.facts.mounts = mountinfo::parse(BRIDGED.as_bytes()).unwrap();
    let root = KubeletRoot::parse(ROOT.as_bytes()).unwrap();
    let seat = |pid, claims: Claims, rows: &str| Seat {
        pid,
        claims: vec![claims],
        owner: Owner { pod: Some(POD.to_owned()), ..Owner::default() },
        mounts: Some(
            mountinfo::parse(format!("300 299 0:60 / / rw - overlay overlay rw\n{rows}").as_bytes()).unwrap(),
        ),
        ..Seat::default()
    };
    let socket = Some(path("/csi/csi.sock"));
    let of_csi = format!("310 300 8:1 {csi} /csi rw - ext4 x rw\n");
    let registrar = Registrar {
        seat: seat(
            7,
            Claims { address: socket.clone(), registry: Some(path("/registration")), ..Claims::default() },
            &format!("{of_csi}311 300 8:1 {registry} /registration rw - ext4 x rw\n"),
        ),
        settled: true,
    };
    let pods = "312 300 8:1 /srv/k/pods /srv/k/pods rw shared:1 - ext4 x rw\n";
    let plugin = Plugin {
        seat: seat(8, Claims { endpoint: socket, ..Claims::default() }, &format!("{of_csi}{pods}")),
        driver: Some(b"x.example".to_vec()),
        registration: Some(path("/var/lib/kubelet/plugins/x.example/csi.sock")),
        registrar: Some(registrar),
        view: View::unseen(&root),
    };
    let contract = Contract {
        pod: Some(POD.to_owned()),
        container: None,
        driver: plugin.driver.clone(),
        pid: 8,
        kubelet_path: root.clone(),
        seen: Seen::Same,
        propagation: Propagation::Bidirectional,
        holds: true,
        remedy: None,
    };
    host.facts.plugins.kubelet = Some(Publisher::unseen(root));
    host.facts.plugins.found = vec![plugin];
    host.facts.plugins.registered = Some(vec![b"x.example".to_vec()]);
    host.facts.contracts = vec![contract];
    let pod = PodName { namespace: "storage".to_owned(), name: "x-node-x7k2p".to_owned() };
    host.facts.pod_names.insert(POD.to_owned(), pod);
    host
}

const RESTART: &str = "run kubectl rollout restart daemonset/x-node -n storage";

#[test]
fn a_driver_that_started_before_the_bridge_fails_though_its_contract_holds() {
    let host = with_driver("/var/lib/kubelet/plugins/x.example", "/var/lib/kubelet/plugins_registry");
    assert_eq!(host.find("path-contract").unwrap().status, CheckStatus::Pass);
    for (id, detail) in [
        ("driver-not-registered", "driver name x.example not found in the list of registered CSI drivers"),
        (
            "driver-before-bridge",
            "the containers of x.example still have the directories beneath at /csi, /registration",
        ),
    ] {
        let finding = host.find(id).unwrap();
        assert_eq!((finding.status, finding.remedy.as_str()), (Fail, RESTART), "{finding:?}");
        assert!(finding.detail.contains(detail), "{finding:?}");
    }
    assert!(!ready(&host.findings()));
}

#[test]
fn after_its_restart_both_pass() {
    let host = with_driver("/srv/k/plugins/x.example", "/srv/k/plugins_registry");
    for id in ["driver-not-registered", "driver-before-bridge"] {
        assert_eq!(host.find(id).unwrap().status, CheckStatus::Pass, "{id}");
    }
    // No driver, nothing to say.
    assert_eq!(healthy().find("driver-not-registered"), None);
    assert_eq!(healthy().find("driver-before-bridge"), None);
}

#[test]
fn an_apply_is_the_remedy_only_where_it_builds_a_bridge() {
    let standard = "/var/lib/kubelet/plugins_registry";
    let mut host = with_driver("/var/lib/kubelet/plugins/x.example", standard);
    host.facts.mounts = mountinfo::parse(b"20 1 8:1 / / rw shared:1 - ext4 x rw\n").unwrap();
    let remedy = |host: &Host| host.find("driver-not-registered").unwrap().remedy;
    let apply =
        format!("run csihost apply, which mounts /srv/k/plugins_registry at {standard}; then {RESTART}");
    assert_eq!(remedy(&host), apply);
    let by_setting = format!("let the driver register in /srv/k/plugins_registry in place of {standard}");
    // A file that somebody keeps there.
    let place = path("/var/lib/kubelet/plugins");
    let there = DirFact::Directory { canonical: place.clone(), entries: vec![b"notes".to_vec()] };
    host.facts.dirs.insert(place, there);
    let refused = remedy(&host);
    assert!(
        refused.starts_with("follow the remedy of the check bridge") && refused.contains(&by_setting),
        "{refused}"
    );
    host.settings.bridge.enabled = false;
    assert!(remedy(&host).starts_with(&by_setting), "{}", remedy(&host));
}

#[test]
fn a_socket_that_is_missing_is_waited_for_a_minute() {
    let mut host = with_driver("/srv/k/plugins/x.example", "/srv/k/plugins_registry");
    host.facts.plugins.registered = Some(Vec::new());
    let finding = host.find("driver-not-registered").unwrap();
    assert_eq!((finding.status, finding.remedy.as_str()), (Fail, RESTART), "{finding:?}");
    assert!(finding.detail.contains("has made no socket in /srv/k/plugins_registry;"), "{finding:?}");
    host.facts.plugins.found[0].registrar.as_mut().unwrap().settled = false;
    assert_eq!(host.find("driver-not-registered").unwrap().status, Warn);
}

#[test]
fn before_the_bridge_and_with_a_wrong_root_the_remedy_is_another_one() {
    let mut host = with_driver("/var/lib/kubelet/plugins/x.example", "/var/lib/kubelet/plugins_registry");
    host.facts.mounts = mountinfo::parse(BRIDGED.split_inclusive('\n').next().unwrap().as_bytes()).unwrap();
    let finding = host.find("driver-not-registered").unwrap();
    assert!(finding.remedy.starts_with("run csihost apply, which mounts"), "{finding:?}");
    assert!(finding.remedy.ends_with(&format!("then {RESTART}")), "{finding:?}");

    let mut host = with_driver("/old/plugins/x.example", "/old/plugins_registry");
    let finding = host.find("driver-not-registered").unwrap();
    assert!(finding.remedy.contains("register in /srv/k/plugins_registry in place of /old/plugins_registry"));
    (host.facts.contracts[0].holds, host.facts.contracts[0].remedy) = (false, Some("set x".to_owned()));
    assert_eq!(host.find("driver-not-registered").unwrap().remedy, "set x");
}
