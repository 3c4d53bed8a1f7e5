//! Pure: a kubelet that a unit of its own runs: kubeadm, OpenShift, and all vendors who call it
//! kubelet.service.
//!
//! Set up where kubelet.service is there and has a command. The root is that of its arguments, variables
//! in place: for kubeadm those of KUBELET_KUBEADM_ARGS come first and KUBELET_EXTRA_ARGS after, because
//! the unit has them in that order, and the last wins. Without `--root-dir` the root is assumed.

use super::{Found, Given, Start, Text, file_name, text};
use crate::detect::arguments::flag;
use crate::model::kubelet::{Distribution, KubeletRoot, Source};
use crate::model::path::HostPath;
use crate::model::service::Service;

pub(super) fn declare(found: &mut Found<'_>, start: &Start<'_>) {
    let Some(service) = start.service else { return };
    let argv = &start.expanded.argv;
    let root = flag(argv, "root-dir").map(|value| Given {
        value: value.to_vec(),
        source: Source::SystemdUnit,
        path: start.place(),
        line: None,
    });
    let variable = |word: &Vec<u8>| word.contains(&b'$');
    if root.is_none() && start.expanded.unknown && service.exec.iter().any(variable) {
        // What a variable holds that cannot be read may be the root.
        found.declared.undecided = true;
        return;
    }
    let plugins = flag(argv, "volume-plugin-dir").map(<[u8]>::to_vec);
    let distribution = distribution(found, service, argv, root.as_ref());
    found.declare(distribution, start.unit(), root, KubeletRoot::standard(), plugins);
}

fn distribution(
    found: &Found<'_>,
    service: &Service,
    argv: &[Vec<u8>],
    root: Option<&Given>,
) -> Distribution {
    let reads =
        |path: &str| service.environment_files.iter().any(|file| file.path.as_bytes() == path.as_bytes());
    let has = |word: &[u8]| service.exec.iter().any(|other| other == word);
    let wrapped = argv.iter().any(|word| file_name(word) == b"kubenswrapper");
    if wrapped || reads("/etc/kubernetes/kubelet-workaround") || is_coreos_of_openshift(found) {
        return Distribution::Openshift;
    }
    if root.is_some_and(|root| root.value.starts_with(b"/opt/rke/")) {
        return Distribution::Rke;
    }
    match reads("/var/lib/kubelet/kubeadm-flags.env") || has(b"$KUBELET_KUBEADM_ARGS") {
        true => Distribution::Kubeadm,
        false => Distribution::Kubelet,
    }
}

/// Red Hat's and CentOS' CoreOS are the hosts of OpenShift and of nothing else (os-release(5)).
fn is_coreos_of_openshift(found: &Found<'_>) -> bool {
    let Text::Read(text) = text(found.files, &HostPath::from("/etc/os-release")) else { return false };
    let ids: [&[u8]; 4] = [b"ID=rhcos", b"ID=\"rhcos\"", b"ID=scos", b"ID=\"scos\""];
    text.split(|&byte| byte == b'\n').any(|line| ids.contains(&line.trim_ascii()))
}
