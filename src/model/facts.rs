//! What was observed of the host in one turn.

use super::align::{AlignRecord, NextStart};
use super::contract::{Contract, Plugins, PodName};
use super::demand::Demand;
use super::digest::Digest;
use super::file::{DirFact, FileFact, Survey};
use super::gate::Gate;
use super::kubelet::Detection;
use super::mount::MountTable;
use super::path::HostPath;
use super::receipt::{BridgeRecord, DriversRecord, InitiatorRecord};
use super::runtime::Runtime;
use super::unanswered::LeftOut;
use super::unit::{ActiveState, Order, UnitName, Units};
use super::volumes::Leftover;
use std::collections::{BTreeMap, BTreeSet};

/// Which host a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The one that csihost runs on.
    Live,
    /// A tree of files (`--root`): nothing runs there.
    Offline,
}

/// The init system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Init {
    /// systemd is PID 1, and answers on the bus.
    Systemd,
    /// systemd is PID 1, and does not answer; why.
    Unreachable(String),
    /// Another one, by the name of PID 1.
    Other(String),
    /// Offline: unit files are links, nothing is started.
    Offline,
}

/// What the kernel can do for iSCSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// Loaded.
    Loaded,
    /// A part of the kernel itself.
    BuiltIn,
    /// Not loaded; there is a file to load it from.
    Loadable,
    /// The running kernel has no such module.
    Missing,
    /// Offline: which kernel will run is not known.
    Unknown,
}

/// What iSCSI does on this host now; nothing of it is known offline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IscsiState {
    /// The targets that sessions are up to.
    pub sessions: Vec<Vec<u8>>,
    /// The initiator names under which they are up, each once.
    pub session_names: BTreeSet<Vec<u8>>,
    /// Whether the kernel has the control socket that iscsid opens at its start (NETLINK_ISCSI);
    /// `None` where it comes with a module that can be loaded, and so cannot be asked for without
    /// loading it.
    pub control: Option<bool>,
    /// Whether iscsid, or systemd in its place, listens where iscsiadm will look for it.
    pub listening: Option<bool>,
    /// The targets that open-iscsi keeps records of.
    pub records: Vec<NodeRecord>,
    /// Directories of open-iscsi's database whose owner may not search them.
    pub unsearchable: Vec<HostPath>,
}

/// What open-iscsi remembers of a target: `nodes/TARGET/PORTAL…` (open-iscsi, idbm.c).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// Its directory.
    pub path: HostPath,
    /// The target's name.
    pub target: Vec<u8>,
    /// Whether nothing of it changed for a quarter of an hour: a driver writes the record before it
    /// logs in, and then there is no session yet.
    pub settled: bool,
    /// Files and directories of it that hold nothing, as a crash leaves them: open-iscsi neither uses nor deletes such a
    /// record, and discovery may fail on it.
    pub damaged: Vec<HostPath>,
}

/// Which machine this is, and which kernel runs on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// A digest of /etc/machine-id, which is not for others to see (machine-id(5)); `None` where
    /// there is none yet, as in an image.
    pub id: Option<Digest>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// The node's name.
    pub hostname: String,
    /// Huge pages of 2 MiB that the kernel keeps.
    pub huge_pages: Option<u64>,
}

/// Everything that a decision may depend on.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Live or offline.
    pub mode: Mode,
    /// The init system.
    pub init: Init,
    /// The kubelet's root, and why.
    pub detection: Detection,
    /// PID 1's mounts; empty where they are not known.
    pub mounts: MountTable,
    /// The CSI plugins that run here.
    pub plugins: Plugins,
    /// Whether what they mount reaches the kubelet.
    pub contracts: Vec<Contract>,
    /// The drivers of this node, with those of earlier reconciliations.
    pub drivers: DriversRecord,
    /// The needs of the drivers of this node.
    pub demand: Demand,
    /// The pods of the Kubernetes namespaces that `contract.namespaces` names, by UID.
    pub named_pods: BTreeSet<String>,
    /// The connection to the container runtime, where plugins are grafted.
    pub runtime: Runtime,
    /// The names of the pods of drivers that need a restart, by UID.
    pub pod_names: BTreeMap<String, PodName>,
    /// Directories that were asked for.
    pub dirs: BTreeMap<HostPath, DirFact>,
    /// What lies below directories that were asked for.
    pub surveys: BTreeMap<HostPath, Survey>,
    /// Files that were asked for.
    pub files: BTreeMap<HostPath, FileFact>,
    /// Programs that were asked for and are there, executable.
    pub programs: BTreeSet<HostPath>,
    /// Units that were asked for.
    pub units: Units,
    /// Kernel modules that were asked for.
    pub modules: BTreeMap<String, Module>,
    /// What iSCSI does now.
    pub iscsi: IscsiState,
    /// The machine.
    pub machine: Machine,
    /// Whether this is the turn of the boot unit: what needs a network waits for another one.
    pub boot: bool,
    /// The initiator name that was seen last, and the machine that it is for.
    pub initiator: Option<InitiatorRecord>,
    /// Daemons that still go by what a file said before csihost changed it.
    pub restart: Vec<UnitName>,
    /// Packages that csihost installed in this boot, and that are there in the next one.
    pub at_reboot: BTreeSet<String>,
    /// Files that csihost generated in earlier turns.
    pub generated: BTreeSet<HostPath>,
    /// Units that csihost started in earlier turns.
    pub started: BTreeSet<UnitName>,
    /// The socket directories of drivers that are grafted.
    pub gates: Vec<Gate>,
    /// The agent's unit, where that is of interest: a gate is closed.
    pub agent: Option<ActiveState>,
    /// Whether nothing can be written where an administrator's units are.
    pub units_read_only: bool,
    /// The bridge of earlier turns.
    pub bridge: Option<BridgeRecord>,
    /// The kubelet's root that became the standard path in earlier turns, or is to.
    pub align: Option<AlignRecord>,
    /// The root that is bound whole to the standard path, which is a directory in the place of a link to it.
    pub whole: Option<HostPath>,
    /// What the kubelet's next start goes by, where that was asked for.
    pub next_start: Option<NextStart>,
    /// The plugins that were grafted in earlier turns, by name.
    pub grafted: BTreeSet<String>,
    /// Volumes that are mounted for pods which are gone.
    pub leftovers: Vec<Leftover>,
    /// What late mounts below the bridge are ordered after, and what these are, as far as it may lead to a container
    /// runtime; a unit that is not here was not asked for.
    pub orders: BTreeMap<UnitName, Order>,
    /// What the kubelet's unit is ordered after; `None` where nobody was asked.
    pub kubelet_order: Option<Order>,
    /// Why the receipt is lost: what is known of csihost's changes is what its files show.
    pub receipt_lost: Option<String>,
    /// What did not answer in time: nothing else of it is known.
    pub left_out: Vec<LeftOut>,
    /// An undo waits for volumes: what they depend on stays.
    pub undoing: bool,
    /// Whether the kubelet may be restarted in this turn, where a setting waits for that.
    pub restart_kubelet: bool,
}

