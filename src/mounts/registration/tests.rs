//! Pure: drivers that started before and after what is mounted over the kubelet's directories.

use super::*;
use crate::model::contract::{Claims, Registrar, View};
use crate::mounts::plugins::choose;
use crate::mounts::plugins::tests::*;

/// A host whose kubelet's root is /srv/k, and csihost's bridge to it.
const BRIDGED: &str = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
    21 20 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n\
    22 20 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 /dev/sda1 rw\n\
    23 20 8:1 /srv/k/plugins_registry /var/lib/kubelet/plugins_registry rw shared:1 - ext4 /dev/sda1 rw\n";

fn seen(host: &str, kubelet: Publisher, seats: &[Seat], registered: Option<&[&str]>) -> Vec<Registration> {
    let host = table(host);
    let registered =
        registered.map(|names| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>());
    let found = choose(seats, &host, &kubelet, registered.as_deref().unwrap_or_default()).into_iter();
    let found = found.map(|one| Plugin {
        seat: seats[one.seat].clone(),
        driver: one.driver,
        registration: one.registration,
        registrar: one.registrar.map(|at| Registrar { seat: seats[at].clone(), settled: true }),
        view: View::unseen(&kubelet.root),
    });
    let plugins =
        Plugins { found: found.collect(), registered, kubelet: Some(kubelet), ..Plugins::default() };
    registrations(&plugins, &host)
}

#[track_caller]
fn one(host: &str, root: &str, seats: &[Seat]) -> (Option<Registry>, Vec<String>) {
    let mut all = seen(host, publisher(root), seats, None);
    assert_eq!(all.len(), 1, "{all:#?}");
    let one = all.remove(0);
    (one.registry, one.covered.iter().map(ToString::to_string).collect())
}

/// The driver of csi-driver-host-path, its containers with these directories of the host.
fn driver(registrar_has: &[(&str, &str, &str)], driver_has: &[(&str, &str, &str)]) -> Vec<Seat> {
    let claims = [Claims {
        registry: Some(path("/registration")),
        ..registrar("/var/lib/kubelet/plugins/x.example/csi.sock")
    }];
    pod(500, "x", &[(&claims, container(registrar_has)), (&[server("x.example")], container(driver_has))])
}

fn of(root: &str) -> Vec<Seat> {
    let at = |name: &str| format!("{root}/{name}");
    let (csi, registry, pods) = (at("plugins/x.example"), at("plugins_registry"), at("pods"));
    driver(
        &[(&csi, "/csi", PRIVATE), (&registry, "/registration", PRIVATE)],
        &[(&csi, "/csi", PRIVATE), (&pods, "/var/lib/kubelet/pods", BIDIRECTIONAL)],
    )
}

#[test]
fn a_driver_that_registers_where_the_kubelet_looks_is_in_order() {
    assert_eq!(one(HOST, "/var/lib/kubelet", &of("/var/lib/kubelet")), (Some(Registry::Kubelet), vec![]));
    // After the bridge, a runtime binds what is seen at the standard path.
    assert_eq!(one(BRIDGED, "/srv/k", &of("/srv/k")), (Some(Registry::Kubelet), vec![]));
    assert_eq!(one(HOST, "/srv/k", &of("/srv/k")), (Some(Registry::Kubelet), vec![]));
}

#[test]
fn one_that_started_before_the_bridge_has_what_is_beneath() {
    let covered = ["/csi", "/registration", "/var/lib/kubelet/pods"].map(str::to_owned).to_vec();
    assert_eq!(one(BRIDGED, "/srv/k", &of("/var/lib/kubelet")), (Some(Registry::Covered), covered));
}

#[test]
fn the_bridge_that_propagates_to_its_pods_does_not_register_it() {
    // As it was seen: mounts that are Bidirectional got the bridge on top, the others did not.
    let registry = ("/var/lib/kubelet/plugins_registry", "/registration", PRIVATE);
    let csi = ("/var/lib/kubelet/plugins/x.example", "/csi", PRIVATE);
    let mut seats = driver(&[csi, registry], &[csi]);
    let more = "320 300 8:1 /var/lib/kubelet/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n\
        321 320 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n";
    let rows: Vec<_> = seats[1]
        .mounts
        .iter()
        .flat_map(|table| table.iter().cloned())
        .chain(table(more).iter().cloned())
        .collect();
    seats[1].mounts = Some(MountTable::new(rows));
    let covered = ["/csi", "/registration"].map(str::to_owned).to_vec();
    assert_eq!(one(BRIDGED, "/srv/k", &seats), (Some(Registry::Covered), covered));
}

#[test]
fn containers_that_were_made_at_different_times_are_each_looked_at() {
    let old = of("/var/lib/kubelet");
    let new = of("/srv/k");
    let half = [new[0].clone(), old[1].clone()];
    let covered = ["/csi", "/var/lib/kubelet/pods"].map(str::to_owned).to_vec();
    assert_eq!(one(BRIDGED, "/srv/k", &half), (Some(Registry::Kubelet), covered.clone()));
    let other = [old[0].clone(), new[1].clone()];
    let (registry, covered_too) = one(BRIDGED, "/srv/k", &other);
    assert_eq!(
        (registry, covered_too),
        (Some(Registry::Covered), vec!["/csi".to_owned(), "/registration".to_owned()])
    );
    // The registrar is not running at this moment.
    assert_eq!(one(BRIDGED, "/srv/k", &old[1..]), (None, covered));
}

