//! What configuration declares, distribution by distribution, from small trees of files.

use super::*;
use crate::model::file::{Attributes, File};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod k3s;
use k3s::{CONFIG, k3s, server};

/// The files of a host in memory: paths and texts; a text that begins with `-> ` is a link.
#[derive(Default)]
struct Tree(BTreeMap<Vec<u8>, Vec<u8>>);

impl Tree {
    fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path.as_bytes().to_vec(), text.as_bytes().to_vec());
        self
    }

    /// A unit of the administrator.
    fn unit(self, name: &str, service: &str) -> Self {
        self.with(&format!("/etc/systemd/system/{name}"), &format!("[Service]\n{service}\n"))
    }

    /// A unit that runs `command`.
    fn runs(self, name: &str, command: &str) -> Self {
        self.unit(name, &format!("ExecStart={command}"))
    }

    fn at_boot(self, name: &str) -> Self {
        let path = format!("/etc/systemd/system/multi-user.target.wants/{name}");
        self.with(&path, &format!("-> ../{name}"))
    }

    /// As the engine does it, with one directory of units and no drop-ins.
    fn declared(&self) -> Declared {
        let service = |unit: UnitName| {
            let path = HostPath::from("/etc/systemd/system").join(unit.as_str());
            let file = self.file(&path);
            let text = file.bytes()?;
            Some(Service::read(unit, [(path, text)]))
        };
        let services: Vec<Service> = units(self).into_iter().filter_map(service).collect();
        declarations(self, &services)
    }

    /// "distribution root confidence source", and "path: error".
    fn says(&self) -> (Vec<String>, Vec<String>) {
        let Declared { declarations, unread, .. } = self.declared();
        let json = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        let shown = |d: &Declaration| {
            let words = [
                json(serde_json::to_value(d.distribution).unwrap()),
                d.root.to_string(),
                json(serde_json::to_value(d.confidence).unwrap()),
                json(serde_json::to_value(d.source).unwrap()),
            ];
            words.join(" ")
        };
        let unread = unread.iter().map(|unread| format!("{}: {}", unread.path, unread.error)).collect();
        (declarations.iter().map(shown).collect(), unread)
    }

    #[track_caller]
    fn declares(&self, wanted: &str) {
        assert_eq!(self.says(), (vec![wanted.to_owned()], vec![]));
    }

    #[track_caller]
    fn declares_nothing(&self) {
        assert_eq!(self.says(), (vec![], vec![]));
    }

    /// Nothing is declared, and one thing is told that has all of `words`.
    #[track_caller]
    fn cannot_know(&self, words: &[&str]) {
        let (declared, unread) = self.says();
        assert_eq!((declared.len(), unread.len()), (0, 1), "{declared:?} {unread:?}");
        assert!(self.declared().undecided, "{unread:?}");
        assert!(words.iter().all(|word| unread[0].contains(word)), "{unread:?}");
    }
}

impl Files for Tree {
    fn file(&self, path: &HostPath) -> FileFact {
        match self.0.get(path.as_bytes()) {
            Some(text) if text == b"-> /dev/null" => FileFact::Masked,
            Some(text) => FileFact::File(File {
                bytes: text.clone(),
                attributes: Attributes { mode: 0o644, uid: 0, gid: 0 },
                canonical: path.clone(),
            }),
            None if self.list(path).is_empty() => FileFact::Absent,
            None => FileFact::Directory,
        }
    }

    fn list(&self, directory: &HostPath) -> Vec<Vec<u8>> {
        let below = |path: &Vec<u8>| {
            let path = HostPath::parse(path).unwrap();
            let rest = path.below(directory).filter(|rest| !rest.is_empty())?;
            rest.split(|&byte| byte == b'/').next().map(<[u8]>::to_vec)
        };
        let mut names: Vec<_> = self.0.keys().filter_map(below).collect();
        names.dedup();
        names
    }

    fn is_program(&self, path: &HostPath) -> bool {
        self.file(path).file().is_some()
    }

