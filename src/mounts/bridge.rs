//! Pure: whether the bridge helps on this host, what it consists of, and what of it is there.
//!
//! Decided from paths and PID 1's mount table alone. What systemd says of a mounted unit comes
//! from the kernel and not from the unit's file, so it proves nothing.

mod aligned;
mod cycle;
mod former;
mod holds;
mod late;
mod same;
mod share;
mod span;

pub use aligned::{WITHOUT_BRIDGE, aligned, unready};
pub use cycle::{ends_a_chain, is_late, late_mounts, order_by_fstab, to_follow};
pub use former::{Former, Remains, former, remains, waiting};
pub use holds::{STATE_DIRECTORY, STATE_FILES, few, other_kubelet};
pub use late::missing_before;
pub use same::CONSTANT;
pub(super) use same::is_k3s_old;

use super::resolve::cover;
use super::runtimes::shares_namespace;
use super::travel::{Travel, travel};
use super::unit_name::mount_unit;
use crate::model::facts::Facts;
use crate::model::file::DirFact;
use crate::model::kubelet::{Confidence, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;
use crate::model::unanswered::LeftOut;
use crate::model::unit::UnitName;
use late::late;
use same::{believed, same};
use share::share;
use span::span;
use std::collections::BTreeSet;

/// Where CSI drivers look for the kubelet by default.
pub const STANDARD_PATH: &str = "/var/lib/kubelet";

/// What is to be done about the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// No kubelet is known, and no bridge was built before.
    NoKubelet,
    /// The kubelet's root and the standard path are one directory.
    Same(Same),
    /// The bridge would harm, or cannot be built.
    Refused(Vec<Refusal>),
    /// The bridge joins the two.
    Build(Bridge),
}

/// Why the kubelet's root and the standard path are one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Same {
    /// The kubelet uses the standard path.
    Standard,
    /// The kubelet and its container runtime have the standard path in a mount namespace of their own, where containers get
    /// their volumes from; on the host the directory is this, where it has a name there.
    Namespace(Option<HostPath>),
    /// One of them is a link to the other, which is this.
    Link(HostPath),
    /// The whole root is mounted over the standard path.
    Whole {
        /// The root.
        root: HostPath,
        /// What a running kubelet has made there and is not in sight: the mount hides it.
        hidden: Vec<&'static str>,
    },
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
    /// The directories; the whole root alone, where the standard path was a link to it.
    pub spans: Vec<Span>,
}

impl Bridge {
    /// Whether the whole root is bound.
    pub fn is_whole(&self) -> bool {
        self.spans.iter().any(|span| span.place == self.standard)
    }

    /// All its mount units, whoever wrote them.
    pub fn units(&self) -> BTreeSet<UnitName> {
        let spans = self.spans.iter().map(|span| &span.unit);
        self.shares.iter().map(|share| &share.unit).chain(spans).cloned().collect()
    }
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
    /// The line of /etc/fstab that binds it at every boot: it is left to that.
    pub fstab: Option<usize>,
    /// What an earlier bridge, to another root, has left there.
    pub former: Option<Former>,
    /// Sockets of drivers that it would hide: of drivers that started before it.
    pub covers: Vec<HostPath>,
}

