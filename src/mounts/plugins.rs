//! Mounts: which mount namespaces and host processes hold a CSI plugin that publishes volumes.
//!
//! Many containers hold some of the kubelet's directories: sidecars the driver's socket, log and
//! backup agents the pods, node-exporter the whole host. Only the one that serves the driver's socket
//! is sent paths by the kubelet, and so only that one has a contract:
//!
//! 1. A registrar (`--kubelet-registration-path`) names the socket, and the container whose endpoint
//!    lies in the same directory (by device and path inside, whatever it is called) serves it.
//! 2. Where the endpoint is given by environment variable: of the registrar's pod, the containers
//!    that hold the kubelet's directories and are no clients; if none does, those with the socket.
//! 3. Without a registrar: who listens below the kubelet's `plugins` registers by itself.
//! 4. A container that holds the kubelet's root or pods under a kubelet's name, shared, can be
//!    nothing else; not shared, only if its arguments speak of CSI. A slave of the host's mounts
//!    (HostToContainer) is asked for by those who look on: velero, the secrets store's providers.

mod names;
mod sufficient;
#[cfg(test)]
pub(in crate::mounts) mod tests;

pub use names::Names;
pub use sufficient::Sufficient;

use super::bridge::STANDARD_PATH;
use super::registration::Covered;
use super::resolve::{Place, place};
use crate::model::contract::{Claims, Publisher, Seat};
use crate::model::mount::{Device, Mount, MountTable};
use crate::model::path::HostPath;
use std::collections::{HashMap, HashSet};

/// A seat that holds a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its index among the seats.
    pub seat: usize,
    /// The driver's name.
    pub driver: Option<Vec<u8>>,
    /// The socket's name on the host, where a registrar told.
    pub registration: Option<HostPath>,
    /// The seat of its registrar, among the seats.
    pub registrar: Option<usize>,
}

/// A directory, wherever it is mounted.
pub(super) type Directory = (Device, Vec<u8>);

/// Where seats are.
#[derive(Default)]
struct Index<'a> {
    /// By the directories in which they listen.
    serving: HashMap<Directory, Vec<usize>>,
    pods: HashMap<&'a str, Vec<usize>>,
}

struct Host<'a> {
    table: &'a MountTable,
    /// `""`, `pods`, `plugins` and what is staged, of the kubelet's root and of the standard path.
    kubelet: Vec<Directory>,
    plugins: Vec<Directory>,
    pods: Vec<Directory>,
    roots: [HostPath; 2],
    /// File systems of the host, those of volumes left out.
    devices: HashSet<Device>,
}

/// The plugins among `seats`. `registered` are the names of the drivers whose sockets are in the
/// kubelet's `plugins_registry`.
pub fn choose(seats: &[Seat], host: &MountTable, kubelet: &Publisher, registered: &[Vec<u8>]) -> Vec<Chosen> {
    let host = Host::new(host, kubelet);
    let index = host.index(seats);
    let mut chosen: Vec<Chosen> = Vec::new();
    for (at, seat) in seats.iter().enumerate() {
        for claims in &seat.claims {
            if let Some(registration) = &claims.registration {
                for server in host.servers(seats, &index, at, claims, registration) {
                    let driver = driver(seats, at, server, registration, registered);
                    let one = Chosen {
                        seat: server,
                        driver: Some(driver),
                        registration: Some(registration.clone()),
                        registrar: Some(at),
                    };
                    let same = |other: &&mut Chosen| {
                        (other.seat, &other.driver, &other.registration)
                            == (one.seat, &one.driver, &one.registration)
                    };
                    match chosen.iter_mut().find(same) {
                        // Of two registrars the one of the server's own pod counts.
                        Some(earlier) if of_one_pod(seats, at, server) => earlier.registrar = Some(at),
                        Some(_) => {}
                        None => chosen.push(one),
                    }
                }
            }
        }
    }
    let served: HashSet<usize> = chosen.iter().map(|one| one.seat).collect();
    let pods: HashSet<&String> = served.iter().filter_map(|&at| seats.get(at)?.owner.pod.as_ref()).collect();
    for (at, seat) in seats.iter().enumerate() {
        let known = served.contains(&at) || seat.owner.pod.as_ref().is_some_and(|pod| pods.contains(pod));
        if !known && !is_client(seat) && (host.registers_itself(seat) || host.publishes(seat)) {
            let named = seat.claims.iter().find_map(|claims| claims.driver.clone());
            chosen.push(Chosen { seat: at, driver: named, registration: None, registrar: None });
        }
    }
    name_the_last(&mut chosen, registered);
    chosen
}

