//! CSI plugins of this node, and whether what each of them mounts reaches the kubelet.

use super::bytes::shown;
use super::file::FileId;
use super::kubelet::KubeletRoot;
use super::mount::MountTable;
use super::path::HostPath;
use super::runtime::RuntimeProcess;
use super::unit::UnitName;
use serde::{Serialize, Serializer};

/// The pod and the container that a process belongs to, by its control group. `None` for what
/// the path does not name: a process of the host, or a container that no pod owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The pod's UID, with dashes (a static pod's is 32 hexadecimal digits).
    pub pod: Option<String>,
    /// The container's id, as its runtime made it.
    pub container: Option<String>,
    /// It belongs to a node that itself runs in a container of this host (kind, k3d).
    pub foreign: bool,
}

/// What the arguments of a process say of CSI. Anybody can say anything there: they choose what
/// is looked at, and how it is called, and nothing that is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// `--kubelet-registration-path` of node-driver-registrar: the host's name of the socket.
    pub registration: Option<HostPath>,
    /// `--csi-address`: where a sidecar finds the driver.
    pub address: Option<HostPath>,
    /// `--plugin-registration-path` of node-driver-registrar: the directory in which it makes the socket that the
    /// kubelet looks for.
    pub registry: Option<HostPath>,
    /// Where a driver listens (`--endpoint` and its like).
    pub endpoint: Option<HostPath>,
    /// The driver's own name.
    pub driver: Option<Vec<u8>>,
    /// It only asks whether the driver lives (ceph-csi's `--type=liveness`).
    pub liveness: bool,
    /// CSI is mentioned at all.
    pub mentioned: bool,
}

/// One mount namespace that may hold a CSI plugin, or one process of the host's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seat {
    /// Any of its processes, one that says something of CSI where there is one.
    pub pid: i32,
    /// When that process started, where that is known; to know it again.
    pub started: Option<u64>,
    /// Its mount namespace, by inode.
    pub namespace: Option<u64>,
    /// Whose it is.
    pub owner: Owner,
    /// What its processes say.
    pub claims: Vec<Claims>,
    /// Its mount table, volumes of pods left out; `None` where that is the host's.
    pub mounts: Option<MountTable>,
}

/// What a string names in one mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The path without symbolic links; the string itself where nobody could look.
    pub path: HostPath,
    /// Which directory is there, by stat(2); `Some(None)` if none is, `None` where nobody could look.
    pub found: Option<Option<FileId>>,
}

impl Lookup {
    /// A string that nobody could follow.
    pub fn unseen(path: HostPath) -> Self {
        Self { path, found: None }
    }
}

/// What the kubelet's strings name in one mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// `<root>/pods`, below which volumes are published.
    pub pods: Lookup,
    /// `<root>/plugins/kubernetes.io/csi`, below which they are staged, and block volumes published.
    pub staging: Lookup,
}

impl View {
    /// The strings below `root`, which nobody followed.
    pub fn unseen(root: &KubeletRoot) -> Self {
        let below = |name: &str| Lookup::unseen(root.as_path().join(name));
        Self { pods: below("pods"), staging: below("plugins/kubernetes.io/csi") }
    }
}

/// A symbolic link out of the kubelet's root in the place of one of its directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The directory, without links up to its name.
    pub path: HostPath,
    /// The directory that it leads to, without links.
    pub target: HostPath,
}

/// The running kubelet, as plugins have to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// Its process; `None` where that is not of interest.
    pub pid: Option<i32>,
    /// The unit that runs it.
    pub unit: Option<UnitName>,
    /// The string that it sends.
    pub root: KubeletRoot,
    /// Its mount table; `None` where that is the host's.
    pub mounts: Option<MountTable>,
    /// What its strings name in its own namespace.
    pub view: View,
    /// Its `plugins_registry` there, without symbolic links as far as could be looked.
    pub registry: HostPath,
    /// Links out of its root.
    pub links: Vec<Link>,
    /// True if it has a mount namespace of its own with nobody else in it: no container runtime sees what it mounts.
    pub alone: bool,
    /// True if it runs in a container: by its control group, or since it has another root directory than the host.
    pub in_container: bool,
}

