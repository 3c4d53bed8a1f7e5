//! Pure: containers as the drivers' own manifests make them, and which of them is the plugin.

use super::*;
use crate::model::contract::Owner;
use crate::model::kubelet::KubeletRoot;
use crate::mounts::mountinfo::parse;
use std::fmt::Write as _;

/// Where the kubelet's directories are on the host of these tests, as on most: on its one file
/// system, which is peer group 1.
pub(in crate::mounts) const HOST: &str = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n";
pub(in crate::mounts) const BIDIRECTIONAL: &str = "shared:1 ";
pub(in crate::mounts) const HOST_TO_CONTAINER: &str = "master:1 ";
pub(in crate::mounts) const PRIVATE: &str = "";

const UID: &str = "f3412c75-4ac7-4fcd-b1ed-b700bcf08552";

pub(in crate::mounts) fn path(text: &str) -> HostPath {
    HostPath::parse(text.as_bytes()).unwrap()
}

pub(in crate::mounts) fn table(text: &str) -> MountTable {
    parse(text.as_bytes()).unwrap()
}

pub(in crate::mounts) fn publisher(root: &str) -> Publisher {
    Publisher::unseen(KubeletRoot::parse(root.as_bytes()).unwrap())
}

/// The mounts of a container: what the runtime and the kubelet give to all, then directories of the
/// host at a point, with their tags.
pub(in crate::mounts) fn container(binds: &[(&str, &str, &str)]) -> MountTable {
    let mut text = format!(
        "300 299 0:60 / / rw master:9 - overlay overlay rw\n\
         301 300 0:61 / /proc rw - proc proc rw\n\
         302 300 0:62 / /dev rw - tmpfs tmpfs rw\n\
         303 300 8:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
         304 302 8:1 /var/lib/kubelet/pods/{UID}/containers/x/0 /dev/termination-log rw - ext4 /dev/sda1 rw\n\
         305 300 0:63 / /var/run/secrets/kubernetes.io/serviceaccount ro - tmpfs tmpfs rw\n"
    );
    for (id, (root, point, tags)) in (310..).zip(binds) {
        writeln!(text, "{id} 300 8:1 {root} {point} rw {tags}- ext4 /dev/sda1 rw").unwrap();
    }
    table(&text)
}

pub(in crate::mounts) fn registrar(registration: &str) -> Claims {
    Claims {
        registration: Some(path(registration)),
        address: Some(path("/csi/csi.sock")),
        mentioned: true,
        ..Claims::default()
    }
}

pub(in crate::mounts) fn client() -> Claims {
    Claims { address: Some(path("/csi/csi.sock")), mentioned: true, ..Claims::default() }
}

pub(in crate::mounts) fn server(driver: &str) -> Claims {
    let driver = (!driver.is_empty()).then(|| driver.as_bytes().to_vec());
    Claims { endpoint: Some(path("/csi/csi.sock")), driver, mentioned: true, ..Claims::default() }
}

/// The containers of one pod; process numbers from `pid` on.
pub(in crate::mounts) fn pod(pid: i32, name: &str, containers: &[(&[Claims], MountTable)]) -> Vec<Seat> {
    let seat = |(at, (claims, mounts)): (usize, &(&[Claims], MountTable))| Seat {
        pid: pid + at as i32,
        owner: Owner { pod: Some(name.to_owned()), container: Some(format!("{name}-{at}")), foreign: false },
        claims: claims.to_vec(),
        mounts: Some(mounts.clone()),
        ..Seat::default()
    };
    containers.iter().enumerate().map(seat).collect()
}