    fn link(&self, path: &HostPath) -> Option<Vec<u8>> {
        self.0.get(path.as_bytes())?.strip_prefix(b"-> ").map(<[u8]>::to_vec)
    }
}

#[test]
fn a_host_without_kubernetes_declares_nothing() {
    Tree::default().declares_nothing();
    Tree::default().with("/usr/local/bin/k3s", "").with("/usr/bin/kubelet", "").declares_nothing();
    k3s("kubectl get nodes").declares_nothing();
    k3s("").declares_nothing();
}

#[test]
fn masked_units_are_not_there() {
    let mask = |tree: Tree, unit: &str| tree.with(&format!("/etc/systemd/system/{unit}"), "-> /dev/null");
    mask(Tree::default(), "kubelet.service").declares_nothing();
    mask(server(""), "k3s.service").declares_nothing();
}

#[test]
fn k0s_names_its_root_by_its_data_directory() {
    let k0s = |unit: &str, args: &str| Tree::default().runs(unit, &format!("/usr/local/bin/k0s {args}"));
    let worker = |args: &str| k0s("k0sworker.service", &format!("worker {args}"));
    worker("").declares("k0s /var/lib/k0s/kubelet assumed default");
    worker("--data-dir=\"/srv/k0s\"").declares("k0s /srv/k0s/kubelet declared systemd-unit");
    worker("--data-dir /srv/k0s --token-file x").declares("k0s /srv/k0s/kubelet declared systemd-unit");
    worker("--data-dir /srv/k0s --kubelet-root-dir=/srv/kubelet")
        .declares("k0s /srv/kubelet declared systemd-unit");
    worker("--kubelet-extra-args=\"--v=1 --root-dir=/e\" --kubelet-root-dir=/srv/kubelet")
        .declares("k0s /e declared systemd-unit");
    worker("--kubelet-extra-args --root-dir=/e").declares("k0s /e declared systemd-unit");
    worker("--data-dir=k0s").cannot_know(&["--data-dir", "absolute"]);
    k0s("k0scontroller.service", "controller").declares_nothing();
    k0s("k0scontroller.service", "controller --enable-worker=false").declares_nothing();
    k0s("k0scontroller.service", "controller --enable-worker=true --data-dir=/d")
        .declares("k0s /d/kubelet declared systemd-unit");
    k0s("k0scontroller.service", "controller --single").declares("k0s /var/lib/k0s/kubelet assumed default");
}

#[test]
fn microk8s_and_the_k8s_snap_have_files_of_arguments() {
    let microk8s = |text: &str| Tree::default().with("/var/snap/microk8s/current/args/kubelet", text);
    microk8s("--v=1\n--root-dir=${SNAP_COMMON}/var/lib/kubelet\n")
        .declares("microk8s /var/snap/microk8s/common/var/lib/kubelet declared args-file");
    microk8s("# --root-dir=/x\n").declares("microk8s /var/lib/kubelet assumed default");
    microk8s("--root-dir /x\n--root-dir='/y'\n").declares("microk8s /y declared args-file");
    microk8s("\n--root-dir=$HOME/x\n").cannot_know(&["args/kubelet", "line 2"]);
    microk8s("--root-dir=x\n").cannot_know(&["line 1", "absolute"]);
    let unit = "snap.microk8s.daemon-kubelite.service";
    let found = microk8s("--volume-plugin-dir=/p\n")
        .runs(unit, "/usr/bin/snap run microk8s.daemon-kubelite")
        .declared();
    assert_eq!(found.declarations[0].unit, Some(UnitName::from(unit)));
    assert_eq!(found.declarations[0].volume_plugin_dir.as_deref(), Some(&b"/p"[..]));

    let k8s = |text: &str| Tree::default().with("/var/snap/k8s/common/args/kubelet", text);
    k8s("--a=\"b c\"\n--root-dir=\"/var/lib/kubelet\"\n")
        .declares("k8s-snap /var/lib/kubelet declared args-file");
    k8s("--root-dir=$SNAP_COMMON/k\n").declares("k8s-snap /var/snap/k8s/common/k declared args-file");
    k8s("\n--root-dir=$(cat /x)\n").cannot_know(&["line 2", "running host"]);
}

