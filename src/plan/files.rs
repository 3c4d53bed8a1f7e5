//! Pure: files that csihost generates whole: written where they are missing or old, never over
//! somebody else's, and removed once the settings no longer ask for them.

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

/// Plans that the file at `path` goes, if csihost generated it: nothing asks for it any more. One
/// that somebody edited since is theirs, and stays.
pub(super) fn retire(plan: &mut Plan, facts: &Facts, path: HostPath, reason: &str) -> Option<StepId> {
    let ours = facts.file(&path).bytes().is_some_and(|bytes| origin(bytes) == Origin::Ours);
    (ours && facts.generated.contains(&path)).then(|| plan.push(Action::RemoveFile { path }, reason, &[]))
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

/// Returns true if `path` has the name of a drop-in that csihost writes for units of others.
pub fn is_drop_in(path: &HostPath) -> bool {
    super::is_order(path) || path.file_name() == super::align::DROP_IN.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::{Init, Mode};
    use crate::model::file::{Attributes, File};
    use crate::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState};
    use crate::profile::{BUILTIN, Profile, of_facts};
    use crate::settings::{Features, Multipath, Settings};
    use std::collections::BTreeSet;

    const FILES: [&str; 3] = [
        "/etc/modules-load.d/csihost.conf",
        "/etc/multipath/conf.d/csihost.conf",
        "/etc/sysctl.d/60-csihost.conf",
    ];

    /// A host on which earlier settings asked for everything.
    fn host() -> Facts {
        let mut facts = Facts::new(Mode::Live, Init::Systemd);
        let state =
            UnitState { load: LoadState::Loaded, active: ActiveState::Active, file: FileState::Enabled };
        facts.units.insert(UnitName::from("multipathd.service"), state);
        for path in FILES.map(HostPath::from) {
            let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
            let file = File { bytes: generate("x\n"), attributes, canonical: path.clone() };
            facts.files.insert(path.clone(), FileFact::File(file));
            facts.generated.insert(path);
        }
        facts
    }

    fn steps(facts: &Facts, settings: &Settings) -> Vec<String> {
        let (_, text) = BUILTIN.iter().find(|(name, _)| *name == "debian").unwrap();
        let mut facts = facts.clone();
        facts.demand = of_facts(settings, &facts, &[], &BTreeSet::new());
        let profile = Profile::parse("debian", "debian", text).unwrap();
        let plan = crate::plan::decide(&facts, settings, &profile);
        plan.steps().map(|(_, step)| format!("{} {}", step.action.kind(), step.action.target())).collect()
    }

    #[test]
    fn what_the_settings_no_longer_ask_for_goes_and_who_read_it_is_told() {
        let off = Settings { iscsi: Some(false), ..Settings::default() };
        let mut facts = host();
        let gone = FILES.map(|path| format!("remove-file {path}")).to_vec();
        let told = ["reload-unit multipathd.service".to_owned()];
        assert_eq!(steps(&facts, &off), [&gone[..], &told].concat());
        facts.files.clear();
        facts.generated.clear();
        assert_eq!(steps(&facts, &off), [""; 0]);
        // multipathd could not be told.
        facts.restart.push(UnitName::from("multipathd.service"));
        assert_eq!(steps(&facts, &off), told);
    }

    #[test]
    fn what_the_settings_ask_for_and_what_is_not_csihosts_stays() {
        let features = Features { v2_engine: true, ..Features::default() };
        let on = Settings { multipath: Multipath::Blacklist, features, ..Settings::default() };
        assert!(steps(&host(), &on).iter().all(|step| !step.starts_with("remove-file")));
        let off = Settings { iscsi: Some(false), ..Settings::default() };
        let mut facts = host();
        for file in facts.files.values_mut() {
            if let FileFact::File(file) = file {
                file.bytes.extend_from_slice(b"edited\n");
            }
        }
        assert_eq!(steps(&facts, &off), [""; 0]);
        let mut facts = host();
        facts.generated.clear();
        assert_eq!(steps(&facts, &off), [""; 0]);
    }
}
