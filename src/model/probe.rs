//! What a probe proved: a mount that was really made, and where it was seen.

use super::bytes::shown;
use super::kubelet::KubeletRoot;
use super::path::HostPath;
use serde::{Deserialize, Serialize, Serializer};

/// What is noted before a probe changes anything, so that the next csihost removes what a killed
/// one left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// The directory of the probe's files, as the host names it.
    pub directory: HostPath,
}

/// Who mounts, or who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The kubelet.
    Kubelet,
    /// The host, where the kubelet has mounts of its own.
    Host,
    /// The host, at the standard path.
    StandardPath,
    /// A CSI plugin.
    Plugin,
}

/// One mount namespace, and the directory of pods in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Party {
    /// What it is.
    pub role: Role,
    /// The driver's name.
    #[serde(serialize_with = "name", skip_serializing_if = "Option::is_none")]
    pub driver: Option<Vec<u8>>,
    /// The pod's UID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// A process that sees it so.
    pub pid: i32,
    /// The directory, as it is called there.
    pub path: HostPath,
}

/// One mount, looked for in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Who mounted.
    pub from: Party,
    /// Who looked.
    pub to: Party,
    /// Whether the mount tables say that it arrives.
    pub expected: bool,
    /// Whether it did; `None` where it was not tried.
    pub seen: Option<bool>,
    /// Whether it was gone after it was unmounted; `None` where it was not there.
    pub gone: Option<bool>,
    /// Why it was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// All that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The kubelet's root.
    pub kubelet_path: KubeletRoot,
    /// Whether all came as the mount tables say.
    pub agrees: bool,
    /// Whether what plugins mount reaches the kubelet.
    pub holds: bool,
    /// One by one.
    pub trials: Vec<Trial>,
    /// What an earlier probe had left, and was removed.
    pub removed: Vec<HostPath>,
}

impl Trial {
    /// Whether volumes depend on it.
    pub fn matters(&self) -> bool {
        self.from.role == Role::Plugin
    }

    /// Whether it came as foretold; what was not tried says nothing, unless it should have worked.
    pub fn agrees(&self) -> bool {
        self.seen.unwrap_or(false) == self.expected && self.gone != Some(false)
    }
}

impl Proof {
    /// The sum of trials.
    pub fn new(kubelet_path: KubeletRoot, trials: Vec<Trial>, removed: Vec<HostPath>) -> Self {
        let agrees = trials.iter().all(Trial::agrees);
        let holds = trials.iter().filter(|trial| trial.matters()).all(|trial| trial.seen == Some(true));
        Self { kubelet_path, agrees, holds, trials, removed }
    }
}

#[allow(clippy::ref_option, reason = "serde hands out references")]
fn name<S: Serializer>(name: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_deref().map(shown).serialize(serializer)
}
