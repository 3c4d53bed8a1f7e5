//! Engine: reads the processes that may be a CSI plugin, and asks `mounts` which of them are.
//!
//! A container is looked at once, whatever runs in it: by one process of its mount namespace. What
//! is read of each depends on what is known already: the namespace of all processes, the control
//! group of those in another one, the mount table of those that can matter. A process that goes
//! away meanwhile is none of the answer, and no error.

use super::kubelet::Found;
use crate::detect::{owner, plugin::claims};
use crate::host::process::Proc;
use crate::host::{Host, MountRows, Named};
use crate::model::contract::{
    BehindGate, Claims, Lookup, Owner, Plugin, Plugins, Publisher, Registrar, Seat, View,
};
use crate::model::facts::Mode;
use crate::model::kubelet::{Kubelet, KubeletRoot};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::mounts::links::of_root;
use crate::mounts::mountinfo;
use crate::mounts::plugins::{Names, Sufficient, choose, is_client};
use crate::mounts::resolve::{place, same_directory};
use crate::profile::is_driver_name;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// As many processes of one container are asked what they say of CSI.
const SPEAKERS: usize = 8;
/// As many processes are worth another thread.
const A_THREADS_WORTH: usize = 512;
/// As many drivers of a node are remembered.
const MOST_DRIVERS: usize = 64;
/// As many containers: reading and parsing of a large mount table takes a millisecond.
const TABLES: usize = 16;
/// A table of as many bytes (some hundred rows) is worth a look at where its paths lead, which may
/// spare the rest of it.
const A_LOOKS_WORTH: usize = 16 << 10;

/// A registrar that has run for as long has registered its driver, or will not: it waits for the driver's socket, which
/// the driver makes at its start.
const SETTLED: Duration = Duration::from_secs(60);

/// How much is read of the mount tables of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// What the contracts want to know.
    Needed,
    /// All of each (volumes of pods left out).
    Whole,
}

/// The plugins of the running kubelet that `found` tells of.
/// `has_gates` is true where csihost closes gates, which containers may have been created behind.
pub(super) fn plugins(
    host: &Host,
    proc: &Proc<'_>,
    found: &Found<'_>,
    tables: Tables,
    has_gates: bool,
) -> Plugins {
    let Some((kubelet, pid)) = found.detection.kubelet.as_ref().and_then(|k| Some((k, k.pid?))) else {
        return Plugins::default();
    };
    let mut seen = Plugins::default();
    let Some(here) = proc.host_namespaces().mnt else {
        seen.unread.push("the mount namespace of process 1 could not be read".to_owned());
        return seen;
    };
    if found.world.mounts.is_empty() {
        return seen;
    }
    let theirs = proc.mount_namespace(pid).filter(|&theirs| theirs != here);
    let mounts = match theirs.map(|_| table(proc, pid)) {
        None => None,
        Some(Some(table)) => Some(table),
        Some(None) => {
            seen.unread.push(format!("the mounts of the kubelet, process {pid}, could not be read"));
            return seen;
        }
    };
    let eyes = proc.view_of(pid);
    let eyes = eyes.as_ref().or((mounts.is_none() && host.mode() == Mode::Offline).then_some(host));
    let unseen = Publisher::unseen(kubelet.root_dir.clone());
    let registry = eyes.and_then(|eyes| eyes.names(&unseen.registry)).map(|named| named.path);
    let links = eyes.map_or_else(Vec::new, |eyes| {
        let canonical = |path: &HostPath| eyes.names(path).map(|named| named.path);
        canonical(kubelet.root_dir.as_path()).map_or_else(Vec::new, |root| of_root(&root, canonical))
    });
    let in_container = mounts.as_ref().is_some_and(|own| is_contained(proc, found, pid, own));
    let publisher = Publisher {
        pid: Some(pid),
        unit: found.detection.unit.clone(),
        mounts,
        view: eyes.map_or_else(
            || unseen.view.clone(),
            |eyes| look_with(eyes, host.mode() == Mode::Live, &kubelet.root_dir),
        ),
        registry: registry.unwrap_or_else(|| unseen.registry.clone()),
        root: unseen.root,
        alone: theirs.is_some_and(|theirs| is_alone(proc, pid, theirs)),
        links,
        in_container,
    };
    let speaking = found.world.mention_csi.iter().copied().collect();
    let threads = threads(host);
    // Offline nothing tells on which mount a path lies, and a scene has what it has.
    let sufficient = (tables == Tables::Needed && host.mode() == Mode::Live)
        .then(|| Sufficient::new(&found.world.mounts, &publisher));
    let search =
        Search { proc, here, theirs, speaking, threads, publisher: &publisher, sufficient, has_gates };
    let mut all = search.seats();
    seen.behind_gate = all.iter().filter_map(|(seat, _)| behind_gate(seat)).collect();
    all.retain(|(seat, _)| !is_client_alone(seat));
    let (seats, views): (Vec<Seat>, Vec<Option<View>>) = all.into_iter().unzip();
    let registered = registered(host, kubelet);
    let registrar = |at: usize| {
        let seat = seats.get(at)?.clone();
        let settled = proc.has_run_for(seat.pid).is_some_and(|long| long > SETTLED);
        Some(Registrar { seat, settled })
    };
    for one in choose(&seats, &found.world.mounts, &publisher, registered.as_deref().unwrap_or_default()) {
        let Some((seat, view)) = seats.get(one.seat).zip(views.get(one.seat)) else { continue };
        let look = || look(host, proc, seat.pid, seat.mounts.is_none(), &publisher.root);
        let view = view.clone().unwrap_or_else(look);
        // Another process by now, or none: what was read is of no container that there is.
        if proc.started(seat.pid) == seat.started {
            let (driver, registration) = (one.driver, one.registration);
            let registrar = one.registrar.and_then(registrar);
            seen.found.push(Plugin { seat: seat.clone(), driver, registration, registrar, view });
        }
    }
    seen.found.sort_by(|a, b| a.driver.cmp(&b.driver).then(a.seat.pid.cmp(&b.seat.pid)));
    seen.kubelet = Some(publisher);
    seen.registry_names = registered.clone().unwrap_or_default();
    // A scene has what was captured, and sockets are not.
    seen.registered = registered.filter(|_| host.mode() == Mode::Live);
    seen
}

