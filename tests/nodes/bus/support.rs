//! What the cases of this node test share: units to try things with, commands, outcomes.

use csihost::model::unit::UnitName;
use csihost::systemd::{Fault, ManagerError, Systemd};
use std::process::Command;
use std::time::Duration;

const UNITS: &str = "/etc/systemd/system";
/// What one job may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What was seen, or what was seen instead.
pub(crate) type Outcome = Result<String, String>;

/// A process that does not outlive its case.
pub(crate) struct Killed(pub(crate) std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn connect() -> Result<Systemd, ManagerError> {
    Systemd::connect(DEADLINE).await
}

pub(crate) fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

pub(crate) fn write(name: &str, text: &str) {
    std::fs::write(format!("{UNITS}/{name}"), text).unwrap();
}

pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// Runs this program again, in another environment.
pub(crate) fn again(environment: &str, argument: &str) -> String {
    let me = std::env::current_exe().unwrap();
    sh(&format!("{environment} {} {argument}", me.display()))
}

pub(crate) fn check(holds: bool, text: impl ToString) -> Outcome {
    if holds { Ok(text.to_string()) } else { Err(text.to_string()) }
}

/// The call must fail, and the fault be as `wanted` says.
pub(crate) fn fails<T>(result: Result<T, ManagerError>, wanted: impl Fn(&Fault) -> bool) -> Outcome {
    match result {
        Ok(_) => Err("it worked".into()),
        Err(error) => check(wanted(&error.fault), error),
    }
}

pub(crate) fn works<T>(result: Result<T, ManagerError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

pub(crate) fn oneshot(exec: &str, more: &str) -> String {
    format!("{more}[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={exec}\n")
}

pub(crate) fn set_up() {
    for n in 0..50 {
        let exec = if n % 5 == 0 { "false" } else { "true" };
        write(&format!("t-many-{n}.service"), &oneshot(&format!("/bin/sh -c 'sleep 0.3; {exec}'"), ""));
    }
    let install = "[Install]\nWantedBy=multi-user.target\n";
    write("t-ok.service", &oneshot("/bin/true", install));
    write("t-fail.service", &oneshot("/bin/sh -c 'exit 3'", ""));
    let vendor = "/usr/local/lib/systemd/system";
    std::fs::create_dir_all(vendor).unwrap();
    std::fs::write(format!("{vendor}/t-masked.service"), oneshot("/bin/true", install)).unwrap();
    write("t-slow.service", &oneshot("/bin/sleep 6", ""));
    write("t-static.service", &oneshot("/bin/true", ""));
    write("t-broken.service", "[Service]\nType=oneshot\n");
    write("t-alias.service", &oneshot("/bin/true", "[Install]\nAlias=t-other-name.service\n"));
    write("t-template@.service", &oneshot("/bin/true", install));
    let condition = "[Unit]\nConditionPathExists=/nowhere\nConditionPathExists=!/etc\n";
    write("t-condition.service", &format!("{condition}{}", oneshot("/bin/true", "")));
    let needs = "[Unit]\nRequires=t-fail.service\nAfter=t-fail.service\n";
    write("t-needs.service", &format!("{needs}{}", oneshot("/bin/true", "")));
    write("t-socket.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    write("t-socket.socket", "[Socket]\nListenStream=@t-socket\n");
    write("t-daemon.service", "[Service]\nExecStart=/bin/sleep 1000\n");
    write("t-once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n");
    write("t-manual.service", &format!("[Unit]\nRefuseManualStart=yes\n{}", oneshot("/bin/true", "")));
    write("t-limit.service", &format!("{}TimeoutStartSec=1\n", oneshot("/bin/sleep 5", "")));
    write("srv-t.mount", "[Mount]\nWhat=tmpfs\nType=tmpfs\nWhere=/srv/t\n");
}
