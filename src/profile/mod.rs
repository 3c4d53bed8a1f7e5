//! Pure: os-release and os-profiles in, the profile of this host out.
//!
//! A profile says in TOML what one distribution needs, so that another distribution is another
//! file and no code.

mod builtin;
mod demand;
mod driver;
mod file;
mod iqn;
mod modules;
mod os_release;
mod packages;
mod select;

pub use builtin::{BUILTIN, DRIVERS};
#[cfg(test)]
pub(crate) use demand::of_facts;
pub use demand::{OnNode, check_expected, demand, interests as demand_interests, relevant};
pub use driver::{DRIVER_PLACES, DriverPattern, DriverProfile, DriverProfiles, Protocol, is_driver_name};
pub use iqn::IqnPrefix;
pub use os_release::OsRelease;
pub use packages::{InstallCommand, PackageManager, Packages};
pub use select::{Chosen, Traits, choose};

use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::settings::ConfigError;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Where profiles are looked for, weakest first; by file name (UAPI.6).
pub const PLACES: [&str; 3] =
    ["/usr/lib/csihost/os-profiles.d", "/run/csihost/os-profiles.d", "/etc/csihost/os-profiles.d"];

/// What one distribution needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// For people.
    pub summary: String,
    /// Which systems it is for: any of these.
    pub matches: Vec<Match>,
    /// Where it stands in for a profile that is missing.
    pub fallback: Option<Fallback>,
    /// What csihost does there.
    pub support: Support,
}

/// A system that a profile is for: all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// `ID` of os-release, or a word of `ID_LIKE`.
    pub id: String,
    /// `VARIANT_ID`, or `VARIANT` itself.
    pub variant: Option<String>,
    /// The first `VERSION_ID`; only where `ID` itself fits. A host without one is the newest.
    pub version_from: Option<String>,
    /// The first `VERSION_ID` that is too new.
    pub version_below: Option<String>,
    /// RancherOS' console: the word in /run/console-done.
    pub console: Option<String>,
    /// Whether the system is an image of ostree(1)'s: RHEL is one as RHEL CoreOS, and says nothing
    /// of it in the os-release of its lower layer.
    pub ostree: Option<bool>,
}

/// A system that no profile names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// Any of these programs is there; none: does not matter.
    pub programs: Vec<HostPath>,
    /// Only where this is PID 1.
    pub init: Option<InitKind>,
}

/// What is PID 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitKind {
    /// systemd.
    Systemd,
    /// Anything else.
    Other,
}

/// What csihost does on a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It makes the host ready.
    Supported(Box<Needs>),
    /// Nothing: an agent on the host cannot help.
    Unsupported(Unsupported),
}

/// Why an agent cannot help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Why.
    pub reason: String,
    /// What to do instead.
    pub remedy: String,
}

/// What a distribution needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Packages.
    pub packages: Packages,
    /// iSCSI.
    pub iscsi: Iscsi,
}

/// What iSCSI needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Iscsi {
    /// Where the daemon's program may be, best first; by it the package is known to be there. At
    /// least one.
    pub daemon: Vec<HostPath>,
    /// The daemon's configuration.
    pub conf: HostPath,
    /// Where the initiator name is.
    pub initiator_name: HostPath,
    /// The daemon's units; `None` where systemd is never PID 1.
    pub systemd: Option<SystemdUnits>,
    /// Kernel modules that a login needs.
    pub modules: Vec<String>,
    /// What iscsi-iname(8) puts before the random part here.
    pub prefix: IqnPrefix,
    /// Names that are part of an image of this distribution, and so many machines'.
    pub baked_names: Vec<String>,
    /// Directories with records of targets; several where it changed between versions.
    pub nodes: Vec<HostPath>,
    /// The OpenRC service that runs the daemon where systemd is not PID 1; without one it is
    /// started directly.
    pub openrc: Option<String>,
}

/// The units of iscsid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemdUnits {
    /// Units to enable and start, best first: the first that exists is taken. At least one.
    pub units: Vec<UnitName>,
    /// The daemon's service, which a socket starts.
    pub service: UnitName,
}

impl Profile {
    /// Reads the profile `name` from the text of `file`.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ConfigError> {
        file::parse(name, file, text)
    }

    /// What the distribution needs; `None` where an agent cannot help.
    pub fn needs(&self) -> Option<&Needs> {
        match &self.support {
            Support::Supported(needs) => Some(needs),
            Support::Unsupported(_) => None,
        }
    }

    /// Why an agent cannot help there, where that is so.
    pub fn unsupported(&self) -> Option<&Unsupported> {
        match &self.support {
            Support::Supported(_) => None,
            Support::Unsupported(why) => Some(why),
        }
    }
}

impl Iscsi {
    /// Where the daemon's program is, among the programs that are there.
    pub fn daemon_among(&self, programs: &BTreeSet<HostPath>) -> Option<&HostPath> {
        self.daemon.iter().find(|path| programs.contains(path))
    }

    /// The daemon's program for people: the first of the places where it may be.
    pub fn daemon_name(&self) -> String {
        self.daemon.first().map(ToString::to_string).unwrap_or_default()
    }

    /// The units that can stand for the daemon, best first; none where systemd is never PID 1.
    pub fn units(&self) -> &[UnitName] {
        self.systemd.as_ref().map_or(&[], |systemd| &systemd.units)
    }

    /// The daemon's service; none where systemd is never PID 1.
    pub fn service(&self) -> Option<&UnitName> {
        self.systemd.as_ref().map(|systemd| &systemd.service)
    }
}
