//! Descriptions of containers, and what each is given.

use super::*;
use crate::model::facts::{Init, Mode};
use crate::model::file::DirFact;
use crate::model::kubelet::{Distribution, Kubelet, KubeletRoot};
use crate::mounts::mountinfo;
use crate::settings::Repair;

const BRIDGED: &str = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
    21 20 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n\
    22 20 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 /dev/sda1 rw\n";

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.contract.repair = Repair::Graft;
    settings.contract.drivers = BTreeSet::from(["x.example".to_owned()]);
    settings.contract.namespaces = BTreeSet::from(["storage".to_owned()]);
    settings
}

fn facts(root: &str, table: &str) -> Facts {
    let mut facts = Facts::new(Mode::Live, Init::Systemd);
    let root = KubeletRoot::parse(root.as_bytes()).unwrap();
    facts.detection.kubelet = Some(Kubelet::running(Distribution::Kubelet, root));
    facts.mounts = mountinfo::parse(table.as_bytes()).unwrap();
    facts
}

fn adjust() -> Adjust {
    let mut adjust = Adjust::of(&facts("/srv/k", BRIDGED), &settings(), None).unwrap();
    adjust.pods.insert("known-pod".to_owned());
    adjust.sockets.insert(b"nfsplugin".to_vec(), "nfs.example".to_owned());
    adjust.sockets.insert(b"xplugin".to_vec(), "x.example".to_owned());
    adjust
}

/// A container with mounts `SOURCE:DESTINATION:OPTION+…`, which begins as a runtime has it.
fn container(mounts: &str, args: &str) -> NewContainer {
    let own = ["/tmp/resolv:/etc/resolv.conf:rbind+rprivate", "/x/hosts:/etc/hosts:rbind+rprivate"];
    let bind = |mount: &str| {
        let [source, destination, options] = mount.split(':').collect::<Vec<_>>()[..] else {
            panic!("{mount}")
        };
        ContainerMount {
            destination: destination.to_owned(),
            kind: "bind".to_owned(),
            source: source.to_owned(),
            options: options.split('+').map(str::to_owned).collect(),
        }
    };
    let proc = ContainerMount {
        destination: "/proc".to_owned(),
        kind: "proc".to_owned(),
        source: "proc".to_owned(),
        options: vec!["nosuid".to_owned()],
    };
    let binds = own.into_iter().chain(mounts.split_whitespace()).map(bind);
    let args = args.split_whitespace().map(str::to_owned).collect();
    NewContainer { mounts: [proc].into_iter().chain(binds).collect(), args, ..NewContainer::default() }
}

fn given(container: &NewContainer) -> Result<String, Unadjusted> {
    adjust().mounts(container).map(|mounts| {
        for mount in &mounts {
            assert_eq!((mount.kind.as_str(), mount.options.join(",").as_str()), ("bind", "rbind,rshared"));
        }
        mounts.iter().map(|mount| mount.destination.clone()).collect::<Vec<_>>().join(" ")
    })
}

const S: &str = "/var/lib/kubelet";
const PODS: &str = "/var/lib/kubelet/pods:/var/lib/kubelet/pods:rbind+rshared";
const SOCKET: &str = "/var/lib/kubelet/plugins/x.example:/csi:rbind+rprivate";
const ALL: &str = "/srv/k/plugins /srv/k/pods";

#[test]
fn a_driver_is_given_what_it_has_of_the_kubelets_directories() {
    let staging = format!("{S}/plugins/kubernetes.io/csi");
    for (mounts, expected) in [
        (format!("{S}:{S}:rbind+rshared {SOCKET}"), ALL),
        (format!("{PODS} {SOCKET}"), "/srv/k/pods"),
        (format!("{PODS} {S}/plugins:{S}/plugins:rbind+rshared {SOCKET}"), ALL),
        (
            format!("{PODS} {staging}:{staging}:rbind+rshared {SOCKET}"),
            "/srv/k/plugins/kubernetes.io/csi /srv/k/pods",
        ),
        // Staging whose mounts do not propagate is of no use below another path either.
        (format!("{PODS} {S}/plugins:{S}/plugins:rbind+rprivate {SOCKET}"), "/srv/k/pods"),
        (format!("{S}/pods:/host-pods:rbind+rshared {SOCKET}"), "/srv/k/pods"),
        (format!("/srv/k:/host-kubelet:rbind+rshared {SOCKET}"), ALL),
        (format!("/:/host:rbind+rshared {SOCKET}"), ALL),
    ] {
        assert_eq!(given(&container(&mounts, "driver")), Ok(expected.to_owned()), "{mounts}");
    }
    let mounts = adjust().mounts(&container(&format!("{PODS} {SOCKET}"), "driver")).unwrap();
    assert_eq!(mounts[0].source, "/srv/k/pods");
}