/// Returns true if no process of another control group is in the mount namespace of the kubelet `pid`.
fn is_alone(proc: &Proc<'_>, pid: i32, namespace: u64) -> bool {
    let own = proc.cgroup(pid);
    let is_other =
        |other: &i32| proc.mount_namespace(*other) == Some(namespace) && proc.cgroup(*other) != own;
    !proc.pids().unwrap_or_default().iter().any(is_other)
}

/// Returns true if the kubelet `pid` with the mount table `own` runs in a container: by its control group, or since it has
/// another root directory than the host, as in a container of a runtime that names no groups. A snap has one, too.
fn is_contained(proc: &Proc<'_>, found: &Found<'_>, pid: i32, own: &MountTable) -> bool {
    let owner = owner(&proc.cgroup(pid));
    let is_snap = found.detection.unit.as_ref().is_some_and(|unit| unit.as_str().starts_with("snap."));
    let roots = (place(own, b"/"), place(&found.world.mounts, b"/"));
    let elsewhere = matches!(&roots, (Some(own), Some(hosts)) if !same_directory(own, hosts));
    owner.container.is_some() || owner.pod.is_some() || (elsewhere && !is_snap)
}

/// A client of a driver that does not register it.
fn is_client_alone(seat: &Seat) -> bool {
    is_client(seat) && seat.claims.iter().all(|claims| claims.registration.is_none())
}

/// The gate in the mount table of a container. One that a container has by propagation goes when it is opened on the
/// host.
fn behind_gate(seat: &Seat) -> Option<BehindGate> {
    let gate = seat.mounts.as_ref()?.gates().first()?;
    let point = HostPath::parse(&gate.point).ok()?;
    Some(BehindGate { owner: seat.owner.clone(), pid: seat.pid, point })
}

/// What the kubelet's strings name for a process.
fn look(host: &Host, proc: &Proc<'_>, pid: i32, on_host: bool, root: &KubeletRoot) -> View {
    let live = host.mode() == Mode::Live;
    let theirs = proc.view_of(pid);
    match theirs.as_ref().or((on_host && !live).then_some(host)) {
        Some(eyes) => look_with(eyes, live, root),
        None => View::unseen(root),
    }
}

fn look_with(eyes: &Host, live: bool, root: &KubeletRoot) -> View {
    let mut view = View::unseen(root);
    for lookup in [&mut view.pods, &mut view.staging] {
        if let Some(Named { path, id, .. }) = eyes.names(&lookup.path) {
            // Inode numbers of a scene are not those of the node that it shows.
            *lookup = Lookup { path, found: live.then_some(id) };
        }
    }
    view
}

/// The drivers whose sockets are in the kubelet's registry (kubernetes-csi, node-driver-registrar:
/// `<driver>-reg.sock`).
fn registered(host: &Host, kubelet: &Kubelet) -> Option<Vec<Vec<u8>>> {
    let names = host.list(&kubelet.host_dir.as_ref()?.join("plugins_registry")).ok()?;
    Some(names.iter().filter_map(|name| name.strip_suffix(b"-reg.sock")).map(<[u8]>::to_vec).collect())
}

