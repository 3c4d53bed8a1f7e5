//! Pure: one directory of the bridge, and what is there now.

use super::super::links;
use super::super::resolve::{place, same_directory, top_at};
use super::super::travel::{Travel, travel};
use super::former::{Former, former};
use super::holds::no_data;
use super::late::bound_by_fstab;
use super::{Span, named, resolved};
use crate::model::bytes::{shell_word, shown};
use crate::model::contract::Link;
use crate::model::facts::Facts;
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

pub(super) fn span(facts: &Facts, standard: &HostPath, root: &HostPath, name: &str) -> Result<Span, Refusal> {
    let place_path = resolved(facts, &standard.join(name))?;
    let what = resolved(facts, &root.join(name))?;
    if place_path != standard.join(name) {
        return Err(Refusal {
            id: "bridge-link",
            target: standard.join(name).to_string(),
            reason: format!("it is a link to {place_path}"),
            remedy: "remove the link; csihost makes the directory and binds the kubelet's there".to_owned(),
        });
    }
    let unit = named(&place_path)?;
    let own = root.join(name);
    if !what.starts_with(root) {
        return Err(Refusal {
            id: "bridge-link",
            target: own.to_string(),
            reason: format!(
                "it is a link to {what}, out of the kubelet's root: containers that get the root do not have {what}, \
                 and a container that may write to the root can have made the link"
            ),
            remedy: format!(
                "see who made it (ls -l {}), and put a directory in its place; if the data are to stay in {what}, mount \
                 them there: with the node drained run {}",
                shell_word(&own.to_string()),
                links::repair(
                    &[Link { path: own.clone(), target: what.clone() }],
                    facts.detection.unit.as_ref()
                )
            ),
        });
    }
    let now = now(facts, root, name, &what, &place_path)?;
    let fstab = bound_by_fstab(facts, &what, &place_path)?;
    let (mounted, former, covers) = match now {
        Now::Bound => (true, None, Vec::new()),
        Now::Former(former) => (false, Some(former), Vec::new()),
        Now::Nothing => (false, None, no_data(facts, &place_path, &what, name)?),
    };
    Ok(Span { what, place: place_path, unit, mounted, fstab, former, covers })
}

/// What is mounted at the place of a directory.
enum Now {
    Nothing,
    /// The kubelet's directory, as it has to be.
    Bound,
    /// What an earlier bridge left.
    Former(Former),
}

fn now(
    facts: &Facts,
    root: &HostPath,
    name: &str,
    what: &HostPath,
    place_path: &HostPath,
) -> Result<Now, Refusal> {
    let table = &facts.mounts;
    let Some(top) = top_at(table, place_path.as_bytes()) else { return Ok(Now::Nothing) };
    let (Some(here), Some(there)) = (place(table, place_path.as_bytes()), place(table, what.as_bytes()))
    else {
        return Ok(Now::Nothing);
    };
    if !same_directory(&here, &there) {
        if let Some(former) = former(facts, root, name, place_path, top) {
            return Ok(Now::Former(former));
        }
        let source = match top.root.as_slice() {
            b"/" => shown(&top.source),
            directory => format!("{} of {}", shown(directory), shown(&top.source)),
        };
        return Err(Refusal {
            id: "bridge-foreign-mount",
            target: place_path.to_string(),
            reason: format!(
                "{source} ({}) is mounted there, and not the kubelet's {what}",
                shown(&top.fs_type)
            ),
            remedy: format!(
                "drain the node, unmount {place_path} and remove what mounts it (/etc/fstab, a mount unit), \
                 then run csihost apply"
            ),
        });
    }
    if travel(there.mount, table, top, table) != Travel::Both {
        return Err(Refusal {
            id: "bridge-not-shared",
            target: place_path.to_string(),
            reason: format!("{what} is bound there, but new mounts do not travel both ways between the two"),
            remedy: format!(
                "drain the node, run mount --make-rshared on the mount that holds {what}, \
                 unmount {place_path}, then run csihost apply"
            ),
        });
    }
    Ok(Now::Bound)
}