#[test]
fn a_container_without_bidirectional_pods_or_with_mounts_in_the_way_stays_as_it_is() {
    let covered = |at: &str| Err(Unadjusted::Covered(at.to_owned()));
    for (mounts, expected) in [
        (SOCKET.to_owned(), Err(Unadjusted::NoPods)),
        (format!("{S}/pods:{S}/pods:rbind+rslave {SOCKET}"), Err(Unadjusted::NoPods)),
        (format!("{S}/pods/f3/volumes:/data:rbind+rshared {SOCKET}"), Err(Unadjusted::NoPods)),
        // A bind mount alone does not have the bridge, which is mounted below its source.
        (format!("{S}:{S}:bind+rshared {SOCKET}"), Err(Unadjusted::NoPods)),
        (format!("/srv/k:/srv/k:rbind+rshared {SOCKET}"), Err(Unadjusted::Holds)),
        (format!("{S}:/srv/k:rbind+rshared {SOCKET}"), Err(Unadjusted::Holds)),
        (format!("/srv/k/pods:/srv/k/pods:rbind+rshared {SOCKET}"), Err(Unadjusted::Holds)),
        (format!("{PODS} /srv/k:/srv/k:rbind+rslave {SOCKET}"), covered("/srv/k")),
        (format!("{PODS} /srv/else:/srv:rbind+rprivate {SOCKET}"), covered("/srv")),
        (format!("{PODS} /srv/k/plugins:/srv/k/plugins:rbind+rshared {SOCKET}"), covered("/srv/k/plugins")),
        (format!("{PODS} /x:/srv/k/pods/a:rbind {SOCKET}"), covered("/srv/k/pods/a")),
    ] {
        assert_eq!(given(&container(&mounts, "driver")), expected, "{mounts}");
    }
    let mut tmpfs = container(&format!("{PODS} {SOCKET}"), "driver");
    let at = "/srv".to_owned();
    tmpfs.mounts.push(ContainerMount { destination: at, kind: "tmpfs".to_owned(), ..Default::default() });
    assert_eq!(given(&tmpfs), covered("/srv"));
}

#[test]
fn a_driver_is_told_by_its_socket_its_arguments_its_namespace_or_its_pod() {
    let socket = |directory: &str| format!("{PODS} {S}/plugins/{directory}:/csi:rbind+rprivate");
    let yes = || Ok("/srv/k/pods".to_owned());
    for (mounts, args, expected) in [
        (socket("x.example"), "driver", yes()),
        (socket("xplugin"), "driver", yes()),
        (socket("nfsplugin"), "driver", Err(Unadjusted::NotNamed)),
        // The registry's name counts for more than that of the arguments.
        (socket("nfsplugin"), "driver --drivername=x.example", Err(Unadjusted::NotNamed)),
        (socket("other"), "driver --drivername=x.example", yes()),
        (socket("other"), "driver --driver-name y.example", Err(Unadjusted::NotNamed)),
        // Nothing tells yet which driver it is.
        (socket("other"), "driver", yes()),
        (PODS.to_owned(), "backup-agent", Err(Unadjusted::NotNamed)),
    ] {
        assert_eq!(given(&container(&mounts, args)), expected, "{mounts} {args}");
    }
    let whole = format!("{S}:{S}:rbind+rshared");
    let endpoint = |directory: &str| format!("driver --endpoint=unix://{S}/plugins/{directory}/csi.sock");
    assert_eq!(given(&container(&whole, &endpoint("xplugin"))), Ok(ALL.to_owned()));
    assert_eq!(given(&container(&whole, &endpoint("nfsplugin"))), Err(Unadjusted::NotNamed));
    let mut by_variable = container(&whole, "driver");
    assert_eq!(given(&by_variable), Err(Unadjusted::NotNamed));
    by_variable.env = vec!["A=b".to_owned(), format!("CSI_ENDPOINT=unix://{S}/plugins/xplugin/csi.sock")];
    assert_eq!(given(&by_variable), Ok(ALL.to_owned()));
    let of_namespace = NewContainer { namespace: "storage".to_owned(), ..container(PODS, "driver") };
    assert_eq!(given(&of_namespace), yes());
    let of_pod = NewContainer { pod: "known-pod".to_owned(), ..container(&socket("nfsplugin"), "driver") };
    assert_eq!(given(&of_pod), yes());
}

#[test]
fn nothing_is_decided_where_nothing_is_grafted() {
    let of = |root: &str, table: &str, settings: &Settings| {
        Adjust::of(&facts(root, table), settings, None).is_some()
    };
    assert!(of("/srv/k", BRIDGED, &settings()));
    let mut reports = settings();
    reports.contract.repair = Repair::Report;
    assert!(!of("/srv/k", BRIDGED, &reports));
    assert!(!of("/var/lib/kubelet", BRIDGED, &settings()));
    assert!(!of("/srv/other", BRIDGED, &settings()));
    assert!(!of("/srv/k", "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n", &settings()));
    // MicroK8s: the standard path is a link to the root.
    let mut linked = facts("/srv/k", "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n");
    let root = DirFact::Directory { canonical: HostPath::from("/srv/k"), entries: Vec::new() };
    linked.dirs.insert(HostPath::from(STANDARD_PATH), root);
    assert!(Adjust::of(&linked, &settings(), None).is_some());
    // A runtime would refuse to create the container.
    assert!(!of("/srv/k", &BRIDGED.replace("shared:1 ", ""), &settings()));

    let before = adjust();
    let again = |facts: &Facts| Adjust::of(facts, &settings(), Some(&before)).unwrap();
    assert_eq!(again(&facts("/srv/k", BRIDGED)), before);
    let mut without_kubelet = facts("/srv/k", BRIDGED);
    without_kubelet.detection.kubelet = None;
    assert_eq!(again(&without_kubelet), before);
}