impl Span {
    /// Why it is mounted, in a plan.
    pub fn reason(&self) -> String {
        let reason = format!("drivers look for the kubelet's {} at {}", self.what, self.place);
        match self.covers.as_slice() {
            [] => reason,
            sockets => format!(
                "{reason}; this hides {}, which no kubelet uses, until the pods of these drivers are restarted",
                few(sockets)
            ),
        }
    }
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
    if let Some(decision) = in_own_namespace(facts) {
        return decision;
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
    // A kubelet whose root was aligned has its data where they were.
    let root = aligned(facts).cloned().unwrap_or(root);
    let (standard, root) = match (resolved(facts, &standard), resolved(facts, &root)) {
        (Ok(standard), Ok(root)) => (standard, root),
        (Err(refusal), _) | (_, Err(refusal)) => return Decision::Refused(vec![refusal]),
    };
    // The whole root in the place of a link to it: nothing that the link showed is hidden.
    let whole = facts.whole.as_ref() == Some(&root);
    if !whole && let Some(same) = same(facts, &standard, &root) {
        return Decision::Same(same);
    }
    let late: Vec<Refusal> = [&standard, &root].into_iter().filter_map(|path| late(facts, path)).collect();
    if let Some(refusal) = believed(facts) {
        return Decision::Refused(vec![refusal]);
    }
    if late.is_empty()
        && let Some(refusal) = cycle::cycle(facts, &standard, &root)
    {
        return Decision::Refused(vec![refusal]);
    }
    match late.is_empty() {
        true if whole => build(facts, &[""], standard, root),
        true => build(facts, directories, standard, root),
        false => Decision::Refused(late),
    }
}

/// The decision where the kubelet and its container runtime share a mount namespace that hands no mounts to the host: a
/// bridge on the host is in no container.
fn in_own_namespace(facts: &Facts) -> Option<Decision> {
    let (kubelet, publisher) = (facts.detection.kubelet.as_ref()?, facts.plugins.kubelet.as_ref()?);
    let table = publisher.mounts.as_ref().filter(|_| shares_namespace(&facts.plugins.runtimes, publisher))?;
    let standard = HostPath::from(STANDARD_PATH);
    let on_host = kubelet.host_dir.clone();
    if on_host.as_ref() == Some(&standard) {
        return None;
    }
    let own = cover(table, kubelet.root_dir.as_bytes());
    let hosts = on_host.as_ref().and_then(|root| cover(&facts.mounts, root.as_bytes()));
    if let (Some(own), Some(hosts)) = (own, hosts)
        && travel(own, table, hosts, &facts.mounts) == Travel::Both
    {
        return None;
    }
    if kubelet.root_dir == KubeletRoot::standard() {
        return Some(Decision::Same(Same::Namespace(on_host)));
    }
    // A namespace that receives mounts from the host has the bridge too.
    if let (Some(own), Some(hosts)) =
        (cover(table, standard.as_bytes()), cover(&facts.mounts, standard.as_bytes()))
        && matches!(travel(own, table, hosts, &facts.mounts), Travel::Both | Travel::FromSecond)
    {
        return None;
    }
    Some(Decision::Refused(vec![Refusal {
        id: "bridge-own-namespace",
        target: standard.to_string(),
        reason: format!(
            "the kubelet and its container runtime share a mount namespace that hands no mounts to the host: containers get \
             {standard} from there, and a mount on the host does not reach them"
        ),
        remedy: format!(
            "bind pods, plugins and plugins_registry of {} to {standard} within that namespace before the kubelet starts, or \
             start the kubelet with {standard} as its root",
            kubelet.root_dir
        ),
    }]))
}

fn resolved(facts: &Facts, path: &HostPath) -> Result<HostPath, Refusal> {
    match facts.dirs.get(path) {
        Some(DirFact::Absent { canonical } | DirFact::Directory { canonical, .. }) => Ok(canonical.clone()),
        Some(DirFact::Other(why)) => Err(unusable(facts, path, why)),
        None => Ok(path.clone()),
    }
}

fn unusable(facts: &Facts, path: &HostPath, why: &str) -> Refusal {
    let silent = facts.left_out.iter().find_map(|left| match left {
        LeftOut::Mount { point, .. } => path.starts_with(point).then_some(point),
        LeftOut::Process { .. } | LeftOut::Journal | LeftOut::Tenants => None,
    });
    Refusal {
        id: "bridge-unusable-path",
        target: path.to_string(),
        reason: why.to_owned(),
        remedy: match silent {
            Some(point) => format!("bring the server of the mount at {point} back, or unmount it"),
            None => format!("make {path} a directory that root can read"),
        },
    }
}

fn build(facts: &Facts, directories: &[&str], standard: HostPath, root: HostPath) -> Decision {
    let (mut spans, mut refused) = (Vec::new(), Vec::new());
    let mut mounted = false;
    for name in directories {
        match span(facts, &standard, &root, name) {
            Ok(span) => {
                mounted |= span.mounted || span.former.is_some();
                spans.push(span);
            }
            Err(refusal) => refused.push(refusal),
        }
    }
    match aligned(facts) {
        // What a kubelet has in the standard path is its own.
        Some(_) => refused.extend(aligned::beneath(facts, &spans)),
        // Drivers may listen there for a kubelet whose state is there.
        None if !mounted || spans.iter().any(|span| !span.covers.is_empty()) => {
            refused.extend(other_kubelet(facts, &standard, &root));
        }
        None => {}
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
    let mut shares = Vec::new();
    // The whole root is a shared mount at the standard path by itself.
    let paths = [&standard, &root].into_iter().filter(|path| spans.iter().all(|span| span.place != **path));
    for path in paths {
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

fn named(path: &HostPath) -> Result<UnitName, Refusal> {
    mount_unit(path).map_err(|error| Refusal {
        id: "bridge-unit-name",
        target: path.to_string(),
        reason: error.to_string(),
        remedy: "use a path that systemd can name a mount unit for".to_owned(),
    })
}

#[cfg(test)]
mod tests;
