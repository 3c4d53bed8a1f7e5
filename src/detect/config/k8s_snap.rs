//! Pure: Canonical's k8s snap, whose wrapper has bash read the kubelet's arguments from a file
//! (`k8s::common::execute_service`, k8s/lib.sh).
//!
//! Set up where that file is there: it is written when the node is bootstrapped or joins, and names the
//! root always.

use super::microk8s::snap_unit;
use super::{Found, Given, Text, shell, text};
use crate::detect::arguments::flag;
use crate::model::kubelet::{Distribution, KubeletRoot, Source};
use crate::model::path::HostPath;

const ARGS: &str = "/var/snap/k8s/common/args/kubelet";

pub(super) fn declare(found: &mut Found<'_>) {
    let path = HostPath::from(ARGS);
    let text = match text(found.files, &path) {
        Text::Read(text) => text,
        Text::Absent => return,
        Text::Unread(error) => return found.undecided(path, None, error),
    };
    let unit = snap_unit(found, &["snap.k8s.kubelet.service"]);
    let environment = [
        ("SNAP", "/snap/k8s/current"),
        ("SNAP_DATA", "/var/snap/k8s/current"),
        ("SNAP_COMMON", "/var/snap/k8s/common"),
        ("SNAP_NAME", "k8s"),
    ];
    let environment = environment.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let args = shell::words(&text, &environment.into_iter().collect());
    let root = flag(&args, "root-dir").map(|value| {
        let wanted = |line: &[u8]| line.windows(8).any(|part| part == b"root-dir" || part == b"root_dir");
        let line = text.split(|&byte| byte == b'\n').collect::<Vec<_>>();
        Given {
            value: value.to_vec(),
            source: Source::ArgsFile,
            path: path.to_string(),
            line: line.iter().rposition(|line| wanted(line)).map(|at| at + 1),
        }
    });
    let plugins = flag(&args, "volume-plugin-dir").map(<[u8]>::to_vec);
    found.declare(Distribution::K8sSnap, unit, root, KubeletRoot::standard(), plugins);
}