#[test]
fn a_kubelet_unit_has_the_root_of_its_arguments() {
    let kubelet = |service: &str| Tree::default().unit("kubelet.service", service);
    let runs = |args: &str| kubelet(&format!("ExecStart=/usr/bin/kubelet {args}"));
    runs("--v=2").declares("kubelet /var/lib/kubelet assumed default");
    runs("--root-dir=/a --root_dir /b").declares("kubelet /b declared systemd-unit");
    runs("--root-dir=/opt/rke/var/lib/kubelet")
        .declares("rke /opt/rke/var/lib/kubelet declared systemd-unit");
    runs("--root-dir=kubelet").cannot_know(&["kubelet.service", "absolute"]);
    runs("--root-dir=/a/%H").cannot_know(&["running host"]);
    runs("--node-name=%H").declares("kubelet /var/lib/kubelet assumed default");
    runs("'--root-dir=/a").cannot_know(&["kubelet.service", "line 2", "quote"]);
    kubelet("ExecStart=/bin/sh -c 'exec kubelet --root-dir=\"/a b\"'")
        .declares("kubelet /a b declared systemd-unit");
    kubelet("Environment=R=/e\nExecStart=/bin/bash -euc \"kubelet --root-dir=$${R}/k\"")
        .declares("kubelet /e/k declared systemd-unit");
    kubelet("ExecStart=/bin/sh -c 'kubelet --root-dir=$(x)'").cannot_know(&["running host"]);
    kubelet("ExecStart=/usr/bin/podman run --rm hyperkube kubelet --root-dir=/p")
        .declares("kubelet /p declared systemd-unit");
    kubelet("ExecStart=:/usr/bin/kubelet --root-dir=/a$$").declares("kubelet /a$$ declared systemd-unit");
    kubelet("ExecStart=/usr/local/bin/kubenswrapper /usr/bin/kubelet --v=2")
        .declares("openshift /var/lib/kubelet assumed default");
    runs("")
        .with("/etc/os-release", "NAME=x\nID=\"rhcos\"\n")
        .declares("openshift /var/lib/kubelet assumed default");
    let found = runs("--volume-plugin-dir=/p").declared();
    assert_eq!(found.declarations[0].volume_plugin_dir.as_deref(), Some(&b"/p"[..]));
}

#[test]
fn kubeadm_s_environment_files_are_read_in_their_order() {
    let kubeadm = || {
        Tree::default().unit(
            "kubelet.service",
            "Environment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\n\
             EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\n\
             ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS",
        )
    };
    let flags = |tree: Tree| {
        tree.with("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"--v=1 --root-dir=/k\"\n")
    };
    kubeadm().declares("kubeadm /var/lib/kubelet assumed default");
    flags(kubeadm()).declares("kubeadm /k declared systemd-unit");
    flags(kubeadm())
        .with("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--root-dir=/e\n")
        .declares("kubeadm /e declared systemd-unit");
    // The file that is read last has the variable.
    flags(kubeadm())
        .with("/etc/default/kubelet", "KUBELET_KUBEADM_ARGS=\n")
        .declares("kubeadm /var/lib/kubelet assumed default");
    let (declared, unread) =
        kubeadm().with("/etc/default/kubelet", "export KUBELET_EXTRA_ARGS=--root-dir=/e\n").says();
    assert_eq!(declared, ["kubeadm /var/lib/kubelet assumed default"]);
    assert!(unread[0].starts_with("/etc/default/kubelet: line 1: expected NAME=VALUE"), "{unread:?}");
    let large = format!("A={}\n", "x".repeat(1 << 20));
    kubeadm().with("/etc/default/kubelet", &large).cannot_know(&["/etc/default/kubelet", "1048576"]);
    let needed = Tree::default().unit("kubelet.service", "EnvironmentFile=/etc/k/*.env\nExecStart=/k $A");
    assert!(needed.says().1[0].contains("not there"));
    needed.with("/etc/k/1.env", "A=--root-dir=/g\n").declares("kubelet /g declared systemd-unit");
}

