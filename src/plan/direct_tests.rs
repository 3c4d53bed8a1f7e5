//! Pure: tests of what is planned where systemd is not PID 1.

use super::*;
use crate::model::file::{Attributes, File, FileFact};
use crate::model::unit::UnitState;
use crate::profile::BUILTIN;
use crate::settings::Settings;

fn profile(name: &str) -> Profile {
    let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name).unwrap();
    Profile::parse(name, name, text).unwrap()
}

/// A host on which the daemon's program is there, its service is in `file` and `active`, and the
/// kernel has iSCSI.
fn facts(file: FileState, active: ActiveState) -> Facts {
    let mut facts = Facts::new(Mode::Live, Init::Other("init".to_owned()));
    facts.programs.extend(["/sbin/iscsid", "/usr/sbin/iscsid"].map(HostPath::from));
    facts.iscsi.control = Some(true);
    facts.modules.insert("iscsi_tcp".to_owned(), Module::Loaded);
    let name = HostPath::from("/etc/iscsi/initiatorname.iscsi");
    let bytes = b"InitiatorName=iqn.2016-04.com.open-iscsi:1234\n".to_vec();
    let attributes = Attributes { mode: 0o600, uid: 0, gid: 0 };
    facts.files.insert(name.clone(), FileFact::File(File { bytes, attributes, canonical: name }));
    let state = UnitState { load: LoadState::Loaded, active, file };
    facts.units.insert(UnitName::from("iscsid.service"), state);
    facts
}

fn decided(facts: &Facts, name: &str) -> (Vec<String>, Vec<&'static str>) {
    let plan = crate::plan::decide(facts, &Settings::default(), &profile(name));
    let of_daemon = |target: &String| target.contains("iscsid.service");
    let steps = plan.steps().map(|(_, step)| format!("{} {}", step.action.kind(), step.action.target()));
    (steps.filter(of_daemon).collect(), plan.refused.iter().map(|refusal| refusal.id).collect())
}

#[test]
fn the_daemon_is_enabled_where_openrc_runs_it_and_started_where_it_does_not_run() {
    let stopped = facts(FileState::Disabled, ActiveState::Inactive);
    let both = ["enable-unit iscsid.service".to_owned(), "start-unit iscsid.service".to_owned()];
    assert_eq!(decided(&stopped, "alpine"), (both.to_vec(), vec![]));
    let running = facts(FileState::Enabled, ActiveState::Active);
    assert_eq!(decided(&running, "alpine"), (vec![], vec![]));
    assert_eq!(decided(&running, "rancheros"), (vec![], vec![]));
}

#[test]
fn a_daemon_that_somebody_else_runs_is_not_started_again() {
    let mut facts = facts(FileState::Enabled, ActiveState::Inactive);
    facts.iscsi.listening = Some(true);
    assert_eq!(decided(&facts, "rancheros"), (vec![], vec![]));
    facts.iscsi.listening = Some(false);
    assert_eq!(decided(&facts, "rancheros").0, ["start-unit iscsid.service"]);
}

#[test]
fn without_the_kernels_control_socket_the_daemon_is_not_started() {
    let mut facts = facts(FileState::Enabled, ActiveState::Inactive);
    facts.iscsi.control = Some(false);
    facts.modules.insert("iscsi_tcp".to_owned(), Module::Missing);
    assert_eq!(decided(&facts, "rancheros"), (vec![], vec!["iscsi-kernel"]));
}

#[test]
fn a_service_that_is_missing_is_refused() {
    let mut facts = facts(FileState::Enabled, ActiveState::Inactive);
    facts.units.insert(UnitName::from("iscsid.service"), UnitState::ABSENT);
    assert_eq!(decided(&facts, "alpine"), (vec![], vec!["iscsid-unit"]));
}

#[test]
fn a_profile_for_systemd_is_not_followed_without_it() {
    let facts = facts(FileState::Enabled, ActiveState::Inactive);
    for name in ["debian", "ubuntu", "generic"] {
        assert_eq!(decided(&facts, name), (vec![], vec!["no-systemd"]), "{name}");
        assert_eq!(daemon(&profile(name)), None);
    }
}

#[test]
fn a_tree_of_files_is_not_mounted_in_and_nothing_starts_there() {
    let mut facts = facts(FileState::Disabled, ActiveState::Unknown);
    (facts.mode, facts.init) = (Mode::Offline, Init::Offline);
    assert_eq!(decided(&facts, "alpine"), (vec!["enable-unit iscsid.service".to_owned()], vec![]));
}
