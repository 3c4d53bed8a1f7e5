//! Engine: reads the processes that may be a kubelet, and asks `detect` whose root is whose.

use crate::detect::config::Declared;
use crate::detect::{self, Ids, Look, Observed, World, version};
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::facts::Mode;
use crate::model::file::{FileId, Trust};
use crate::model::kubelet::{Detection, KubeletRoot, Rejection, RejectionReason, Unread};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::process::{Namespaces, Process};
use crate::mounts::{mountinfo, resolve};
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a process is read anew that becomes another one, or another program, meanwhile.
const ATTEMPTS: usize = 3;

/// What is said of the kubelet's root before its processes are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// By configuration: what a kubelet would use at its next start, best first.
    pub configuration: Declared,
    /// By the settings: `kubelet.root-dir`.
    pub root_dir: Option<KubeletRoot>,
}

/// What was found, and what it was found with.
pub(super) struct Found<'a> {
    pub(super) detection: Detection,
    pub(super) world: HostWorld<'a>,
}

/// How long a process may say that it is a kubelet before it counts against another one.
const SETTLING: Duration = Duration::from_millis(100);

/// The kubelet's root. What runs for a moment under a kubelet's name (a monitor that asks for
/// something, a unit that fails and is restarted) contradicts nothing: two that disagree have to
/// do so twice.
pub(super) fn kubelet<'a>(host: &'a Host, proc: Option<&Proc<'_>>, said: &Said) -> Result<Found<'a>> {
    let found = kubelet_now(host, proc, said)?;
    if host.mode() == Mode::Live && found.detection.conflict.is_some() && !found.world.programs.is_empty() {
        std::thread::sleep(SETTLING);
        return kubelet_now(host, proc, said);
    }
    Ok(found)
}

fn kubelet_now<'a>(host: &'a Host, proc: Option<&Proc<'_>>, said: &Said) -> Result<Found<'a>> {
    let mut observed = Observed {
        declarations: said.configuration.declarations.clone(),
        undecided: said.configuration.undecided,
        unread: said.configuration.unread.clone(),
        settings: said.root_dir.clone(),
        ..Observed::default()
    };
    let mut world = HostWorld {
        host,
        mounts: MountTable::default(),
        views: BTreeMap::new(),
        programs: BTreeMap::new(),
        mention_csi: Vec::new(),
        runtimes: Vec::new(),
    };
    if let Some(proc) = proc {
        world.mounts = match table(proc.mountinfo()) {
            Ok(mounts) => mounts,
            // A scene without any is what it is; a live host's is needed.
            Err(error) if host.mode() == Mode::Live => {
                observed.unread.push(Unread { path: "/proc/1/mountinfo".to_owned(), error });
                MountTable::default()
            }
            Err(_) => MountTable::default(),
        };
        let here = proc.host_namespaces();
        // Offline nothing outside of the tree is read, and how many processors there are is.
        let most = match host.mode() {
            Mode::Live => std::thread::available_parallelism().map_or(1, usize::from).min(4),
            Mode::Offline => 1,
        };
        for (pid, look, First { mentions_csi, runtime }) in looks(proc, &proc.pids()?, most) {
            world.mention_csi.extend(mentions_csi.then_some(pid));
            world.runtimes.extend(runtime.map(|name| (pid, name)));
            match look {
                Look::Other => {}
                Look::Candidate => candidate(proc, pid, &here, &mut observed, &mut world),
                Look::Mention(detail) => {
                    let reason = RejectionReason::NotAKubelet;
                    observed.rejected.push(Rejection { pid: Some(pid), reason, detail });
                }
            }
        }
    }
    Ok(Found { detection: detect::detect(observed, &world), world })
}

/// How many processes are worth another thread to look at them.
const A_THREADS_WORTH: usize = 512;

/// What the arguments of a process that is no kubelet may make it.
struct First {
    mentions_csi: bool,
    /// The name of a container runtime.
    runtime: Option<Vec<u8>>,
}

