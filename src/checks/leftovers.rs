//! Checks: volumes that are still mounted for pods which are gone.
//!
//! Such a mount is left where a plugin has answered "done" to an unmount without the path in its container.
//! The kubelet then never completes the pod's end, and the cluster may attach the volume elsewhere.

use super::quoted;
use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::volumes::Leftover;

const ID: &str = "leftover-mounts";

/// As many volumes are named in the detail.
const NAMED: usize = 10;

/// Nothing where there is no such volume.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    if facts.leftovers.is_empty() {
        return Vec::new();
    }
    let count = match facts.leftovers.len() {
        1 => "1 volume is".to_owned(),
        n => format!("{n} volumes are"),
    };
    let one = |left: &Leftover| {
        format!("{} of the pod with UID {}, for {} min", left.volume, left.pod, left.minutes)
    };
    let named: Vec<String> = facts.leftovers.iter().take(NAMED).map(one).collect();
    let more = match facts.leftovers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    vec![
        Finding::new(ID, CheckStatus::Warn, format!("{count} mounted for pods that are gone"))
            .detail(format!(
                "{}{more}; the kubelet does not complete the end of these pods, and the cluster may attach the volume \
                 to another node",
                named.join("; ")
            ))
            .remedy(remedy(&facts.leftovers)),
    ]
}

/// The command that unmounts them: publications first, then staging, in both trees of a bridge. A mount
/// that goes with its twin is left out when its turn comes.
fn remedy(leftovers: &[Leftover]) -> String {
    let mut points: Vec<String> = Vec::new();
    let published = leftovers.iter().flat_map(|left| &left.published);
    for point in published.chain(leftovers.iter().flat_map(|left| &left.staged)) {
        let quoted = quoted(point);
        if !points.contains(&quoted) {
            points.push(quoted);
        }
    }
    format!("for m in {}; do ! mountpoint -q \"$m\" || umount \"$m\"; done", points.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::HostPath;

    #[test]
    fn the_remedy_unmounts_each_once_in_order_and_survives_a_quote() {
        let left = |points: &[&'static str; 2]| Leftover {
            pod: "u".to_owned(),
            volume: "v".to_owned(),
            minutes: 11,
            published: vec![HostPath::from(points[0])],
            staged: vec![HostPath::from(points[1])],
        };
        assert_eq!(
            remedy(&[left(&["/a/p", "/a/s"]), left(&["/it's/p", "/a/s"])]),
            r#"for m in '/a/p' '/it'\''s/p' '/a/s'; do ! mountpoint -q "$m" || umount "$m"; done"#
        );
    }
}
