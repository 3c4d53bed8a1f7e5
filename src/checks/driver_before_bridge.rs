//! Pure: whether the containers of each driver were made before the bridge, and so have the directories that it covers.

use super::contract::few;
use super::driver_not_registered::named;
use super::restart::restart;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::kubelet::KubeletRoot;
use crate::mounts::registration::Registration;

const ID: &str = "driver-before-bridge";

/// Nothing where there is no driver, or nothing that could cover its directories is wanted.
pub(super) fn check(facts: &Facts, all: &[Registration]) -> Option<Finding> {
    let kubelet = facts.plugins.kubelet.as_ref()?;
    let older: Vec<&Registration> = all.iter().filter(|one| !one.covered.is_empty()).collect();
    if older.is_empty() {
        let bridged = !all.is_empty() && (kubelet.root != KubeletRoot::standard() || facts.align.is_some());
        return bridged.then(|| {
            Finding::new(
                ID,
                CheckStatus::Pass,
                "the drivers' containers have no directory that a mount covers since",
            )
        });
    }
    let names = few(older.iter().map(|one| named(one)));
    let why = |one: &&Registration| {
        let at = one.covered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{} has directories of before at {at} in its containers", named(one))
    };
    let finding = Finding::new(
        ID,
        CheckStatus::Fail,
        format!("started before the bridge, or another mount over the kubelet's directories: {names}"),
    )
    .detail(format!(
        "{}: the kubelet finds none of its sockets, and none of the volumes that it mounts there",
        few(older.iter().map(why))
    ))
    .remedy(few(older.iter().map(|one| restart(facts, &one.owner, one.pid))));
    Some(finding)
}
