//! What the room does with answers that a healthy systemd of today does not give.

use super::error::{Fault, ManagerError};
use super::stub::{against, job_path};
use super::{ServiceManager as _, StopMode};
use crate::model::unit::{ActiveState, FileState, UnitName};
use std::cell::Cell;
use zbus::OwnedVariant;

fn unit() -> UnitName {
    UnitName::from("a.service")
}

fn fault<T: std::fmt::Debug>(result: Result<T, ManagerError>) -> Fault {
    result.unwrap_err().fault
}

#[test]
fn a_reload_that_is_refused_for_coming_too_often_is_asked_for_again() {
    let refusals = Cell::new(0);
    against(
        async |stub, member, call| {
            assert_eq!(member, "Reload");
            refusals.set(refusals.get() + 1);
            match refusals.get() {
                1 => stub.refuse(call, "LimitsExceeded").await,
                _ => stub.answer(call, &()).await,
            }
            true
        },
        async |mut systemd, stub| {
            systemd.reload().await.unwrap();
            assert_eq!(stub.asked(), ["Reload", "Reload"]);
        },
    );
}

#[test]
fn a_reload_without_an_answer_is_called_again_four_times_as_systemd_may_execute_itself_again() {
    for (unanswered, error) in [(1, "NoReply"), (4, "ServiceUnknown"), (5, "NoReply")] {
        let calls = Cell::new(0);
        let reloaded = against(
            async |stub, _, call| {
                calls.set(calls.get() + 1);
                match calls.get() {
                    n if n <= unanswered => stub.refuse(call, error).await,
                    _ => stub.answer(call, &()).await,
                }
                true
            },
            async |mut systemd, _| systemd.reload().await.is_ok(),
        );
        assert_eq!((reloaded, calls.get()), (unanswered <= 4, 5.min(unanswered + 1)), "{unanswered} {error}");
    }
}

#[test]
fn a_systemd_that_sleeps_over_a_question_is_woken() {
    let active = against(
        async |stub, member, call| {
            assert_eq!(member, "ListUnitsByNames");
            stub.woken().await;
            stub.list(call, "active").await;
            true
        },
        async |mut systemd, _| systemd.activity(&[unit()]).await.unwrap().get(&unit()).active,
    );
    assert_eq!(active, ActiveState::Active);
}

#[test]
fn an_older_systemd_enables_by_its_older_method() {
    against(
        async |stub, member, call| {
            match member {
                "EnableUnitFilesWithFlags" => stub.refuse(call, "UnknownMethod").await,
                "EnableUnitFiles" => {
                    let body = call.body();
                    let (names, runtime, force): (Vec<&str>, bool, bool) = body.deserialize().unwrap();
                    assert_eq!((names, runtime, force), (vec!["a.service"], false, false));
                    stub.answer(call, &(true, vec![("symlink", "/etc/a", "/lib/a")])).await;
                }
                "ListUnitsByNames" => stub.list(call, "inactive").await,
                "GetUnitFileState" => stub.answer(call, &"enabled").await,
                other => panic!("{other}"),
            }
            true
        },
        async |mut systemd, _| systemd.enable(&unit()).await.unwrap(),
    );
}

#[test]
fn an_older_systemd_is_asked_unit_by_unit() {
    against(
        async |stub, member, call| {
            match member {
                "ListUnitsByNames" => stub.refuse(call, "UnknownMethod").await,
                "LoadUnit" => stub.answer(call, &job_path(1)).await,
                "Get" => {
                    let body = call.body();
                    let (_, name): (&str, &str) = body.deserialize().unwrap();
                    let value = match name {
                        "Id" => "a.service",
                        "LoadState" => "loaded",
                        _ => "active",
                    };
                    stub.answer(call, &OwnedVariant::from(zbus::Str::from(value))).await;
                }
                "GetUnitFileState" => stub.answer(call, &"static").await,
                other => panic!("{other}"),
            }
            true
        },
        async |mut systemd, _| {
            let state = systemd.units(&[unit()]).await.unwrap().get(&unit());
            assert_eq!((state.active, state.file), (ActiveState::Active, FileState::Static));
        },
    );
}

#[test]
fn an_enable_that_did_nothing_is_an_error() {
    against(
        async |stub, member, call| {
            assert_eq!(member, "EnableUnitFilesWithFlags");
            stub.answer(call, &(false, Vec::<(&str, &str, &str)>::new())).await;
            true
        },
        async |mut systemd, _| assert_eq!(fault(systemd.enable(&unit()).await), Fault::NoInstall),
    );
}

#[test]
fn an_enable_after_which_the_unit_is_not_enabled_is_an_error() {
    against(
        async |stub, member, call| {
            match member {
                "EnableUnitFilesWithFlags" => {
                    stub.answer(call, &(true, Vec::<(&str, &str, &str)>::new())).await;
                }
                "ListUnitsByNames" => stub.list(call, "inactive").await,
                _ => stub.answer(call, &"indirect").await,
            }
            true
        },
        async |mut systemd, _| {
            assert!(matches!(fault(systemd.enable(&unit()).await), Fault::WrongState { .. }));
        },
    );
}

