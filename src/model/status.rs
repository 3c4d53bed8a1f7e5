//! What the last turn did: /run/csihost/status.json.

use super::plan::Later;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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

/// A plugin, and whether what it mounts reaches the kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractStatus {
    /// The driver's name, as shown; `None` where it is not known.
    pub driver: Option<String>,
    /// Its pod's UID.
    pub pod: Option<String>,
    /// A process of it.
    pub pid: i32,
    /// Whether what it mounts reaches the kubelet.
    pub holds: bool,
    /// What to do, where it does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remedy: Option<String>,
}

/// A reconciliation that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// Why it failed.
    pub reason: String,
}

/// The turns since the host started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Turns {
    /// That ended ready.
    pub ready: u64,
    /// That ended not ready.
    pub not_ready: u64,
    /// That failed.
    pub failed: u64,
    /// How long all of them took, in milliseconds.
    pub took_ms: u64,
}

/// The last turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The format.
    pub schema: u32,
    /// When it ended, in seconds since 1970.
    pub at: u64,
    /// Since when turns end so, for the same reasons, in seconds since 1970.
    #[serde(default)]
    pub since: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// It and those before it.
    #[serde(default)]
    pub turns: Turns,
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
    /// The plugins of this node.
    #[serde(default)]
    pub contracts: Vec<ContractStatus>,
    /// The last reconciliation that failed since the host started: this one, or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
}

impl Status {
    /// The status after a reconciliation that an error ended: nothing is known of the node.
    pub fn failed(at: u64, took_ms: u64, error: &str) -> Self {
        Self {
            schema: 1,
            at,
            since: at,
            took_ms,
            turns: Turns::default(),
            result: TurnResult::Failed,
            verdict: format!("failed: {error}"),
            root_dir: None,
            steps: Vec::new(),
            refused: Vec::new(),
            later: Vec::new(),
            failing: Vec::new(),
            contracts: Vec::new(),
            last_failure: None,
        }
    }

    /// Puts this turn after the one before it, if there was one since the host started: it is counted,
    /// and what has not changed is so since then.
    pub fn after(mut self, previous: Option<&Self>) -> Self {
        self.since = match previous {
            Some(previous) if previous.result == self.result && previous.reasons() == self.reasons() => {
                // One that knew nothing of it was the first that is known to have ended so.
                if previous.since == 0 { previous.at } else { previous.since }
            }
            _ => self.at,
        };
        self.turns = previous.map(|previous| previous.turns).unwrap_or_default();
        match self.result {
            TurnResult::Ready => self.turns.ready += 1,
            TurnResult::NotReady => self.turns.not_ready += 1,
            TurnResult::Failed => self.turns.failed += 1,
        }
        self.turns.took_ms += self.took_ms;
        self.last_failure = match self.result {
            TurnResult::Failed => Some(Failure { at: self.at, reason: self.verdict.clone() }),
            _ => previous.and_then(|previous| previous.last_failure.clone()),
        };
        self
    }

    /// Why the node is not ready: names of refusals and checks, and steps that failed.
    fn reasons(&self) -> BTreeSet<(&str, &str)> {
        let notes = self.refused.iter().chain(&self.failing).map(|note| (note.id.as_str(), ""));
        let failed = self.steps.iter().filter(|step| step.outcome == Outcome::Failed);
        let mut reasons: BTreeSet<(&str, &str)> =
            notes.chain(failed.map(|step| (step.kind.as_str(), step.target.as_str()))).collect();
        if reasons.is_empty() && self.result == TurnResult::Failed {
            reasons.insert(("", &self.verdict));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(at: u64, result: TurnResult, failing: &[&str]) -> Status {
        let note = |id: &&str| Note { id: (*id).to_owned(), reason: String::new(), remedy: String::new() };
        Status {
            schema: 1,
            at,
            since: 0,
            took_ms: 10,
            turns: Turns::default(),
            result,
            verdict: String::new(),
            root_dir: None,
            steps: Vec::new(),
            refused: Vec::new(),
            later: Vec::new(),
            failing: failing.iter().map(note).collect(),
            contracts: Vec::new(),
            last_failure: None,
        }
    }

    #[test]
    fn the_last_failure_stays_known_when_the_node_is_ready_again() {
        let failed = Status::failed(10, 5, "process 7 does not answer").after(None);
        let failure = Failure { at: 10, reason: "failed: process 7 does not answer".to_owned() };
        assert_eq!(failed.last_failure, Some(failure.clone()));
        let again = Status::failed(20, 5, "process 7 does not answer").after(Some(&failed));
        assert_eq!((again.since, again.last_failure.as_ref().map(|last| last.at)), (10, Some(20)));
        let other = Status::failed(30, 5, "another reason").after(Some(&again));
        assert_eq!(other.since, 30);
        let ready = turn(40, TurnResult::Ready, &[]).after(Some(&failed));
        assert_eq!((ready.since, &ready.last_failure, ready.turns.failed), (40, &Some(failure), 1));
        let json = serde_json::to_value(&ready).unwrap();
        assert_eq!(json["last_failure"]["at"], 10);
    }

    #[test]
    fn what_does_not_change_is_so_since_it_began_and_every_turn_counts() {
        use TurnResult::{Failed, NotReady, Ready};
        let mut last: Option<Status> = None;
        let mut since = Vec::new();
        for (at, result, failing) in [
            (10, NotReady, &["a"][..]),
            (20, NotReady, &["a"]),
            (30, NotReady, &["a", "b"]),
            (40, Ready, &[]),
            (50, Ready, &[]),
            (60, Failed, &[]),
        ] {
            let status = turn(at, result, failing).after(last.as_ref());
            since.push(status.since);
            last = Some(status);
        }
        assert_eq!(since, [10, 10, 30, 40, 40, 60]);
        let turns = Turns { ready: 2, not_ready: 3, failed: 1, took_ms: 60 };
        assert_eq!(last.map(|last| last.turns), Some(turns));
    }

    #[test]
    fn the_status_of_an_earlier_version_is_read_and_followed() {
        let json = r#"{"schema":1,"at":7,"took_ms":1,"result":"ready","verdict":"ready","root_dir":null,
            "steps":[],"refused":[],"failing":[]}"#;
        let earlier: Status = serde_json::from_str(json).unwrap();
        assert_eq!(turn(9, TurnResult::Ready, &[]).after(Some(&earlier)).since, 7);
    }
}