/// A first look at every process, at its arguments alone; those that are of interest, and whether
/// they mention CSI or are a container runtime's. The kernel
/// takes some ten microseconds for each, most of it in finding and opening the file, and does it
/// for several threads at once: for `most`, where there is enough to do.
fn looks(proc: &Proc<'_>, pids: &[i32], most: usize) -> Vec<(i32, Look, First)> {
    let look = |pids: &[i32]| {
        let mut heads = proc.heads();
        let mut found = Vec::new();
        for &pid in pids {
            // A process that is gone by now is none of the answer.
            let Some(head) = heads.read(pid) else { continue };
            let look = detect::look(head);
            let runtime = detect::runtime_name(head).map(<[u8]>::to_vec);
            let first = First { mentions_csi: detect::plugin::mentions(head), runtime };
            if look != Look::Other || first.mentions_csi || first.runtime.is_some() {
                found.push((pid, look, first));
            }
        }
        found
    };
    let threads = pids.len().div_ceil(A_THREADS_WORTH).clamp(1, most);
    let mut parts = pids.chunks(pids.len().div_ceil(threads).max(1));
    let Some(own) = parts.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| (part, std::thread::Builder::new().spawn_scoped(scope, || look(part))))
            .collect();
        let mut found = look(own);
        for (part, other) in others {
            // A host that has no thread to spare is looked at in one.
            found.extend(other.ok().and_then(|other| other.join().ok()).unwrap_or_else(|| look(part)));
        }
        found
    })
}

/// The version of the kubelet that was found, without running anything of a container's; a
/// program of the host is asked only where nothing else tells.
pub(super) fn version(host: &Host, proc: &Proc<'_>, found: &Found<'_>) -> Option<String> {
    let pid = found.detection.kubelet.as_ref()?.pid?;
    let runs = found.world.programs.get(&pid)?;
    let program = proc.program(host, pid, runs.start).ok().flatten();
    let info = program
        .as_ref()
        .and_then(|program| detect::build_info(&|offset, length| program.read_at(offset, length)));
    if let Some(version) = info.as_deref().and_then(version::of_build_info) {
        return Some(version);
    }
    if let Some(version) = version::of_path(&runs.exe) {
        return Some(version);
    }
    if let Some((file, revision)) = version::snap(&runs.exe) {
        return Some(host.file(&file).bytes().and_then(version::of_snap).unwrap_or(revision));
    }
    // A file that was deleted or replaced is not the one that runs, and has another id.
    let path = HostPath::parse(&runs.exe).ok().filter(|_| runs.on_host)?;
    let is_kubelet = matches!(path.file_name(), b"kubelet" | b".kubelet-wrapped");
    let output = is_kubelet.then(|| host.program_version(&path, program?.id)).flatten()?;
    version::of_output(&output)
}

/// Reads one process whole, unless it is refused for who it is.
fn candidate(
    proc: &Proc<'_>,
    pid: i32,
    here: &Namespaces,
    observed: &mut Observed,
    world: &mut HostWorld<'_>,
) {
    let unread =
        |error: &dyn std::fmt::Display| Unread { path: format!("/proc/{pid}"), error: error.to_string() };
    for _ in 0..ATTEMPTS {
        let Ok(cmdline) = proc.cmdline(pid) else { return };
        let mut process = match proc.identity(pid, &cmdline) {
            Ok(Some(process)) => process,
            Ok(None) => continue,
            Err(error) => {
                observed.unread.push(unread(&error));
                return;
            }
        };
        if let Some(rejection) = detect::refuse(&process, here) {
            observed.rejected.push(rejection);
            return;
        }
        let Some(held) = proc.holdings(&mut process, &cmdline) else { continue };
        observed.unread.extend(held.unread.iter().map(|error| unread(error)));
        if process.namespaces.mnt != here.mnt {
            match table(proc.mountinfo_of(pid)) {
                Ok(table) => process.mounts = Some(table),
                Err(error) => observed.unread.push(Unread { path: format!("/proc/{pid}/mountinfo"), error }),
            }
        }
        let runs = Runs {
            start: process.start,
            exe: process.exe.clone().unwrap_or_default(),
            on_host: process.mounts.is_none() && matches!(process.root.as_slice(), b"/" | b""),
        };
        world.programs.insert(pid, runs);
        world.views.extend(held.view.map(|view| (pid, view)));
        observed.processes.push(process);
        return;
    }
}

fn table(text: crate::host::Result<Vec<u8>>) -> std::result::Result<MountTable, String> {
    let text = text.map_err(|error| error.to_string())?;
    mountinfo::parse(&text).map_err(|error| error.to_string())
}