/// longhorn-manager, csi/deployment.go: three containers, and the controllers' sidecars, which run
/// on any node and hold the same socket directory.
pub(in crate::mounts) fn longhorn(root: &str) -> Vec<Seat> {
    let socket = format!("{root}/plugins/driver.longhorn.io");
    let csi = (socket.as_str(), "/csi", PRIVATE);
    let registry = format!("{root}/plugins_registry");
    let (staging, pods) = (format!("{root}/plugins/kubernetes.io/csi"), format!("{root}/pods"));
    let mut seats = pod(
        100,
        "longhorn",
        &[
            (
                &[registrar(&format!("{socket}/csi.sock"))],
                container(&[csi, (&registry, "/registration", PRIVATE)]),
            ),
            (&[client()], container(&[csi])),
            (
                &[server("driver.longhorn.io")],
                container(&[
                    csi,
                    (&staging, &staging, BIDIRECTIONAL),
                    (&pods, &pods, BIDIRECTIONAL),
                    ("/dev", "/dev", PRIVATE),
                    ("/lib/modules", "/lib/modules", PRIVATE),
                ]),
            ),
        ],
    );
    seats.extend(pod(150, "csi-attacher", &[(&[client()], container(&[csi]))]));
    seats
}

/// ceph-csi, deploy/rbd/kubernetes/csi-rbdplugin.yaml: its liveness container has the same endpoint.
pub(in crate::mounts) fn ceph() -> Vec<Seat> {
    let csi = ("/var/lib/kubelet/plugins/rbd.csi.ceph.com", "/csi", PRIVATE);
    let liveness = Claims { liveness: true, ..server("") };
    pod(
        200,
        "ceph",
        &[
            (
                &[server("rbd.csi.ceph.com")],
                container(&[
                    csi,
                    ("/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins", BIDIRECTIONAL),
                    ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", BIDIRECTIONAL),
                ]),
            ),
            (
                &[registrar("/var/lib/kubelet/plugins/rbd.csi.ceph.com/csi.sock")],
                container(&[csi, ("/var/lib/kubelet/plugins_registry", "/registration", PRIVATE)]),
            ),
            (&[liveness], container(&[csi])),
        ],
    )
}

