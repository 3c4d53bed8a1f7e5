//! Pure: a cure that goes around and is none: bind mounts of an unused tree over the kubelet's own
//! directories.
//!
//! k3s had its kubelet below `<data-dir>/agent/kubelet` up to v0.9.1; since v0.10.0 it is
//! /var/lib/kubelet, whatever the data-dir is (k3s, pkg/daemons/agent). Who goes on telling a CSI
//! driver the old path gets "driver not registered", and the advice to bind the old tree's `pods`,
//! `plugins` and `plugins_registry` over the kubelet's, often in /etc/fstab. Then the driver
//! registers, and every mount fails later: the path that the kubelet sends is not the one that the
//! driver's container has.

use super::bridge::{STATE_DIRECTORY, aligned, is_k3s_old};
use super::fstab::{self, FSTAB};
use super::plugins::believed_root;
use super::resolve::{below, names_of, place, top_at};
use super::unit_name::mount_unit;
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::generated::{Origin, origin};
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::model::unit_file::assignments;

/// Where an administrator's units are.
const UNITS: &str = "/etc/systemd/system";

/// One directory of another tree, over the kubelet's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The kubelet's directory.
    pub place: HostPath,
    /// Which directory is bound over it.
    pub source: HostPath,
    /// The tree that it belongs to.
    pub tree: HostPath,
    /// How many mounts are below it, where it is mounted now.
    pub mounted: Option<usize>,
    /// The line of /etc/fstab that binds it.
    pub line: Option<usize>,
    /// The unit of somebody else that binds it.
    pub unit: Option<(UnitName, HostPath)>,
}

impl Bind {
    /// The mount unit that systemd has for it, whoever mounted it.
    pub fn mount_unit(&self) -> Option<UnitName> {
        mount_unit(&self.place).ok()
    }
}

/// The wrong cure, as it is on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    /// The kubelet's root.
    pub root: HostPath,
    /// What is bound over its directories.
    pub binds: Vec<Bind>,
    /// It is the known one, and no storage that an administrator moved: the old path of k3s, a
    /// path that a driver believes in, or a tree whose plugins_registry is bound, too, where there
    /// is nothing to store, unless a kubelet's state is in it or a driver was told the true root.
    pub known: bool,
}

/// The kubelet's root without links, where a kubelet is known to use it.
fn root(facts: &Facts) -> Option<&HostPath> {
    let root = facts.detection.host_dir()?;
    facts.dirs.get(root).map_or(Some(root), DirFact::canonical)
}

/// The units that would bind something over the kubelet's directories.
pub fn unit_files(facts: &Facts, directories: &[&str]) -> Vec<HostPath> {
    let units = root(facts).into_iter().flat_map(|root| directories.iter().map(|name| root.join(name)));
    units.filter_map(|place| Some(HostPath::from(UNITS).join(mount_unit(&place).ok()?.as_str()))).collect()
}

/// Finds it, by what is mounted, in /etc/fstab and in mount units.
pub fn find(facts: &Facts, directories: &[&str]) -> Option<Legacy> {
    let root = root(facts)?.clone();
    let text = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let entries = fstab::entries(text);
    let binds: Vec<Bind> = directories.iter().filter_map(|name| bind(facts, &root, name, &entries)).collect();
    if binds.is_empty() {
        return None;
    }
    let believed = believed_roots(facts);
    // A driver that was told the kubelet's root works with such binds: they are moved storage.
    let moved = |tree: &HostPath| believed.contains(&root) || is_used(facts, tree);
    let known = binds.iter().any(|bind| {
        is_k3s_old(&bind.tree)
            || believed.contains(&bind.tree)
            || (bind.place.file_name() == b"plugins_registry" && !moved(&bind.tree))
    });
    Some(Legacy { root, binds, known })
}

/// The roots that drivers were told, as far as their sockets' names show.
fn believed_roots(facts: &Facts) -> Vec<HostPath> {
    facts.plugins.found.iter().filter_map(|plugin| believed_root(plugin.registration.as_ref()?)).collect()
}

