//! Pure: os-release and os-profiles in, the profile of this host out.
//!
//! A profile says in TOML what one distribution needs, so that another distribution is another
//! file and no code.

mod builtin;
mod os_release;
mod select;

pub use builtin::BUILTIN;
pub use os_release::OsRelease;
pub use select::{Chosen, choose};

use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::settings::ConfigError;
use serde::Deserialize;

/// Where profiles are looked for, weakest first; by file name (UAPI.6).
pub const PLACES: [&str; 3] =
    ["/usr/lib/csihost/os-profiles.d", "/run/csihost/os-profiles.d", "/etc/csihost/os-profiles.d"];

/// What one distribution needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Its name: the file's, without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// For people.
    pub summary: String,
    /// Which hosts it is for; none for the one that is taken when no other fits.
    #[serde(default, rename = "match")]
    pub matches: Vec<Match>,
    /// What iSCSI needs there.
    pub iscsi: Iscsi,
}

/// A host that a profile is for: all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Match {
    /// `ID` of os-release, or a word of `ID_LIKE`.
    pub id: String,
    /// `VARIANT_ID`.
    pub variant: Option<String>,
    /// The first `VERSION_ID`; only where `ID` itself fits. A host without one is the newest.
    pub version_from: Option<String>,
    /// The first `VERSION_ID` that is too new.
    pub version_below: Option<String>,
}

/// What iSCSI needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Iscsi {
    /// The package with iscsid and iscsiadm.
    pub package: String,
    /// The command that installs it, for remedies.
    pub install: String,
    /// The daemon's program, by which the package is known to be there.
    pub daemon: HostPath,
    /// The daemon's configuration.
    pub conf: HostPath,
    /// Where the initiator name is.
    pub initiator_name: HostPath,
    /// Units to enable and start, best first: the first that exists is taken.
    pub units: Vec<UnitName>,
    /// The daemon's service, which a socket starts.
    pub service: UnitName,
    /// Kernel modules that a login needs.
    pub modules: Vec<String>,
    /// What a new initiator name begins with: this distribution's iscsi-iname's own prefix.
    #[serde(default = "own_prefix")]
    pub prefix: String,
    /// Names that are part of an image of this distribution, and so of many machines.
    #[serde(default)]
    pub baked_names: Vec<String>,
    /// Directories in which open-iscsi keeps records of targets.
    #[serde(default)]
    pub nodes: Vec<HostPath>,
}

fn own_prefix() -> String {
    "iqn.2026-11.io.csihost:01".to_owned()
}

impl Profile {
    /// Reads the profile `name` from the text of `file`.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut profile: Self =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
        if profile.iscsi.units.is_empty() {
            let message = "iscsi.units: expected at least one unit".to_owned();
            return Err(ConfigError { file: file.to_owned(), line: None, message });
        }
        profile.name = name.to_owned();
        Ok(profile)
    }
}
