//! Pure: the step that repairs iscsid.conf's startup line.

use crate::iscsi::conf::Conf;
use crate::iscsi::on_host::{SYSTEMCTL, advice};
use crate::iscsi::startup::{StartupAdvice, programs_and_units};
use crate::model::asked::Interests;
use crate::model::digest::Digest;
use crate::model::edit;
use crate::model::facts::Facts;
use crate::model::file::FileFact;
use crate::model::path::HostPath;
use crate::model::plan::{Action, Plan, Refusal};
use crate::model::unit::UnitName;
use crate::profile::Needs;

/// What the startup line that is there names.
pub(super) fn interests(facts: &Facts, needs: &Needs, interests: &mut Interests) {
    interests.programs.extend(SYSTEMCTL.map(HostPath::from));
    if let Some(bytes) = facts.file(&needs.iscsi.conf).bytes()
        && let Some(value) = Conf::new(bytes).startup()
    {
        let (program, units) = programs_and_units(value);
        interests.programs.extend(program);
        interests.units.extend(units.iter().filter_map(|unit| UnitName::parse(unit).ok()));
    }
}

pub(super) fn plan(facts: &Facts, needs: &Needs, plan: &mut Plan) {
    let path = &needs.iscsi.conf;
    let refuse = |plan: &mut Plan, reason: String, remedy: String| {
        plan.refused.push(Refusal { id: "iscsid-conf", target: path.to_string(), reason, remedy });
    };
    let file = match facts.file(path) {
        // Nothing to repair: the daemon takes its defaults, and its unit is enabled.
        FileFact::Absent => return,
        FileFact::File(file) => file,
        FileFact::Directory | FileFact::Special | FileFact::Masked => {
            let remedy = format!("move it away and reinstall {}", needs.packages.iscsi_name());
            return refuse(plan, "it is not a file".to_owned(), remedy);
        }
        FileFact::Unreadable(why) => {
            return refuse(plan, why.clone(), format!("make {path} a readable file, then run csihost apply"));
        }
    };
    let (splices, value, why) = match advice(facts, path, needs.iscsi.units(), &needs.iscsi.daemon) {
        None | Some(StartupAdvice::Leave { .. }) => return,
        Some(StartupAdvice::Repair { splices, value, why }) => (splices, value, why),
        Some(StartupAdvice::Refuse { reason, remedy }) => return refuse(plan, reason, remedy),
    };
    // Somebody keeps it elsewhere on purpose: a store, another package, a shared volume.
    if !file.canonical.starts_with(&HostPath::from("/etc")) {
        let reason = format!("{why}, and it is a link to {}, outside of /etc", file.canonical);
        return refuse(
            plan,
            reason,
            format!("set iscsid.startup = {value} where {} comes from", file.canonical),
        );
    }
    let Some(patched) = edit::apply(&file.bytes, &splices) else { return };
    let action = Action::PatchFile {
        path: file.canonical.clone(),
        before: Digest::of(&file.bytes),
        after: Digest::of(&patched),
        diff: edit::diff(&file.canonical.to_string(), &file.bytes, &splices),
        splices,
    };
    plan.push(action, why, &[]);
}