/// Starts a unit; `ends` sends the signals around the reply, which names job 7.
fn start(result: &'static str, active: &'static str) -> Result<(), ManagerError> {
    against(
        async |stub, member, call| {
            match member {
                "StartUnit" => {
                    // More of other jobs' ends than any queue holds, before the reply.
                    for job in 100..300 {
                        stub.job_removed(job, "done", None).await;
                    }
                    stub.answer(call, &job_path(7)).await;
                    stub.job_removed(77, "failed", None).await;
                    // Only a forger addresses a signal.
                    stub.job_removed(7, "skipped", Some(":1.7")).await;
                    stub.job_removed(7, result, None).await;
                }
                "ListUnitsByNames" => stub.list(call, active).await,
                _ => stub.refuse(call, "UnknownProperty").await,
            }
            true
        },
        async |mut systemd, _| systemd.start(&unit()).await,
    )
}

#[test]
fn only_a_job_that_is_done_is_a_success() {
    assert_eq!(start("done", "active"), Ok(()));
    for result in ["canceled", "timeout", "failed", "dependency", "skipped", "invalid", "assert", "collected"]
    {
        assert_eq!(fault(start(result, "active")), Fault::Job { result: result.to_owned(), detail: None });
    }
}

#[test]
fn a_job_that_is_done_and_leaves_the_unit_inactive_is_an_error() {
    assert_eq!(
        fault(start("done", "inactive")),
        Fault::WrongState { state: "inactive".to_owned(), because: None }
    );
}

#[test]
fn a_job_whose_end_comes_before_its_answer_is_not_missed() {
    against(
        async |stub, member, call| {
            match member {
                "StopUnit" => {
                    let body = call.body();
                    let asked: (&str, &str) = body.deserialize().unwrap();
                    assert_eq!(asked, ("a.service", "ignore-dependencies"));
                    stub.job_removed(7, "done", None).await;
                    stub.answer(call, &job_path(7)).await;
                }
                _ => stub.list(call, "inactive").await,
            }
            true
        },
        async |mut systemd, stub| {
            systemd.stop(&unit(), StopMode::Alone).await.unwrap();
            systemd.stop(&unit(), StopMode::Alone).await.unwrap();
            let subscriptions = stub.asked().iter().filter(|name| *name == "Subscribe").count();
            assert_eq!(subscriptions, 1);
        },
    );
}

#[test]
fn a_job_without_an_end_is_given_up_at_the_deadline() {
    let woken = Cell::new(false);
    against(
        async |stub, member, call| {
            match member {
                "RestartUnit" => {
                    stub.answer(call, &job_path(7)).await;
                    // In case it sleeps.
                    stub.woken().await;
                    woken.set(true);
                }
                other => panic!("{other}"),
            }
            true
        },
        async |mut systemd, _| {
            assert!(matches!(fault(systemd.restart(&unit()).await), Fault::JobTimeout { job: 7, .. }));
        },
    );
    assert!(woken.get());
}

#[test]
fn a_connection_that_breaks_is_told_from_a_refusal() {
    against(
        async |_, _, _| false,
        async |mut systemd, _| {
            assert!(matches!(fault(systemd.units(&[unit()]).await), Fault::Lost { .. }));
            assert!(matches!(fault(systemd.start(&unit()).await), Fault::Lost { .. }));
        },
    );
    for (error, wanted) in [
        ("NoReply", "the connection to systemd was lost"),
        ("AccessDenied", "not permitted"),
        ("ServiceUnknown", "systemd is not on the system bus"),
        ("LimitsExceeded", "asks for a pause"),
        ("InvalidArgs", "systemd refuses: because"),
    ] {
        let error = against(
            async |stub, _, call| {
                stub.refuse(call, error).await;
                true
            },
            async |mut systemd, _| systemd.units(&[unit()]).await.unwrap_err(),
        );
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error() {
    against(
        async |stub, _, call| {
            stub.list(call, "active").await;
            true
        },
        async |mut systemd, _| {
            let two = [unit(), UnitName::from("b.service")];
            assert!(matches!(fault(systemd.units(&two).await), Fault::Garbled { .. }));
        },
    );
    against(
        async |stub, _, call| {
            stub.answer(call, &7_u32).await;
            true
        },
        async |mut systemd, _| {
            assert!(matches!(fault(systemd.units(&[unit()]).await), Fault::Garbled { .. }))
        },
    );
}

#[test]
fn an_older_systemd_shows_commands_without_their_flags() {
    against(
        async |stub, member, call| {
            assert_eq!(member, "Get");
            let body = call.body();
            let (interface, name): (&str, &str) = body.deserialize().unwrap();
            assert_eq!(interface, "org.freedesktop.systemd1.Service");
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
            match name {
                "ExecStart" => {
                    let argv = words(&["kubelet", "--a", "$B"]);
                    let command =
                        ("/usr/bin/kubelet", argv, false, 0_u64, 0_u64, 0_u64, 0_u64, 0_u32, 0_i32, 0_i32);
                    stub.answer(call, &zbus::Variant::from(vec![command])).await;
                }
                "Environment" => stub.answer(call, &zbus::Variant::from(words(&["B=c", "odd"]))).await,
                "EnvironmentFiles" => {
                    stub.answer(call, &zbus::Variant::from(vec![("/etc/e*", true), ("odd", false)])).await;
                }
                _ => stub.refuse(call, "UnknownProperty").await,
            }
            true
        },
        async |mut systemd, _| {
            let service = systemd.service(&unit()).await.unwrap().unwrap();
            assert_eq!(service.exec, [b"/usr/bin/kubelet".to_vec(), b"--a".to_vec(), b"$B".to_vec()]);
            assert!(service.expands);
            assert_eq!(service.environment, [(b"B".to_vec(), b"c".to_vec())].into());
            let files: Vec<_> =
                service.environment_files.iter().map(|file| (file.path.to_string(), file.optional)).collect();
            assert_eq!(files, [("/etc/e*".to_owned(), true)]);
        },
    );
}
