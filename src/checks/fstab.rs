//! Checks: lines of /etc/fstab for the kubelet's directories that not every system mounts alike.

use crate::model::facts::{Facts, Init};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::fstab::{Entry, FSTAB, entries, in_effect};

const ID: &str = "fstab";

/// Nothing if every line for the kubelet's directories is mounted alike by all readers of the table.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(root) = facts.detection.host_dir() else { return Vec::new() };
    let text = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let entries = entries(text);
    let roots = [facts.canonical(root).clone(), HostPath::from(STANDARD_PATH)];
    let concerns = |point: &HostPath| {
        *point != HostPath::root()
            && roots.iter().any(|root| point.starts_with(root) || root.starts_with(point))
    };
    entries
        .iter()
        .filter(|entry| concerns(&entry.point))
        .filter_map(|entry| differs(entry).or_else(|| hidden(facts, &entries, entry)))
        .collect()
}

fn differs(entry: &Entry<'_>) -> Option<Finding> {
    let reason = entry.differs?;
    Some(
        Finding::new(
            ID,
            CheckStatus::Warn,
            format!("line {} of {FSTAB} mounts {} only on some systems", entry.number, entry.point),
        )
        .detail(format!("{reason}; after an upgrade of systemd, what it mounts can be missing at the next boot"))
        .remedy(format!(
            "write six fields into line {} of {FSTAB} (source, mount point, type, options, 0 0), with spaces as \\040, \
             and a comment on a line of its own; then run systemctl daemon-reload",
            entry.number
        )),
    )
}

/// A line that another one keeps from its mount point.
fn hidden(facts: &Facts, entries: &[Entry<'_>], entry: &Entry<'_>) -> Option<Finding> {
    let winner = *in_effect(entries, &entry.point, &facts.init).last()?;
    if winner.number == entry.number {
        return None;
    }
    let detail = match facts.init {
        Init::Other(_) => format!("mount -a mounts both, line {} over this one", winner.number),
        _ => "systemd mounts the first of several lines for a mount point, mount -a mounts all of them"
            .to_owned(),
    };
    Some(
        Finding::new(
            ID,
            CheckStatus::Warn,
            format!("line {} of {FSTAB} is for {}, as line {} is", entry.number, entry.point, winner.number),
        )
        .detail(detail)
        .remedy(format!("remove one of lines {} and {} of {FSTAB}", winner.number, entry.number)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Mode;
    use crate::model::file::{Attributes, File, FileFact};
    use crate::model::kubelet::{Detection, Distribution, Kubelet, KubeletRoot};

    fn found(table: &str, init: Init) -> Vec<String> {
        let root = KubeletRoot::parse(b"/opt/rke/var/lib/kubelet").unwrap();
        let kubelet = Kubelet::running(Distribution::Rke, root);
        let mut facts = Facts {
            detection: Detection { kubelet: Some(kubelet), ..Detection::default() },
            ..Facts::new(Mode::Live, init)
        };
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let canonical = HostPath::from(FSTAB);
        let file = File { bytes: table.into(), attributes, canonical: canonical.clone() };
        facts.files.insert(canonical, FileFact::File(file));
        check(&facts).into_iter().map(|finding| format!("{}; {}", finding.summary, finding.detail)).collect()
    }

    #[test]
    fn lines_that_some_systems_ignore_are_named_if_they_concern_the_kubelet() {
        let table = "LABEL=root / ext4\nLABEL=rke /opt/rke\n/a /srv/b\n\
            /opt/rke/var/lib/kubelet/pods /var/lib/kubelet/pods none bind # ops\n/c /opt/rke/var ext4 defaults 0 2\n";
        let found = found(table, Init::Systemd);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with(
            "line 2 of /etc/fstab mounts /opt/rke only on some systems; mount(8) and systemd 259"
        ));
        assert!(found[0].contains("it has no file system type"));
        assert!(
            found[1].starts_with("line 4 of /etc/fstab") && found[1].contains("is not a number"),
            "{found:?}"
        );
    }

    #[test]
    fn of_two_lines_for_a_mount_point_the_one_that_is_not_mounted_is_named() {
        let table = "/a /opt/rke ext4 defaults 0 0\n/b /opt/rke ext4 defaults 0 0\n/c /d none bind\n/c /d none bind\n";
        let of = |init| found(table, init);
        let with = of(Init::Systemd);
        assert_eq!(with.len(), 1);
        assert!(
            with[0]
                .starts_with("line 2 of /etc/fstab is for /opt/rke, as line 1 is; systemd mounts the first")
        );
        let without = of(Init::Other("openrc".to_owned()));
        assert_eq!(without.len(), 1);
        assert!(
            without[0]
                .starts_with("line 1 of /etc/fstab is for /opt/rke, as line 2 is; mount -a mounts both")
        );
    }
}
