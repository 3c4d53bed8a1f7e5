//! The receipt: what csihost changed on this node, with what is needed to undo it.
//!
//! It is written before and after every step, so that it is right whenever csihost is killed.
//! It holds the lines that csihost changed of other people's files and nothing else of them.

use super::align::AlignRecord;
use super::digest::Digest;
use super::edit::{Splice, Text};
use super::gate::Gate;
use super::graft::Graft;
use super::path::HostPath;
use super::unit::UnitName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Everything that was changed, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The receipt's format; csihost refuses a newer one than it knows.
    pub version: u32,
    /// Unit files were changed that systemd has not read again yet.
    pub reload_pending: bool,
    /// The bridge that was built last.
    pub bridge: Option<BridgeRecord>,
    /// The kubelet's root that became the standard path, or is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub align: Option<AlignRecord>,
    /// The initiator name that was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<InitiatorRecord>,
    /// The drivers that were seen on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drivers: Option<DriversRecord>,
    /// Daemons that were not restarted yet after csihost changed what they read at their start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<PendingRestart>,
    /// Packages that are there only after a reboot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_reboot: Vec<PendingReboot>,
    /// The socket directories of drivers that are grafted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// The plugins that were grafted while the settings asked for grafts, by the name in [`Graft`]. They are
    /// grafted again after a restart as long as the kubelet sends a path that only a graft provides.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub grafted: BTreeSet<String>,
    /// An undo has begun and is not complete. The agent and the boot unit then plan nothing and continue it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo_pending: bool,
    /// True if an earlier receipt is lost, and this one has what csihost's files show: what it has changed in files of
    /// others is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// The changes.
    pub changes: Vec<Change>,
}

/// What the bridge joins, for turns in which no kubelet says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeRecord {
    /// The kubelet root, as a directory of the host.
    pub root: HostPath,
    /// The roots of bridges before this one: what they have left mounted is csihost's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<HostPath>,
}

impl BridgeRecord {
    /// A first bridge, to `root`.
    pub fn new(root: HostPath) -> Self {
        Self { root, former: Vec::new() }
    }

    /// A bridge to `root` after this one.
    pub fn followed_by(&self, root: &HostPath) -> Self {
        let former = [&self.root].into_iter().chain(&self.former).filter(|former| *former != root);
        Self { root: root.clone(), former: former.cloned().collect() }
    }

    /// This bridge's root, and those before it.
    pub fn roots(&self) -> impl Iterator<Item = &HostPath> {
        [&self.root].into_iter().chain(&self.former)
    }
}

/// An initiator name and the machine that it is for: where the machine is another one, the name
/// came with a copied disk, and the machine that it was copied from has it too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitiatorRecord {
    /// A digest of the name.
    pub name: Digest,
    /// The digest of its machine's id; `None` for a name that was found in an image.
    pub machine: Option<Digest>,
}

/// The drivers that were seen on this node, so that their needs are known before the kubelet runs. A driver is
/// forgotten when two boots have passed without it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriversRecord {
    /// /proc/sys/kernel/random/boot_id of the boot that `seen` belongs to.
    pub boot: String,
    /// The names that were seen in that boot.
    pub seen: BTreeSet<String>,
    /// The names that were seen in the boot before.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub before: BTreeSet<String>,
}

impl DriversRecord {
    /// This record with the drivers that are seen `now`, in the boot `boot`.
    #[must_use]
    pub fn with(self, boot: &str, now: BTreeSet<String>) -> Self {
        // Names with a part that changes at each start would add up.
        const MOST: usize = 64;
        match self.boot == boot {
            true => Self { seen: self.seen.into_iter().chain(now).take(MOST).collect(), ..self },
            false => Self { boot: boot.to_owned(), seen: now, before: self.seen },
        }
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.seen.iter().chain(&self.before)
    }
}

/// A daemon that has to be restarted, in the boot in which that became necessary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRestart {
    /// Its service.
    pub unit: UnitName,
    /// /proc/sys/kernel/random/boot_id: after a reboot it has been restarted.
    pub boot: String,
}

/// Packages that were installed into the system that the next boot starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReboot {
    /// Their names.
    pub packages: Vec<String>,
    /// /proc/sys/kernel/random/boot_id: in another boot they are there, or were rolled back.
    pub boot: String,
}

