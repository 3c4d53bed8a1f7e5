//! Mounts: whether the kubelet root's string can be grafted into a plugin, and from what.
//!
//! A bridge makes the kubelet's directories seen below the standard path, and a plugin that has the
//! standard path has them too, by mounts that travel. Only the string that the kubelet sends does not
//! exist there. Bound once more, below that string, the same mount of the same peer group is where
//! the kubelet says that it is; nothing else changes for the container.

use super::contract::reaches_kubelet;
use super::resolve::{below, cover, names_of, place, same_directory};
use crate::model::bytes::shown;
use crate::model::contract::{Plugin, Publisher};
use crate::model::graft::Bind;
use crate::model::mount::MountTable;
use crate::model::path::HostPath;

/// Why a plugin cannot be grafted, and what can be done in place of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Stable name.
    pub id: &'static str,
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

/// What is bound where in a plugin whose contract is broken. Directories of which it has nothing are
/// left out, but for `pods`, without which nothing helps.
pub fn graft(publisher: &Publisher, host: &MountTable, plugin: &Plugin) -> Result<Vec<Bind>, Obstacle> {
    let obstacle = |id, reason: String, remedy: String| Err(Obstacle { id, reason, remedy });
    let root = publisher.root.as_path();
    let restart = || "delete this pod, so that its containers are made anew".to_owned();
    let Some(own) = plugin.seat.mounts.as_ref() else {
        let reason =
            "it runs in the host's own mount namespace, where the kubelet's string exists".to_owned();
        return obstacle("graft-host-process", reason, "see the remedy of csihost check".to_owned());
    };
    if plugin.seat.owner.container.is_none() {
        let reason = "it is a service with a sandbox of its own, and no container".to_owned();
        let remedy = format!(
            "let the service see {root}: without ProtectSystem=, PrivateMounts= or InaccessiblePaths="
        );
        return obstacle("graft-no-container", reason, remedy);
    }
    // What is below the string now would be hidden: only a directory of the container's own is.
    match cover(own, root.as_bytes()) {
        Some(mount) if mount.point != b"/" => {
            let reason = format!("{root} lies on {}, which is mounted there already", shown(&mount.point));
            let remedy = format!("mount the kubelet's root {root} into its container at the same path");
            return obstacle("graft-covered", reason, remedy);
        }
        Some(mount) if mount.shared.is_some() => {
            let reason =
                "the root file system of its container is a shared mount: what is mounted there would \
                be seen elsewhere too"
                    .to_owned();
            return obstacle("graft-shared-root", reason, "see the remedy of csihost check".to_owned());
        }
        Some(_) => {}
        None => {
            let reason = "its mount table does not say on what its root directory lies".to_owned();
            return obstacle("graft-unknown-root", reason, "see the remedy of csihost check".to_owned());
        }
    }
    if hides(publisher, host, own) {
        let reason = format!("something was mounted below {root} in its container, and would be hidden");
        return obstacle("graft-hides", reason, restart());
    }
    let find = |name: &str| source(publisher, host, own, name);
    let pods = match find("pods") {
        Found::Travels(from) => Bind { from, to: root.join("pods") },
        Found::Stays { at, shared: false } => {
            let reason = format!("what it mounts at {at} does not travel to the kubelet");
            let remedy =
                format!("set mountPropagation: Bidirectional on the volume mount at {at} of its container");
            return obstacle("graft-private", reason, remedy);
        }
        Found::Stays { at, shared: true } => {
            let reason = format!(
                "what it mounts at {at} does not travel to the kubelet, though the mount there is shared"
            );
            let remedy = "see driver-before-bridge and path-contract in csihost check".to_owned();
            return obstacle("graft-private", reason, remedy);
        }
        Found::Nowhere => {
            let reason = "its container has the kubelet's pods under no name at all".to_owned();
            let remedy = "see that the bridge is there (csihost check), then delete this pod".to_owned();
            return obstacle("graft-nothing", reason, remedy);
        }
    };
    // The whole of plugins, or the part of it that a driver is given.
    let staging = ["plugins", "plugins/kubernetes.io/csi"].into_iter().find_map(|name| match find(name) {
        Found::Travels(from) => Some(Bind { from, to: root.join(name) }),
        Found::Stays { .. } | Found::Nowhere => None,
    });
    Ok(staging.into_iter().chain([pods]).collect())
}