impl Facts {
    /// A host of which nothing else is known yet.
    pub fn new(mode: Mode, init: Init) -> Self {
        Self {
            mode,
            init,
            detection: Detection::default(),
            mounts: MountTable::default(),
            plugins: Plugins::default(),
            contracts: Vec::new(),
            drivers: DriversRecord::default(),
            demand: Demand::default(),
            named_pods: BTreeSet::new(),
            runtime: Runtime::NoRuntime,
            pod_names: BTreeMap::new(),
            dirs: BTreeMap::new(),
            surveys: BTreeMap::new(),
            files: BTreeMap::new(),
            programs: BTreeSet::new(),
            units: Units::default(),
            modules: BTreeMap::new(),
            iscsi: IscsiState::default(),
            machine: Machine::default(),
            boot: false,
            initiator: None,
            restart: Vec::new(),
            at_reboot: BTreeSet::new(),
            generated: BTreeSet::new(),
            started: BTreeSet::new(),
            gates: Vec::new(),
            agent: None,
            units_read_only: false,
            bridge: None,
            align: None,
            whole: None,
            next_start: None,
            grafted: BTreeSet::new(),
            leftovers: Vec::new(),
            orders: BTreeMap::new(),
            kubelet_order: None,
            receipt_lost: None,
            left_out: Vec::new(),
            undoing: false,
            restart_kubelet: false,
        }
    }

    /// Returns true for a unit whose file csihost generated in earlier reconciliations.
    pub fn has_generated(&self, unit: &UnitName) -> bool {
        self.generated.iter().any(|path| path.file_name() == unit.as_str().as_bytes())
    }

    /// The files `*.conf` of a directory, as far as it was asked for.
    pub fn conf_files(&self, directory: &HostPath) -> Vec<HostPath> {
        let Some(DirFact::Directory { entries, .. }) = self.dirs.get(directory) else { return Vec::new() };
        entries.iter().filter(|name| name.ends_with(b".conf")).map(|name| directory.join(name)).collect()
    }

    /// The gates that are closed.
    pub fn closed_gates(&self) -> impl Iterator<Item = &Gate> {
        let closed =
            |gate: &&Gate| self.mounts.gates().iter().any(|mount| mount.point == gate.directory.as_bytes());
        self.gates.iter().filter(closed)
    }

    /// What is at the file path; a path that was never asked for counts as absent.
    pub fn file(&self, path: &HostPath) -> &FileFact {
        self.files.get(path).unwrap_or(&FileFact::Absent)
    }

    /// `path` with links followed, as far as it was asked for.
    pub fn canonical<'a>(&'a self, path: &'a HostPath) -> &'a HostPath {
        self.dirs.get(path).and_then(DirFact::canonical).unwrap_or(path)
    }

    /// What is known of a module.
    pub fn module(&self, name: &str) -> Module {
        self.modules.get(name).copied().unwrap_or(Module::Unknown)
    }

    /// Whether the daemon of `unit` runs and goes by what a file no longer says.
    pub fn owes_restart(&self, unit: &UnitName) -> bool {
        self.restart.contains(unit) && self.units.get(unit).active == ActiveState::Active
    }

    /// Whether units can be enabled, and started where the host is live.
    pub fn has_units(&self) -> bool {
        matches!(self.init, Init::Systemd | Init::Offline)
    }
}