/// One change, and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// False from before the change until after it: it may or may not have happened.
    pub done: bool,
    /// What.
    #[serde(flatten)]
    pub what: Changed,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Changed {
    /// A file that csihost generated; there was none before.
    Generated {
        /// Where.
        path: HostPath,
    },
    /// A file of somebody else's that was not there.
    Created {
        /// Where.
        path: HostPath,
        /// What it was given.
        after: Digest,
    },
    /// A directory of somebody else's that was moved out of the way.
    Moved {
        /// Where it was.
        path: HostPath,
        /// Where it is.
        to: HostPath,
    },
    /// A link that gave way to a directory.
    Replaced {
        /// Where.
        path: HostPath,
        /// What the link said.
        to: Text,
    },
    /// Lines of somebody else's file.
    Patched {
        /// Where.
        path: HostPath,
        /// The lines.
        splices: Vec<Splice>,
        /// The whole file before.
        before: Digest,
        /// The whole file after.
        after: Digest,
    },
    /// A directory that was not there.
    Directory {
        /// Where.
        path: HostPath,
    },
    /// The kubelet root's string, made to exist inside a container: it goes with the container.
    Grafted {
        /// Where, and from what.
        graft: Graft,
    },
    /// Packages that were not there.
    Installed {
        /// Their names.
        packages: Vec<String>,
    },
    /// A unit that was not started at boot and now is.
    Enabled {
        /// Which.
        unit: UnitName,
    },
    /// A unit that was started at boot and no longer is.
    Disabled {
        /// Which.
        unit: UnitName,
    },
    /// A directory that was bound somewhere, or to itself, without a unit; gone at the next boot.
    Mounted {
        /// Where.
        path: HostPath,
    },
    /// A unit that was not running and was started.
    Started {
        /// Which.
        unit: UnitName,
    },
}

impl Receipt {
    /// The format that this program writes.
    pub const VERSION: u32 = 1;

    /// Nothing changed yet.
    pub fn new() -> Self {
        Self {
            version: Self::VERSION,
            reload_pending: false,
            bridge: None,
            align: None,
            initiator: None,
            drivers: None,
            restart: Vec::new(),
            at_reboot: Vec::new(),
            gates: Vec::new(),
            grafted: BTreeSet::new(),
            undo_pending: false,
            recovered: false,
            changes: Vec::new(),
        }
    }

    /// Notes that `what` is about to be changed; the same intention twice is one.
    pub fn intend(&mut self, what: Changed) {
        // A file that is as it was before an earlier change has nothing left of that.
        if let Changed::Patched { path: of, before: state, .. } = &what {
            let moot = |change: &Change| matches!(&change.what, Changed::Patched { path, before, .. } if path == of && before == state);
            self.changes.retain(|change| !moot(change) || change.what == what);
        }
        self.changes.retain(|change| change.done || change.what != what);
        if !self.changes.iter().any(|change| change.what == what) {
            self.changes.push(Change { done: false, what });
        }
    }

    /// Notes that `what` has been changed.
    pub fn done(&mut self, what: &Changed) {
        for change in &mut self.changes {
            if change.what == *what {
                change.done = true;
            }
        }
    }

    /// Forgets `what`: it did not happen, or was undone.
    pub fn forget(&mut self, what: &Changed) {
        self.changes.retain(|change| change.what != *what);
    }

    /// The files that csihost generated.
    pub fn generated(&self) -> impl Iterator<Item = &HostPath> {
        self.changes.iter().filter_map(|change| match &change.what {
            Changed::Generated { path } => Some(path),
            _ => None,
        })
    }

    /// The units that csihost started.
    pub fn started(&self) -> impl Iterator<Item = &UnitName> {
        self.changes.iter().filter_map(|change| match &change.what {
            Changed::Started { unit } => Some(unit),
            _ => None,
        })
    }

    /// The plugins that are grafted, or were while the settings asked for it, by name.
    pub fn grafted_names(&self) -> BTreeSet<String> {
        let recorded = self.changes.iter().filter_map(|change| match &change.what {
            Changed::Grafted { graft } => Some(graft.name.clone()),
            _ => None,
        });
        // A container that its runtime gave the mounts is no change; its driver has a gate.
        let by_runtime = self.gates.iter().map(|gate| gate.driver.clone());
        recorded.chain(by_runtime).chain(self.grafted.iter().cloned()).collect()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.reload_pending && self.align.is_none() && self.gates.is_empty()
    }
}