/// What detection asks the host. Paths of a process are walked in its own view of the file
/// system, opened while it was known to be the one that was read.
pub(super) struct HostWorld<'a> {
    host: &'a Host,
    pub(super) mounts: MountTable,
    views: BTreeMap<i32, Host>,
    programs: BTreeMap<i32, Runs>,
    /// Processes that mention CSI in their arguments.
    pub(super) mention_csi: Vec<i32>,
    /// Processes whose arguments are a container runtime's, each with its name.
    pub(super) runtimes: Vec<(i32, Vec<u8>)>,
}

/// What a process runs.
struct Runs {
    start: u64,
    /// As the kernel shows it.
    exe: Vec<u8>,
    /// Its paths are the host's: it is in no container.
    on_host: bool,
}

impl HostWorld<'_> {
    fn view(&self, process: Option<&Process>) -> &Host {
        process.and_then(|process| self.views.get(&process.pid)).unwrap_or(self.host)
    }

    /// Whether paths of `process` are found by walking: always on a live host; of a scene's
    /// processes only in the mount namespace that was captured.
    fn can_walk(&self, process: Option<&Process>) -> bool {
        self.host.mode() == Mode::Live || process.is_none_or(|process| process.mounts.is_none())
    }

    /// `path` of `process` as the host's, where it has a name there.
    fn on_host(&self, process: &Process, path: &HostPath) -> Option<HostPath> {
        let Some(theirs) = &process.mounts else {
            // A chroot in the host's own mount namespace is a prefix.
            let root = HostPath::parse(&process.root).unwrap_or_else(|_| HostPath::root());
            return Some(root.join(path.as_bytes()));
        };
        // A table is read with links resolved.
        let path = self.canonical(Some(process), path);
        let inside = resolve::place(theirs, path.as_bytes())?;
        let names = resolve::names_of(&self.mounts, inside.mount.device, &inside.inside);
        // The same string, if it is one of them: what a person expects to read.
        let same = names.iter().find(|name| name.as_slice() == path.as_bytes());
        HostPath::parse(same.or(names.first())?).ok()
    }
}

impl World for HostWorld<'_> {
    fn mounts<'a>(&'a self, process: &'a Process) -> &'a MountTable {
        process.mounts.as_ref().unwrap_or(&self.mounts)
    }

    fn canonical(&self, process: Option<&Process>, path: &HostPath) -> HostPath {
        let walked = self.can_walk(process).then(|| self.view(process).canonical(path)).flatten();
        walked.unwrap_or_else(|| path.clone())
    }

    fn host_dir(&self, process: &Process, root: &KubeletRoot) -> Option<HostPath> {
        self.on_host(process, root.as_path())
    }

    fn trust(&self, process: Option<&Process>, path: &HostPath) -> Trust {
        let live = self.host.mode() == Mode::Live;
        let inside = live.then(|| self.view(process).trust(path));
        if let Some(untrusted @ Trust::Untrusted { .. }) = inside {
            return untrusted;
        }
        // A scene has the host's files alone; live, a container's path leads to them too.
        let named = match process {
            Some(process) if process.mounts.is_some() || !live => self.on_host(process, path),
            _ => Some(path.clone()),
        };
        match (named.map(|path| self.host.trust(&path)), inside) {
            (Some(untrusted @ Trust::Untrusted { .. }), _) => untrusted,
            (_, Some(inside)) => inside,
            (Some(outside), None) => outside,
            (None, None) => Trust::Missing(format!("{path} has no name on the host")),
        }
    }

    fn is_socket(&self, process: &Process, path: &HostPath) -> Option<bool> {
        (self.host.mode() == Mode::Live).then(|| self.view(Some(process)).is_socket(path))
    }

    fn ids(&self, process: &Process, path: &HostPath) -> Option<Ids> {
        if self.host.mode() != Mode::Live {
            return None;
        }
        let view = self.view(Some(process));
        let id = view.file_id(path)?;
        let mount = resolve::cover(self.mounts(process), view.canonical(path)?.as_bytes());
        let by_mount = mount.map(|mount| FileId { device: mount.device, ..id });
        Some(Ids {
            ids: [Some(id), by_mount].into_iter().flatten().collect(),
            sure: mount.is_none_or(|mount| mount.fs_type != b"overlay"),
        })
    }

    fn exists(&self, path: &HostPath) -> bool {
        self.host.exists(path)
    }
}