/// What a plugin has of one of the kubelet's directories.
enum Found {
    /// Under this name, and what is mounted there reaches the kubelet.
    Travels(HostPath),
    /// Under this name, and it does not. It is shared where the container has it by `Bidirectional`.
    Stays { at: HostPath, shared: bool },
    /// Nothing.
    Nowhere,
}

fn source(publisher: &Publisher, host: &MountTable, own: &MountTable, name: &str) -> Found {
    let theirs = publisher.mounts.as_ref().unwrap_or(host);
    let Some(wanted) = place(theirs, root_without_links(publisher).join(name).as_bytes()) else {
        return Found::Nowhere;
    };
    let names = names_of(own, wanted.mount.device, &wanted.inside);
    let names: Vec<HostPath> = names.iter().filter_map(|name| HostPath::parse(name).ok()).collect();
    let travels = |name: &&HostPath| {
        cover(own, name.as_bytes()).is_some_and(|mount| reaches_kubelet(wanted.mount, theirs, mount, own))
    };
    let is_shared =
        |name: &&HostPath| cover(own, name.as_bytes()).is_some_and(|mount| mount.shared.is_some());
    let (found, shared) = (names.iter().find(travels), names.iter().find(is_shared));
    match (found, shared.or(names.first())) {
        (Some(name), _) => Found::Travels(name.clone()),
        (None, Some(at)) => Found::Stays { at: at.clone(), shared: shared.is_some() },
        (None, None) => Found::Nowhere,
    }
}

/// Whether a graft would hide what is mounted below the string in a container. What the kubelet has
/// there itself is no loss: it is of a graft that was left halfway.
pub fn hides(publisher: &Publisher, host: &MountTable, own: &MountTable) -> bool {
    let theirs = publisher.mounts.as_ref().unwrap_or(host);
    let root = publisher.root.as_path();
    let kubelets = |point: &[u8]| {
        let rest = HostPath::parse(point).ok()?.below(root)?.to_vec();
        let there = root_without_links(publisher).join(rest);
        let (ours, theirs) = (place(own, point)?, place(theirs, there.as_bytes())?);
        Some(same_directory(&ours, &theirs))
    };
    below(own, root.as_bytes()).any(|mount| kubelets(&mount.point) != Some(true))
}

