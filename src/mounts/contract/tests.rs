//! Pure: contracts of the drivers' own layouts on hosts of all kinds.

use super::*;
use crate::model::contract::{Seat, View};
use crate::model::file::FileId;
use crate::model::kubelet::KubeletRoot;
use crate::model::mount::Device;
use crate::mounts::plugins::choose;
use crate::mounts::plugins::tests::*;

const RKE: &str = "/opt/rke/var/lib/kubelet";
const STANDARD: &str = "/var/lib/kubelet";

fn judged(kubelet: Publisher, host: &str, seats: &[Seat]) -> Vec<Contract> {
    let host = table(host);
    let found = choose(seats, &host, &kubelet, &[])
        .into_iter()
        .map(|one| Plugin {
            seat: seats[one.seat].clone(),
            driver: one.driver,
            registration: one.registration,
            registrar: None,
            view: View::unseen(&kubelet.root),
        })
        .collect();
    contracts(&Plugins { kubelet: Some(kubelet), found, ..Plugins::default() }, &host, false)
}

fn one(root: &str, host: &str, seats: &[Seat]) -> Contract {
    let mut all = judged(publisher(root), host, seats);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// A container with these directories of the host, whose endpoint is below the kubelet's plugins.
fn plain(binds: &[(&str, &str, &str)]) -> Vec<Seat> {
    let csi = ("/var/lib/kubelet/plugins/x.example", "/csi", PRIVATE);
    let binds: Vec<_> = [csi].iter().chain(binds).copied().collect();
    pod(
        700,
        "x",
        &[
            (&[registrar("/var/lib/kubelet/plugins/x.example/csi.sock")], container(&[csi])),
            (&[server("x.example")], container(&binds)),
        ],
    )
}

#[track_caller]
fn broken(contract: &Contract, seen: Seen, propagation: Propagation, remedy: &[&str]) {
    assert_eq!(
        (contract.seen, contract.propagation, contract.holds),
        (seen, propagation, false),
        "{contract:#?}"
    );
    let said = contract.remedy.as_deref().unwrap();
    for part in remedy {
        assert!(said.contains(part), "{said:?} without {part:?}");
    }
}

#[test]
fn healthy_drivers_hold() {
    let all = [longhorn(STANDARD), ceph(), nfs(), ebs(), hostpath()].concat();
    let all = judged(publisher(STANDARD), HOST, &all);
    assert_eq!(all.len(), 5);
    for contract in all {
        assert_eq!(
            (contract.seen, contract.propagation, contract.holds, &contract.remedy),
            (Seen::Same, Propagation::Bidirectional, true, &None),
            "{contract:#?}"
        );
    }
    assert!(one(RKE, HOST, &longhorn(RKE)).holds);
}

#[test]
fn a_root_on_its_own_file_system_holds_too() {
    let host = format!("{HOST}30 20 8:17 / /var/lib/kubelet rw shared:5 - ext4 /dev/sdb1 rw\n");
    let own = |text: &str| {
        table(&format!(
            "300 299 0:60 / / rw - overlay overlay rw\n{text}320 300 8:17 /plugins/x.example /csi rw - ext4 /dev/sdb1 rw\n"
        ))
    };
    let seats = |mount: &str| {
        pod(
            700,
            "x",
            &[
                (&[registrar("/var/lib/kubelet/plugins/x.example/csi.sock")], own("")),
                (&[server("x.example")], own(mount)),
            ],
        )
    };
    let pods = "310 300 8:17 /pods /var/lib/kubelet/pods rw shared:5 - ext4 /dev/sdb1 rw\n";
    assert!(one(STANDARD, &host, &seats(pods)).holds);
    // The pod is older than the mount: it has the directory beneath.
    let old = "310 300 8:1 /var/lib/kubelet/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n";
    let contract = one(STANDARD, &host, &seats(old));
    broken(
        &contract,
        Seen::Different,
        Propagation::None,
        &["restart this pod", "before /var/lib/kubelet was mounted"],
    );
}

#[test]
fn the_old_path_of_k3s_is_unset() {
    let contract = one(STANDARD, HOST, &longhorn("/var/lib/rancher/k3s/agent/kubelet"));
    broken(
        &contract,
        Seen::Absent,
        Propagation::None,
        &["unset Longhorn's csi.kubeletRootDir", "/var/lib/rancher/k3s/agent/kubelet", "/etc/fstab"],
    );
    // The known wrong cure makes no difference to that.
    let bound = format!(
        "{HOST}30 20 8:1 /var/lib/rancher/k3s/agent/kubelet/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n"
    );
    let contract = one(STANDARD, &bound, &longhorn("/var/lib/rancher/k3s/agent/kubelet"));
    broken(&contract, Seen::Absent, Propagation::None, &["unset Longhorn's csi.kubeletRootDir"]);
}

#[test]
fn a_bridge_does_not_make_the_string_common() {
    let bridge: String = ["pods", "plugins", "plugins_registry"]
        .iter()
        .zip(30..)
        .map(|(name, id)| {
            format!("{id} 20 8:1 {RKE}/{name} {STANDARD}/{name} rw shared:1 - ext4 /dev/sda1 rw\n")
        })
        .collect();
    let host = format!("{HOST}{bridge}");
    let contract = one(RKE, &host, &longhorn(STANDARD));
    broken(&contract, Seen::Absent, Propagation::None, &["set Longhorn's csi.kubeletRootDir", RKE]);
    assert_eq!(contract.kubelet_path.to_string(), RKE);
    // After a graft it is.
    let grafted = pod(
        700,
        "x",
        &[
            (
                &[registrar("/var/lib/kubelet/plugins/x.example/csi.sock")],
                container(&[(&format!("{RKE}/plugins/x.example"), "/csi", PRIVATE)]),
            ),
            (
                &[server("x.example")],
                container(&[
                    (&format!("{RKE}/plugins/x.example"), "/csi", PRIVATE),
                    (&format!("{RKE}/pods"), "/var/lib/kubelet/pods", BIDIRECTIONAL),
                    (&format!("{RKE}/pods"), &format!("{RKE}/pods"), BIDIRECTIONAL),
                ]),
            ),
        ],
    );
    assert!(one(RKE, &host, &grafted).holds);
}

#[test]
fn propagation_is_named_for_what_is_wrong() {
    let pods = "/var/lib/kubelet/pods";
    let at = format!("mountPropagation: Bidirectional on the volume mount at {pods}");
    let contract = one(STANDARD, HOST, &plain(&[(pods, pods, PRIVATE)]));
    broken(&contract, Seen::Same, Propagation::None, &[&at]);
    let contract = one(STANDARD, HOST, &plain(&[(pods, pods, HOST_TO_CONTAINER)]));
    broken(&contract, Seen::Same, Propagation::ToPlugin, &[&at]);
    let private = HOST.replace("shared:1 ", "");
    let contract = one(STANDARD, &private, &plain(&[(pods, pods, PRIVATE)]));
    broken(&contract, Seen::Same, Propagation::None, &["mount --make-rshared /,", "restart this pod"]);
    let contract = one(STANDARD, HOST, &plain(&[(pods, pods, "shared:77 ")]));
    broken(&contract, Seen::Same, Propagation::None, &["restart this pod", "no peer"]);
}

#[test]
fn a_kubelet_in_a_container_is_judged_by_its_own_mounts() {
    let mounts = |tags: &str| {
        table(&format!(
            "400 399 0:70 / / rw - overlay overlay rw\n401 400 8:1 {RKE} {STANDARD} rw {tags}- ext4 /dev/sda1 rw\n"
        ))
    };
    let kubelet =
        |tags: &str| Publisher { mounts: Some(mounts(tags)), in_container: true, ..publisher(STANDARD) };
    let pods = format!("{RKE}/pods");
    let seats = plain(&[(&pods, "/var/lib/kubelet/pods", BIDIRECTIONAL)]);
    let only = |tags: &str| judged(kubelet(tags), HOST, &seats).remove(0);
    assert!(only("shared:1 ").holds);
    let received = only("master:1 ");
    assert_eq!((received.propagation, received.holds), (Propagation::ToKubelet, true));
    broken(&only(""), Seen::Same, Propagation::None, &["the kubelet's own container", "rshared"]);
}

#[test]
fn a_process_of_the_host_holds_by_being_there() {
    let socket = path("/var/lib/kubelet/plugins/x.example/csi.sock");
    let claims = crate::model::contract::Claims { endpoint: Some(socket), ..Default::default() };
    let seat = Seat { pid: 9, claims: vec![claims], ..Seat::default() };
    let contract = one(STANDARD, HOST, std::slice::from_ref(&seat));
    assert_eq!(
        (contract.seen, contract.propagation, contract.holds),
        (Seen::Same, Propagation::Bidirectional, true)
    );
    // On a private mount too: it is one mount.
    assert!(one(STANDARD, &HOST.replace("shared:1 ", ""), &[seat]).holds);
}

#[test]
fn a_staging_directory_of_another_tree_is_a_breach_and_none_at_all_is_not() {
    let pods = ("/var/lib/kubelet/pods", "/var/lib/kubelet/pods", BIDIRECTIONAL);
    assert!(one(STANDARD, HOST, &plain(&[pods])).holds);
    let staging = "/var/lib/kubelet/plugins/kubernetes.io/csi";
    assert!(one(STANDARD, HOST, &plain(&[pods, (staging, staging, BIDIRECTIONAL)])).holds);
    let contract = one(STANDARD, HOST, &plain(&[pods, ("/srv/other", staging, BIDIRECTIONAL)]));
    broken(&contract, Seen::Different, Propagation::None, &[]);
}

#[test]
fn stat_knows_what_tables_cannot_say() {
    let pods = "/var/lib/kubelet/pods";
    let id = |inode| Some(Some(FileId { device: Device { major: 8, minor: 1 }, inode }));
    let judge =
        |theirs: Option<Option<FileId>>, own: Option<Option<FileId>>, binds: &[(&str, &str, &str)]| {
            let mut kubelet = publisher(STANDARD);
            kubelet.view.pods.found = theirs;
            let mut view = View::unseen(&kubelet.root);
            view.pods.found = own;
            let seat = plain(binds).remove(1);
            let plugin = Plugin { seat, driver: None, registration: None, registrar: None, view };
            let plugins = Plugins { kubelet: Some(kubelet), found: vec![plugin], ..Plugins::default() };
            contracts(&plugins, &table(HOST), false).remove(0)
        };
    let bind = (pods, pods, BIDIRECTIONAL);
    assert!(judge(id(5), id(5), &[bind]).holds);
    let again = judge(id(6), id(5), &[bind]);
    broken(&again, Seen::Different, Propagation::None, &["restart this pod", "not there any more"]);
    broken(&judge(id(6), Some(None), &[]), Seen::Absent, Propagation::None, &["Bidirectional"]);
    // A publish that failed left a directory in the container's own root file system.
    broken(&judge(id(6), id(9), &[]), Seen::Different, Propagation::None, &["Bidirectional"]);
    // The kubelet has just started.
    assert!(judge(Some(None), Some(None), &[bind]).holds);
    let deleted = ("/var/lib/kubelet/pods//deleted", pods, BIDIRECTIONAL);
    broken(&judge(None, None, &[deleted]), Seen::Different, Propagation::None, &["was deleted"]);
}

#[test]
fn each_driver_is_told_in_its_own_words() {
    for (driver, words) in [
        (
            "driver.longhorn.io",
            "set Longhorn's csi.kubeletRootDir (KUBELET_ROOT_DIR of longhorn-driver-deployer) to /srv/k",
        ),
        ("nfs.csi.k8s.io", "set csi-driver-nfs' kubeletDir to /srv/k"),
        ("smb.csi.k8s.io", "set csi-driver-smb's kubelet to /srv/k"),
        ("ebs.csi.aws.com", "set aws-ebs-csi-driver's node.kubeletPath to /srv/k"),
        ("csi.hetzner.cloud", "set hcloud-csi's node.kubeletDir to /srv/k"),
        ("rbd.csi.ceph.com", "set ceph-csi's kubeletDir to /srv/k"),
        (
            "rook-ceph.cephfs.csi.ceph.com",
            "set Rook's csi.kubeletDirPath (ROOK_CSI_KUBELET_DIR_PATH) to /srv/k",
        ),
        ("org.democratic-csi.iscsi", "set democratic-csi's node.kubeletHostPath to /srv/k"),
        ("csi.vsphere.vmware.com", "start the kubelet with /var/lib/kubelet as its root"),
        ("x.example", "tell the driver that the kubelet's root is /srv/k"),
    ] {
        let kubelet = publisher("/srv/k");
        let plugin = Plugin {
            seat: plain(&[]).remove(1),
            driver: Some(driver.as_bytes().to_vec()),
            registration: None,
            registrar: None,
            view: View::unseen(&KubeletRoot::parse(b"/srv/k").unwrap()),
        };
        let plugins = Plugins { kubelet: Some(kubelet), found: vec![plugin], ..Plugins::default() };
        broken(
            &contracts(&plugins, &table(HOST), false).remove(0),
            Seen::Absent,
            Propagation::None,
            &[words],
        );
    }
}

/// cargo test --release --lib mounts::contract::tests::cost -- --ignored --nocapture
#[test]
#[ignore = "a measurement"]
fn cost() {
    use std::time::Instant;
    for (containers, mounts) in [(100, 50), (100, 500), (100, 5_000), (10, 50_000)] {
        let volumes = |id: u64, parent: u64| -> String {
            (0..mounts as u64)
                .map(|n| format!(
                    "{} {parent} 0:{} / /var/lib/kubelet/pods/f3412c75-4ac7-4fcd-b1ed-{n:012}/volumes/kubernetes.io~projected/kube-api-access rw,relatime shared:{} - tmpfs tmpfs rw,size=65536k,inode64\n",
                    id + n, 100 + n, 1000 + n
                ))
                .collect()
        };
        let host_text = format!("{HOST}{}", volumes(1_000, 20));
        let own = format!(
            "300 299 0:60 / / rw - overlay overlay rw\n310 300 8:1 /var/lib/kubelet/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n311 300 8:1 /var/lib/kubelet/plugins/x.example /csi rw - ext4 /dev/sda1 rw\n{}",
            volumes(1_000_000, 310)
        );
        let start = Instant::now();
        let host = table(&host_text);
        let seats: Vec<Seat> = (0..containers)
            .flat_map(|at| {
                pod(
                    at * 2,
                    &format!("pod{at}"),
                    &[
                        (
                            &[registrar(&format!("/var/lib/kubelet/plugins/x{at}.example/csi.sock"))],
                            container(&[(
                                &format!("/var/lib/kubelet/plugins/x{at}.example"),
                                "/csi",
                                PRIVATE,
                            )]),
                        ),
                        (
                            &[server(&format!("x{at}.example"))],
                            table(&own.replace("x.example", &format!("x{at}.example"))),
                        ),
                    ],
                )
            })
            .collect();
        let parsed = start.elapsed();
        let start = Instant::now();
        let kubelet = publisher(STANDARD);
        let chosen = choose(&seats, &host, &kubelet, &[]);
        let chose = start.elapsed();
        let found = chosen
            .into_iter()
            .map(|one| Plugin {
                seat: seats[one.seat].clone(),
                driver: one.driver,
                registration: one.registration,
                registrar: None,
                view: View::unseen(&kubelet.root),
            })
            .collect();
        let plugins = Plugins { kubelet: Some(kubelet), found, ..Plugins::default() };
        let start = Instant::now();
        let all = contracts(&plugins, &host, false);
        eprintln!(
            "{containers} x {mounts}: parse {parsed:?}, choose {chose:?}, {} contracts {:?}",
            all.len(),
            start.elapsed()
        );
        assert!(all.iter().all(|contract| contract.holds));
    }
}