fn of_one_pod(seats: &[Seat], a: usize, b: usize) -> bool {
    let pod = |at: usize| seats.get(at)?.owner.pod.as_ref();
    pod(a).is_some() && pod(a) == pod(b)
}

impl<'a> Host<'a> {
    fn new(table: &'a MountTable, publisher: &Publisher) -> Self {
        let standard = HostPath::from(STANDARD_PATH);
        let theirs = publisher.mounts.as_ref().unwrap_or(table);
        // Without links, as far as somebody could look.
        let root = publisher.view.pods.path.parent().unwrap_or_else(|| publisher.root.as_path().clone());
        let directories = |names: &[&str]| -> Vec<Directory> {
            let named = names
                .iter()
                .flat_map(|name| [place_of(theirs, &root.join(name)), place_of(table, &standard.join(name))]);
            named.flatten().collect()
        };
        // What a plugin has that started before they were mounted.
        let covered = Covered::new(publisher, table);
        let with = |names: &[&str], covered: &[Directory]| [&directories(names), covered].concat();
        Self {
            table,
            kubelet: with(
                &["", "pods", "plugins", "plugins/kubernetes.io/csi"],
                &[covered.pods.as_slice(), &covered.plugins].concat(),
            ),
            plugins: with(&["plugins"], &covered.plugins),
            pods: with(&["pods"], &covered.pods),
            devices: table
                .iter()
                .filter(|mount| ![&root, &standard].iter().any(|root| is_volume(&mount.point, root)))
                .map(|mount| mount.device)
                .collect(),
            roots: [publisher.root.as_path().clone(), standard],
        }
    }

    fn table<'s>(&'s self, seat: &'s Seat) -> &'s MountTable {
        seat.mounts.as_ref().unwrap_or(self.table)
    }

    /// The directory of a socket.
    fn directory(&self, seat: &Seat, socket: &HostPath) -> Option<Directory> {
        place_of(self.table(seat), &socket.parent()?)
    }

    /// Whether the kubelet can come to a socket there: in a directory of the host, which a pod has
    /// only if it was allowed to. In a volume of its own anybody can claim a driver.
    fn is_hosts(&self, (device, inside): &Directory) -> bool {
        let volume = |(on, pods): &Directory| on == device && is_below(inside, pods);
        self.devices.contains(device) && !self.pods.iter().any(volume)
    }

    /// Who serves the driver that the registrar at `at` registers.
    fn servers(
        &self,
        seats: &[Seat],
        index: &Index<'_>,
        at: usize,
        claims: &Claims,
        registration: &HostPath,
    ) -> Vec<usize> {
        let Some(registrar) = seats.get(at) else { return Vec::new() };
        let socket = claims
            .address
            .as_ref()
            .and_then(|address| self.directory(registrar, address))
            .or_else(|| place_of(self.table, &registration.parent()?))
            .filter(|socket| self.is_hosts(socket));
        let Some(socket) = socket else { return Vec::new() };
        let serving = index.serving.get(&socket).map(Vec::as_slice).unwrap_or_default();
        let pod = registrar.owner.pod.as_deref();
        let of_pod = pod.and_then(|pod| index.pods.get(pod)).map(Vec::as_slice).unwrap_or_default();
        let believed = believed_root(registration);
        let holds = |seat: &Seat| self.holds(seat, believed.as_ref());
        let has_socket = |seat: &Seat| {
            seat.mounts.as_ref().is_some_and(|table| table.iter().any(|mount| shows(mount, &socket)))
        };
        let of = |seats_at: &[usize], is: &dyn Fn(&Seat) -> bool| -> Vec<usize> {
            seats_at.iter().copied().filter(|&at| seats.get(at).is_some_and(is)).collect()
        };
        // Two pods of one driver have one socket directory, while one replaces the other: each has
        // its own server, and one socket has one, whoever else says so.
        if !serving.is_empty() {
            let with_pods = of(serving, &holds);
            let own = with_pods.iter().find(|at| of_pod.contains(at));
            return own.or(with_pods.first()).or(serving.first()).copied().into_iter().collect();
        }
        let others = of(of_pod, &|seat| !is_client(seat));
        match of(&others, &holds) {
            with_pods if !with_pods.is_empty() => with_pods,
            _ => of(&others, &has_socket),
        }
    }

    /// Whether it holds the kubelet's directories, or has something under their names.
    fn holds(&self, seat: &Seat, believed: Option<&HostPath>) -> bool {
        let Some(table) = &seat.mounts else { return true };
        let named = |point: &[u8]| self.roots.iter().chain(believed).any(|root| is_root_or_pods(point, root));
        table
            .iter()
            .any(|mount| self.kubelet.iter().any(|directory| shows(mount, directory)) || named(&mount.point))
    }

