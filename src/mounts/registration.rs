//! Mounts: where a driver registers, and which directories its containers have that a later mount covers.
//!
//! A driver's registrar makes a socket in a directory of the host, and the kubelet watches its own
//! `plugins_registry`. A container keeps the directories that it was given when it was made. Where something (csihost's
//! bridge, most often) is mounted over them afterwards, the registrar of a container that was there before
//! makes its socket in the directory beneath: the driver runs, and no kubelet hears of it. Its `pods` may be the kubelet's all
//! the same, because the bridge propagates into a volume mount that is Bidirectional, and not into the others; so the
//! path contract does not show it.
//!
//! Directories are compared as mount tables have them, by file system and path inside. Names prove nothing: both are
//! called `/registration`.

use super::bridge::STANDARD_PATH;
use super::plugins::{Directory, is_below, place_of};
use super::resolve::{beneath, names_of};
use crate::model::contract::{Owner, Plugin, Plugins, Publisher, Seat};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use std::collections::BTreeSet;

/// The directory in which a registrar makes its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registry {
    /// The kubelet's own.
    Kubelet,
    /// One that a mount covers since the container was made.
    Covered,
    /// Another one.
    Elsewhere {
        /// Its path in the registrar's container.
        inside: HostPath,
        /// Its name on the host, if it has one.
        host: Option<HostPath>,
    },
}

/// How one driver is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The driver's name.
    pub driver: Option<Vec<u8>>,
    /// Whose the container is that serves it.
    pub owner: Owner,
    /// A process of that container.
    pub pid: i32,
    /// Where its registrar makes its socket; `None` where no registrar runs, or that is not known.
    pub registry: Option<Registry>,
    /// True if no socket in the kubelet's registry can be the driver's.
    pub without_socket: bool,
    /// True if the registrar has run for so long that a socket that is missing will not come.
    pub settled: bool,
    /// Paths in the driver's containers at which there is a directory that a mount covers since.
    pub covered: Vec<HostPath>,
}

impl Registration {
    /// True if the kubelet cannot find the driver.
    pub fn is_missing(&self) -> bool {
        match &self.registry {
            Some(Registry::Kubelet) => self.without_socket,
            Some(Registry::Covered | Registry::Elsewhere { .. }) => true,
            None => false,
        }
    }
}

/// The kubelet's directories as they are beneath what is mounted over them.
#[derive(Debug, Default)]
pub(super) struct Covered {
    pub(super) pods: Vec<Directory>,
    pub(super) plugins: Vec<Directory>,
    registry: Vec<Directory>,
}

impl Covered {
    /// Those of the kubelet's root and of the standard path, where that leads to the kubelet's.
    pub(super) fn new(kubelet: &Publisher, host: &MountTable) -> Self {
        let theirs = kubelet.mounts.as_ref().unwrap_or(host);
        let standard = HostPath::from(STANDARD_PATH);
        let covered = |path: &HostPath, name: &str| {
            let Some(own) = place_of(theirs, path) else { return Vec::new() };
            let places = [(theirs, path.clone()), (host, standard.join(name))];
            let lead =
                places.into_iter().filter(|(table, path)| place_of(table, path).as_ref() == Some(&own));
            let all: BTreeSet<Directory> =
                lead.flat_map(|(table, path)| beneath(table, path.as_bytes())).collect();
            all.into_iter().filter(|directory| *directory != own).collect()
        };
        let pods = &kubelet.view.pods.path;
        let plugins = pods.parent().unwrap_or_else(HostPath::root).join("plugins");
        Self {
            pods: covered(pods, "pods"),
            plugins: covered(&plugins, "plugins"),
            registry: covered(&kubelet.registry, "plugins_registry"),
        }
    }

    /// True if `directory` is one of them, or what a driver has of one. Below `pods` there are files that the kubelet
    /// gave to a pod.
    fn has(&self, directory: &Directory) -> bool {
        let below = |all: &[Directory]| {
            all.iter().any(|(on, inside)| *on == directory.0 && is_below(&directory.1, inside))
        };
        self.pods.contains(directory)
            || self.plugins.contains(directory)
            || self.registry.contains(directory)
            || below(&self.plugins)
            || below(&self.registry)
    }
}