impl Default for Receipt {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_brought_back_and_changed_anew_is_one_change() {
        let patched = |before: &str, after: &str| Changed::Patched {
            path: HostPath::from("/etc/x"),
            splices: Vec::new(),
            before: Digest::of(before.as_bytes()),
            after: Digest::of(after.as_bytes()),
        };
        let mut receipt = Receipt::new();
        for (before, after) in [("a", "b"), ("", "c"), ("", "d"), ("", "e"), ("e", "f")] {
            receipt.intend(patched(before, after));
            receipt.done(&patched(before, after));
        }
        let left: Vec<Changed> = receipt.changes.into_iter().map(|change| change.what).collect();
        assert_eq!(left, [patched("a", "b"), patched("", "e"), patched("e", "f")]);
    }

    #[test]
    fn a_driver_is_known_in_the_boot_after_the_last_one_with_it() {
        let names = |record: &DriversRecord| record.names().cloned().collect::<Vec<_>>();
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let first = DriversRecord::default().with("1", set("a")).with("1", set("b"));
        assert_eq!(names(&first), ["a", "b"]);
        let second = first.with("2", BTreeSet::new());
        assert_eq!(names(&second), ["a", "b"], "the kubelet does not run yet");
        assert_eq!(
            second.clone().with("2", BTreeSet::new()),
            second,
            "it is the same in each later reconciliation"
        );
        let third = second.with("2", set("b")).with("3", BTreeSet::new());
        assert_eq!(names(&third), ["b"]);
    }

    #[test]
    fn an_intention_repeated_after_a_crash_is_recorded_once() {
        let mut receipt = Receipt::new();
        let what = Changed::Enabled { unit: UnitName::from("iscsid.socket") };
        receipt.intend(what.clone());
        receipt.intend(what.clone());
        assert_eq!(receipt.changes.len(), 1);
        receipt.done(&what);
        receipt.intend(what.clone());
        assert_eq!(receipt.changes, [Change { done: true, what: what.clone() }]);
        receipt.forget(&what);
        assert!(receipt.is_empty());
    }

    #[test]
    fn packages_and_mounts_are_written_as_they_are_read() {
        let text = r#"{"version":1,"reload_pending":false,"bridge":null,
            "at_reboot":[{"packages":["open-iscsi"],"boot":"b"}],
            "changes":[{"done":true,"change":"installed","packages":["open-iscsi"]},
                       {"done":false,"change":"mounted","path":"/var/lib/kubelet/pods"}]}"#;
        let receipt: Receipt = serde_json::from_str(text).unwrap();
        let packages = vec!["open-iscsi".to_owned()];
        assert_eq!(receipt.changes[0], Change { done: true, what: Changed::Installed { packages } });
        assert_eq!(receipt.at_reboot[0].boot, "b");
        let again = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&again).unwrap(), receipt);
    }

    #[test]
    fn gates_are_written_as_they_are_read_and_count() {
        let text = r#"{"version":1,"reload_pending":false,"bridge":null,
            "gates":[{"driver":"x.example","directory":"/var/lib/kubelet/plugins/x.example"}],"changes":[]}"#;
        let receipt: Receipt = serde_json::from_str(text).unwrap();
        assert_eq!(receipt.gates[0].driver, "x.example");
        assert!(!receipt.is_empty(), "a gate can be closed: it has to be opened by undo");
        let again = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&again).unwrap(), receipt);
    }

    #[test]
    fn the_format_of_version_1_stays_readable() {
        let frozen = r#"{"version":1,"reload_pending":false,"bridge":{"root":"/opt/rke/var/lib/kubelet"},"changes":[
            {"done":true,"change":"generated","path":"/etc/systemd/system/a.mount"},
            {"done":true,"change":"patched","path":"/etc/iscsi/iscsid.conf","splices":[{"at":3,"old":"a\\x0a","new":""}],"before":"00","after":"11"},
            {"done":false,"change":"directory","path":"/var/lib/kubelet"},
            {"done":true,"change":"enabled","unit":"iscsid.socket"},
            {"done":true,"change":"disabled","unit":"iscsi.service"},
            {"done":true,"change":"started","unit":"iscsid.socket"}]}"#;
        // What later versions added is not in it, and is not missed.
        let receipt: Receipt = serde_json::from_str(frozen).unwrap();
        assert_eq!(receipt.changes.len(), 6);
        assert!(!receipt.undo_pending && receipt.grafted.is_empty());
        let again = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&again).unwrap(), receipt);
    }
}
