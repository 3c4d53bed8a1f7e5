//! Pure: where the kubelet's root and the standard path are one directory already, or only seem to
//! be two.

use super::super::resolve::{place, same_directory, top_at};
use super::{STANDARD_PATH, Same};
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::kubelet::{KubeletRoot, Source};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

/// What a kubelet makes below the standard path whatever its root is (kubernetes,
/// pkg/kubelet/cm/devicemanager and the default of `--cert-dir`).
pub const CONSTANT: [&str; 2] = ["device-plugins", "pki"];

/// Why there is nothing to join, if so. Both paths are free of links.
pub(super) fn same(facts: &Facts, standard: &HostPath, root: &HostPath) -> Option<Same> {
    if standard == root {
        // The string counts: the kubelet sends it, whatever it links to.
        let said = facts.detection.kubelet.as_ref().map(|kubelet| kubelet.root_dir.as_path());
        return Some(match said {
            Some(said) if said.as_bytes() != STANDARD_PATH.as_bytes() => Same::Link(said.clone()),
            _ => Same::Standard,
        });
    }
    let (a, b) = (place(&facts.mounts, standard.as_bytes())?, place(&facts.mounts, root.as_bytes())?);
    if !same_directory(&a, &b) {
        return None;
    }
    let runs = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
    let over = top_at(&facts.mounts, standard.as_bytes()).is_some();
    let gone = |name: &&str| {
        matches!(facts.dirs.get(&HostPath::from(STANDARD_PATH).join(name)), Some(DirFact::Absent { .. }))
    };
    let hidden = match runs && over {
        true => CONSTANT.into_iter().filter(gone).collect(),
        false => Vec::new(),
    };
    Some(Same::Whole { root: root.clone(), hidden })
}

/// Refuses to build a bridge to where only the settings believe that k3s has its kubelet: since
/// v0.10.0 that is the standard path, whatever its data-dir is.
pub(super) fn believed(facts: &Facts) -> Option<Refusal> {
    let kubelet = facts.detection.kubelet.as_ref()?;
    let ours = |source| matches!(source, Source::Settings);
    let told = facts.detection.evidence.iter().any(|e| ours(e.source) && e.value == kubelet.root_dir);
    let runs = facts.detection.evidence.iter().find(|e| e.pid.is_some() && !ours(e.source))?;
    (told && is_k3s_old(kubelet.root_dir.as_path()) && runs.value == KubeletRoot::standard()).then(|| Refusal {
        id: "bridge-believed-root",
        target: kubelet.root_dir.to_string(),
        reason: format!(
            "kubelet.root-dir in the settings says so, and the kubelet that runs (process {}) uses {}: a bridge \
             would be bound over its own directories",
            runs.pid.unwrap_or_default(),
            runs.value
        ),
        remedy: "remove kubelet.root-dir from /etc/csihost: since v0.10.0 k3s has its kubelet below \
                 /var/lib/kubelet, whatever its data-dir is"
            .to_owned(),
    })
}

/// Whether `root` is where k3s before v0.10.0 had its kubelet: `<data-dir>/agent/kubelet`.
pub(in crate::mounts) fn is_k3s_old(root: &HostPath) -> bool {
    let mut up = root.components().rev();
    up.next() == Some(b"kubelet") && up.next() == Some(b"agent")
}