/// How each of `plugins` is registered.
pub fn registrations(plugins: &Plugins, host: &MountTable) -> Vec<Registration> {
    let Some(kubelet) = &plugins.kubelet else { return Vec::new() };
    let theirs = kubelet.mounts.as_ref().unwrap_or(host);
    let own = place_of(theirs, &kubelet.registry);
    // The kubelet of Kubernetes 1.12 to 1.16 looks there too.
    let also = kubelet.view.pods.path.parent().and_then(|root| place_of(theirs, &root.join("plugins")));
    let covered = Covered::new(kubelet, host);
    let registry = |plugin: &Plugin| -> Option<Registry> {
        let seat = &plugin.registrar.as_ref()?.seat;
        let inside = seat.claims.iter().find_map(|claims| claims.registry.clone())?;
        let directory = place_of(seat.mounts.as_ref().unwrap_or(host), &inside)?;
        match Some(&directory) {
            this if this == own.as_ref() => Some(Registry::Kubelet),
            this if this == also.as_ref() || own.is_none() => None,
            _ if covered.has(&directory) => Some(Registry::Covered),
            _ => {
                let names = names_of(host, directory.0, &directory.1);
                let host = names.first().and_then(|name| HostPath::parse(name).ok());
                Some(Registry::Elsewhere { inside, host })
            }
        }
    };
    let all = plugins.found.iter().map(|plugin| {
        let seats = [Some(&plugin.seat), plugin.registrar.as_ref().map(|registrar| &registrar.seat)];
        let older: BTreeSet<HostPath> =
            seats.into_iter().flatten().flat_map(|seat| covered_in(seat, &covered)).collect();
        Registration {
            driver: plugin.driver.clone(),
            owner: plugin.seat.owner.clone(),
            pid: plugin.seat.pid,
            registry: registry(plugin),
            without_socket: is_without_socket(plugins, plugin),
            settled: plugin.registrar.as_ref().is_some_and(|registrar| registrar.settled),
            covered: older.into_iter().collect(),
        }
    });
    all.collect()
}

/// The plugin that is registered with the kubelet under the socket `path`, and so is reached by it.
pub fn reached_by<'a>(plugins: &'a Plugins, host: &MountTable, path: &HostPath) -> Option<&'a Plugin> {
    let all = plugins.found.iter().zip(registrations(plugins, host));
    let registered = all.filter(|(_, one)| one.registry == Some(Registry::Kubelet) && !one.without_socket);
    registered.map(|(plugin, _)| plugin).find(|plugin| plugin.registration.as_ref() == Some(path))
}

/// The paths of a container at which it has a directory that is covered on the host: of its own mounts, and of its sockets.
fn covered_in(seat: &Seat, covered: &Covered) -> Vec<HostPath> {
    let Some(table) = &seat.mounts else { return Vec::new() };
    let mounts = table.iter().filter_map(|mount| HostPath::parse(&mount.point).ok());
    let sockets = seat.claims.iter().flat_map(|claims| {
        let directories = [&claims.endpoint, &claims.address].map(|socket| socket.as_ref()?.parent());
        directories.into_iter().chain([claims.registry.clone()]).flatten()
    });
    // A look-up, so that a mount over another one's root counts: the bridge propagates there.
    mounts
        .chain(sockets)
        .filter(|path| place_of(table, path).is_some_and(|directory| covered.has(&directory)))
        .collect()
}

/// True if the registry is known and has no socket of the plugin's: none of its name, and none that is no other
/// plugin's, for a driver may be registered under a name that is not in its arguments.
fn is_without_socket(plugins: &Plugins, plugin: &Plugin) -> bool {
    let Some(registered) = &plugins.registered else { return false };
    let others = || plugins.found.iter().filter(|other| other.driver != plugin.driver);
    registered.iter().all(|name| {
        plugin.driver.as_ref() != Some(name) && others().any(|other| other.driver.as_ref() == Some(name))
    })
}

#[cfg(test)]
mod tests;