/// The kubelet's root as its own mount namespace has it, as far as somebody could look.
fn root_without_links(publisher: &Publisher) -> HostPath {
    publisher.view.pods.path.parent().unwrap_or_else(|| publisher.root.as_path().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{Owner, Seat, View};
    use crate::mounts::plugins::tests::{publisher, table};

    /// A host with the bridge to /srv/k.
    const HOST: &str = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
        21 20 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n\
        22 20 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 /dev/sda1 rw\n";
    const ROOTFS: &str = "300 299 0:60 / / rw - overlay overlay rw\n";

    fn tried(rows: &str) -> Result<Vec<Bind>, Obstacle> {
        let publisher = publisher("/srv/k");
        let owner = Owner { container: Some("c".to_owned()), pod: Some("p".to_owned()), foreign: false };
        let seat = Seat { owner, mounts: Some(table(&format!("{ROOTFS}{rows}"))), ..Seat::default() };
        let view = View::unseen(&publisher.root);
        let plugin = Plugin { seat, driver: None, registration: None, registrar: None, view };
        graft(&publisher, &table(HOST), &plugin)
    }

    fn grafted(rows: &str) -> Result<Vec<(String, String)>, &'static str> {
        match tried(rows) {
            Ok(binds) => Ok(binds.iter().map(|bind| (bind.from.to_string(), bind.to.to_string())).collect()),
            Err(obstacle) => Err(obstacle.id),
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, &'static str> {
        Ok(pairs.iter().map(|&(from, to)| (from.to_owned(), to.to_owned())).collect())
    }

    #[test]
    fn a_container_with_the_whole_standard_path_is_grafted_from_its_bridge_pods_last() {
        let rows = "310 300 8:1 /var/lib/kubelet /var/lib/kubelet rw shared:1 - ext4 x rw\n\
            311 310 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n\
            312 310 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 x rw\n";
        assert_eq!(
            grafted(rows),
            pairs(&[
                ("/var/lib/kubelet/plugins", "/srv/k/plugins"),
                ("/var/lib/kubelet/pods", "/srv/k/pods"),
            ])
        );
    }

    #[test]
    fn separate_mounts_as_longhorn_has_them_are_grafted_each_at_its_place() {
        let staging = "plugins/kubernetes.io/csi";
        let rows = format!(
            "310 300 8:1 /srv/k/{staging} /var/lib/kubelet/{staging} rw shared:1 - ext4 x rw\n\
             311 300 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n\
             312 300 8:1 /srv/k/plugins/driver.longhorn.io /csi rw - ext4 x rw\n"
        );
        assert_eq!(
            grafted(&rows),
            pairs(&[
                (&format!("/var/lib/kubelet/{staging}"), &format!("/srv/k/{staging}")),
                ("/var/lib/kubelet/pods", "/srv/k/pods"),
            ])
        );
    }

    #[test]
    fn what_does_not_travel_or_is_not_there_is_no_source() {
        let pods =
            |tags: &str| format!("311 300 8:1 /srv/k/pods /var/lib/kubelet/pods rw {tags}- ext4 x rw\n");
        assert_eq!(grafted(&pods("")), Err("graft-private"));
        assert_eq!(grafted(&pods("master:1 ")), Err("graft-private"));
        // Bidirectional already: its container is older than the bridge, or a namespace is cut off.
        for (tags, remedy) in
            [("master:1 ", "set mountPropagation"), ("shared:9 master:1 ", "see driver-before")]
        {
            let obstacle = tried(&pods(tags)).unwrap_err();
            assert_eq!(obstacle.id, "graft-private");
            assert!(obstacle.remedy.starts_with(remedy), "{}", obstacle.remedy);
        }
        assert_eq!(
            grafted("311 300 8:1 /var/lib/kubelet /var/lib/kubelet rw shared:1 - ext4 x rw\n"),
            Err("graft-nothing")
        );
        // Under a name of its own it serves as well.
        let other = "311 300 8:1 /srv/k/pods /host-pods rw shared:1 - ext4 x rw\n";
        assert_eq!(grafted(other), pairs(&[("/host-pods", "/srv/k/pods")]));
    }

    #[test]
    fn nothing_is_hidden_and_nothing_is_seen_elsewhere() {
        let pods = "311 300 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n";
        for (row, id) in [
            ("320 300 0:9 / /srv rw - tmpfs t rw\n", "graft-covered"),
            ("320 300 0:9 / /srv/k/pods rw - tmpfs t rw\n", "graft-hides"),
            ("320 300 0:9 / /srv/k/pods/u/mount rw - tmpfs t rw\n", "graft-hides"),
        ] {
            assert_eq!(grafted(&format!("{pods}{row}")), Err(id), "{row}");
        }
        let shared = "300 299 0:60 / / rw shared:70 - overlay overlay rw\n";
        let publisher = publisher("/srv/k");
        let owner = Owner { container: Some("c".to_owned()), pod: None, foreign: false };
        let seat = Seat { owner, mounts: Some(table(&format!("{shared}{pods}"))), ..Seat::default() };
        let plugin = Plugin {
            seat,
            driver: None,
            registration: None,
            registrar: None,
            view: View::unseen(&publisher.root),
        };
        assert_eq!(graft(&publisher, &table(HOST), &plugin).unwrap_err().id, "graft-shared-root");
    }

    #[test]
    fn a_graft_that_was_left_halfway_is_completed() {
        let rows = "311 300 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 x rw\n\
            312 300 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 x rw\n\
            313 300 8:1 /srv/k/plugins /srv/k/plugins rw shared:1 - ext4 x rw\n";
        assert_eq!(grafted(rows).unwrap().len(), 2);
    }
}