/// csi-driver-nfs, deploy/csi-nfs-node.yaml: pods alone, it does not stage.
pub(in crate::mounts) fn nfs() -> Vec<Seat> {
    let csi = ("/var/lib/kubelet/plugins/csi-nfsplugin", "/csi", PRIVATE);
    pod(
        300,
        "nfs",
        &[
            (&[client()], container(&[csi])),
            (
                &[registrar("/var/lib/kubelet/plugins/csi-nfsplugin/csi.sock")],
                container(&[csi, ("/var/lib/kubelet/plugins_registry", "/registration", PRIVATE)]),
            ),
            (
                &[server("")],
                container(&[csi, ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", BIDIRECTIONAL)]),
            ),
        ],
    )
}

/// aws-ebs-csi-driver, deploy/kubernetes/base/node.yaml: the whole root, and an emptyDir at the
/// registrar's own name of the socket.
pub(in crate::mounts) fn ebs() -> Vec<Seat> {
    let csi = ("/var/lib/kubelet/plugins/ebs.csi.aws.com", "/csi", PRIVATE);
    let probe = format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/probe-dir");
    pod(
        400,
        "ebs",
        &[
            (&[server("")], container(&[("/var/lib/kubelet", "/var/lib/kubelet", BIDIRECTIONAL), csi])),
            (
                &[registrar("/var/lib/kubelet/plugins/ebs.csi.aws.com/csi.sock")],
                container(&[
                    csi,
                    ("/var/lib/kubelet/plugins_registry", "/registration", PRIVATE),
                    (&probe, "/var/lib/kubelet/plugins/ebs.csi.aws.com", PRIVATE),
                ]),
            ),
            (&[client()], container(&[csi])),
        ],
    )
}

/// csi-driver-host-path, csi-hostpath-plugin.yaml: all sidecars of the controller in the one pod.
pub(in crate::mounts) fn hostpath() -> Vec<Seat> {
    let csi = ("/var/lib/kubelet/plugins/csi-hostpath", "/csi", PRIVATE);
    let sidecar = || container(&[csi]);
    pod(
        500,
        "hostpath",
        &[
            (
                &[server("hostpath.csi.k8s.io")],
                container(&[
                    csi,
                    ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", BIDIRECTIONAL),
                    ("/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins", BIDIRECTIONAL),
                    ("/var/lib/csi-hostpath-data", "/csi-data-dir", PRIVATE),
                ]),
            ),
            (&[client()], sidecar()),
            (
                &[registrar("/var/lib/kubelet/plugins/csi-hostpath/csi.sock")],
                container(&[csi, ("/var/lib/kubelet/plugins_registry", "/registration", PRIVATE)]),
            ),
            (&[client()], sidecar()),
            (&[], sidecar()),
        ],
    )
}

fn chosen(root: &str, seats: &[Seat], registered: &[&str]) -> Vec<(i32, String)> {
    let registered: Vec<Vec<u8>> = registered.iter().map(|name| name.as_bytes().to_vec()).collect();
    choose(seats, &table(HOST), &publisher(root), &registered)
        .into_iter()
        .map(|one| (seats[one.seat].pid, String::from_utf8(one.driver.unwrap_or_default()).unwrap()))
        .collect()
}

fn is(seats: &[Seat], registered: &[&str], expected: &[(i32, &str)]) {
    let expected: Vec<(i32, String)> =
        expected.iter().map(|(pid, name)| (*pid, (*name).to_owned())).collect();
    assert_eq!(chosen("/var/lib/kubelet", seats, registered), expected);
}

#[test]
fn of_each_drivers_containers_the_one_that_serves_is_the_plugin() {
    is(&longhorn("/var/lib/kubelet"), &["driver.longhorn.io"], &[(102, "driver.longhorn.io")]);
    is(&ceph(), &["rbd.csi.ceph.com"], &[(200, "rbd.csi.ceph.com")]);
    is(&ebs(), &["ebs.csi.aws.com"], &[(400, "ebs.csi.aws.com")]);
    is(&hostpath(), &["hostpath.csi.k8s.io"], &[(500, "hostpath.csi.k8s.io")]);
}

#[test]
fn several_drivers_on_one_node_are_kept_apart() {
    let all: Vec<Seat> = [ceph(), nfs(), ebs(), longhorn("/var/lib/kubelet")].concat();
    let registered = ["rbd.csi.ceph.com", "nfs.csi.k8s.io", "ebs.csi.aws.com", "driver.longhorn.io"];
    is(
        &all,
        &registered,
        &[
            (200, "rbd.csi.ceph.com"),
            (302, "nfs.csi.k8s.io"),
            (400, "ebs.csi.aws.com"),
            (102, "driver.longhorn.io"),
        ],
    );
}

#[test]
fn the_registry_names_a_driver_whose_directory_is_called_otherwise() {
    is(&nfs(), &["nfs.csi.k8s.io"], &[(302, "nfs.csi.k8s.io")]);
    // Nobody tells.
    is(&nfs(), &[], &[(302, "csi-nfsplugin")]);
    is(&nfs(), &["a.example", "b.example"], &[(302, "csi-nfsplugin")]);
    is(&hostpath(), &[], &[(500, "hostpath.csi.k8s.io")]);
}

#[test]
fn a_driver_with_a_false_root_is_found_by_its_registrar() {
    is(&longhorn("/var/lib/rancher/k3s/agent/kubelet"), &[], &[(102, "driver.longhorn.io")]);
}

#[test]
fn a_driver_that_gets_its_endpoint_by_environment_is_found_in_its_registrars_pod() {
    let csi = ("/var/lib/kubelet/plugins/csi.vsphere.vmware.com", "/csi", PRIVATE);
    let registration = "/var/lib/kubelet/plugins/csi.vsphere.vmware.com/csi.sock";
    let vsphere = |node: MountTable| {
        pod(
            600,
            "vsphere",
            &[
                (&[registrar(registration)], container(&[csi])),
                (&[], node),
                (&[client()], container(&[csi])),
                (&[], container(&[])),
            ],
        )
    };
    let with_pods = container(&[csi, ("/var/lib/kubelet", "/var/lib/kubelet", BIDIRECTIONAL)]);
    is(&vsphere(with_pods), &[], &[(601, "csi.vsphere.vmware.com")]);
    is(&vsphere(container(&[csi])), &[], &[(601, "csi.vsphere.vmware.com")]);
}

#[test]
fn those_who_only_look_at_the_kubelets_directories_are_none() {
    let speaks = Claims { mentioned: true, ..Claims::default() };
    let provider = Claims { endpoint: Some(path("/provider/vault.sock")), ..speaks.clone() };
    let pods = ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", HOST_TO_CONTAINER);
    for (claims, binds) in [
        // vault-csi-provider, velero's node-agent, fluent-bit, node-exporter, multus, a device plugin.
        (vec![provider], vec![pods, ("/etc/kubernetes/providers", "/provider", PRIVATE)]),
        (vec![], vec![("/var/lib/kubelet/pods", "/host_pods", HOST_TO_CONTAINER)]),
        (vec![], vec![("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", PRIVATE)]),
        (
            vec![speaks],
            vec![
                ("/", "/host", HOST_TO_CONTAINER),
                ("/var/lib/kubelet", "/host/var/lib/kubelet", HOST_TO_CONTAINER),
            ],
        ),
        (vec![], vec![("/", "/hostroot", BIDIRECTIONAL)]),
        (vec![], vec![("/var/lib/kubelet/device-plugins", "/var/lib/kubelet/device-plugins", PRIVATE)]),
        (vec![], vec![]),
    ] {
        is(&pod(700, "watcher", &[(&claims, container(&binds))]), &["x.example"], &[]);
    }
}

#[test]
fn a_container_that_publishes_without_a_registrar_is_one_all_the_same() {
    let shared = container(&[("/var/lib/kubelet", "/var/lib/kubelet", BIDIRECTIONAL)]);
    is(&pod(700, "silent", &[(&[], shared)]), &[], &[(700, "")]);
    let speaks = Claims { mentioned: true, ..Claims::default() };
    let private = container(&[("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", PRIVATE)]);
    is(&pod(700, "speaks", &[(&[speaks], private)]), &[], &[(700, "")]);
    let own = container(&[("/var/lib/kubelet/plugins/x.example", "/csi", PRIVATE)]);
    is(&pod(700, "self", &[(&[server("x.example")], own)]), &[], &[(700, "x.example")]);
}

#[test]
fn a_process_of_the_host_can_serve() {
    let socket = "/var/lib/kubelet/plugins/x.example/csi.sock";
    let claims = Claims { endpoint: Some(path(socket)), mentioned: true, ..Claims::default() };
    let alone = Seat { pid: 9, claims: vec![claims.clone()], ..Seat::default() };
    is(std::slice::from_ref(&alone), &[], &[(9, "")]);
    let told = Claims { registration: Some(path(socket)), address: Some(path(socket)), ..Claims::default() };
    let with_registrar = [alone, Seat { pid: 10, claims: vec![told], ..Seat::default() }];
    is(&with_registrar, &["x.example"], &[(9, "x.example")]);
    // Something else that has an endpoint, somewhere else.
    let other = Claims { endpoint: Some(path("/run/other.sock")), ..claims };
    is(&[Seat { pid: 9, claims: vec![other], ..Seat::default() }], &[], &[]);
}

#[test]
fn with_another_root_its_directories_count_and_those_of_the_standard_path() {
    let rke = "/opt/rke/var/lib/kubelet";
    for root in [rke, "/var/lib/kubelet"] {
        assert_eq!(chosen(rke, &longhorn(root), &[]), [(102, "driver.longhorn.io".to_owned())]);
    }
}

#[test]
fn a_pod_that_may_not_have_the_hosts_directories_cannot_claim_a_driver() {
    let volume = format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/x");
    let registration = format!("{volume}/plugins/x.example/csi.sock");
    let csi = (volume.as_str(), "/csi", PRIVATE);
    let claims = || [registrar(&registration)];
    let forged =
        pod(700, "forged", &[(&claims(), container(&[csi])), (&[server("x.example")], container(&[csi]))]);
    is(&forged, &[], &[]);
    // On its own root file system.
    let alone = pod(700, "forged", &[(&claims(), container(&[])), (&[server("x.example")], container(&[]))]);
    is(&alone, &[], &[]);
}
