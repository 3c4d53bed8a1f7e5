//! Names and states of systemd units.

use super::path::HostPath;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A valid name of a systemd unit, with its suffix (systemd.unit(5)): at most 255 characters of
/// letters, digits and `:-_.\@`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

/// Suffixes of the unit types (systemd.unit(5)).
const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

impl UnitName {
    /// Checks a unit's name.
    pub fn parse(name: &str) -> Result<Self, String> {
        let valid = name.len() <= 255
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
            && name
                .rsplit_once('.')
                .is_some_and(|(stem, suffix)| !stem.is_empty() && SUFFIXES.contains(&suffix));
        match valid {
            true => Ok(Self(name.to_owned())),
            false => {
                Err(format!("\"{}\" is not the name of a systemd unit", super::bytes::shown(name.as_bytes())))
            }
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Units that run a kubelet, or the container engine that one runs in or talks to: what must not
/// start before the bridge is there. Ordering after a unit that does not exist costs nothing.
pub const KUBELET_UNITS: [&str; 15] = [
    "kubelet.service",
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "k0sworker.service",
    "k0scontroller.service",
    "snap.microk8s.daemon-kubelite.service",
    "snap.microk8s.daemon-containerd.service",
    "snap.k8s.kubelet.service",
    "snap.k8s.containerd.service",
    "microshift.service",
    "docker.service",
    "containerd.service",
    "crio.service",
];

/// Those of them that run containers and no kubelet of their own; one of them runs the kubelet
/// only where that is a container.
pub const RUNTIME_UNITS: [&str; 5] = [
    "snap.microk8s.daemon-containerd.service",
    "snap.k8s.containerd.service",
    "docker.service",
    "containerd.service",
    "crio.service",
];

/// A name that is written in the program. Wrong ones are a bug, found by the first test.
impl From<&'static str> for UnitName {
    #[allow(clippy::expect_used)]
    fn from(name: &'static str) -> Self {
        Self::parse(name).expect("a unit written in the program has a valid name")
    }
}

impl TryFrom<String> for UnitName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name)
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a unit is ordered after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Units.
    pub after: BTreeSet<UnitName>,
    /// Paths whose mounts it needs (systemd.unit(5), `RequiresMountsFor=`), where they are not among the units.
    pub mounts: Vec<HostPath>,
}

/// Whether a unit's file can be read (systemd's `LoadState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadState {
    /// Read and understood.
    Loaded,
    /// There is no such unit.
    NotFound,
    /// Linked to /dev/null by the administrator.
    Masked,
    /// There, but broken (`bad-setting`, `error`).
    Broken,
}

/// What a unit is doing (systemd's `ActiveState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActiveState {
    /// Started, listening, mounted.
    Active,
    /// Not started.
    Inactive,
    /// Started and failed.
    Failed,
    /// On its way to active or reloading.
    Activating,
    /// On its way to inactive.
    Deactivating,
    /// systemd is not running here (`--root`), so nothing is.
    Unknown,
}

/// Whether a unit is started at boot (systemd's `UnitFileState`, as far as csihost needs it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// Enabled by links.
    Enabled,
    /// Has an [Install] section and is not enabled.
    Disabled,
    /// Cannot be enabled: no [Install] section.
    Static,
    /// Masked.
    Masked,
    /// There is no unit file, or none of these.
    Other,
}

/// What is known of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Whether its file can be read.
    pub load: LoadState,
    /// What it is doing.
    pub active: ActiveState,
    /// Whether it is started at boot.
    pub file: FileState,
}

impl UnitState {
    /// A unit that does not exist.
    pub const ABSENT: Self =
        Self { load: LoadState::NotFound, active: ActiveState::Inactive, file: FileState::Other };

    /// Whether the unit exists and is not masked.
    pub fn usable(&self) -> bool {
        self.load == LoadState::Loaded
    }
}

/// The states of the units that a turn asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units(BTreeMap<UnitName, UnitState>);

impl Units {
    /// What is known of `unit`; one that was never asked for counts as absent.
    pub fn get(&self, unit: &UnitName) -> UnitState {
        self.0.get(unit).copied().unwrap_or(UnitState::ABSENT)
    }

    /// Adds what was learnt of a unit.
    pub fn insert(&mut self, unit: UnitName, state: UnitState) {
        self.0.insert(unit, state);
    }

    /// All that is known, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&UnitName, &UnitState)> {
        self.0.iter()
    }
}

impl FromIterator<(UnitName, UnitState)> for Units {
    fn from_iter<I: IntoIterator<Item = (UnitName, UnitState)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_come_in() {
        for good in ["iscsid.socket", "var-lib-kubelet.mount", "a\\x2db.mount", "k3s@x.service"] {
            assert!(UnitName::parse(good).is_ok(), "{good}");
        }
        let long = format!("{}.mount", "a".repeat(250));
        for bad in ["", "iscsid", ".service", "a b.service", "a/b.service", "x.conf", "a\n.service", &long] {
            assert!(UnitName::parse(bad).is_err(), "{bad}");
        }
    }
}
