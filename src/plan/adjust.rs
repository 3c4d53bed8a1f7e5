//! Mounts that a new container of a CSI driver gets from its runtime (NRI), so that the kubelet root path
//! exists in it before its first process runs.
//!
//! [`Adjust`] is made of facts and settings after each reconciliation (`engine::agent`) and then answers
//! from memory alone. Paths are compared as text: at this time no container exists whose mounts could be
//! read.

use super::graft::{is_wanted, name};
use crate::detect::plugin::claims;
use crate::model::contract::Claims;
use crate::model::facts::Facts;
use crate::model::path::HostPath;
use crate::model::runtime::{ContainerMount, NewContainer};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::resolve::{cover, place, same_directory};
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};

/// Directories of the kubelet in which volumes are staged: the whole, or the part of it that some
/// drivers are given.
const STAGING: [&str; 2] = ["plugins", "plugins/kubernetes.io/csi"];

/// Decision data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjust {
    /// The kubelet root path, as written in the kubelet's arguments.
    root: HostPath,
    /// The same directory on the host.
    host_dir: HostPath,
    drivers: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    /// UIDs of pods with a plugin that the settings name.
    pods: BTreeSet<String>,
    /// Registered drivers by the name of their socket's directory.
    sockets: BTreeMap<Vec<u8>, String>,
}

/// Why a container is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unadjusted {
    /// It has no directory of the kubelet that holds `pods` and whose mounts propagate both ways.
    NoPods,
    /// The kubelet's `pods` are already at the kubelet root path.
    Holds,
    /// A mount of its own is at, above or below the kubelet root path.
    Covered(String),
    /// Its driver is not named by the settings.
    NotNamed,
}

impl Adjust {
    /// The data for a node, or `None` where nothing is grafted: by the settings, because the kubelet uses
    /// the standard path, or because its directories are not bridged there. Drivers that `before`
    /// knows stay known: a plugin that restarts is in no facts meanwhile.
    pub fn of(facts: &Facts, settings: &Settings, before: Option<&Self>) -> Option<Self> {
        if !super::grafts(facts, settings) {
            return None;
        }
        let Some(kubelet) = &facts.detection.kubelet else { return before.cloned() };
        let (root, host_dir) = (kubelet.root_dir.as_path(), kubelet.host_dir.as_ref()?);
        let standard = HostPath::from(STANDARD_PATH);
        if *root == standard || !shows(facts, host_dir, &standard) {
            return None;
        }
        // NRI has paths as UTF-8.
        std::str::from_utf8(root.as_bytes()).and(std::str::from_utf8(host_dir.as_bytes())).ok()?;
        let same = before.filter(|before| before.root == *root);
        let (mut sockets, mut pods) =
            same.map(|same| (same.sockets.clone(), same.pods.clone())).unwrap_or_default();
        for (plugin, contract) in facts.plugins.found.iter().zip(&facts.contracts) {
            let driver = plugin.driver.as_deref().and_then(|name| std::str::from_utf8(name).ok());
            if let (Some(socket), Some(driver)) = (&plugin.registration, driver)
                && facts.plugins.is_registered(driver)
                && let Some(directory) = directory_of(socket, &[root.clone(), standard.clone()])
            {
                sockets.insert(directory, driver.to_owned());
            }
            if is_wanted(facts, settings, plugin, &name(plugin, contract)) {
                pods.extend(plugin.seat.owner.pod.clone());
            }
        }
        Some(Self {
            root: root.clone(),
            host_dir: host_dir.clone(),
            // After an undo has begun, or the settings have gone over to align, those that were grafted.
            drivers: settings.contract.drivers.union(&facts.grafted).cloned().collect(),
            namespaces: settings.contract.namespaces.clone(),
            pods,
            sockets,
        })
    }

    /// The mounts to add to a container: staging first, `pods` last.
    ///
    /// # Errors
    ///
    /// Why the container is left as it is.
    pub fn mounts(&self, container: &NewContainer) -> Result<Vec<ContainerMount>, Unadjusted> {
        let mounts: Vec<Mounted> = container.mounts.iter().filter_map(Mounted::new).collect();
        if !self.has(&mounts, "pods") {
            return Err(Unadjusted::NoPods);
        }
        let (root, pods) = (&self.root, self.root.join("pods"));
        let above = mounts.iter().filter(|mount| pods.starts_with(&mount.point));
        if let Some(mount) = above.max_by_key(|mount| mount.point.as_bytes().len()) {
            let there = mount.on_host(&pods);
            let is_pods = self.roots().any(|root| there == Some(root.join("pods")));
            return match is_pods && mount.is_bidirectional {
                true => Err(Unadjusted::Holds),
                false => Err(Unadjusted::Covered(mount.point.to_string())),
            };
        }
        if let Some(mount) = mounts.iter().find(|mount| mount.point.starts_with(root)) {
            return Err(Unadjusted::Covered(mount.point.to_string()));
        }
        if !self.is_named(container, &mounts) {
            return Err(Unadjusted::NotNamed);
        }
        let staging = STAGING.into_iter().find(|name| self.has(&mounts, name));
        let add = |name: &str| ContainerMount::bidirectional(&self.host_dir.join(name), &root.join(name));
        Ok(staging.into_iter().chain(["pods"]).map(add).collect())
    }

