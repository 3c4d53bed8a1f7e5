//! Pure: the host and the settings as they are to be once the kubelet's root is aligned. A plan is
//! decided on them, and thrown away where aligning is refused then.

use super::link::without_link;
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::kubelet::KubeletRoot;
use crate::model::path::HostPath;
use crate::settings::{BridgeDirectory, Repair, Settings};

/// What a kubelet has in its root beside volumes and plugins, and looks for there, or others do
/// (kubernetes, pkg/kubelet/kubelet_getters.go and cmd/kubelet/app/server.go): the socket of the
/// pod-resources API, profiles that pods name, and which images were pulled with whose secrets.
const OWN: [&str; 3] = ["pod-resources", "seccomp", "image_manager"];

/// What is foreseen.
pub(in crate::plan) struct Foreseen {
    /// The host.
    pub facts: Facts,
    /// The settings, with what is bridged beside theirs.
    pub settings: Settings,
    /// Whether a directory takes the place of a link at the standard path.
    pub replaces: bool,
}

/// What is asked about where aligning is asked for.
pub(in crate::plan) fn interesting(settings: &Settings) -> &'static [&'static str] {
    match settings.contract.repair {
        Repair::Align => &OWN,
        Repair::Report | Repair::Graft => &[],
    }
}

/// `None` where all is as it would be.
pub(in crate::plan) fn foreseen(facts: &Facts, settings: &Settings) -> Option<Foreseen> {
    if settings.contract.repair != Repair::Align || !settings.bridge.enabled {
        return None;
    }
    let kubelet = facts.detection.kubelet.as_ref().filter(super::is_known)?;
    let root = kubelet.host_dir.as_ref().filter(|_| kubelet.root_dir != KubeletRoot::standard())?;
    if let Some(facts) = without_link(facts, root) {
        return Some(Foreseen { facts, settings: settings.clone(), replaces: true });
    }
    let mut after = settings.clone();
    join(&mut after, own(facts, root).filter_map(|name| BridgeDirectory::parse(name).ok()));
    (after != *settings).then(|| Foreseen { facts: facts.clone(), settings: after, replaces: false })
}

/// What the kubelet has in its `root`, and will look for at the standard path; once that is recorded it stays.
fn own(facts: &Facts, root: &HostPath) -> impl Iterator<Item = &'static str> {
    let filled = |name: &&str| {
        facts.align.is_none()
            && matches!(facts.dirs.get(&root.join(name)), Some(DirFact::Directory { entries, .. }) if !entries.is_empty())
    };
    OWN.into_iter().filter(filled)
}

/// Adds directories to those of the bridge.
pub(in crate::plan) fn join(settings: &mut Settings, more: impl Iterator<Item = BridgeDirectory>) {
    for name in more {
        if !settings.bridge.directories.contains(&name) {
            settings.bridge.directories.push(name);
        }
    }
}

/// Those of `settings` that are to be remembered.
pub(super) fn beside(settings: &Settings) -> Vec<String> {
    let names = settings.bridge.directories.iter().map(BridgeDirectory::as_str);
    names.filter(|name| OWN.contains(name)).map(str::to_owned).collect()
}