impl Publisher {
    /// A kubelet in the host's mount namespace, whose strings nobody followed.
    pub fn unseen(root: KubeletRoot) -> Self {
        let registry = root.as_path().join("plugins_registry");
        Self {
            pid: None,
            unit: None,
            view: View::unseen(&root),
            root,
            mounts: None,
            registry,
            links: Vec::new(),
            alone: false,
            in_container: false,
        }
    }
}

/// The container that registers a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrar {
    /// Its place.
    pub seat: Seat,
    /// True if it has run for so long that it has registered its driver, or never will.
    pub settled: bool,
}

/// A pod, by the directory of its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A CSI plugin that publishes volumes for this kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Its place.
    pub seat: Seat,
    /// Its driver's name, as far as that is known.
    pub driver: Option<Vec<u8>>,
    /// The socket under which it registers, as the host names it.
    pub registration: Option<HostPath>,
    /// Its registrar, where it has one.
    pub registrar: Option<Registrar>,
    /// What the kubelet's strings name in its namespace.
    pub view: View,
}

/// All that is known of plugins and of the kubelet that they serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plugins {
    /// The kubelet, where one runs and its mounts are known.
    pub kubelet: Option<Publisher>,
    /// The plugins.
    pub found: Vec<Plugin>,
    /// The drivers of which there is a socket in the kubelet's registry; `None` where that is not known.
    pub registered: Option<Vec<Vec<u8>>>,
    /// The drivers of which there is a file in the kubelet's registry, also in a tree of files.
    pub registry_names: Vec<Vec<u8>>,
    /// Containers that have an empty directory in place of a driver's socket directory: they were created while a
    /// gate was closed.
    pub behind_gate: Vec<BehindGate>,
    /// The container runtimes of the host.
    pub runtimes: Vec<RuntimeProcess>,
    /// What could not be read.
    pub unread: Vec<String>,
}

/// A container that was created while a gate was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehindGate {
    /// Its owner.
    pub owner: Owner,
    /// A process of it.
    pub pid: i32,
    /// The path of the empty directory in the container.
    pub point: HostPath,
}

impl Plugins {
    /// Returns true for a driver of which there is a socket in the kubelet's registry.
    pub fn is_registered(&self, driver: &str) -> bool {
        self.registered.iter().flatten().any(|name| name == driver.as_bytes())
    }
}

/// What a plugin sees at the kubelet's string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// The kubelet's directory.
    Same,
    /// Another directory.
    Different,
    /// Nothing, or nothing but the container's own root file system.
    Absent,
}

/// Which way a new mount below the kubelet's string travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// Both ways.
    Bidirectional,
    /// From the plugin to the kubelet alone.
    ToKubelet,
    /// From the kubelet to the plugin alone.
    ToPlugin,
    /// Neither way.
    None,
}

/// Whether one plugin and the kubelet understand each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contract {
    /// The pod's UID.
    pub pod: Option<String>,
    /// The container's id.
    pub container: Option<String>,
    /// The driver's name.
    #[serde(serialize_with = "name")]
    pub driver: Option<Vec<u8>>,
    /// A process of the container.
    pub pid: i32,
    /// The kubelet's root: the string that it sends.
    pub kubelet_path: KubeletRoot,
    /// What the plugin sees there.
    pub seen: Seen,
    /// Which way mounts travel.
    pub propagation: Propagation,
    /// Whether what the plugin mounts reaches the kubelet.
    pub holds: bool,
    /// What to do, where it does not hold.
    pub remedy: Option<String>,
}

#[allow(clippy::ref_option, reason = "serde hands out references")]
fn name<S: Serializer>(name: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_deref().map(shown).serialize(serializer)
}
