//! Tests of gates: what is remembered, and what the agent opens and closes.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use super::*;
use crate::model::contract::{Claims, Owner, Propagation, Publisher, Seat, Seen, View};
use crate::mounts::mountinfo;

const HOST: &str = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
    21 20 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n\
    22 20 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 /dev/sda1 rw\n";
const GATE: &str = "23 22 0:93 / /var/lib/kubelet/plugins/x.example ro shared:9 - tmpfs csihost-gate ro\n";
const PLUGIN: &str = "300 299 0:60 / / rw - overlay overlay rw\n\
    301 300 8:1 /srv/k/plugins/x.example /csi rw - ext4 /dev/sda1 rw\n\
    302 300 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n";

const DIRECTORY: &str = "/var/lib/kubelet/plugins/x.example";

fn gate() -> Gate {
    let directory = HostPath::from(DIRECTORY);
    Gate { driver: "x.example".to_owned(), directory }
}

fn settings(text: &str) -> Settings {
    crate::settings::parse([("csihost.toml", text.as_bytes())]).unwrap()
}

fn graft_it() -> Settings {
    settings("[contract]\ndrivers = [\"x.example\"]\nrepair = \"graft\"\n")
}

/// A bridged node with one plugin that registers below `registered`.
fn node(registered: &str, holds: bool, host: &str) -> Facts {
    let root = KubeletRoot::parse(b"/srv/k").unwrap();
    let view = View::unseen(&root);
    let path = |text: &str| HostPath::parse(text.as_bytes()).unwrap();
    let claims = Claims { endpoint: Some(path("/csi/csi.sock")), ..Claims::default() };
    let seat = Seat {
        pid: 7,
        owner: Owner { container: Some("c".to_owned()), ..Owner::default() },
        claims: vec![claims],
        mounts: Some(mountinfo::parse(PLUGIN.as_bytes()).unwrap()),
        ..Seat::default()
    };
    let driver = Some(b"x.example".to_vec());
    let registration = Some(path(&format!("{registered}/plugins/x.example/csi.sock")));
    let mut facts = Facts::new(Mode::Live, Init::Systemd);
    facts.mounts = mountinfo::parse(host.as_bytes()).unwrap();
    facts.plugins.kubelet = Some(Publisher { view: view.clone(), ..Publisher::unseen(root.clone()) });
    facts.plugins.found = vec![Plugin { seat, driver: driver.clone(), registration, registrar: None, view }];
    facts.contracts = vec![Contract {
        pod: None,
        container: None,
        driver,
        pid: 7,
        kubelet_path: root,
        seen: if holds { Seen::Same } else { Seen::Absent },
        propagation: Propagation::Bidirectional,
        holds,
        remedy: None,
    }];
    facts
}

#[test]
fn a_driver_that_is_grafted_has_a_gate_and_no_other() {
    let standard = "/var/lib/kubelet";
    for holds in [true, false] {
        assert_eq!(gates(&node(standard, holds, HOST), &graft_it()), [gate()], "{holds}");
    }
    // Registered by the kubelet's own root, and in order: nothing was grafted.
    let right = node("/srv/k", true, HOST);
    assert!(gates(&Facts { gates: vec![gate()], ..right }, &graft_it()).is_empty());
    let other = settings("[contract]\ndrivers = [\"y.example\"]\nrepair = \"graft\"\n");
    assert!(gates(&node(standard, false, HOST), &other).is_empty());
    let report = settings("[contract]\ndrivers = [\"x.example\"]\nrepair = \"report\"\n");
    let known = |facts: Facts| Facts { gates: vec![gate()], ..facts };
    assert!(gates(&known(node(standard, true, HOST)), &report).is_empty());
    // Closed, it is still the same; and it is not forgotten while the plugin, or systemd, is away.
    let closed = format!("{HOST}{GATE}");
    assert_eq!(gates(&known(node(standard, true, &closed)), &graft_it()), [gate()]);
    let mut away = known(node(standard, true, &closed));
    away.plugins.found.clear();
    away.contracts.clear();
    assert_eq!(gates(&away, &graft_it()), [gate()]);
    away.init = Init::Unreachable("no bus".to_owned());
    assert_eq!(gates(&away, &graft_it()), [gate()]);
}

#[test]
fn a_gate_opens_when_the_driver_is_grafted_and_closes_when_nobody_grafts_it() {
    let closed = format!("{HOST}{GATE}");
    let node = |holds, table| Facts { gates: vec![gate()], ..node("/var/lib/kubelet", holds, table) };
    let moved = |facts: &Facts, connected, before: &[&str]| {
        let before = before.iter().map(|path| HostPath::parse(path.as_bytes()).unwrap()).collect();
        let changes = changes(facts, &graft_it(), connected, &before);
        (changes.open.len(), changes.close.len(), changes.violated.len())
    };
    assert_eq!(moved(&node(true, &closed), true, &[]), (1, 0, 0));
    assert_eq!(moved(&node(true, &closed), false, &[]), (0, 0, 0));
    assert_eq!(moved(&node(false, &closed), true, &[DIRECTORY]), (0, 0, 1));
    assert_eq!(moved(&node(true, HOST), true, &[]), (0, 0, 0));
    assert_eq!(moved(&node(true, HOST), false, &[]), (0, 1, 0));
    // One that only just started closes nothing; one that stays as it is does.
    assert_eq!(moved(&node(false, HOST), true, &[]), (0, 0, 1));
    assert_eq!(moved(&node(false, HOST), true, &[DIRECTORY]), (0, 1, 1));
    // Another plugin, which the settings name by its namespace, in the same directory.
    let named =
        Facts { gates: vec![Gate { driver: "other.example".to_owned(), ..gate() }], ..node(false, &closed) };
    assert_eq!(moved(&named, true, &[]), (0, 0, 1));
    let mut without = node(true, &closed);
    without.plugins.kubelet = None;
    assert_eq!(moved(&without, true, &[]), (0, 0, 0));
}
