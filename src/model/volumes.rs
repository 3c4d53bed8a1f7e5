//! CSI volumes that are mounted on this node, and what keeps an undo waiting.

use super::contract::PodName;
use super::path::HostPath;
use std::collections::BTreeMap;

/// What a mount of a CSI volume is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A pod has the volume.
    Published {
        /// The pod's UID, as its directory is called.
        pod: String,
        /// The volume's directory.
        volume: String,
    },
    /// The kubelet has mapped a raw block volume for a pod: it holds the device open by a loop device
    /// (kubernetes, pkg/volume/util/volumepathhandler).
    Mapped {
        /// The pod's UID.
        pod: String,
        /// The volume's directory.
        volume: String,
    },
    /// The volume is staged on the node, for pods that come and go.
    Staged {
        /// The volume's directory.
        volume: String,
    },
}

/// The file in which the kubelet records a CSI volume of a pod (kubernetes, pkg/volume/csi/csi_plugin.go,
/// `volDataFileName`). It is there from before the mount until after the unmount.
pub const VOLUME_DATA: &str = "vol_data.json";

/// A volume that is still mounted for a pod of which the node has nothing else any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The pod's UID.
    pub pod: String,
    /// The volume's directory.
    pub volume: String,
    /// How long nothing has changed in the pod's directory of the volume, in minutes.
    pub minutes: u64,
    /// Where it is published to the pod, deepest first, in both trees of a bridge.
    pub published: Vec<HostPath>,
    /// Where the same device is staged. Another pod of this node may be about to get it from there, which
    /// the node cannot tell: a person can.
    pub staged: Vec<HostPath>,
}

/// A plugin that the kubelet reaches through the bridge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registered {
    /// The driver's name, as shown.
    pub driver: String,
    /// The UID of its pod, where it runs in one.
    pub pod: Option<String>,
}

/// What depends on the bridge, a graft or an aligned kubelet, so that an undo waits for its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    /// The volumes of each pod, by the pod's UID.
    pub pods: BTreeMap<String, Vec<String>>,
    /// The volumes that are staged and that no pod of this list has.
    pub staged: Vec<String>,
    /// The registered plugins.
    pub drivers: Vec<Registered>,
    /// Paths that could not be read: a volume may be there.
    pub unread: Vec<String>,
    /// The names of pods by UID, where the node has them.
    pub names: BTreeMap<String, PodName>,
}

/// As many pods are named in one line.
const NAMED: usize = 3;

impl Hold {
    /// Adds a volume.
    pub fn add(&mut self, used: Use) {
        match used {
            Use::Published { pod, volume } | Use::Mapped { pod, volume } => {
                let volumes = self.pods.entry(pod).or_default();
                if !volumes.contains(&volume) {
                    volumes.push(volume);
                }
            }
            Use::Staged { volume } if !self.staged.contains(&volume) => self.staged.push(volume),
            Use::Staged { .. } => {}
        }
    }

    /// True if a volume is in use, or may be.
    pub fn has_volumes(&self) -> bool {
        !(self.pods.is_empty() && self.staged.is_empty() && self.unread.is_empty())
    }

    /// True if nothing keeps the undo waiting.
    pub fn is_empty(&self) -> bool {
        !self.has_volumes() && self.drivers.is_empty()
    }

    /// A pod as a person finds it in the cluster.
    fn pod(&self, uid: &str) -> String {
        match self.names.get(uid) {
            Some(PodName { namespace, name }) => format!("pod {namespace}/{name} (UID {uid})"),
            None => format!("pod with UID {uid}"),
        }
    }

    /// Everything that keeps the undo waiting, one a line.
    pub fn lines(&self) -> Vec<String> {
        let count = |n: usize| if n == 1 { "1 volume".to_owned() } else { format!("{n} volumes") };
        let pods =
            self.pods.iter().map(|(uid, volumes)| format!("{}: {}", self.pod(uid), count(volumes.len())));
        let staged = self.staged.iter().map(|volume| format!("staged volume {volume}"));
        let drivers = self.drivers.iter().map(|one| match &one.pod {
            Some(uid) => format!("driver {}, registered through the bridge: {}", one.driver, self.pod(uid)),
            None => format!("driver {}, registered through the bridge", one.driver),
        });
        let unread = self.unread.iter().map(|path| format!("{path}: cannot be read"));
        pods.chain(staged).chain(drivers).chain(unread).collect()
    }

    /// The same in one line, shortened.
    pub fn summary(&self) -> String {
        let lines = self.lines();
        let first: Vec<&str> = lines.iter().take(NAMED).map(String::as_str).collect();
        match lines.len().saturating_sub(NAMED) {
            0 => first.join("; "),
            more => format!("{}; and {more} more", first.join("; ")),
        }
    }

    /// How a person ends the wait.
    pub fn remedy(&self) -> &'static str {
        match (self.has_volumes(), self.drivers.is_empty()) {
            (true, true) => "delete these pods or drain the node",
            (true, false) => {
                "delete the pods with volumes or drain the node; then remove the driver from this node or reboot it"
            }
            (false, _) => "remove the driver from this node or reboot it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_an_undo_waiting_is_named_with_the_pods_that_a_person_can_delete() {
        let mut hold = Hold::default();
        assert!(hold.is_empty());
        for (pod, volume) in [("u-1", "a"), ("u-1", "b"), ("u-1", "a"), ("u-2", "c")] {
            hold.add(Use::Published { pod: pod.to_owned(), volume: volume.to_owned() });
        }
        let web = PodName { namespace: "default".to_owned(), name: "web".to_owned() };
        hold.names.insert("u-1".to_owned(), web);
        hold.drivers.push(Registered { driver: "d.example".to_owned(), pod: Some("u-3".to_owned()) });
        assert_eq!(
            hold.lines(),
            [
                "pod default/web (UID u-1): 2 volumes",
                "pod with UID u-2: 1 volume",
                "driver d.example, registered through the bridge: pod with UID u-3",
            ]
        );
        assert!(hold.has_volumes());
        hold.add(Use::Staged { volume: "s".to_owned() });
        assert!(hold.summary().ends_with("; and 1 more"), "{}", hold.summary());
    }
}
