//! Pure: k3s and RKE2: a file beside their main configuration file.
//!
//! k3s puts arguments of files before those of its command line, and of one name the last counts: a
//! root on the command line cannot be beaten by a file.

use super::refuse::{overruled, refusal};
use super::start::Start;
use super::{Change, Kind, is_ours};
use crate::model::generated::generate;
use crate::model::kubelet::{Distribution, Source};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

/// Read after others, as files are by name.
const NAME: &str = "90-csihost.yaml";

/// Adds to the list of other files, where there is one (k3s 1.21.1 and later).
const BODY: &str = "# The kubelet's root as it names it; its data stay where they are: csihost(8), contract.repair.\n\
    kubelet-arg+:\n\
    - root-dir=/var/lib/kubelet\n";

/// csihost's file.
pub(super) fn file(start: &Start<'_>) -> Option<HostPath> {
    let usual = match start.declaration.distribution {
        Distribution::Rke2 => "/etc/rancher/rke2/config.yaml",
        _ => "/etc/rancher/k3s/config.yaml",
    };
    let main = start.config.cloned().unwrap_or_else(|| HostPath::from(usual));
    Some(main.parent()?.join([main.file_name(), b".d"].concat()).join(NAME))
}

pub(super) fn change(start: &Start<'_>) -> Result<Option<Change>, Refusal> {
    let Some(path) = file(start) else { return Ok(None) };
    let facts = start.facts;
    let change = || Some(Change::Place(Kind::File, path.clone(), BODY.to_owned()));
    if start.is_set() {
        return Ok(if is_ours(facts, &path) { change() } else { None });
    }
    let unit = start.declaration.unit.as_ref().map_or("its unit", |unit| unit.as_str());
    if start.declaration.source == Source::SystemdUnit {
        return Err(refusal(
            "align-command-line",
            unit,
            "its command line names the kubelet's root (--kubelet-arg=root-dir=…), and that wins over every file"
                .to_owned(),
            format!("remove --kubelet-arg=root-dir=… from {unit} (systemctl cat {unit}), then run csihost apply"),
        ));
    }
    let version = facts.detection.kubelet.as_ref().and_then(|kubelet| kubelet.version.as_deref());
    if version.is_some_and(|version| is_before(version, &[(1, 21, 1)])) {
        return Err(refusal(
            "align-version",
            unit,
            format!("version {} adds nothing to a list of another file", version.unwrap_or_default()),
            "upgrade to 1.21.1 or later; or put root-dir=/var/lib/kubelet into kubelet-arg of the main \
             configuration file"
                .to_owned(),
        ));
    }
    if facts.file(&path).bytes() == Some(generate(BODY).as_slice()) {
        return Err(overruled(start, &path));
    }
    Ok(change())
}

/// Whether `version` is older than the first of those of its minor version, or of all.
pub(super) fn is_before(version: &str, first: &[(u32, u32, u32)]) -> bool {
    let text = version.trim_start_matches('v').split(['+', '-']).next().unwrap_or_default();
    let numbers: Vec<u32> = text.split('.').map_while(|part| part.parse().ok()).collect();
    let &[major, minor, patch] = numbers.as_slice() else { return false };
    let same = first.iter().find(|(a, b, _)| (*a, *b) == (major, minor));
    let oldest = same.or_else(|| first.first());
    oldest.is_some_and(|oldest| (major, minor, patch) < *oldest)
}
