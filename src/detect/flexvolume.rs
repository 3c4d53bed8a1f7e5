//! Pure: paths that a kubelet uses beside its root, and whether the host has them under the same
//! name: a kubelet in a container sees what its container was given.

use super::world::World;
use crate::model::kubelet::{Distribution, Kubelet, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::process::Process;
use std::collections::BTreeMap;

/// The kubelet's default for `--volume-plugin-dir` (kubernetes, cmd/kubelet/app/options).
const DEFAULT: &str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";
/// Where Kubernetes 1.10 to 1.12 looks for the sockets of CSI drivers, whatever the root is
/// (kubernetes, pkg/volume/csi/csi_plugin.go, `csiAddrTemplate`).
pub const EARLY_SOCKETS: &str = "/var/lib/kubelet/plugins";

/// The directory in which a kubelet looks for FlexVolume drivers; `None` where that is not known:
/// the arguments of an embedded kubelet are not to be seen, and its default may be another one.
pub fn directory(kubelet: &Kubelet) -> Option<HostPath> {
    match &kubelet.volume_plugin_dir {
        Some(given) => KubeletRoot::parse(given).ok().map(|path| path.as_path().clone()),
        None => match kubelet.distribution {
            Distribution::K3s | Distribution::Microk8s | Distribution::Microshift => None,
            _ => Some(HostPath::from(DEFAULT)),
        },
    }
}

/// What the host calls those paths.
pub(super) fn on_host(
    kubelet: Option<&Kubelet>,
    processes: &[Process],
    world: &dyn World,
) -> BTreeMap<HostPath, Option<HostPath>> {
    let Some(kubelet) = kubelet else { return BTreeMap::new() };
    let Some(process) = processes.iter().find(|process| Some(process.pid) == kubelet.pid) else {
        return BTreeMap::new();
    };
    let paths = directory(kubelet).into_iter().chain([HostPath::from(EARLY_SOCKETS)]);
    let named = |path: HostPath| {
        let root = KubeletRoot::parse(path.as_bytes()).ok()?;
        let there = world.host_dir(process, &root);
        Some((path, there))
    };
    paths.filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::fake::Fake;
    use crate::model::kubelet::Confidence;

    fn kubelet(distribution: Distribution, given: Option<&str>) -> Kubelet {
        Kubelet {
            root_dir: KubeletRoot::standard(),
            host_dir: None,
            confidence: Confidence::Certain,
            distribution,
            pid: Some(7),
            version: None,
            volume_plugin_dir: given.map(|given| given.as_bytes().to_vec()),
        }
    }

    #[test]
    fn the_default_is_that_of_a_kubelet_of_its_own_alone() {
        for (distribution, given, expected) in [
            (Distribution::Kubelet, None, Some(DEFAULT)),
            (
                Distribution::Rke,
                Some("/var/lib/kubelet/volumeplugins/"),
                Some("/var/lib/kubelet/volumeplugins"),
            ),
            (Distribution::K3s, Some("/flex"), Some("/flex")),
            (Distribution::K3s, None, None),
            (Distribution::Kubelet, Some("relative"), None),
        ] {
            let found = directory(&kubelet(distribution, given)).map(|path| path.to_string());
            assert_eq!(found.as_deref(), expected, "{distribution:?} {given:?}");
        }
    }

    #[test]
    fn a_container_names_its_directories_as_it_likes() {
        let process = Process { pid: 7, ..Process::default() };
        let mut world = Fake::default();
        let found = kubelet(Distribution::Rke, None);
        let own = on_host(Some(&found), std::slice::from_ref(&process), &world);
        assert!(own.iter().all(|(inside, outside)| outside.as_ref() == Some(inside)), "{own:?}");
        world.elsewhere.insert(7, HostPath::from("/var/lib/docker/overlay2/x/merged"));
        let moved = on_host(Some(&found), &[process], &world);
        assert_eq!(moved.len(), 2);
        assert!(moved.iter().all(|(inside, outside)| outside.as_ref() != Some(inside)), "{moved:?}");
        assert!(on_host(Some(&found), &[], &world).is_empty());
    }
}
