//! Check: drivers whose containers were created before the bridge, and so have the directories beneath it.

use super::contract::few;
use super::driver_not_registered::named;
use super::restart::restart;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::kubelet::KubeletRoot;
use crate::mounts::registration::Registration;

const ID: &str = "driver-before-bridge";

/// No finding where no driver runs, or where nothing can be mounted over its directories.
pub(super) fn check(facts: &Facts, all: &[Registration]) -> Option<Finding> {
    let kubelet = facts.plugins.kubelet.as_ref()?;
    let older: Vec<&Registration> = all.iter().filter(|one| !one.covered.is_empty()).collect();
    if older.is_empty() {
        let bridged = !all.is_empty() && (kubelet.root != KubeletRoot::standard() || facts.align.is_some());
        return bridged.then(|| {
            Finding::new(ID, CheckStatus::Pass, "no driver's container was created before the bridge")
        });
    }
    let names = few(older.iter().map(|one| named(one)));
    let why = |one: &&Registration| {
        let at = one.covered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("the containers of {} still have the directories beneath at {at}", named(one))
    };
    let finding = Finding::new(
        ID,
        CheckStatus::Fail,
        format!("created before the bridge, or before another mount over the kubelet's directories: {names}"),
    )
    .detail(format!(
        "{}: the kubelet finds none of its sockets, and none of the volumes that it mounts there",
        few(older.iter().map(why))
    ))
    .remedy(few(older.iter().map(|one| restart(facts, &one.owner, one.pid))));
    Some(finding)
}
