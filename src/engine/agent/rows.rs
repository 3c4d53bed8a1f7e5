//! Engine: the rows of the mount table on which a decision about the bridge depends. Thousands of
//! volumes come and go on a busy node; a turn is worth it only where one of these rows changed.

use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::mountinfo::{self, MountinfoError};
use std::collections::HashSet;

/// The points at which a mount matters: directories of the bridge and all above them, as
/// mountinfo writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Points(HashSet<Vec<u8>>);

/// The mounts at those points, in the kernel's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows(Vec<Mount>);

impl Points {
    /// Those of a turn: what was asked about directories, with the paths that they really are.
    pub(super) fn of(facts: &Facts) -> Self {
        let canonical = facts.dirs.values().filter_map(|fact| match fact {
            DirFact::Absent { canonical } | DirFact::Directory { canonical, .. } => Some(canonical.clone()),
            DirFact::Other(_) => None,
        });
        let roots = facts.detection.host_dir().cloned().into_iter().chain([HostPath::from(STANDARD_PATH)]);
        Self::at(facts.dirs.keys().cloned().chain(canonical).chain(roots))
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
        Self(points)
    }
}

impl Rows {
    /// Those of a table that was read.
    pub(super) fn of(table: &MountTable, points: &Points) -> Self {
        Self(table.iter().filter(|mount| points.0.contains(&escaped(&mount.point))).cloned().collect())
    }

    /// Those of the text of a table; no other row is understood, or has to be.
    pub(super) fn read(text: &[u8], points: &Points) -> Result<Self, MountinfoError> {
        let point =
            |row: &[u8]| row.split(|&b| b == b' ').nth(4).is_some_and(|point| points.0.contains(point));
        let rows: Vec<u8> =
            text.split_inclusive(|&b| b == b'\n').filter(|row| point(row)).flatten().copied().collect();
        Ok(Self(mountinfo::parse(&rows)?.iter().cloned().collect()))
    }
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
            prop_assert_eq!(Rows::of(&table, &points()), read(&text));
        }
    }
}
