//! What one node says of itself to whoever compares it with others: `node` of `check --json`.

use super::digest::Digest;
use super::kubelet::Distribution;
use serde::Serialize;

/// A node, by what must or must not be the same on others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The host's name; null where it is not known (offline).
    pub hostname: Option<String>,
    /// The running kernel; null where it is not known.
    pub kernel: Option<String>,
    /// The system, for people.
    pub os: String,
    /// A digest of the machine's id, which itself is not for others to see (machine-id(5)).
    pub machine: Option<Digest>,
    /// The name by which iSCSI targets know it.
    pub initiator_name: Option<String>,
    /// csihost's version.
    pub csihost: &'static str,
    /// Its kubelet; null where none is known.
    pub kubelet: Option<NodeKubelet>,
}

/// The kubelet of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeKubelet {
    /// Its root: the string that drivers are sent.
    pub root_dir: String,
    /// The same directory, as the host calls it.
    pub host_dir: Option<String>,
    /// Whose kubelet it is.
    pub distribution: Distribution,
    /// Its version.
    pub version: Option<String>,
    /// Where it looks for FlexVolume drivers, its default included.
    pub volume_plugin_dir: Option<String>,
}
