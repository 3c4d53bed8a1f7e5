//! Pure: what earlier bridges have left mounted.
//!
//! A mount counts as csihost's where it started the unit, and what is mounted is what the unit had
//! to mount: a directory of a root that csihost has bridged, or the directory itself.

use super::super::resolve::{below, joined, place, top_at};
use super::super::unit_name::mount_point;
use super::share::bound_to_itself;
use super::{Decision, Span};
use crate::model::facts::Facts;
use crate::model::mount::Mount;
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use std::collections::BTreeSet;

/// A mount that an earlier bridge left where the new one is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The root that it leads to.
    pub root: HostPath,
    /// How many mounts are below it: with any, it stays until a reboot.
    pub below: usize,
}

/// A mount of an earlier bridge that nobody wants any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// Where it is.
    pub path: HostPath,
    /// The unit that mounted it.
    pub unit: UnitName,
    /// Why it stays until a reboot, if it has to.
    pub busy: Option<String>,
}

/// What an earlier bridge left at `path`, where the directory `name` of `root` is wanted.
pub fn former(facts: &Facts, root: &HostPath, name: &str, path: &HostPath, top: &Mount) -> Option<Former> {
    let record = facts.bridge.as_ref()?;
    let started = facts.started.iter().any(|unit| mount_point(unit).as_ref() == Some(path));
    let leads = |former: &&HostPath| *former != root && is_mounted(facts, former, name, top);
    let former = record.roots().find(leads).filter(|_| started)?;
    Some(Former { root: former.clone(), below: below(&facts.mounts, path.as_bytes()).count() })
}

/// Whether `top` shows the directory `name` of `root`, or what it was before it was deleted.
fn is_mounted(facts: &Facts, root: &HostPath, name: &str, top: &Mount) -> bool {
    place(&facts.mounts, root.join(name).as_bytes()).is_some_and(|there| {
        let root = top.root.strip_suffix(b"//deleted").unwrap_or(&top.root);
        there.mount.device == top.device && root == there.inside
    })
}

/// The mounts of earlier bridges whose units are not in `wanted`, deepest first.
pub fn remains(facts: &Facts, wanted: &BTreeSet<UnitName>) -> Vec<Remains> {
    let runs = facts.detection.kubelet.as_ref().filter(|kubelet| kubelet.pid.is_some());
    let root = runs.and_then(|kubelet| kubelet.host_dir.as_ref());
    let mut points: Vec<(HostPath, &UnitName)> = facts
        .started
        .iter()
        .filter(|unit| !wanted.contains(unit))
        .filter_map(|unit| Some((mount_point(unit)?, unit)))
        .collect();
    points.sort_by_key(|(path, _)| std::cmp::Reverse(path.as_bytes().len()));
    let mut going: BTreeSet<u64> = BTreeSet::new();
    let mut all = Vec::new();
    for (path, unit) in points {
        let Some(top) = top_at(&facts.mounts, path.as_bytes()) else { continue };
        if !is_ours(facts, &path, top) {
            continue;
        }
        let below = below(&facts.mounts, path.as_bytes()).filter(|mount| !going.contains(&mount.id)).count();
        let busy = match (below, root) {
            (0, Some(root)) if root.starts_with(&path) => Some(format!("the kubelet uses {path}")),
            (0, _) => None,
            (1, _) => Some(format!("1 mount is below {path}")),
            (below, _) => Some(format!("{below} mounts are below {path}")),
        };
        if busy.is_none() {
            going.insert(top.id);
        }
        all.push(Remains { path, unit: unit.clone(), busy });
    }
    all
}

/// The points of what earlier bridges have left that stays for what is mounted below. `decision` is
/// about the bridge that is wanted now, if any is.
pub fn waiting(facts: &Facts, decision: Option<&Decision>) -> Vec<HostPath> {
    let (spans, wanted) = match decision {
        Some(Decision::Build(bridge)) => (bridge.spans.as_slice(), bridge.units()),
        Some(Decision::Same(_)) | None => (Default::default(), BTreeSet::new()),
        Some(Decision::Refused(_) | Decision::NoKubelet) => return Vec::new(),
    };
    let busy = |span: &&Span| span.former.as_ref().is_some_and(|former| former.below > 0);
    let spans = spans.iter().filter(busy).map(|span| span.place.clone());
    let remains = remains(facts, &wanted).into_iter().filter(|remains| remains.busy.is_some());
    spans.chain(remains.map(|remains| remains.path)).collect()
}

fn is_ours(facts: &Facts, path: &HostPath, top: &Mount) -> bool {
    if bound_to_itself(&facts.mounts, path, top) {
        return true;
    }
    let root = top.root.strip_suffix(b"//deleted").unwrap_or(&top.root);
    facts.bridge.iter().flat_map(|record| record.roots()).any(|former| {
        let Some(there) = place(&facts.mounts, former.as_bytes()) else { return false };
        // The directory's name below the root is the end of the mount point.
        let ends: Vec<&[u8]> = path.components().collect();
        (1..=ends.len()).any(|count| {
            let name = ends.get(ends.len() - count..).unwrap_or_default().join(&b'/');
            there.mount.device == top.device && joined(&there.inside, &name) == root
        })
    })
}
