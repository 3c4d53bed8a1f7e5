//! The kubelet root, the evidence for it, and what was rejected.

use super::bytes::shown;
use super::path::HostPath;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The literal `--root-dir` string in effect, cleaned as the kubelet cleans it.
///
/// It is what the kubelet sends to CSI plugins, byte for byte. In a container it may name
/// nothing on the host: that is a [`HostPath`]'s business.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubeletRoot(HostPath);

impl KubeletRoot {
    /// A root from the string that was given to the kubelet; relative ones are refused, because
    /// they mean whatever the kubelet's working directory makes of them.
    pub fn parse(bytes: &[u8]) -> Result<Self, super::path::PathError> {
        // filepath.Clean resolves `..` lexically (kubernetes, pkg/kubelet/kubelet.go), so do we.
        match bytes.first() {
            Some(b'/') if !bytes.contains(&0) => Ok(Self(HostPath::root().join(bytes))),
            _ => HostPath::parse(bytes).map(Self),
        }
    }

    /// The standard path: where CSI drivers look by default, and the kubelet's default.
    pub fn standard() -> Self {
        Self(HostPath::from("/var/lib/kubelet"))
    }

    /// The string's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same string taken as a path of a mount namespace.
    pub fn as_path(&self) -> &HostPath {
        &self.0
    }
}

impl fmt::Display for KubeletRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KubeletRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for KubeletRoot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// How sure the answer is, surest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// No kubelet runs; a distribution is set up and nothing moves its root, or only state files
    /// are left.
    Assumed,
    /// No kubelet runs; configuration names the root.
    Declared,
    /// A running kubelet, by its arguments alone.
    Observed,
    /// A running kubelet, by what it holds open.
    Certain,
}

/// The Kubernetes distribution that a kubelet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Distribution {
    Kubelet,
    K3s,
    Rke,
    Rke2,
    K0s,
    Microk8s,
    K8sSnap,
    Kubeadm,
    Openshift,
    Microshift,
    Unknown,
}

/// Where a piece of evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Source {
    PodResourcesSocket,
    ProcessArguments,
    InotifyWatch,
    VolumeMounts,
    StateFiles,
    SystemdUnit,
    ConfigFile,
    ArgsFile,
    Settings,
    Default,
}

impl Source {
    /// What it is, as it is told to a person: "process 812: its command line says /srv".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::PodResourcesSocket => "its pod-resources socket",
            Self::ProcessArguments => "its command line",
            Self::InotifyWatch => "where it watches for plugins",
            Self::VolumeMounts => "where volumes of pods are mounted",
            Self::StateFiles => "state files that a kubelet left",
            Self::SystemdUnit => "the kubelet's systemd unit",
            Self::ConfigFile => "configuration",
            Self::ArgsFile => "the kubelet's arguments file",
            Self::Settings => "kubelet.root-dir in csihost's settings",
            Self::Default => "the distribution's default",
        }
    }
}

/// One observation of a kubelet root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Where it comes from.
    pub source: Source,
    /// Which process, where it is one's.
    pub pid: Option<i32>,
    /// The root that it shows.
    pub value: KubeletRoot,
    /// 1 is the best.
    pub rank: u8,
    /// `next-start` for configuration that a running kubelet does not use yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applies: Option<&'static str>,
}

/// Why something that looks like a kubelet, or like evidence, is not taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RejectionReason {
    NotRoot,
    NestedPidNamespace,
    ForeignUserNamespace,
    UntrustedPath,
    RelativePath,
    NotAKubelet,
    /// A kubelet holds its directories beneath a file system that was mounted over them.
    Beneath,
}

/// A candidate that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// Which process.
    pub pid: Option<i32>,
    /// The rule.
    pub reason: RejectionReason,
    /// What was seen.
    pub detail: String,
}

/// What configuration says of a kubelet's next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Whose kubelet it would be.
    pub distribution: Distribution,
    /// Where the root comes from (a unit, a configuration file, an arguments file, a default).
    pub source: Source,
    /// The root.
    pub root: KubeletRoot,
    /// [`Confidence::Declared`] where configuration names the root or what it is made of,
    /// [`Confidence::Assumed`] where a distribution is set up and nothing moves its root.
    pub confidence: Confidence,
    /// The unit that starts it, where there is one.
    pub unit: Option<super::unit::UnitName>,
    /// FlexVolume's directory, where it is given one.
    pub volume_plugin_dir: Option<Vec<u8>>,
}

/// Two true answers that contradict each other; csihost does not choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The roots.
    pub values: Vec<KubeletRoot>,
    /// Who says what.
    pub explanation: String,
}

/// Something that should have been read and could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// What.
    pub path: String,
    /// Why not.
    pub error: String,
}

/// The answer: one kubelet and its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kubelet {
    /// The literal root string.
    pub root_dir: KubeletRoot,
    /// The same directory named from the host's mount namespace, where it has a name there.
    pub host_dir: Option<HostPath>,
    /// How sure this is.
    pub confidence: Confidence,
    /// Whose kubelet it is.
    pub distribution: Distribution,
    /// The running process.
    pub pid: Option<i32>,
    /// Its version, where it could be learnt safely.
    pub version: Option<String>,
    /// FlexVolume's directory, where the kubelet was given one.
    #[serde(serialize_with = "shown_bytes")]
    pub volume_plugin_dir: Option<Vec<u8>>,
}

#[cfg(test)]
impl Kubelet {
    /// One that runs as process 7 and is known for certain, for tests of what is made of that.
    pub(crate) fn running(distribution: Distribution, root_dir: KubeletRoot) -> Self {
        Self {
            host_dir: Some(root_dir.as_path().clone()),
            root_dir,
            confidence: Confidence::Certain,
            distribution,
            pid: Some(7),
            version: None,
            volume_plugin_dir: None,
        }
    }
}

fn shown_bytes<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.as_deref().map(shown).serialize(serializer)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// All that detection found: `csihost detect --json` without its schema number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// The kubelet; `None` where there is none, or no answer that can be relied on.
    pub kubelet: Option<Kubelet>,
    /// All evidence, best first.
    pub evidence: Vec<Evidence>,
    /// What was refused.
    pub rejected: Vec<Rejection>,
    /// How many more were refused than are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted: usize,
    /// A contradiction, if there is one.
    pub conflict: Option<Conflict>,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// The unit that the running kubelet belongs to, by its control group.
    #[serde(skip)]
    pub unit: Option<super::unit::UnitName>,
    /// What the host calls paths that a running kubelet uses beside its root: `None` for one that
    /// is in the kubelet's own container alone.
    #[serde(skip)]
    pub on_host: BTreeMap<HostPath, Option<HostPath>>,
    /// What is worth telling about an accepted root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Detection {
    /// The root as a directory of the host, where one is known.
    pub fn host_dir(&self) -> Option<&HostPath> {
        self.kubelet.as_ref()?.host_dir.as_ref()
    }
}
