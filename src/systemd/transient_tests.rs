//! What is said to systemd about commands that it runs in csihost's place.

use super::error::ManagerError;
use super::stub::{against, job_path};
use super::{Patience, ServiceManager as _, Transient};
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use std::cell::RefCell;
use std::time::Duration;
use zbus::OwnedVariant;

fn unit() -> UnitName {
    UnitName::from("a.service")
}

fn transient() -> Transient {
    Transient {
        rights: None,
        description: "Install".to_owned(),
        commands: vec![(HostPath::from("/usr/bin/apt-get"), vec!["install".to_owned()])],
        environment: vec![("A".to_owned(), "b".to_owned())],
        patience: Patience::Limit(Duration::from_secs(2)),
    }
}

/// Name, mode, properties, auxiliary units.
type Asked = (String, String, Vec<(String, OwnedVariant)>, Vec<(String, Vec<(String, OwnedVariant)>)>);

/// Runs the commands on a systemd that may not know CollectMode; the properties that it was given.
fn run(knows_collect_mode: bool, result: &'static str) -> (Result<(), ManagerError>, Vec<Vec<String>>) {
    let seen = RefCell::new(Vec::new());
    let outcome = against(
        async |stub, member, call| {
            match member {
                "StartTransientUnit" => {
                    let body = call.body();
                    let (name, mode, properties, more): Asked = body.deserialize().unwrap();
                    assert_eq!((name.as_str(), mode.as_str(), more.len()), ("a.service", "fail", 0));
                    let names: Vec<String> = properties.into_iter().map(|(name, _)| name).collect();
                    let refused = !knows_collect_mode && names.contains(&"CollectMode".to_owned());
                    seen.borrow_mut().push(names);
                    if refused {
                        stub.refuse(call, "PropertyReadOnly").await;
                        return true;
                    }
                    stub.answer(call, &job_path(7)).await;
                    stub.job_removed(7, result, None).await;
                }
                "ResetFailedUnit" => stub.refuse(call, "UnknownMethod").await,
                _ => stub.refuse(call, "UnknownProperty").await,
            }
            true
        },
        async |mut systemd, _| systemd.run(&unit(), &transient()).await,
    );
    (outcome, seen.into_inner())
}

#[test]
fn commands_are_run_as_a_service_that_is_gone_when_they_end() {
    let (outcome, asked) = run(true, "done");
    assert_eq!(outcome, Ok(()));
    let limits = ["TimeoutStartUSec", "TimeoutStopUSec"];
    let common = ["Description", "Type", "ExecStart", "Environment"];
    assert_eq!(asked, [[&common[..], &limits, &["AddRef", "CollectMode"]].concat()]);
}

#[test]
fn an_older_systemd_is_not_asked_to_collect_the_service() {
    let (outcome, asked) = run(false, "done");
    assert_eq!(outcome, Ok(()));
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1], ["Description", "Type", "ExecStart", "Environment"]);
}

#[test]
fn commands_that_fail_are_told_with_where_to_look() {
    let error = run(true, "failed").0.unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot run /usr/bin/apt-get install as a.service: its job ended with \"failed\"; see journalctl -u a.service"
    );
}