/// The names of the drivers that have a socket in the kubelet's registry. In a capture without sockets, those that publish
/// volumes: the name of such a one may be that of its directory.
pub(super) fn drivers_on_node(plugins: &Plugins) -> BTreeSet<String> {
    let running = plugins.found.iter().filter_map(|plugin| plugin.driver.as_ref());
    let names: Vec<&Vec<u8>> = match plugins.registered.is_some() || !plugins.registry_names.is_empty() {
        true => plugins.registry_names.iter().collect(),
        false => running.collect(),
    };
    names
        .into_iter()
        .filter_map(|name| std::str::from_utf8(name).ok())
        .filter(|name| is_driver_name(name))
        .map(str::to_owned)
        .take(MOST_DRIVERS)
        .collect()
}

fn table(proc: &Proc<'_>, pid: i32) -> Option<MountTable> {
    mountinfo::parse(&proc.mountinfo_of(pid).ok()?).ok()
}

fn threads(host: &Host) -> usize {
    // Offline nothing outside of the tree is read, and how many processors there are is.
    match host.mode() {
        Mode::Live => std::thread::available_parallelism().map_or(1, usize::from).min(4),
        Mode::Offline => 1,
    }
}

struct Search<'a> {
    proc: &'a Proc<'a>,
    /// The host's mount namespace.
    here: u64,
    /// The kubelet's, where it is another one.
    theirs: Option<u64>,
    /// The processes that mention CSI.
    speaking: BTreeSet<i32>,
    threads: usize,
    publisher: &'a Publisher,
    /// Tells when enough is read of a table; without it all is.
    sufficient: Option<Sufficient<'a>>,
    /// True where csihost closes gates.
    has_gates: bool,
}

/// What can matter, before its mounts are read.
struct Candidate {
    pid: i32,
    started: Option<u64>,
    /// Its mount namespace; `None` for a process of the host's own.
    namespace: Option<u64>,
    owner: Owner,
    claims: Vec<Claims>,
}

