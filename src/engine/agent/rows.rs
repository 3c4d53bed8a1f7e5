//! Engine: the rows of the mount table on which a decision about the bridge depends. Thousands of
//! volumes come and go on a busy node; a turn is worth it only where one of these rows changed.

use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::gate::{GATE_SOURCE, GATE_TYPE};
use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::mounts::bridge::{STANDARD_PATH, decide, waiting};
use crate::mounts::mountinfo::{self, MountinfoError};
use crate::plan::directories;
use crate::settings::Settings;
use std::collections::HashSet;

/// The points at which a mount matters: directories of the bridge and all above them, as
/// mountinfo writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Points {
    at: HashSet<Vec<u8>>,
    /// What earlier bridges have left that goes when nothing is mounted below, each with a `/`.
    waiting: Vec<Vec<u8>>,
}

/// The mounts at those points, in the kernel's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    mounts: Vec<Mount>,
    /// Whether something is below each of those that wait.
    busy: Vec<bool>,
}

impl Points {
    /// Those of a turn: what was asked about directories, with the paths that they really are.
    pub(super) fn of(facts: &Facts, settings: &Settings) -> Self {
        let canonical = facts.dirs.values().filter_map(|fact| match fact {
            DirFact::Absent { canonical } | DirFact::Directory { canonical, .. } => Some(canonical.clone()),
            DirFact::Other(_) => None,
        });
        let roots = facts.detection.host_dir().cloned().into_iter().chain([HostPath::from(STANDARD_PATH)]);
        let decision = settings.bridge.enabled.then(|| decide(facts, &directories(settings)));
        let waiting = waiting(facts, decision.as_ref());
        let below = |path: &HostPath| [escaped(path.as_bytes()).as_slice(), b"/"].concat();
        Self {
            waiting: waiting.iter().map(below).collect(),
            ..Self::at(facts.dirs.keys().cloned().chain(canonical).chain(roots))
        }
    }

    fn at(paths: impl IntoIterator<Item = HostPath>) -> Self {
        let mut points = HashSet::new();
        for path in paths {
            let mut next = Some(path);
            while let Some(path) = next {
                next = path.parent();
                if !points.insert(escaped(path.as_bytes())) {
                    break;
                }
            }
        }
        Self { at: points, waiting: Vec::new() }
    }

    /// Notes in `busy` what is below a point that waits.
    fn busy(&self, point: &[u8], busy: &mut [bool]) {
        for (waiting, busy) in self.waiting.iter().zip(busy) {
            *busy |= point.starts_with(waiting);
        }
    }
}

impl Rows {
    /// Those of a table that was read.
    pub(super) fn of(table: &MountTable, points: &Points) -> Self {
        let mut rows = Self { mounts: Vec::new(), busy: vec![false; points.waiting.len()] };
        for mount in table.iter() {
            let point = escaped(&mount.point);
            points.busy(&point, &mut rows.busy);
            rows.mounts.extend(points.at.contains(&point).then(|| mount.clone()));
        }
        rows
    }

    /// Those of the text of a table; no other row is understood, or has to be.
    pub(super) fn read(text: &[u8], points: &Points) -> Result<Self, MountinfoError> {
        let (mut rows, mut busy) = (Vec::new(), vec![false; points.waiting.len()]);
        for row in text.split_inclusive(|&b| b == b'\n') {
            let Some(point) = row.split(|&b| b == b' ').nth(4) else { continue };
            if is_gate(row) {
                continue;
            }
            points.busy(point, &mut busy);
            if points.at.contains(point) {
                rows.extend_from_slice(row);
            }
        }
        Ok(Self { mounts: mountinfo::parse(&rows)?.iter().cloned().collect(), busy })
    }
}

/// Returns true for a gate, which no table has either. Its row ends in type, source and options.
fn is_gate(row: &[u8]) -> bool {
    let mut last = row.rsplit(|&b| b == b' ').skip(1);
    last.next() == Some(GATE_SOURCE.as_bytes()) && last.next() == Some(GATE_TYPE.as_bytes())
}

/// A path as the kernel writes it in mountinfo (fs/proc_namespace.c, `mangle`).
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => out.extend(format!("\\{byte:03o}").bytes()),
            _ => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(id: u64, point: &str, propagation: &str) -> String {
        let point = String::from_utf8(escaped(point.as_bytes())).unwrap();
        format!("{id} 1 0:{id} / {point} rw,relatime {propagation}- tmpfs none rw\n")
    }

    fn points() -> Points {
        Points::at(["/var/lib/kubelet/pods", "/srv/a b/pods"].map(HostPath::from))
    }

    fn read(text: &str) -> Rows {
        Rows::read(text.as_bytes(), &points()).unwrap()
    }

    #[test]
    fn volumes_do_not_matter_and_what_covers_the_bridge_does() {
        let base = row(1, "/", "shared:1 ") + &row(2, "/var/lib/kubelet/pods", "shared:1 ");
        let seen = read(&base);
        let volumes: String =
            (3..500).map(|id| row(id, &format!("/var/lib/kubelet/pods/{id}/mount"), "shared:2 ")).collect();
        assert_eq!(read(&(base.clone() + &volumes)), seen);
        for point in ["/", "/var", "/var/lib/kubelet", "/var/lib/kubelet/pods", "/srv/a b", "/srv/a b/pods"] {
            assert_ne!(read(&(base.clone() + &row(9, point, ""))), seen, "{point}");
        }
        assert_ne!(read(&row(1, "/", "shared:1 ")), seen);
        assert_ne!(read(&base.replace("shared:1", "shared:7")), seen);
    }

    #[test]
    fn below_what_waits_the_first_and_the_last_volume_matter() {
        let points = Points { waiting: vec![b"/srv/old/pods/".to_vec()], ..points() };
        let read = |text: &str| Rows::read(text.as_bytes(), &points).unwrap();
        let base = row(1, "/", "shared:1 ") + &row(2, "/srv/old/pods", "");
        let (one, two) = (row(3, "/srv/old/pods/a", ""), row(4, "/srv/old/pods/b", ""));
        assert_ne!(read(&base), read(&(base.clone() + &one)));
        assert_eq!(read(&(base.clone() + &two)), read(&(base.clone() + &one + &two)));
        assert_eq!(read(&base), read(&(base.clone() + &row(5, "/srv/old/pods2", ""))));
    }

    #[test]
    fn a_row_that_cannot_be_understood_is_an_error_only_where_it_matters() {
        assert!(Rows::read(b"1 1 0:1 / /elsewhere rw\n", &points()).is_ok());
        assert!(Rows::read(b"1 1 0:1 / /var rw\n", &points()).is_err());
    }

    proptest! {
        #[test]
        fn the_text_and_the_table_give_the_same_rows(
            names in proptest::collection::vec("(/(a|var|lib|kubelet|pods|srv|a b|x\\\\y)){1,5}", 0..20)
        ) {
            let text: String = (1..).zip(&names).map(|(id, name)| row(id, name, "shared:1 ")).collect();
            let table = mountinfo::parse(text.as_bytes()).unwrap();
            let points = Points { waiting: vec![b"/var/lib/".to_vec(), b"/srv/".to_vec()], ..points() };
            let read = Rows::read(text.as_bytes(), &points).unwrap();
            prop_assert_eq!(Rows::of(&table, &points), read);
        }
    }
}
