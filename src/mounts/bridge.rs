//! Pure: whether the bridge helps on this host, what it consists of, and what of it is there.
//!
//! Decided from paths and PID 1's mount table alone. What systemd says of a mounted unit comes
//! from the kernel and not from the unit's file, so it proves nothing.

use super::resolve::{cover, place, same_directory, top_at};
use super::travel::{Travel, travel};
use super::unit_name::mount_unit;
use crate::model::bytes::shown;
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::kubelet::{Confidence, KubeletRoot};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::plan::Refusal;
use crate::model::unit::UnitName;

/// Where CSI drivers look for the kubelet by default.
pub const STANDARD_PATH: &str = "/var/lib/kubelet";

/// File systems that systemd orders after the network (systemd.mount(5), fstab(5) `_netdev`).
const NETWORK: [&[u8]; 10] = [
    b"nfs",
    b"nfs4",
    b"cifs",
    b"smb3",
    b"ceph",
    b"glusterfs",
    b"fuse.glusterfs",
    b"fuse.ceph",
    b"9p",
    b"afs",
];

/// What is to be done about the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No kubelet is known, and no bridge was built before.
    NoKubelet,
    /// The kubelet's root and the standard path are one directory; why.
    Same(String),
    /// The bridge would harm, or cannot be built.
    Refused(Vec<Refusal>),
    /// The bridge joins the two.
    Build(Bridge),
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// The kubelet root, links resolved.
    pub root: HostPath,
    /// The standard path, links resolved.
    pub standard: HostPath,
    /// Paths that must be shared mounts of their own before anything is bridged there.
    pub shares: Vec<Share>,
    /// The directories.
    pub spans: Vec<Span>,
}

/// A path that lies on a mount that is not shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The path.
    pub path: HostPath,
    /// The unit that binds it to itself.
    pub unit: UnitName,
    /// Whether it is a shared mount of its own already.
    pub mounted: bool,
}

/// One directory of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The kubelet's directory, links resolved.
    pub what: HostPath,
    /// The same directory below the standard path.
    pub place: HostPath,
    /// The unit that binds it.
    pub unit: UnitName,
    /// Whether it is bound, and mounts travel both ways.
    pub mounted: bool,
}

/// Decides about a bridge of `directories`, which are relative to both roots.
pub fn decide(facts: &Facts, directories: &[&str]) -> Decision {
    let detection = &facts.detection;
    let standard = HostPath::from(STANDARD_PATH);
    if let Some(conflict) = &detection.conflict {
        return Decision::Refused(vec![Refusal {
            id: "kubelet-conflict",
            target: standard.to_string(),
            reason: format!("the kubelet's root is not certain: {}", conflict.explanation),
            remedy: "stop the kubelet that does not belong here, or set kubelet.root-dir in /etc/csihost/csihost.toml"
                .to_owned(),
        }]);
    }
    let root = match (&detection.kubelet, &facts.bridge) {
        // Left-over state files are no reason to mount anything; an earlier bridge stays.
        (Some(kubelet), earlier) if kubelet.confidence == Confidence::Assumed => match earlier {
            Some(earlier) => earlier.root.clone(),
            None if kubelet.root_dir == KubeletRoot::standard() => kubelet.root_dir.as_path().clone(),
            None => return Decision::NoKubelet,
        },
        (Some(kubelet), _) => match &kubelet.host_dir {
            Some(root) => root.clone(),
            None => {
                return Decision::Refused(vec![Refusal {
                    id: "kubelet-root-unnamed",
                    target: standard.to_string(),
                    reason: format!(
                        "the kubelet runs in a mount namespace of its own, and its root {} has no name on the host",
                        kubelet.root_dir
                    ),
                    remedy: "give the kubelet's container its root as a bind mount of a host directory"
                        .to_owned(),
                }]);
            }
        },
        (None, Some(earlier)) => earlier.root.clone(),
        (None, None) => return Decision::NoKubelet,
    };
    let (standard, root) = match (resolved(facts, &standard), resolved(facts, &root)) {
        (Ok(standard), Ok(root)) => (standard, root),
        (Err(refusal), _) | (_, Err(refusal)) => return Decision::Refused(vec![refusal]),
    };
    if let Some(why) = same(facts, &standard, &root) {
        return Decision::Same(why);
    }
    build(facts, directories, standard, root)
}

