//! Pure: files that csihost generates whole: written where they are missing or old, and never
//! over somebody else's.

use crate::model::facts::Facts;
use crate::model::file::FileFact;
use crate::model::generated::{Origin, generate, origin};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal, StepId};
use similar::TextDiff;

/// What became of a file that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is there, to the byte.
    Unchanged,
    /// It will be written by this step.
    Written(StepId),
    /// Somebody else's is there instead.
    Taken,
}

impl Placed {
    /// The step that has to go well before the file is there.
    pub(super) fn written(self) -> Vec<StepId> {
        match self {
            Self::Written(id) => vec![id],
            Self::Unchanged | Self::Taken => Vec::new(),
        }
    }
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// systemd has to read it again.
    Unit,
    /// Nobody has to be told.
    File,
}

/// Plans that the file at `path` has `body` after its first line.
pub(super) fn place(
    plan: &mut Plan,
    facts: &Facts,
    kind: Kind,
    path: HostPath,
    body: &str,
    reason: &str,
    needs: &[StepId],
) -> Placed {
    let bytes = generate(body);
    if let Some(refusal) = not_ours(facts.file(&path), &path) {
        plan.refused.push(refusal);
        return Placed::Taken;
    }
    let before = facts.file(&path).bytes().unwrap_or_default();
    if before == bytes {
        return Placed::Unchanged;
    }
    let diff = diff(&path, before, &bytes);
    let action = match kind {
        Kind::Unit => Action::WriteUnit { path, bytes, diff },
        Kind::File => Action::WriteFile { path, bytes, diff },
    };
    Placed::Written(plan.push(action, reason, needs))
}

/// Why csihost must not write a file where `there` is; `None` where it may.
pub(super) fn not_ours(there: &FileFact, path: &HostPath) -> Option<Refusal> {
    let why = match there {
        FileFact::Absent => return None,
        FileFact::File(file) => match origin(&file.bytes) {
            Origin::Ours => return None,
            Origin::Edited => "csihost wrote it, and somebody edited it since",
            Origin::Foreign => "it is there already, and csihost did not write it",
        },
        FileFact::Masked => "it is masked by a link to /dev/null",
        FileFact::Directory | FileFact::Special => "it is not a file",
        FileFact::Unreadable(why) => why,
    };
    Some(Refusal {
        id: "foreign-file",
        target: path.to_string(),
        reason: why.to_owned(),
        remedy: format!("move {path} away if csihost is to manage it, then run csihost apply"),
    })
}

/// A unified diff of two versions of a generated file.
fn diff(path: &HostPath, before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let name = path.to_string();
    let old = if before.is_empty() { "/dev/null" } else { name.as_str() };
    TextDiff::from_lines(before.as_ref(), after.as_ref()).unified_diff().header(old, &name).to_string()
}
