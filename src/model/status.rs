//! What the last turn did: /run/csihost/status.json.

use super::plan::Later;
use serde::{Deserialize, Serialize};

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TurnResult {
    /// All that could be done is done, and no check fails.
    Ready,
    /// All that could be done is done; a check still fails.
    NotReady,
    /// A step failed, something was refused, or the turn did not settle.
    Failed,
}

/// How one step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Done.
    Done,
    /// Tried and failed.
    Failed,
    /// Not tried, because a step that it needs failed.
    Skipped,
}

/// One step of the last turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Its kind.
    pub kind: String,
    /// What it was about.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Something that was refused in the last turn, or that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Stable name.
    pub id: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// The last turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The format.
    pub schema: u32,
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How it ended.
    pub result: TurnResult,
    /// The verdict in one line.
    pub verdict: String,
    /// The kubelet root, as shown.
    pub root_dir: Option<String>,
    /// What was done.
    pub steps: Vec<StepStatus>,
    /// What was refused.
    pub refused: Vec<Note>,
    /// What waits for another turn, or for a reboot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Later>,
    /// The checks that fail.
    pub failing: Vec<Note>,
}
