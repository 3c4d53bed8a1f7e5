//! Pure: what a node says of itself to whoever compares it with others.

use crate::detect::flexvolume;
use crate::iscsi::initiator::{self, InitiatorName};
use crate::model::bytes::shown;
use crate::model::facts::Facts;
use crate::model::node::{Node, NodeKubelet};
use crate::profile::{OsRelease, Profile};

/// The node with these facts.
pub fn node(facts: &Facts, profile: &Profile, os: &OsRelease) -> Node {
    let file = profile.needs().and_then(|needs| facts.file(&needs.iscsi.initiator_name).bytes());
    let initiator_name = match initiator::parse(file) {
        InitiatorName::Named(name) => Some(shown(&name)),
        InitiatorName::Missing | InitiatorName::Empty | InitiatorName::Generate => None,
    };
    let known = |text: &str| (!text.is_empty()).then(|| shown(text.as_bytes()));
    Node {
        hostname: known(&facts.machine.hostname),
        kernel: facts.machine.kernel.clone(),
        os: shown(os.pretty_name().as_bytes()),
        machine: facts.machine.id.clone(),
        initiator_name,
        csihost: env!("CARGO_PKG_VERSION"),
        kubelet: facts.detection.kubelet.as_ref().map(|kubelet| NodeKubelet {
            root_dir: kubelet.root_dir.to_string(),
            host_dir: kubelet.host_dir.as_ref().map(ToString::to_string),
            distribution: kubelet.distribution,
            version: kubelet.version.clone(),
            volume_plugin_dir: flexvolume::directory(kubelet).map(|directory| directory.to_string()),
        }),
    }
}
