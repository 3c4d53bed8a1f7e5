//! Engine: tests of the writer, on a tree of files and a service manager in memory.

use super::*;
use crate::engine::receipt;
use crate::model::install::Installation;
use crate::model::receipt::Receipt;
use crate::model::unit::FileState;
use crate::systemd::Fault;
use crate::systemd::fake::Fake;
use std::path::Path;

fn unit(name: &'static str) -> UnitName {
    UnitName::from(name)
}

fn write_unit(path: &'static str) -> Action {
    Action::WriteUnit {
        path: HostPath::from(path),
        bytes: crate::model::generated::generate("[Unit]\n"),
        diff: String::new(),
    }
}

async fn apply(root: &Path, manager: &mut Fake, plan: &Plan) -> (Vec<Outcome>, Receipt) {
    let host = Host::open(Some(root)).unwrap();
    let store = Store::open(&host).unwrap();
    let statuses = Writer { host: &host, manager, store }.apply(plan).await;
    (statuses.iter().map(|status| status.outcome).collect(), receipt::load(&host).unwrap())
}

fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc/systemd/system")).unwrap();
    root
}

#[tokio::test]
async fn systemd_reads_its_units_once_between_writing_and_starting() {
    let root = tree();
    let mut manager =
        Fake::default().with("a.mount", FileState::Disabled).with("b.mount", FileState::Disabled);
    let mut plan = Plan::default();
    for (name, path) in
        [("a.mount", "/etc/systemd/system/a.mount"), ("b.mount", "/etc/systemd/system/b.mount")]
    {
        let written = plan.push(write_unit(path), "", &[]);
        plan.push(Action::EnableUnit { unit: unit(name) }, "", &[written]);
        plan.push(Action::StartUnit { unit: unit(name) }, "", &[written]);
    }
    let (outcomes, receipt) = apply(root.path(), &mut manager, &plan.in_phases()).await;
    assert_eq!(outcomes, [Outcome::Done; 6]);
    assert_eq!(
        manager.calls,
        ["enable a.mount", "enable b.mount", "reload", "start a.mount", "start b.mount"]
    );
    assert!(receipt.changes.iter().all(|change| change.done) && !receipt.reload_pending);
}

#[tokio::test]
async fn without_a_changed_unit_nothing_is_read_again() {
    let root = tree();
    let mut manager = Fake::default().with("a.socket", FileState::Disabled);
    let mut plan = Plan::default();
    plan.push(Action::StartUnit { unit: unit("a.socket") }, "", &[]);
    apply(root.path(), &mut manager, &plan).await;
    assert_eq!(manager.calls, ["start a.socket"]);
}

#[tokio::test]
async fn a_failed_step_stops_what_needs_it_and_nothing_else() {
    let root = tree();
    let mut manager = Fake::default()
        .with("a.mount", FileState::Disabled)
        .with("b.mount", FileState::Disabled)
        .failing("start a.mount", Fault::NotFound);
    let mut plan = Plan::default();
    let first = plan.push(Action::StartUnit { unit: unit("a.mount") }, "", &[]);
    let second = plan.push(Action::EnableUnit { unit: unit("a.mount") }, "", &[first]);
    plan.push(Action::StartUnit { unit: unit("b.mount") }, "", &[second]);
    plan.push(Action::EnableUnit { unit: unit("b.mount") }, "", &[]);
    let (outcomes, receipt) = apply(root.path(), &mut manager, &plan).await;
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Skipped, Outcome::Skipped, Outcome::Done]);
    // What may or may not have happened stays in the receipt, for undo to look at.
    let done: Vec<bool> = receipt.changes.iter().map(|change| change.done).collect();
    assert_eq!(done, [false, true]);
}

#[tokio::test]
async fn a_reload_that_a_crash_left_open_is_made_up_for() {
    let root = tree();
    let host = Host::open(Some(root.path())).unwrap();
    let mut store = Store::open(&host).unwrap();
    store.receipt.reload_pending = true;
    store.save().unwrap();
    let mut manager = Fake::default();
    let (_, receipt) = apply(root.path(), &mut manager, &Plan::default()).await;
    assert_eq!(manager.calls, ["reload"]);
    assert!(!receipt.reload_pending);
}

#[tokio::test]
async fn a_file_that_somebody_put_there_meanwhile_is_not_overwritten() {
    let root = tree();
    let path = root.path().join("etc/systemd/system/a.mount");
    std::fs::write(&path, "mine\n").unwrap();
    let mut plan = Plan::default();
    plan.push(write_unit("/etc/systemd/system/a.mount"), "", &[]);
    let (outcomes, receipt) = apply(root.path(), &mut Fake::default(), &plan).await;
    assert_eq!(outcomes, [Outcome::Failed]);
    assert_eq!(std::fs::read(path).unwrap(), b"mine\n");
    assert_eq!(receipt.changes, []);
}

#[tokio::test]
async fn without_a_receipt_nothing_is_changed() {
    let root = tree();
    // A file where the receipt's directory should be.
    std::fs::create_dir_all(root.path().join("var/lib")).unwrap();
    std::fs::write(root.path().join("var/lib/csihost"), "").unwrap();
    let host = Host::open(Some(root.path())).unwrap();
    assert!(Store::open(&host).is_err());
    assert!(!root.path().join("etc/systemd/system/a.mount").exists());
}