impl Search<'_> {
    /// All mount namespaces and processes of the host that can matter, each with what it sees, where that
    /// had to be known already.
    fn seats(&self) -> Vec<(Seat, Option<View>)> {
        let host_root = self.proc.root_id(1);
        let user = self.proc.host_namespaces().user;
        let mut candidates = Vec::new();
        for (namespace, pids) in self.namespaces() {
            let speakers = || pids.iter().copied().filter(|pid| self.speaking.contains(pid));
            let Some(pid) = speakers().next().or(pids.first().copied()) else { continue };
            if Some(namespace) == self.theirs {
                continue;
            }
            if namespace == self.here {
                candidates.extend(speakers().filter_map(|pid| self.of_host(pid, user)));
                continue;
            }
            // A service with a sandbox of its own sees the host from the host's root directory.
            let sandbox = host_root.is_some() && self.proc.root_id(pid) == host_root;
            // In a user namespace of its own nothing that is mounted reaches the host.
            if (sandbox && speakers().next().is_none()) || !self.is_of(pid, user) {
                continue;
            }
            let started = self.proc.started(pid);
            let said = speakers().take(SPEAKERS).filter_map(|pid| self.proc.arguments_of(pid));
            let claims = said.map(|args| claims(&args)).collect();
            let owner = owner(&self.proc.cgroup(pid));
            let namespace = Some(namespace);
            candidates.push(Candidate { pid, started, namespace, owner, claims });
        }
        candidates.retain(|candidate| !candidate.owner.foreign);
        let registers = |candidate: &&Candidate| candidate.claims.iter().any(|c| c.registration.is_some());
        let pods: BTreeSet<String> =
            candidates.iter().filter(registers).filter_map(|candidate| candidate.owner.pod.clone()).collect();
        let names = Names::new(&self.publisher.root);
        self.spread(candidates, TABLES, &|candidate| self.seat(candidate, &pods, &names))
    }

    /// Reads the mounts of a candidate; `None` where they say that it holds no plugin. `pods` are
    /// those with a registrar.
    fn seat(
        &self,
        candidate: Candidate,
        pods: &BTreeSet<String>,
        names: &Names,
    ) -> Option<(Seat, Option<View>)> {
        let Candidate { pid, started, namespace, owner, claims } = candidate;
        let mut seat = Seat { pid, started, namespace, owner, claims, mounts: None };
        if namespace.is_none() {
            return Some((seat, None));
        }
        let serves = |claims: &Claims| claims.registration.is_some() || claims.endpoint.is_some();
        let of_pod = seat.owner.pod.as_ref().is_some_and(|pod| pods.contains(pod));
        let sure = of_pod || seat.claims.iter().any(serves);
        let client = is_client_alone(&seat);
        if client && !self.has_gates {
            return None;
        }
        let mut rows = self.proc.mount_rows(pid).ok()?;
        let mut read = 0;
        rows.read_until(|new| {
            read += new.len();
            read >= A_LOOKS_WORTH
        })
        .ok()?;
        if sure
            && !client
            && !rows.is_whole()
            && let Some((seat, view)) = self.by_the_first_rows(&seat, &mut rows, names)
        {
            return Some((seat, Some(view)));
        }
        let text = rows.whole().ok()?;
        if !sure && !names.may_publish(&text) {
            return None;
        }
        let table = mountinfo::parse(&names.without_volumes(&text)).ok()?;
        if client && table.gates().is_empty() {
            return None;
        }
        seat.mounts = Some(table);
        Some((seat, None))
    }

    /// A seat by those rows of its mount table that come before the volumes, and what it sees; `None`
    /// where they are not enough.
    fn by_the_first_rows(&self, seat: &Seat, rows: &mut MountRows, names: &Names) -> Option<(Seat, View)> {
        let sufficient = self.sufficient.as_ref()?;
        let root = &self.publisher.root;
        let eyes = self.proc.view_of(seat.pid)?;
        let view = look_with(&eyes, true, root);
        let mut plugin =
            Plugin { seat: seat.clone(), driver: None, registration: None, registrar: None, view };
        let lies_on = |path: HostPath| eyes.names(&path)?.mount.map(|mount| (path, mount));
        let asked = sufficient.asked(&plugin);
        let lies_on: Vec<(HostPath, u64)> = asked.into_iter().filter_map(lies_on).collect();
        let mut wanted: BTreeSet<u64> = lies_on.iter().map(|&(_, mount)| mount).collect();
        let mut all_there = |new: &[u8]| {
            for id in mountinfo::ids(new) {
                wanted.remove(&id);
            }
            wanted.is_empty()
        };
        if !all_there(rows.rows()) {
            rows.read_until(all_there).ok()?;
        }
        plugin.seat.mounts = Some(mountinfo::parse(&names.without_volumes(rows.rows())).ok()?);
        sufficient.says_all(&plugin, &lies_on).then_some((plugin.seat, plugin.view))
    }

    /// A process of the host's own mount namespace, if it serves or registers a driver. Only root
    /// can mount there.
    fn of_host(&self, pid: i32, user: Option<u64>) -> Option<Candidate> {
        let started = self.proc.started(pid);
        let claims = claims(&self.proc.arguments_of(pid)?);
        (claims.registration.is_some() || claims.endpoint.is_some()).then_some(())?;
        (self.is_of(pid, user) && self.proc.user(pid) == Some(0)).then_some(())?;
        let owner = owner(&self.proc.cgroup(pid));
        Some(Candidate { pid, started, namespace: None, owner, claims: vec![claims] })
    }

    fn is_of(&self, pid: i32, user: Option<u64>) -> bool {
        user.is_none() || self.proc.user_namespace(pid) == user
    }

    /// The processes of each mount namespace, by their numbers; of the host's those that speak.
    fn namespaces(&self) -> BTreeMap<u64, Vec<i32>> {
        let pids = self.proc.pids().unwrap_or_default();
        let of = |pid: i32| Some((self.proc.mount_namespace(pid)?, pid));
        let mut namespaces: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
        for (namespace, pid) in self.spread(pids, A_THREADS_WORTH, &of) {
            if namespace != self.here || self.speaking.contains(&pid) {
                namespaces.entry(namespace).or_default().push(pid);
            }
        }
        namespaces
    }

    /// Does the same with all `items`, in as many threads as are worth it.
    fn spread<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        worth: usize,
        each: &(dyn Fn(T) -> Option<R> + Sync),
    ) -> Vec<R> {
        let threads = items.len().div_ceil(worth).clamp(1, self.threads);
        let size = items.len().div_ceil(threads).max(1);
        let mut slots: Vec<Option<T>> = items.into_iter().map(Some).collect();
        let one = |part: &mut [Option<T>]| -> Vec<R> {
            part.iter_mut().filter_map(|slot| slot.take().and_then(each)).collect()
        };
        let mut parts = slots.chunks_mut(size);
        let Some(own) = parts.next() else { return Vec::new() };
        std::thread::scope(|scope| {
            let others: Vec<_> = parts.map(|part| scope.spawn(move || one(part))).collect();
            let mut done = one(own);
            for other in others {
                done.extend(other.join().unwrap_or_default());
            }
            done
        })
    }
}
