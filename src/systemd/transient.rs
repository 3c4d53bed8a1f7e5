//! Commands that systemd runs in csihost's place: they go on when csihost ends, and a sandbox that
//! csihost is in is not theirs.

use super::error::Fault;
use super::manager::Systemd;
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use std::time::Duration;
use zbus::Variant;

/// Commands to be run one after the other, until one fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transient {
    /// For people: what `systemctl status` shows.
    pub description: String,
    /// Programs, and their arguments without the program's name. At least one.
    pub commands: Vec<(HostPath, Vec<String>)>,
    /// Variables that are set.
    pub environment: Vec<(String, String)>,
    /// How long csihost waits for the end of all commands.
    pub patience: Patience,
    /// What it may do; without, all that root may.
    pub rights: Option<Rights>,
}

/// Time limits of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// systemd ends each command that takes longer, and csihost waits for that.
    Limit(Duration),
    /// csihost waits so long, and the commands go on: a package manager that is ended leaves half a package. systemd ends
    /// each command only after the second time.
    GoesOn(Duration, Duration),
}

/// How long a command that systemd ends has, first after SIGTERM and then after SIGKILL. A process that waits for a mount
/// beyond SIGKILL is left behind.
const LAST: Duration = Duration::from_secs(2);
/// How long systemd may be late.
const LATE: Duration = Duration::from_secs(6);

impl Patience {
    /// How long csihost waits.
    pub(super) fn wait(self) -> Duration {
        match self {
            Self::Limit(limit) => limit + 2 * LAST + LATE,
            Self::GoesOn(wait, _) => wait,
        }
    }

    /// How long one command may take.
    fn limit(self) -> Duration {
        match self {
            Self::Limit(limit) | Self::GoesOn(_, limit) => limit,
        }
    }

    /// TimeoutStartSec= and TimeoutStopSec= (systemd.service(5)), in microseconds.
    fn properties(self) -> Properties<'static> {
        let usec = |time: Duration| Variant::from(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        let mut properties = vec![("TimeoutStartUSec", usec(self.limit()))];
        if matches!(self, Self::Limit(_)) {
            properties.push(("TimeoutStopUSec", usec(LAST)));
        }
        properties
    }
}

/// What a command may do of what root may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Capabilities, as in capabilities(7), in small letters and without `cap_`.
    pub capabilities: &'static [&'static str],
}

/// Numbers of capabilities (linux/capability.h).
const CAPABILITIES: [(&str, u32); 4] =
    [("dac_override", 1), ("sys_chroot", 18), ("sys_ptrace", 19), ("sys_admin", 21)];

impl Rights {
    /// The set, as systemd takes it: a bit for each.
    fn bits(self) -> u64 {
        let number = |name: &&str| CAPABILITIES.iter().find(|(known, _)| known == name);
        self.capabilities.iter().filter_map(number).fold(0, |bits, (_, number)| bits | 1 << number)
    }
}

impl Transient {
    /// The last command, as a person would type it.
    pub(super) fn command(&self) -> String {
        let Some((program, arguments)) = self.commands.last() else { return String::new() };
        std::iter::once(&program.to_string()).chain(arguments).cloned().collect::<Vec<_>>().join(" ")
    }
}

/// What a transient unit is given: a property's name and its value.
type Properties<'a> = Vec<(&'static str, Variant<'a>)>;
/// A unit that comes with it; none ever does.
type Auxiliary<'a> = Vec<(String, Properties<'a>)>;

impl Systemd {
    /// Runs `what` as the service `unit`, and waits for its end. The unit's name is a lock: a second
    /// one of that name is refused while the first runs.
    pub(super) async fn run_transient(&mut self, unit: &UnitName, what: &Transient) -> Result<(), Fault> {
        // One that failed is remembered, and in the way.
        let _ = self.bus.manager("ResetFailedUnit", &(unit.as_str(),)).await;
        let outcome = match self.start_transient(unit, what, true).await {
            // systemd before 236 does not know them.
            Err(Fault::Rejected { name, .. }) if is_unknown_property(&name) => {
                self.start_transient(unit, what, false).await
            }
            outcome => outcome,
        };
        let outcome = match (outcome, what.patience) {
            (Err(Fault::Job { result, detail: Some(detail) }), _) if detail == TIMED_OUT => {
                let detail =
                    format!("systemd ended it after its limit of {} s", what.patience.limit().as_secs());
                Err(Fault::Job { result, detail: Some(detail) })
            }
            // A systemd that does not know the limit. Its end is not waited for.
            (Err(fault @ Fault::JobTimeout { .. }), Patience::Limit(_)) => {
                let _ = self.bus.manager("StopUnit", &(unit.as_str(), "replace")).await;
                Err(fault)
            }
            (outcome, _) => outcome,
        };
        self.release(unit, &outcome).await;
        outcome
    }

    async fn start_transient(
        &mut self,
        unit: &UnitName,
        what: &Transient,
        is_new: bool,
    ) -> Result<(), Fault> {
        let mut properties = properties(what)?;
        if is_new {
            properties.extend(what.patience.properties());
            // Remembered until csihost has learnt how it ended, and no longer: RefUnit, which goes out
            // with every job, comes before there is a unit.
            properties.push(("AddRef", Variant::from(true)));
            properties.push(("CollectMode", Variant::from("inactive-or-failed")));
        }
        // "fail": a job of that name that is queued is not replaced.
        let body = (unit.as_str(), "fail", properties, Auxiliary::new());
        self.job("StartTransientUnit", unit, &body, what.patience.wait()).await
    }
}

/// systemd.service(5), under the names that they have on the bus (org.freedesktop.systemd1(5)).
fn properties(what: &Transient) -> Result<Properties<'_>, Fault> {
    let mut commands = Vec::new();
    for (program, arguments) in &what.commands {
        let program = std::str::from_utf8(program.as_bytes())
            .map_err(|_| Fault::Garbled { why: format!("{program} is not UTF-8") })?;
        let argv: Vec<&str> = std::iter::once(program).chain(arguments.iter().map(String::as_str)).collect();
        // Program, arguments with its name as the first, whether a failure is ignored.
        commands.push((program, argv, false));
    }
    let environment: Vec<String> =
        what.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut properties = vec![
        ("Description", Variant::from(what.description.as_str())),
        // Its job ends when the commands have.
        ("Type", Variant::from("oneshot")),
        ("ExecStart", Variant::from(commands)),
        ("Environment", Variant::from(environment)),
    ];
    if let Some(rights) = what.rights {
        properties.extend([
            ("CapabilityBoundingSet", Variant::from(rights.bits())),
            ("NoNewPrivileges", Variant::from(true)),
        ]);
    }
    Ok(properties)
}

/// Detail of a job whose unit has the result `timeout` (`diagnosis`).
const TIMED_OUT: &str = "result timeout";

/// What systemd answers for a property that it does not know (dbus-unit.c,
/// bus_unit_set_properties).
fn is_unknown_property(name: &str) -> bool {
    name == "org.freedesktop.DBus.Error.PropertyReadOnly"
}
