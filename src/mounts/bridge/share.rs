//! Pure: whether a path lies on a shared mount, and what makes it one.

use super::super::resolve::{cover, joined, place, top_at};
use super::{Share, named};
use crate::model::bytes::shown;
use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

/// What must be done so that mounts at `path` are shared, and stay so when a kubelet starts.
///
/// A kubelet whose root is on a mount that is not shared binds the root to itself without what is
/// mounted below (kubernetes, pkg/kubelet/kubelet.go, `MakeRShared`). Such a self-made mount is
/// gone at the next boot, so it does not count as the mount that `path` lies on.
pub(super) fn share(table: &MountTable, path: &HostPath) -> Result<Option<Share>, Refusal> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let own = top_at(table, path.as_bytes());
    let Some(base) = cover(table, parent.as_bytes()) else { return Ok(None) };
    let self_bound = own.is_some_and(|own| bound_to_itself(table, path, own));
    match own {
        Some(own) if !self_bound => match own.shared {
            Some(_) => Ok(None),
            None => Err(Refusal {
                id: "bridge-private-mount",
                target: path.to_string(),
                reason: format!("{} is mounted there, and is not shared", shown(&own.source)),
                remedy: format!(
                    "run mount --make-rshared {path} before the kubelet starts, then csihost apply"
                ),
            }),
        },
        _ if base.shared.is_some() => Ok(None),
        own => {
            let mounted = own.is_some_and(|own| own.shared.is_some());
            Ok(Some(Share { path: path.clone(), unit: named(path)?, mounted }))
        }
    }
}

/// Whether `own`, which is mounted at `path`, is the directory beneath it.
pub(super) fn bound_to_itself(table: &MountTable, path: &HostPath, own: &Mount) -> bool {
    let beneath = path.parent().and_then(|parent| place(table, parent.as_bytes()));
    beneath.is_some_and(|beneath| {
        own.device == beneath.mount.device && own.root == joined(&beneath.inside, path.file_name())
    })
}