#[test]
fn microshift_has_the_standard_root() {
    Tree::default()
        .runs("microshift.service", "microshift run")
        .declares("microshift /var/lib/kubelet assumed default");
}

#[test]
fn rke_is_what_docker_keeps_of_it() {
    let container =
        |name: &str, args: &str| format!(r#"{{"ID":"x","Path":"/e","Name":"/{name}","Args":[{args}]}}"#);
    let credentials = "/opt/rke/etc/kubernetes/ssl/kubecfg-kube-node.yaml";
    let docker = "/var/lib/docker/containers";
    let kubelet = container("kubelet", r#""kubelet","--root-dir=/opt/rke/var/lib/kubelet""#);
    let tree = || {
        Tree::default()
            .with(&format!("{docker}/a/config.v2.json"), &container("etcd", ""))
            .with(&format!("{docker}/b/config.v2.json"), &kubelet)
    };
    tree().declares_nothing();
    tree().with(credentials, "").declares("rke /opt/rke/var/lib/kubelet declared config-file");
    Tree::default().with(credentials, "").declares_nothing();
    Tree::default()
        .with(credentials, "")
        .with("/etc/docker/daemon.json", r#"{"data-root":"/srv/docker"}"#)
        .with("/srv/docker/containers/c/config.v2.json", &kubelet)
        .declares("rke /opt/rke/var/lib/kubelet declared config-file");
    let broken = tree().with(credentials, "").with("/etc/docker/daemon.json", "{\n\"a\": }");
    assert!(broken.says().1[0].starts_with("/etc/docker/daemon.json: line 2: expected JSON"));
}

#[test]
fn units_are_looked_for_by_name_and_by_prefix() {
    let found = units(
        &Tree::default()
            .unit("k3s.service", "")
            .unit("k3s-edge.service", "")
            .unit("k3s-x@.service", "")
            .unit("k3s-x.timer", "")
            .with("/usr/local/lib/systemd/system/rke2-server.service", "")
            .with("/etc/systemd/system/kubelet.service", "-> /x"),
    );
    let names: Vec<_> = found.iter().map(UnitName::as_str).collect();
    assert_eq!(names, ["k3s-edge.service", "k3s.service", "kubelet.service", "rke2-server.service"]);
}

#[test]
fn where_a_unit_is_started_at_boot_others_do_not_count() {
    let tree =
        k3s("server --kubelet-arg=root-dir=/k3s").unit("kubelet.service", "ExecStart=/usr/bin/kubelet");
    assert_eq!(tree.says().0.len(), 2);
    let tree = tree.at_boot("kubelet.service").with(CONFIG, "token: x\n");
    tree.declares("kubelet /var/lib/kubelet assumed default");
}

proptest! {
    #[test]
    fn no_configuration_is_too_odd(text: Vec<u8>, odd in "[-a:\\[\\]{}&*\"' =/\n]{0,60}") {
        for text in [text, odd.into_bytes()] {
            let mut tree = server("").unit("kubelet.service", "EnvironmentFile=/etc/e\nExecStart=/k $A ${B}");
            for path in [CONFIG, "/etc/e", "/var/snap/microk8s/current/args/kubelet", "/var/snap/k8s/common/args/kubelet"] {
                tree.0.insert(path.as_bytes().to_vec(), text.clone());
            }
            tree.declared();
        }
    }

    #[test]
    fn no_value_of_kubelet_arg_is_too_odd(value in "[-+=_/. a-c]{0,6}(root[-_]dir)?[-+=_/. a-c]{0,6}") {
        let json = serde_json::to_string(&value).unwrap();
        let tree = server(&format!("kubelet-arg: {json}\n"));
        let Declared { declarations, unread, .. } = tree.declared();
        prop_assert_eq!(declarations.len() + unread.len(), 1);
    }
}