    /// The directories in which a seat listens.
    fn listens(&self, seat: &Seat) -> Vec<Directory> {
        let servers = seat.claims.iter().filter(|claims| !claims.liveness);
        let sockets = servers.filter_map(|claims| claims.endpoint.as_ref());
        sockets.filter_map(|socket| self.directory(seat, socket)).collect()
    }

    fn index<'s>(&self, seats: &'s [Seat]) -> Index<'s> {
        let mut index = Index::default();
        for (at, seat) in seats.iter().enumerate() {
            for directory in self.listens(seat) {
                index.serving.entry(directory).or_default().push(at);
            }
            if let Some(pod) = &seat.owner.pod {
                index.pods.entry(pod).or_default().push(at);
            }
        }
        index
    }

    /// Whether it listens in a directory of its own below the kubelet's `plugins`.
    fn registers_itself(&self, seat: &Seat) -> bool {
        self.listens(seat).into_iter().any(|(device, inside)| {
            self.plugins.iter().any(|(on, plugins)| *on == device && is_below(&inside, plugins))
        })
    }

    /// Whether what it holds of the kubelet can only be for publishing.
    fn publishes(&self, seat: &Seat) -> bool {
        let Some(table) = &seat.mounts else { return false };
        let speaks = seat.claims.iter().any(|claims| claims.mentioned);
        table.iter().any(|mount| {
            self.kubelet.iter().any(|directory| shows(mount, directory))
                && self.roots.iter().any(|root| is_root_or_pods(&mount.point, root))
                && (mount.shared.is_some() || (speaks && mount.master.is_none()))
        })
    }
}

/// A sidecar: it calls the driver, and never mounts.
pub fn is_client(seat: &Seat) -> bool {
    !seat.claims.is_empty()
        && seat.claims.iter().any(|claims| claims.address.is_some() || claims.liveness)
        && seat.claims.iter().all(|claims| claims.endpoint.is_none() || claims.liveness)
}

pub(super) fn shows(mount: &Mount, (device, inside): &Directory) -> bool {
    mount.device == *device && mount.root == *inside
}

pub(super) fn is_below(path: &[u8], ancestor: &[u8]) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.len() > 1 && rest.starts_with(b"/"))
}

fn is_volume(point: &[u8], root: &HostPath) -> bool {
    point.strip_prefix(root.as_bytes()).is_some_and(|rest| rest.starts_with(b"/pods/"))
}

fn is_root_or_pods(point: &[u8], root: &HostPath) -> bool {
    point == root.as_bytes() || point.strip_suffix(b"/pods") == Some(root.as_bytes())
}

pub(super) fn place_of(table: &MountTable, path: &HostPath) -> Option<Directory> {
    place(table, path.as_bytes()).map(|Place { mount, inside }| (mount.device, inside))
}

/// The kubelet's root as a driver believes it to be: what stands before `/plugins/<driver>/csi.sock`.
pub fn believed_root(registration: &HostPath) -> Option<HostPath> {
    let bytes = registration.as_bytes();
    let at = bytes.windows(9).rposition(|nine| nine == b"/plugins/")?;
    HostPath::parse(bytes.get(..at)?).ok()
}

/// The name under which a driver is registered: the registry's own word, where one of the names
/// that are told for it is there; else what it calls itself, else what its directory is called.
fn driver(
    seats: &[Seat],
    registrar: usize,
    server: usize,
    registration: &HostPath,
    registered: &[Vec<u8>],
) -> Vec<u8> {
    let named = [server, registrar].into_iter().filter_map(|at| seats.get(at));
    let mut told: Vec<Vec<u8>> =
        named.flat_map(|seat| seat.claims.iter().filter_map(|claims| claims.driver.clone())).collect();
    told.extend(registration.parent().map(|directory| directory.file_name().to_vec()));
    let known = told.iter().position(|name| registered.contains(name)).unwrap_or(0);
    told.into_iter().nth(known).unwrap_or_default()
}

/// One plugin whose name is not in the registry, and one name there that is nobody's, belong
/// together: csi-driver-nfs registers `nfs.csi.k8s.io` from the directory `csi-nfsplugin`.
fn name_the_last(chosen: &mut [Chosen], registered: &[Vec<u8>]) {
    let is = |one: &Chosen, name: &Vec<u8>| one.driver.as_ref() == Some(name);
    let free: Vec<&Vec<u8>> =
        registered.iter().filter(|name| !chosen.iter().any(|one| is(one, name))).collect();
    let [free] = free.as_slice() else { return };
    let free = (*free).clone();
    let mut unknown = chosen.iter_mut().filter(|one| !registered.iter().any(|name| is(one, name)));
    if let (Some(one), None) = (unknown.next(), unknown.next()) {
        one.driver = Some(free);
    }
}
