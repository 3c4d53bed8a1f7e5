//! Pure: the bridge of a kubelet whose root was aligned: it uses the standard path, and its data are
//! where its root was.

use super::super::resolve::{below, top_at};
use super::{Bridge, STANDARD_PATH, Span};
use crate::model::bytes::shown;
use crate::model::facts::{Facts, Mode};
use crate::model::kubelet::KubeletRoot;
use crate::model::mount::Mount;
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

/// Where the data are of a kubelet that uses the standard path, or is to at its next start, because
/// csihost had it do so.
pub fn aligned(facts: &Facts) -> Option<&HostPath> {
    let record = facts.align.as_ref().filter(|record| record.root.as_bytes() != STANDARD_PATH.as_bytes())?;
    let kubelet = facts.detection.kubelet.as_ref()?;
    (kubelet.root_dir == KubeletRoot::standard()).then_some(&record.root)
}

/// The refusal of a bridge beneath a running kubelet.
pub const WITHOUT_BRIDGE: &str = "align-without-bridge";

/// Refuses to put the bridge under a kubelet that runs without it: it has made directories of its
/// own, which the bridge would hide.
pub(super) fn beneath(facts: &Facts, spans: &[Span]) -> Option<Refusal> {
    let runs = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
    let span = spans.iter().find(|span| !span.mounted).filter(|_| runs && facts.mode == Mode::Live)?;
    Some(Refusal {
        id: WITHOUT_BRIDGE,
        target: span.place.to_string(),
        reason: format!(
            "the kubelet was started without the bridge: it uses {} itself, and its data are in {}",
            span.place, span.what
        ),
        remedy: format!(
            "see why it was not mounted (systemctl status {}); stop the kubelet, look what it has made in {}, move \
             that away, run csihost apply and start the kubelet",
            span.unit, span.place
        ),
    })
}

/// Why a kubelet cannot go over to the standard path while its pods run: what would not be found
/// there as it is. The mount table decides.
pub fn unready(facts: &Facts, bridge: &Bridge) -> Vec<Refusal> {
    let table = &facts.mounts;
    let mut refused = Vec::new();
    let mut refuse = |id, found: Vec<String>, reason: &str, remedy: &str| {
        if let Some(first) = found.first() {
            let more = match found.len() {
                1 => String::new(),
                all => format!(
                    " ({all} in all: {})",
                    found.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
                ),
            };
            refused.push(Refusal {
                id,
                target: first.clone(),
                reason: format!("{reason}{more}"),
                remedy: remedy.to_owned(),
            });
        }
    };
    let all: Vec<&Mount> = below(table, bridge.root.as_bytes()).collect();
    let inside = |mount: &Mount| {
        let path = HostPath::parse(&mount.point).ok()?;
        bridge.spans.iter().find(|span| path.starts_with(&span.what)).map(|span| (span, path))
    };
    let point = |mount: &&Mount| shown(&mount.point);
    refuse(
        "align-mounts-outside",
        all.iter().copied().filter(|mount| inside(mount).is_none()).map(|mount| point(&mount)).collect(),
        "it is mounted below the kubelet's root and outside of the bridge: the kubelet would look for it below the \
         standard path, where it is not",
        "unmount it, or add its directory to bridge.directories, then run csihost apply",
    );
    let raw = |mount: &&Mount| mount.point.split(|&b| b == b'/').any(|part| part == b"volumeDevices");
    refuse(
        "align-block-volumes",
        all.iter().copied().filter(raw).map(|mount| point(&mount)).collect(),
        "a pod has a raw block volume: the kubelet finds the loop device of such a volume by its path, which would \
         become another one, and would never let go of it",
        "move the pods with raw block volumes to another node, then run csihost apply",
    );
    let twin = |span: &Span, path: &HostPath| {
        let there = span.place.join(path.below(&span.what).unwrap_or_default());
        top_at(table, there.as_bytes()).map(|twin| (twin.device, twin.root.clone()))
    };
    let unseen = |mount: &&Mount| match inside(mount) {
        Some((span, path)) if path != span.what => {
            // Of mounts on one another the last is seen, on both sides.
            let top = top_at(table, path.as_bytes()).map(|top| (top.device, top.root.clone()));
            if span.mounted { twin(span, &path) != top } else { mount.unbindable }
        }
        _ => false,
    };
    refuse(
        "align-unseen-volumes",
        all.iter().copied().filter(unseen).map(|mount| point(&mount)).collect(),
        "it is mounted for a pod, and is not to be seen below the standard path: the kubelet would mount it a second \
         time",
        "move its pod to another node, so that it is unmounted, then run csihost apply",
    );
    refused
}