fn resolved(facts: &Facts, path: &HostPath) -> Result<HostPath, Refusal> {
    match facts.dirs.get(path) {
        Some(DirFact::Absent { canonical } | DirFact::Directory { canonical, .. }) => Ok(canonical.clone()),
        Some(DirFact::Other(why)) => Err(unusable(path, why)),
        None => Ok(path.clone()),
    }
}

fn unusable(path: &HostPath, why: &str) -> Refusal {
    Refusal {
        id: "bridge-unusable-path",
        target: path.to_string(),
        reason: why.to_owned(),
        remedy: format!("make {path} a directory that root can read"),
    }
}

/// Why there is nothing to join, if so.
fn same(facts: &Facts, standard: &HostPath, root: &HostPath) -> Option<String> {
    if root.as_bytes() == STANDARD_PATH.as_bytes() {
        return Some("the kubelet uses the standard path itself".to_owned());
    }
    if standard == root {
        return Some(format!(
            "{STANDARD_PATH} is a link to the kubelet's root {root}; drivers find their sockets there, \
             but the kubelet goes on sending them paths below {root}"
        ));
    }
    let (a, b) = (place(&facts.mounts, standard.as_bytes())?, place(&facts.mounts, root.as_bytes())?);
    same_directory(&a, &b).then(|| format!("{standard} and {root} are one directory already, by a mount"))
}

fn build(facts: &Facts, directories: &[&str], standard: HostPath, root: HostPath) -> Decision {
    let (mut spans, mut refused) = (Vec::new(), Vec::new());
    for name in directories {
        match span(facts, &standard, &root, name) {
            Ok(span) => spans.push(span),
            Err(refusal) => refused.push(refusal),
        }
    }
    // A span that lies in another would hide it, or bind itself into itself.
    let overlap = spans.iter().enumerate().find_map(|(i, a)| {
        let others = spans.iter().enumerate().filter(|(j, _)| *j != i);
        let inside = |a: &HostPath, b: &HostPath| a.starts_with(b) || b.starts_with(a);
        others
            .map(|(_, b)| b)
            .find(|b| inside(&a.place, &b.place) || inside(&a.what, &b.place))
            .or(inside(&a.what, &a.place).then_some(a))
    });
    if let Some(span) = overlap {
        refused.push(Refusal {
            id: "bridge-overlap",
            target: span.place.to_string(),
            reason: format!("{} and {} lie within each other", span.place, span.what),
            remedy: "use a kubelet root outside of the bridged directories, and list no directory in bridge.directories twice"
                .to_owned(),
        });
    }
    if let Some(place) = place(&facts.mounts, root.as_bytes())
        && NETWORK.contains(&place.mount.fs_type.as_slice())
    {
        refused.push(Refusal {
            id: "bridge-network-root",
            target: root.to_string(),
            reason: format!(
                "it lies on a network file system ({}): a bridge that has to be there before local-fs.target \
                 cannot wait for the network",
                shown(&place.mount.fs_type)
            ),
            remedy: "give the kubelet a root on a local file system".to_owned(),
        });
    }
    let mut shares = Vec::new();
    for path in [&standard, &root] {
        match share(&facts.mounts, path) {
            Ok(share) => shares.extend(share),
            Err(refusal) => refused.push(refusal),
        }
    }
    match refused.is_empty() {
        true => Decision::Build(Bridge { root, standard, shares, spans }),
        // All or nothing: a driver that can register and then finds no pods fails later and worse.
        false => Decision::Refused(refused),
    }
}

fn span(facts: &Facts, standard: &HostPath, root: &HostPath, name: &str) -> Result<Span, Refusal> {
    let place_path = resolved(facts, &standard.join(name))?;
    let what = resolved(facts, &root.join(name))?;
    if place_path != standard.join(name) {
        return Err(Refusal {
            id: "bridge-link",
            target: standard.join(name).to_string(),
            reason: format!("it is a link to {place_path}"),
            remedy: "remove the link; csihost makes the directory and binds the kubelet's there".to_owned(),
        });
    }
    let unit = named(&place_path)?;
    let mounted = match mounted(&facts.mounts, &what, &place_path)? {
        true => true,
        false => {
            no_data(facts, &place_path, &what)?;
            false
        }
    };
    Ok(Span { what, place: place_path, unit, mounted })
}

