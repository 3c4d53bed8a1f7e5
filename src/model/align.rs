//! Having the kubelet use the standard path as its root's string, with its data where they are.

use super::kubelet::{Declaration, Kubelet, KubeletRoot};
use super::path::HostPath;
use super::plan::Refusal;
use super::unit::UnitName;
use serde::{Deserialize, Serialize};

/// What aligning has changed, for turns in which the kubelet no longer says where its data are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignRecord {
    /// The root that the kubelet had, as a directory of the host: its data stay there.
    pub root: HostPath,
    /// The standard path was a link to the root; in its place is a directory, with the whole root bound
    /// to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// What is bridged beside the directories of the settings, because the kubelet had it in its root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
    /// The setting was taken back; it goes on until the kubelet has started with its old root.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
}

impl AlignRecord {
    /// Whether what was taken back is over under `kubelet`: it runs, and has its old root again. A mount in
    /// the place of a link goes on until that is back.
    pub fn is_over(&self, kubelet: Option<&Kubelet>) -> bool {
        let back = |kubelet: &Kubelet| kubelet.pid.is_some() && kubelet.root_dir != KubeletRoot::standard();
        self.ends && !self.whole && kubelet.is_some_and(back)
    }

    /// Whether the kubelet has another directory at the standard path than it had before.
    pub fn moves(&self) -> bool {
        !self.whole && self.root != *KubeletRoot::standard().as_path()
    }
}

/// The files of a unit, as systemd reads them: the unit's own first, then its drop-ins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitTexts {
    /// Which.
    pub unit: UnitName,
    /// Where, and what is in it.
    pub files: Vec<(HostPath, Vec<u8>)>,
}

/// What the kubelet's next start goes by; read only where its root is to become another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NextStart {
    /// What configuration says, best first.
    pub declarations: Vec<Declaration>,
    /// What of it could not be read or understood, and may name a root.
    pub undecided: Option<String>,
    /// The units that may start a kubelet.
    pub units: Vec<UnitTexts>,
    /// The main configuration file of k3s or RKE2, by unit.
    pub config_files: Vec<(UnitName, HostPath)>,
}

/// What is told of a kubelet whose root becomes `to` in place of `from`.
pub fn at_restart(from: &KubeletRoot, to: &KubeletRoot) -> String {
    format!("root becomes {to} in place of {from}: takes effect when the kubelet restarts")
}

/// How far aligning is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alignment {
    /// No kubelet is known, or where it has its root.
    Unknown,
    /// The kubelet uses the standard path; where its data are, if elsewhere.
    Aligned(Option<HostPath>),
    /// The steps of this plan make the setting.
    Planned,
    /// The setting is made: the kubelet has to start anew.
    Waits {
        /// What the kubelet uses until then.
        from: KubeletRoot,
        /// What it uses then.
        to: KubeletRoot,
        /// The unit that runs it.
        unit: Option<UnitName>,
    },
    /// It must not be, or cannot.
    Refused(Vec<Refusal>),
    /// The bridge comes first, and is refused.
    NoBridge,
}