#[test]
fn a_disk_that_was_mounted_over_the_root_afterwards_covers_too() {
    let host = format!("{HOST}21 20 8:2 / /var/lib/kubelet rw shared:2 - ext4 /dev/sdb rw\n");
    let covered = ["/csi", "/registration", "/var/lib/kubelet/pods"].map(str::to_owned).to_vec();
    assert_eq!(one(&host, "/var/lib/kubelet", &of("/var/lib/kubelet")), (Some(Registry::Covered), covered));
}

#[test]
fn the_whole_standard_path_from_before_shows_what_is_beneath() {
    let whole = [("/var/lib/kubelet", "/var/lib/kubelet", PRIVATE)];
    let socket = path("/var/lib/kubelet/plugins/x.example/csi.sock");
    let mut seats = driver(&whole, &whole);
    seats[0].claims[0].address = Some(socket.clone());
    seats[0].claims[0].registry = Some(path("/var/lib/kubelet/plugins_registry"));
    seats[1].claims[0].endpoint = Some(socket);
    let (registry, covered) = one(BRIDGED, "/srv/k", &seats);
    assert_eq!(registry, Some(Registry::Covered));
    assert_eq!(covered, ["/var/lib/kubelet/plugins/x.example", "/var/lib/kubelet/plugins_registry"]);
}

#[test]
fn a_registry_of_another_root_or_one_that_was_deleted_is_elsewhere() {
    let elsewhere = |root: &str, seats: &[Seat]| match one(HOST, root, seats) {
        (Some(Registry::Elsewhere { inside, host }), covered) => {
            assert_eq!((inside.to_string().as_str(), covered.len()), ("/registration", 0));
            host.map(|host| host.to_string())
        }
        other => panic!("{other:?}"),
    };
    // Without a bridge, and with a root that the driver believes in.
    let standard = "/var/lib/kubelet";
    assert_eq!(elsewhere("/srv/k", &of(standard)).as_deref(), Some("/var/lib/kubelet/plugins_registry"));
    let old = "/var/lib/rancher/k3s/agent/kubelet";
    assert_eq!(elsewhere(standard, &of(old)), Some(format!("{old}/plugins_registry")));
    let csi = ("/var/lib/kubelet/plugins/x.example", "/csi", PRIVATE);
    let pods = ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", BIDIRECTIONAL);
    let gone = ("/var/lib/kubelet/plugins_registry//deleted", "/registration", PRIVATE);
    elsewhere(standard, &driver(&[csi, gone], &[csi, pods]));
    // In the container's own file system.
    assert_eq!(elsewhere(standard, &driver(&[csi], &[csi, pods])), None);
}

#[test]
fn a_kubelet_in_a_container_is_held_against_its_own_mounts() {
    let rke = "/opt/rke/var/lib/kubelet";
    let mounts = container(&[(rke, "/var/lib/kubelet", BIDIRECTIONAL)]);
    let kubelet = || Publisher { mounts: Some(mounts.clone()), ..publisher("/var/lib/kubelet") };
    let registry = |seats: &[Seat]| seen(HOST, kubelet(), seats, None).remove(0).registry;
    assert_eq!(registry(&of(rke)), Some(Registry::Kubelet));
    assert!(matches!(registry(&of("/var/lib/kubelet")), Some(Registry::Elsewhere { .. })));
}

#[test]
fn the_registry_of_kubernetes_1_12_is_no_fault() {
    let csi = ("/var/lib/kubelet/plugins/x.example", "/csi", PRIVATE);
    let plugins = ("/var/lib/kubelet/plugins", "/registration", PRIVATE);
    let pods = ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", BIDIRECTIONAL);
    assert_eq!(one(HOST, "/var/lib/kubelet", &driver(&[csi, plugins], &[csi, pods])), (None, vec![]));
}

#[test]
fn a_socket_in_the_registry_may_have_a_name_that_no_argument_has() {
    let without = |seats: &[Seat], registered: Option<&[&str]>| -> Vec<bool> {
        let kubelet = publisher("/var/lib/kubelet");
        seen(HOST, kubelet, seats, registered).iter().map(|one| one.without_socket).collect()
    };
    let own = of("/var/lib/kubelet");
    assert_eq!(without(&own, None), [false]);
    assert_eq!(without(&own, Some(&["x.example"])), [false]);
    assert_eq!(without(&own, Some(&[])), [true]);
    assert_eq!(without(&nfs(), Some(&["nfs.csi.k8s.io"])), [false]);
    assert_eq!(without(&nfs(), Some(&["a.example", "b.example"])), [false]);
    // Of two drivers, one socket is one's.
    let two = [own, longhorn("/var/lib/kubelet")].concat();
    assert_eq!(without(&two, Some(&["driver.longhorn.io"])), [true, false]);
    assert_eq!(without(&two, Some(&["driver.longhorn.io", "x.example"])), [false, false]);
}
