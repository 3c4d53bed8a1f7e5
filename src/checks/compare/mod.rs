//! Pure: the questions that no node can answer alone: what differs between nodes of a cluster
//! that has to be the same, and what is the same that has to differ.

mod report;
mod rules;

#[cfg(test)]
mod tests;

pub use report::{InputError, Report};
pub use rules::compare;

use serde::Serialize;

/// How much a difference matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Volumes will fail somewhere.
    Fail,
    /// Somebody should look.
    Warn,
    /// It is so.
    Info,
}

/// Nodes that have one thing in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Group {
    /// What; null where the node does not say.
    pub value: Option<String>,
    /// Who, by name.
    pub nodes: Vec<String>,
}

/// Something that differs, or is the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Stable name; a check's own, where it is one.
    pub id: String,
    /// How much it matters.
    pub status: Level,
    /// In one line.
    pub summary: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Who has what.
    pub groups: Vec<Group>,
}

/// What comparing nodes gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Nothing fails.
    pub ready: bool,
    /// The nodes, by name: the host's, or the file's where that is not known or not its own.
    pub nodes: Vec<String>,
    /// What was found, what matters most first.
    pub findings: Vec<Difference>,
}