    /// Every name of the kubelet's root on the host.
    fn roots(&self) -> impl Iterator<Item = HostPath> {
        [self.root.clone(), self.host_dir.clone(), HostPath::from(STANDARD_PATH)].into_iter()
    }

    /// True if a container has the kubelet's directory `name` and what is mounted there propagates.
    fn has(&self, mounts: &[Mounted], name: &str) -> bool {
        self.roots().any(|root| {
            let wanted = root.join(name);
            mounts.iter().any(|mount| {
                let Some(source) = mount.source.as_ref().filter(|_| mount.is_bidirectional) else {
                    return false;
                };
                *source == wanted || mount.is_recursive && wanted.starts_with(source)
            })
        })
    }

    /// True if the settings name the driver, its namespace or its pod, or if nothing says yet which driver
    /// it is.
    fn is_named(&self, container: &NewContainer, mounts: &[Mounted]) -> bool {
        if self.namespaces.contains(&container.namespace) || self.pods.contains(&container.pod) {
            return true;
        }
        let arguments: Vec<Vec<u8>> = container.args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let claims = claims(&arguments);
        let directories = self.socket_directories(container, mounts, &claims);
        let known: Vec<&String> =
            directories.iter().filter_map(|directory| self.sockets.get(directory)).collect();
        let named = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| self.drivers.contains(name));
        if !known.is_empty() {
            return known.into_iter().any(|driver| self.drivers.contains(driver));
        }
        directories.iter().chain(&claims.driver).any(|name| named(name))
            || claims.driver.is_none() && !directories.is_empty()
    }

    /// The directories below the kubelet's `plugins` in which a container may listen: of its endpoint, and
    /// of its mounts.
    fn socket_directories(
        &self,
        container: &NewContainer,
        mounts: &[Mounted],
        claims: &Claims,
    ) -> BTreeSet<Vec<u8>> {
        let roots: Vec<HostPath> = self.roots().collect();
        let variables = container.env.iter().filter_map(|variable| variable.split_once("=unix:"));
        let variables = variables.map(|(_, path)| HostPath::root().join(path.as_bytes()));
        let endpoints = claims.endpoint.iter().cloned().chain(variables);
        let on_host = endpoints.filter_map(|endpoint| {
            let above = mounts.iter().filter(|mount| endpoint.starts_with(&mount.point));
            above.max_by_key(|mount| mount.point.as_bytes().len())?.on_host(&endpoint)
        });
        let sources = mounts.iter().filter_map(|mount| mount.source.clone());
        on_host.chain(sources).filter_map(|path| directory_of(&path, &roots)).collect()
    }
}

/// The driver's directory below `plugins` of one of `roots` that `path` is, or lies in. Directories of
/// Kubernetes itself are none.
fn directory_of(path: &HostPath, roots: &[HostPath]) -> Option<Vec<u8>> {
    let below = roots.iter().find_map(|root| path.below(&root.join("plugins")))?;
    let first = below.split(|&byte| byte == b'/').next()?;
    (!first.is_empty() && first != b"kubernetes.io").then(|| first.to_vec())
}

/// True if the standard path shows the kubelet's own directories, by a bridge or as a link, on a mount that
/// propagates. A runtime refuses to create a container with a shared mount of a source that is not shared.
fn shows(facts: &Facts, host_dir: &HostPath, standard: &HostPath) -> bool {
    let standard = facts.canonical(standard);
    ["plugins", "pods"].iter().all(|name| {
        let (theirs, ours) = (host_dir.join(name), standard.join(name));
        let places = place(&facts.mounts, theirs.as_bytes()).zip(place(&facts.mounts, ours.as_bytes()));
        let is_shared = cover(&facts.mounts, theirs.as_bytes()).is_some_and(|mount| mount.shared.is_some());
        is_shared && places.is_some_and(|(theirs, ours)| same_directory(&theirs, &ours))
    })
}

/// A bind mount of a container, its root file system left out.
struct Mounted {
    /// The host's path; `None` for what is no bind mount.
    source: Option<HostPath>,
    point: HostPath,
    is_bidirectional: bool,
    is_recursive: bool,
}

impl Mounted {
    fn new(mount: &ContainerMount) -> Option<Self> {
        let point = HostPath::parse(mount.destination.as_bytes()).ok();
        let point = point.filter(|point| *point != HostPath::root())?;
        let has = |option: &str| mount.options.iter().any(|one| one == option);
        let is_bind = mount.kind == "bind" || has("bind") || has("rbind");
        let source = HostPath::parse(mount.source.as_bytes()).ok().filter(|_| is_bind);
        Some(Self { source, point, is_bidirectional: has("rshared"), is_recursive: has("rbind") })
    }

    /// The host's path of what the container has at `path`, which is this mount's point or lies below.
    fn on_host(&self, path: &HostPath) -> Option<HostPath> {
        Some(self.source.as_ref()?.join(path.below(&self.point)?))
    }
}

#[cfg(test)]
#[path = "adjust_tests.rs"]
mod tests;
