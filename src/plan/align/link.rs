//! Pure: a standard path that is a link to the kubelet's root, as MicroK8s is installed.
//!
//! Nothing can be mounted through a link, and the kubelet would have its own root as its new one by
//! another name. So a directory takes the link's place, and the whole root is bound to it: all that
//! the link showed is there as before, the kubelet's sockets and certificates with it.

use crate::model::facts::Facts;
use crate::model::file::{DirFact, FileFact};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, StepId};
use crate::mounts::bridge::STANDARD_PATH;

/// The mode of a directory that is seen only while nothing is mounted there.
const MODE: u32 = 0o750;

/// The host as it is with a directory in the place of a link to `root`; `None` where there is none.
pub(super) fn without_link(facts: &Facts, root: &HostPath) -> Option<Facts> {
    let standard = HostPath::from(STANDARD_PATH);
    let root = facts.canonical(root).clone();
    if *facts.canonical(&standard) != root || root == standard {
        return None;
    }
    let mut after = facts.clone();
    for (path, fact) in &mut after.dirs {
        if path.starts_with(&standard) {
            *fact = DirFact::Absent { canonical: path.clone() };
        }
    }
    for (path, fact) in &mut after.files {
        if path.starts_with(&standard) {
            *fact = FileFact::Absent;
        }
    }
    let empty = DirFact::Directory { canonical: standard.clone(), entries: Vec::new() };
    after.dirs.insert(standard, empty);
    after.whole = Some(root);
    Some(after)
}

/// The step that does it, before those that mount.
pub(in crate::plan) fn replace(plan: &mut Plan) -> StepId {
    let action = Action::ReplaceLink { path: HostPath::from(STANDARD_PATH), mode: MODE };
    plan.push(action, "nothing can be mounted through a link; the whole root is mounted in its place", &[])
}
