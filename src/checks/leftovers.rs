//! Checks: volumes that are still mounted for pods which are gone.
//!
//! Such a mount is left where a plugin has answered "done" to an unmount without the path in its container.
//! The kubelet then never completes the pod's end, and the cluster may attach the volume elsewhere.

use crate::model::facts::Facts;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::model::volumes::{Leftover, MOUNT, VOLUME_DATA};

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
/// that goes with its twin is left out when its turn comes. Then it removes the directories of volumes of which
/// nothing is mounted any more: the kubelet does not complete the pod's end before that.
fn remedy(leftovers: &[Leftover]) -> String {
    let published = leftovers.iter().flat_map(|left| &left.published);
    let points = quoted(published.chain(leftovers.iter().flat_map(|left| &left.staged)));
    let unmount = format!("for m in {points}; do ! mountpoint -q \"$m\" || umount \"$m\"; done");
    let directories = quoted(leftovers.iter().flat_map(|left| &left.directories));
    match directories.as_str() {
        "" => unmount,
        directories => format!(
            "{unmount}; for d in {directories}; do mountpoint -q \"$d/{MOUNT}\" || \
             rm -df \"$d/{VOLUME_DATA}\" \"$d/{MOUNT}\" \"$d\"; done"
        ),
    }
}

/// Each path once, in order, as words of a shell.
fn quoted<'a>(paths: impl Iterator<Item = &'a HostPath>) -> String {
    let mut words: Vec<String> = Vec::new();
    for path in paths {
        let word = format!("'{}'", path.to_string().replace('\'', "'\\''"));
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_unmounts_each_once_in_order_and_survives_a_quote() {
        let left = |points: &[&'static str; 2]| Leftover {
            pod: "u".to_owned(),
            volume: "v".to_owned(),
            minutes: 11,
            published: vec![HostPath::from(points[0])],
            directories: Vec::new(),
            staged: vec![HostPath::from(points[1])],
        };
        let mut lefts = [left(&["/a/p", "/a/s"]), left(&["/it's/p", "/a/s"])];
        let unmount = r#"for m in '/a/p' '/it'\''s/p' '/a/s'; do ! mountpoint -q "$m" || umount "$m"; done"#;
        assert_eq!(remedy(&lefts), unmount);
        lefts[0].directories = vec![HostPath::from("/a")];
        let remove = r#"for d in '/a'; do mountpoint -q "$d/mount" || rm -df "$d/vol_data.json" "$d/mount" "$d"; done"#;
        assert_eq!(remedy(&lefts), format!("{unmount}; {remove}"));
    }
}