fn named(path: &HostPath) -> Result<UnitName, Refusal> {
    mount_unit(path).map_err(|error| Refusal {
        id: "bridge-unit-name",
        target: path.to_string(),
        reason: error.to_string(),
        remedy: "use a path that systemd can name a mount unit for".to_owned(),
    })
}

/// Whether `what` is bound at `place_path`; refused where something else is.
fn mounted(table: &MountTable, what: &HostPath, place_path: &HostPath) -> Result<bool, Refusal> {
    let Some(top) = top_at(table, place_path.as_bytes()) else { return Ok(false) };
    let (Some(here), Some(there)) = (place(table, place_path.as_bytes()), place(table, what.as_bytes()))
    else {
        return Ok(false);
    };
    if !same_directory(&here, &there) {
        return Err(Refusal {
            id: "bridge-foreign-mount",
            target: place_path.to_string(),
            reason: format!(
                "{} ({}) is mounted there, and not the kubelet's {what}",
                shown(&top.source),
                shown(&top.fs_type)
            ),
            remedy: format!(
                "drain the node, unmount {place_path} and remove what mounts it (/etc/fstab, a mount unit), \
                 then run csihost apply"
            ),
        });
    }
    if travel(there.mount, table, top, table) != Travel::Both {
        return Err(Refusal {
            id: "bridge-not-shared",
            target: place_path.to_string(),
            reason: format!("{what} is bound there, but new mounts do not travel both ways between the two"),
            remedy: format!(
                "drain the node, run mount --make-rshared on the mount that holds {what}, \
                 unmount {place_path}, then run csihost apply"
            ),
        });
    }
    Ok(true)
}

/// Refuses to hide what is in `path`.
fn no_data(facts: &Facts, path: &HostPath, what: &HostPath) -> Result<(), Refusal> {
    let Some(DirFact::Directory { entries, .. }) = facts.dirs.get(path) else { return Ok(()) };
    if entries.is_empty() {
        return Ok(());
    }
    let names = entries.iter().take(3).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    let more = match entries.len() {
        0..=3 => "",
        _ => ", …",
    };
    Err(Refusal {
        id: "bridge-hides-data",
        target: path.to_string(),
        reason: format!("it holds {names}{more}, which a mount would hide"),
        remedy: format!(
            "look whether it is needed (a tree that a driver's hostPath made is not); move it away or into {what}, \
             then run csihost apply"
        ),
    })
}

/// What must be done so that mounts at `path` are shared, and stay so when a kubelet starts.
///
/// A kubelet whose root is on a mount that is not shared binds the root to itself without what is
/// mounted below (kubernetes, pkg/kubelet/kubelet.go, `MakeRShared`). Such a self-made mount is
/// gone at the next boot, so it does not count as the mount that `path` lies on.
fn share(table: &MountTable, path: &HostPath) -> Result<Option<Share>, Refusal> {
    let Some(parent) = path.parent() else { return Ok(None) };
    let own = top_at(table, path.as_bytes());
    let Some(base) = cover(table, parent.as_bytes()) else { return Ok(None) };
    let self_bound = own.is_some_and(|own| {
        let base = place(table, parent.as_bytes());
        base.is_some_and(|base| {
            let inside =
                [base.inside.as_slice(), if base.inside == b"/" { b"" } else { b"/" }, path.file_name()]
                    .concat();
            own.device == base.mount.device && own.root == inside
        })
    });
    match own {
        Some(own) if !self_bound => match own.shared {
            Some(_) => Ok(None),
            None => Err(Refusal {
                id: "bridge-private-mount",
                target: path.to_string(),
                reason: format!("{} is mounted there, and is not shared", shown(&own.source)),
                remedy: format!(
                    "run mount --make-rshared {path} before the kubelet starts, then csihost apply"
                ),
            }),
        },
        _ if base.shared.is_some() => Ok(None),
        own => {
            let mounted = own.is_some_and(|own| own.shared.is_some());
            Ok(Some(Share { path: path.clone(), unit: named(path)?, mounted }))
        }
    }
}

#[cfg(test)]
mod tests;
