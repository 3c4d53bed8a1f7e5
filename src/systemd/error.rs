//! What goes wrong between csihost and a service manager: what was tried, on what, why not, and
//! what to do about it.

use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use std::fmt;
use std::time::Duration;

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// To reach systemd.
    Connect,
    /// To learn the states of units.
    Ask,
    /// To have a unit started at boot.
    Enable(UnitName),
    /// To no longer have a unit started at boot.
    Disable(UnitName),
    /// To have unit files read again.
    Reload,
    /// To start a unit.
    Start(UnitName),
    /// To restart a unit.
    Restart(UnitName),
    /// To load a kernel module.
    LoadModule(String),
    /// To have the daemon of a unit read its configuration again.
    ReloadUnit(UnitName),
    /// To have it forgotten that a unit failed.
    ResetFailed(UnitName),
    /// To run a command as a service.
    Run {
        /// The service.
        unit: UnitName,
        /// The command.
        command: String,
    },
    /// To stop a unit.
    Stop(UnitName),
}

impl Attempt {
    /// The unit that it was about, where there is one.
    pub fn unit(&self) -> Option<&UnitName> {
        match self {
            Self::Connect | Self::Ask | Self::Reload | Self::LoadModule(_) => None,
            Self::Enable(unit)
            | Self::Disable(unit)
            | Self::Start(unit)
            | Self::Restart(unit)
            | Self::ReloadUnit(unit)
            | Self::ResetFailed(unit)
            | Self::Run { unit, .. }
            | Self::Stop(unit) => Some(unit),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("reach systemd"),
            Self::Ask => f.write_str("ask systemd for the states of units"),
            Self::Enable(unit) => write!(f, "enable {unit}"),
            Self::Disable(unit) => write!(f, "disable {unit}"),
            Self::Reload => f.write_str("have systemd read its unit files again"),
            Self::Start(unit) => write!(f, "start {unit}"),
            Self::Restart(unit) => write!(f, "restart {unit}"),
            Self::LoadModule(module) => write!(f, "load the module {module}"),
            Self::ReloadUnit(unit) => write!(f, "reload {unit}"),
            Self::ResetFailed(unit) => write!(f, "have the failure of {unit} forgotten"),
            Self::Run { unit, command } => write!(f, "run {command} as {unit}"),
            Self::Stop(unit) => write!(f, "stop {unit}"),
        }
    }
}

/// Why it did not work, by whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    // The way to systemd.
    /// Nobody listens on the system bus.
    NoBus {
        /// Where it was looked for.
        address: String,
        /// What connecting said.
        why: String,
    },
    /// The bus is there and turned csihost away.
    Refused {
        /// Where it is.
        address: String,
        /// What it said.
        why: String,
    },
    /// The bus works, and systemd is not on it.
    NoSystemd {
        /// What the bus said.
        why: String,
    },
    /// The connection broke, or systemd left the bus before it answered.
    Lost {
        /// What ended it.
        why: String,
    },
    /// No answer within the time that was given.
    Silent {
        /// The time.
        after: Duration,
    },

    // The unit.
    /// There is no such unit.
    NotFound,
    /// The administrator linked it to /dev/null.
    Masked,
    /// Its file has no [Install] section, or an empty one: nothing says when to start it.
    NoInstall,
    /// Its file cannot be understood.
    Broken {
        /// What systemd said.
        why: String,
    },

    // The job.
    /// The job ended otherwise than `done`.
    Job {
        /// How (org.freedesktop.systemd1(5), `JobRemoved`): `failed`, `dependency`, `canceled`,
        /// `timeout`, `skipped`, …
        result: String,
        /// What the unit says of it.
        detail: Option<String>,
    },
    /// The job did not end within the time that was given; it is still queued.
    JobTimeout {
        /// Its number, as `systemctl list-jobs` shows it.
        job: u32,
        /// The time.
        after: Duration,
    },
    /// The job ended well, and the unit is not in the state that it should bring.
    WrongState {
        /// The state that the unit is in.
        state: String,
        /// Why, where the unit says so: the condition that failed.
        because: Option<String>,
    },

    // systemd's answer.
    /// csihost may not do this.
    Denied {
        /// What systemd or the bus said.
        why: String,
    },
    /// Asked too often; systemd wants a pause.
    Busy {
        /// What systemd said.
        why: String,
    },
    /// systemd said no for another reason.
    Rejected {
        /// The error's name on the bus.
        name: String,
        /// What it said.
        why: String,
    },
    /// The answer could not be understood.
    Garbled {
        /// What was wrong with it.
        why: String,
    },

    // Without a running systemd.
    /// Only a running systemd can do this, and none runs on a host that is files only.
    NotOffline,
    /// A command that stands for what systemd would do failed.
    Command {
        /// The command.
        command: String,
        /// How it ended, and what it said last.
        why: String,
    },
    /// A unit file or a link could not be read or changed.
    Files {
        /// Which.
        path: HostPath,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBus { address, why } => write!(f, "no system bus at {address} ({why})"),
            Self::Refused { address, why } => {
                write!(f, "the system bus at {address} refuses csihost ({why})")
            }
            Self::NoSystemd { why } => write!(f, "systemd is not on the system bus ({why})"),
            Self::Lost { why } => write!(f, "the connection to systemd was lost ({why})"),
            Self::Silent { after } => write!(f, "no answer within {} s", after.as_secs_f32()),
            Self::NotFound => f.write_str("there is no such unit"),
            Self::Masked => f.write_str("it is masked"),
            Self::NoInstall => {
                f.write_str("its unit file has no [Install] section that says when to start it")
            }
            Self::Broken { why } => write!(f, "its unit file is broken ({why})"),
            Self::Job { result, detail } => {
                write!(f, "its job ended with \"{result}\"")?;
                detail.as_ref().map_or(Ok(()), |detail| write!(f, ", {detail}"))
            }
            Self::JobTimeout { job, after } => {
                write!(f, "its job {job} did not end within {} s", after.as_secs_f32())
            }
            Self::WrongState { state, because } => {
                write!(f, "the job was done and the unit is {state}")?;
                because.as_ref().map_or(Ok(()), |because| write!(f, ": {because}"))
            }
            Self::Denied { why } => write!(f, "not permitted ({why})"),
            Self::Busy { why } => write!(f, "systemd asks for a pause ({why})"),
            Self::Rejected { name, why } => write!(f, "systemd refuses: {why} ({name})"),
            Self::Garbled { why } => write!(f, "the answer cannot be understood ({why})"),
            Self::NotOffline => f.write_str("only a running systemd can do that"),
            Self::Command { command, why } => write!(f, "{command} {why}"),
            Self::Files { path, why } => write!(f, "{path}: {why}"),
        }
    }
}

