//! Model: finds rows of a mount table by id and by path, without looking at them all.
//!
//! A path is found by its hash. The hashes are keyed at random: mount points may be chosen by
//! somebody who wants many of them to collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// One key for all tables, so that a path is hashed once for all of them.
static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A path and all directories above it, ready for lookups in any table.
#[derive(Debug, Clone)]
pub struct Prefixes<'p>(Vec<Prefix<'p>>);

impl<'p> Prefixes<'p> {
    /// Of a clean, absolute path.
    pub fn new(path: &'p [u8]) -> Self {
        if path.first() != Some(&b'/') {
            return Self(Vec::new());
        }
        let ends = path.iter().enumerate().skip(1).filter(|&(_, &b)| b == b'/').map(|(at, _)| at);
        let whole = (path.len() > 1).then_some(path.len());
        Self(
            [1].into_iter()
                .chain(ends)
                .chain(whole)
                .filter_map(|end| path.get(..end))
                .map(Prefix::new)
                .collect(),
        )
    }

    /// From `/` down.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Prefix<'p>> {
        self.0.iter()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix<'p> {
    pub(super) path: &'p [u8],
    hash: u64,
}

impl<'p> Prefix<'p> {
    pub(super) fn new(path: &'p [u8]) -> Self {
        Self { path, hash: KEYS.hash_one(path) }
    }
}

/// Rows by mount id.
#[derive(Debug, Clone)]
pub(super) struct Ids(Vec<(u64, u32)>);

impl Ids {
    pub(super) fn new(ids: impl Iterator<Item = u64>) -> Self {
        let mut rows: Vec<(u64, u32)> = ids.zip(0..).collect();
        // Since Linux 6.8 the kernel lists mounts in the order in which they were made.
        rows.sort();
        Self(rows)
    }

    /// The first row with `id`.
    pub(super) fn row(&self, id: u64) -> Option<u32> {
        let at = self.0.partition_point(|&(other, _)| other < id);
        self.0.get(at).filter(|&&(other, _)| other == id).map(|&(_, row)| row)
    }
}

/// Rows by a number that they belong to, and by a path.
#[derive(Debug, Clone)]
pub(super) struct ByPath(Vec<(u64, u64, u32)>);

impl ByPath {
    pub(super) fn new<'p>(rows: impl Iterator<Item = (u64, &'p [u8])>) -> Self {
        let mut rows: Vec<_> =
            rows.zip(0..).map(|((owner, path), row)| (owner, KEYS.hash_one(path), row)).collect();
        rows.sort_unstable();
        Self(rows)
    }

    /// All rows of `owner`, in no order.
    pub(super) fn all(&self, owner: u64) -> impl Iterator<Item = u32> {
        let from = self.0.partition_point(|&(other, ..)| other < owner);
        let rows = self.0.get(from..).unwrap_or_default().iter();
        rows.take_while(move |&&(other, ..)| other == owner).map(|&(.., row)| row)
    }

    /// The rows of `owner` at a path with the hash of `prefix`, in order. Paths may share a hash:
    /// the caller compares.
    pub(super) fn rows(&self, owner: u64, prefix: &Prefix) -> impl Iterator<Item = u32> {
        let key = (owner, prefix.hash);
        let from = self.0.partition_point(|&(owner, hash, _)| (owner, hash) < key);
        let rows = self.0.get(from..).unwrap_or_default().iter();
        rows.take_while(move |&&(owner, hash, _)| (owner, hash) == key).map(|&(_, _, row)| row)
    }
}