fn bind(facts: &Facts, root: &HostPath, name: &str, entries: &[fstab::Entry<'_>]) -> Option<Bind> {
    let place = root.join(name);
    let unit = mount_unit(&place).ok()?;
    let file = HostPath::from(UNITS).join(unit.as_str());
    // csihost's own mounts are somewhere else, but for those of a kubelet that was moved.
    if facts.has_generated(&unit) {
        return None;
    }
    let other_tree = |source: HostPath| {
        let end = format!("/{name}");
        let tree = source.as_bytes().strip_suffix(end.as_bytes())?;
        let tree = HostPath::parse(if tree.is_empty() { b"/" } else { tree }).ok()?;
        // Where the data of an aligned kubelet are is no other tree.
        (tree != *root && aligned(facts) != Some(&tree)).then_some((source, tree))
    };
    let mounted = mounted_source(facts, &place).and_then(other_tree);
    let lines = fstab::in_effect(entries, &place, &facts.init);
    let line = lines.iter().find_map(|entry| Some((entry.number, other_tree(entry.bound()?)?)));
    let by_unit = unit_source(facts, &file).and_then(other_tree);
    let (source, tree) = mounted.clone().or_else(|| Some(line.clone()?.1)).or_else(|| by_unit.clone())?;
    Some(Bind {
        mounted: mounted.is_some().then(|| below(&facts.mounts, place.as_bytes()).count()),
        line: line.map(|(number, _)| number),
        unit: by_unit.map(|_| (unit, file)),
        place,
        source,
        tree,
    })
}

/// Another name of the directory that is bound at `place`; `None` where a file system is mounted
/// there, or nothing.
fn mounted_source(facts: &Facts, path: &HostPath) -> Option<HostPath> {
    let top = top_at(&facts.mounts, path.as_bytes()).filter(|top| top.root != b"/")?;
    let here = place(&facts.mounts, path.as_bytes())?;
    names_of(&facts.mounts, top.device, &here.inside)
        .into_iter()
        .filter(|name| name != path.as_bytes())
        .find_map(|name| HostPath::parse(&name).ok())
}

/// What somebody else's mount unit binds.
fn unit_source(facts: &Facts, file: &HostPath) -> Option<HostPath> {
    let bytes = facts.file(file).bytes().filter(|bytes| origin(bytes) == Origin::Foreign)?;
    let (all, _) = assignments(bytes);
    let last =
        |key: &str| all.iter().rev().find(|a| a.section == "Mount" && a.key == key).map(|a| a.value.as_str());
    let binds = last("Options")?.split(',').any(|option| matches!(option.trim(), "bind" | "rbind"));
    binds.then(|| HostPath::parse(last("What")?.replace("%%", "%").as_bytes()).ok()).flatten()
}

/// Trees that the node's tables or drivers take for the kubelet's, and that are k3s' old one:
/// where from, and which.
pub fn believed_in(facts: &Facts) -> Vec<(String, HostPath)> {
    let Some(root) = root(facts) else { return Vec::new() };
    let runs = facts.detection.kubelet.as_ref().is_some_and(|kubelet| kubelet.pid.is_some());
    let text = facts.file(&HostPath::from(FSTAB)).bytes().unwrap_or_default();
    let mut all = Vec::new();
    let mut add = |from: String, tree: HostPath| {
        if runs && is_k3s_old(&tree) && tree != *root && !all.iter().any(|(_, t)| *t == tree) {
            all.push((from, tree));
        }
    };
    for entry in fstab::entries(text) {
        add(format!("line {} of {FSTAB}", entry.number), entry.point);
    }
    for plugin in &facts.plugins.found {
        if let Some((name, tree)) =
            plugin.driver.as_ref().zip(plugin.registration.as_ref().and_then(believed_root))
        {
            add(format!("the driver {}", crate::model::bytes::shown(name)), tree);
        }
    }
    all
}

/// The directories whose trees have to be looked through for data of volumes, where there is a
/// wrong cure: what the kubelet sees, and the unused tree.
pub fn to_survey(facts: &Facts, directories: &[&str]) -> Vec<HostPath> {
    let mut trees: Vec<HostPath> = find(facts, directories)
        .into_iter()
        .flat_map(|legacy| {
            // Where pods are bound, they are the other tree's.
            let bound = |bind: &Bind| bind.mounted.is_some() && bind.place == legacy.root.join("pods");
            let own = (!legacy.binds.iter().any(bound)).then_some(legacy.root);
            own.into_iter().chain(legacy.binds.into_iter().map(|bind| bind.tree)).collect::<Vec<_>>()
        })
        .chain(believed_in(facts).into_iter().map(|(_, tree)| tree))
        .map(|tree| tree.join("pods"))
        .collect();
    trees.sort();
    trees.dedup();
    trees
}

/// Whether `tree` is a kubelet's own: then nothing of it is to be deleted.
pub fn is_used(facts: &Facts, tree: &HostPath) -> bool {
    matches!(facts.dirs.get(&tree.join(STATE_DIRECTORY)), Some(DirFact::Directory { .. }))
}

#[cfg(test)]
mod tests;