/// Something that was asked of a service manager and did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerError {
    /// What was tried, and on what.
    pub attempt: Attempt,
    /// Why it did not work.
    pub fault: Fault,
}

impl ManagerError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        let unit = self.attempt.unit().map_or("UNIT", UnitName::as_str);
        match &self.fault {
            Fault::NoBus { .. } => "install dbus, or start it: systemctl start dbus.socket".into(),
            Fault::Refused { .. } | Fault::Denied { .. } => "run csihost as root".into(),
            Fault::NoSystemd { .. } => {
                "if systemd is PID 1 here, see systemctl status dbus; if not, this host has no units".into()
            }
            Fault::Lost { .. } => "systemd or the bus was restarted; try again".into(),
            Fault::Silent { .. } => {
                "systemd or the bus hangs: see journalctl -b _PID=1 and systemctl status dbus".into()
            }
            Fault::NotFound => "install the package that has it, or see systemctl list-unit-files".into(),
            Fault::Masked => format!("to allow it again: systemctl unmask {unit}"),
            Fault::NoInstall => {
                format!("to say when to start it: systemctl add-wants multi-user.target {unit}")
            }
            Fault::Broken { .. } => format!("see systemd-analyze verify {unit}"),
            Fault::Job { result, .. } if result == "dependency" => {
                format!("see systemctl list-dependencies {unit} and journalctl -b _PID=1")
            }
            Fault::Job { .. } => format!("see journalctl -u {unit}"),
            Fault::JobTimeout { job, .. } => {
                format!("see journalctl -u {unit}; to give it up: systemctl cancel {job}")
            }
            Fault::WrongState { .. } => format!("see systemctl status {unit}"),
            Fault::Busy { .. } => "wait some seconds and try again".into(),
            Fault::Rejected { .. } => format!("see systemctl status {unit} and journalctl -b _PID=1"),
            Fault::Garbled { .. } => "see systemctl --version: csihost knows systemd 219 and later".into(),
            Fault::NotOffline => "run csihost on the host itself".into(),
            Fault::Command { .. } => "what it said is in /run/csihost/command.log".into(),
            Fault::Files { .. } => "see that the file can be read and its directory written".into(),
        }
    }
}

impl fmt::Display for ManagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}; {}", self.attempt, self.fault, self.remedy())
    }
}

impl std::error::Error for ManagerError {}

/// Adds what was tried to why it did not work.
pub(super) trait During<T> {
    /// The error of `attempt`.
    fn during(self, attempt: impl FnOnce() -> Attempt) -> Result<T, ManagerError>;
}

impl<T> During<T> for Result<T, Fault> {
    fn during(self, attempt: impl FnOnce() -> Attempt) -> Result<T, ManagerError> {
        self.map_err(|fault| ManagerError { attempt: attempt(), fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_on_what_why_not_and_what_to_do() {
        let unit = || UnitName::from("iscsid.socket");
        for (attempt, fault, text) in [
            (
                Attempt::Start(unit()),
                Fault::Masked,
                "cannot start iscsid.socket: it is masked; to allow it again: systemctl unmask iscsid.socket",
            ),
            (
                Attempt::Connect,
                Fault::NoBus { address: "unix:path=/run/x".into(), why: "No such file".into() },
                "cannot reach systemd: no system bus at unix:path=/run/x (No such file); \
                 install dbus, or start it: systemctl start dbus.socket",
            ),
            (
                Attempt::Restart(unit()),
                Fault::JobTimeout { job: 12, after: Duration::from_secs(30) },
                "cannot restart iscsid.socket: its job 12 did not end within 30 s; \
                 see journalctl -u iscsid.socket; to give it up: systemctl cancel 12",
            ),
            (
                Attempt::Stop(unit()),
                Fault::Job { result: "failed".into(), detail: Some("exit status 3".into()) },
                "cannot stop iscsid.socket: its job ended with \"failed\", exit status 3; see journalctl -u iscsid.socket",
            ),
        ] {
            assert_eq!(ManagerError { attempt, fault }.to_string(), text);
        }
    }
}
