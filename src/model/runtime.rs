//! The container runtime: its processes, and the runtime as an NRI plugin meets it: the connection's state, and
//! containers that it is about to create (containerd/nri, pkg/api/api.proto).

use super::mount::MountTable;
use super::path::HostPath;
use super::sandbox::Sandbox;
use super::unit::UnitName;
use serde::{Deserialize, Serialize};

/// Where a runtime that speaks NRI listens for plugins (containerd/nri, pkg/api/plugin.go,
/// `DefaultSocketPath`).
pub const NRI_SOCKET: &str = "/run/nri/nri.sock";

/// The state of the connection to the container runtime.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Runtime {
    /// No runtime of this host listens for NRI plugins.
    #[default]
    NoRuntime,
    /// A runtime listens, or did so in this run of the agent; its new containers are not adjusted.
    Disconnected,
    /// The runtime reports each container before it creates it.
    Synchronized,
}

/// A process of the host that creates containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeProcess {
    /// Its number.
    pub pid: i32,
    /// The name of its program.
    pub name: String,
    /// The unit that runs it.
    pub unit: UnitName,
    /// Settings of that unit that give it a mount namespace of its own; `None` where its files could not be read.
    pub sandbox: Option<Sandbox>,
    /// Its mount table; `None` where that is the host's.
    pub mounts: Option<MountTable>,
    /// True if it is in the mount namespace of the running kubelet.
    pub with_kubelet: bool,
}

/// A container that the runtime is about to create.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewContainer {
    /// Its ID in the runtime.
    pub id: String,
    /// The UID of its pod.
    pub pod: String,
    /// The Kubernetes namespace of its pod.
    pub namespace: String,
    /// The pod's name and the container's, for people.
    pub name: String,
    /// Arguments of its first process.
    pub args: Vec<String>,
    /// Environment of its first process, as `KEY=value`.
    pub env: Vec<String>,
    /// Its mounts.
    pub mounts: Vec<ContainerMount>,
}

/// A mount of a container (OCI runtime specification, `mounts`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMount {
    /// The mount point in the container.
    pub destination: String,
    /// The type of the file system, `bind` for a bind mount.
    pub kind: String,
    /// The host's path.
    pub source: String,
    /// Mount options.
    pub options: Vec<String>,
}

impl ContainerMount {
    /// A bind mount whose later mounts propagate both ways (Kubernetes: Bidirectional).
    pub fn bidirectional(source: &HostPath, destination: &HostPath) -> Self {
        Self {
            destination: destination.to_string(),
            kind: "bind".to_owned(),
            source: source.to_string(),
            options: vec!["rbind".to_owned(), "rshared".to_owned()],
        }
    }
}