#[test]
fn what_a_crash_left_open_is_settled_by_what_is_there() {
    let root = tree();
    let host = Host::open(Some(root.path())).unwrap();
    let mut store = Store::open(&host).unwrap();
    let there = Changed::Generated { path: HostPath::from("/etc/systemd/system/there.mount") };
    let gone = Changed::Generated { path: HostPath::from("/etc/systemd/system/gone.mount") };
    store.intend(&there).unwrap();
    store.intend(&gone).unwrap();
    std::fs::write(root.path().join("etc/systemd/system/there.mount"), "x").unwrap();
    let store = Store::open(&host).unwrap();
    let changes: Vec<_> =
        store.receipt.changes.iter().map(|change| (change.what.clone(), change.done)).collect();
    assert_eq!(changes, [(there, true)]);
}

fn install(at_reboot: bool) -> Action {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    Action::InstallPackages(Installation {
        packages: vec!["open-iscsi".to_owned()],
        commands: vec![words("manager update"), words("manager install open-iscsi")],
        environment: vec![("A".to_owned(), "b".to_owned())],
        at_reboot,
    })
}

fn with_manager(mode: u32) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let root = tree();
    std::fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let path = root.path().join("usr/bin/manager");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    root
}

fn installs(action: Action) -> Plan {
    let mut plan = Plan::default();
    plan.push(action, "", &[]);
    plan
}

#[tokio::test]
async fn packages_are_installed_by_the_systems_manager_and_noted() {
    let root = with_manager(0o755);
    let mut manager = Fake::default();
    let (outcomes, receipt) = apply(root.path(), &mut manager, &installs(install(true))).await;
    assert_eq!(outcomes, [Outcome::Done]);
    assert_eq!(manager.calls, ["run csihost-install.service"]);
    let ran = manager.ran.pop().unwrap();
    let path = HostPath::from("/usr/bin/manager");
    assert_eq!(ran.commands[0], (path.clone(), vec!["update".to_owned()]));
    assert_eq!(ran.commands[1], (path, vec!["install".to_owned(), "open-iscsi".to_owned()]));
    assert_eq!(ran.environment, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(receipt.changes.len(), 1);
    assert_eq!(receipt.at_reboot.len(), 1);
}

#[tokio::test]
async fn what_could_not_be_installed_is_not_noted_and_says_what_was_run() {
    let root = with_manager(0o755);
    let host = Host::open(Some(root.path())).unwrap();
    let fault = Fault::Job { result: "failed".into(), detail: Some("exit status 100".into()) };
    let mut manager = Fake::default().failing("run csihost-install.service", fault);
    let store = Store::open(&host).unwrap();
    let mut writer = Writer { host: &host, manager: &mut manager, store };
    let statuses = writer.apply(&installs(install(false))).await;
    let error = statuses[0].error.clone().unwrap();
    for part in
        ["open-iscsi", "archive reachable", "/usr/bin/manager install", "exit status 100", "journalctl -u"]
    {
        assert!(error.contains(part), "no {part}: {error}");
    }
    assert_eq!(receipt::load(&host).unwrap().changes, []);
}

#[tokio::test]
async fn a_manager_that_others_can_change_or_that_is_not_there_is_not_run() {
    for root in [with_manager(0o757), tree()] {
        let mut manager = Fake::default();
        let (outcomes, receipt) = apply(root.path(), &mut manager, &installs(install(false))).await;
        assert_eq!(outcomes, [Outcome::Failed]);
        assert_eq!((manager.calls.len(), receipt.changes.len()), (0, 0));
    }
}

#[tokio::test]
async fn what_was_made_anew_is_moved_away_beside_the_first() {
    let root = tree();
    let to = "/etc/nodes.aside/a";
    for n in ["1", "2", "3"] {
        std::fs::create_dir_all(root.path().join("etc/nodes/a")).unwrap();
        std::fs::write(root.path().join("etc/nodes/a/record"), n).unwrap();
        let action = Action::MoveAside { path: HostPath::from("/etc/nodes/a"), to: HostPath::from(to) };
        let (outcomes, receipt) = apply(root.path(), &mut Fake::default(), &installs(action)).await;
        assert_eq!(outcomes, [Outcome::Done]);
        assert!(receipt.changes.iter().all(|change| change.done));
    }
    for (place, n) in [("a", "1"), ("a.2", "2"), ("a.3", "3")] {
        let kept = root.path().join("etc/nodes.aside").join(place).join("record");
        assert_eq!(std::fs::read_to_string(kept).unwrap(), n);
    }
}

#[tokio::test]
async fn a_unit_that_may_be_stopped_for_a_moment_may_not_be_when_that_fails() {
    let root = tree();
    let at = |name: &str| root.path().join(name);
    std::fs::create_dir_all(at("proc/1")).unwrap();
    let rows = "1 0 8:1 / / rw shared:1 - ext4 x rw\n2 1 8:1 /b /a rw shared:1 - ext4 x rw\n";
    std::fs::write(at("proc/1/mountinfo"), rows).unwrap();
    let fault = Fault::Busy { why: "not now".to_owned() };
    let mut manager = Fake::default().with("a.mount", FileState::Disabled).failing("reload", fault);
    let mut plan = Plan::default();
    plan.push(Action::Unmount { path: HostPath::from("/a"), unit: unit("a.mount") }, "", &[]);
    let (outcomes, receipt) = apply(root.path(), &mut manager, &plan).await;
    assert_eq!(outcomes[0], Outcome::Failed);
    assert!(receipt.reload_pending && manager.calls.iter().all(|call| call == "reload"));
    assert!(!at("run/systemd/system/a.mount.d").exists());
}
