#![no_main]
//! What of a file may be shown: whatever it is called, a secret that stands in a known place goes.

use csihost::model::path::HostPath;
use csihost::scene::presentable;
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 8] = [
    "/etc/rancher/k3s/config.yaml",
    "/etc/systemd/system/k3s.service",
    "/etc/systemd/system/k3s.service.env",
    "/etc/default/kubelet",
    "/var/snap/microk8s/current/args/kubelet",
    "/etc/iscsi/iscsid.conf",
    "/var/lib/csihost/receipt.json",
    "/root/.kube/config",
];

fuzz_target!(|bytes: &[u8]| {
    for path in PATHS {
        let path = HostPath::from(path);
        let _ = presentable(&path, bytes);
    }
    if bytes.windows(7).any(|part| part == b"hunter2") {
        return;
    }
    // A line of its own, after whatever came before: a key in YAML, a password in iscsid.conf.
    for (path, secret) in [
        ("/etc/rancher/k3s/config.yaml", &b"\ntoken: hunter2\n"[..]),
        ("/etc/iscsi/iscsid.conf", b"\nnode.session.auth.password = hunter2\n"),
        ("/etc/systemd/system/k3s.service.env", b"\nK3S_TOKEN=hunter2\n"),
    ] {
        let shown = presentable(&HostPath::from(path), &[bytes, secret].concat());
        assert!(!shown.windows(7).any(|part| part == b"hunter2"), "{path}");
    }
});
