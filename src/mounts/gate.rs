//! Mounts: the directory of a driver's socket on the host, which a gate covers.
//!
//! The kubelet dials a driver by the path under which the driver registered. That path is an argument
//! of a process in a pod, so it counts only where the plugin has that very directory, too.

use super::plugins::{place_of, shows};
use super::resolve::names_of;
use crate::model::contract::Plugin;
use crate::model::mount::MountTable;
use crate::model::path::HostPath;

/// Where the kubelet stages volumes: never covered, nor anything above.
const STAGING: &[u8] = b"kubernetes.io";

/// A tree of a kubelet: its root as arguments have it, and the same without symbolic links, on the host.
pub type Tree = (HostPath, HostPath);

/// The socket directory of a plugin on the host, below `plugins` of one of the trees; `None` where it
/// is elsewhere, or where nothing proves that it is the plugin's.
pub fn socket_directory(host: &MountTable, trees: &[Tree], plugin: &Plugin) -> Option<HostPath> {
    let is_own = |directory: &HostPath| {
        trees.iter().any(|(_, root)| {
            let below = directory.below(&root.join("plugins"));
            let mut below = below.unwrap_or_default().split(|&b| b == b'/');
            below.next().is_some_and(|first| !first.is_empty() && first != STAGING)
        })
    };
    let endpoints = || {
        let serving = plugin.seat.claims.iter().filter(|claims| !claims.liveness);
        serving.filter_map(|claims| claims.endpoint.as_ref()?.parent())
    };
    let own = plugin.seat.mounts.as_ref().unwrap_or(host);
    let real = |path: HostPath| {
        let real = trees.iter().find_map(|(written, root)| Some(root.join(path.below(written)?)));
        real.unwrap_or(path)
    };
    let registered = plugin.registration.as_ref().and_then(HostPath::parent).map(real);
    let found = match registered {
        Some(directory) => {
            let place = place_of(host, &directory)?;
            let serves = endpoints().any(|endpoint| place_of(own, &endpoint).as_ref() == Some(&place));
            (serves || own.iter().any(|mount| shows(mount, &place))).then_some(directory)
        }
        None => endpoints().find_map(|endpoint| {
            let (device, inside) = place_of(own, &endpoint)?;
            let names = names_of(host, device, &inside);
            names.iter().filter_map(|name| HostPath::parse(name).ok()).find(&is_own)
        }),
    };
    found.filter(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{Claims, Seat, View};
    use crate::mounts::plugins::tests::{path, publisher, table};

    const HOST: &str = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
        21 20 8:1 /srv/k/pods /var/lib/kubelet/pods rw shared:1 - ext4 /dev/sda1 rw\n\
        22 20 8:1 /srv/k/plugins /var/lib/kubelet/plugins rw shared:1 - ext4 /dev/sda1 rw\n";
    const ROOTFS: &str = "300 299 0:60 / / rw - overlay overlay rw\n";

    fn found(host: &str, rows: &str, registration: Option<&str>, endpoint: Option<&str>) -> Option<String> {
        let claims = Claims { endpoint: endpoint.map(path), ..Claims::default() };
        let mounts = Some(table(&format!("{ROOTFS}{rows}")));
        let seat = Seat { claims: vec![claims], mounts, ..Seat::default() };
        let view = View::unseen(&publisher("/srv/k").root);
        let plugin =
            Plugin { seat, driver: None, registration: registration.map(path), registrar: None, view };
        let trees =
            [(path("/var/lib/kubelet"), path("/var/lib/kubelet")), (path("/srv/link"), path("/srv/k"))];
        socket_directory(&table(host), &trees, &plugin).map(|directory| directory.to_string())
    }

    const CSI: &str = "301 300 8:1 /srv/k/plugins/x.example /csi rw - ext4 /dev/sda1 rw\n";

    #[test]
    fn the_directory_is_that_of_the_registration_where_the_plugin_has_it() {
        let standard = Some("/var/lib/kubelet/plugins/x.example/csi.sock");
        let there = Some("/var/lib/kubelet/plugins/x.example".to_owned());
        assert_eq!(found(HOST, CSI, standard, Some("/csi/csi.sock")), there);
        assert_eq!(found(HOST, CSI, standard, None), there, "the endpoint may be a variable");
        // Of the kubelet's own tree, too.
        let root = Some("/srv/link/plugins/x.example/csi.sock");
        assert_eq!(found(HOST, CSI, root, None).as_deref(), Some("/srv/k/plugins/x.example"));
        // Not the directory of another driver, whatever the arguments say.
        assert_eq!(found(HOST, CSI, Some("/var/lib/kubelet/plugins/other/csi.sock"), None), None);
    }

    #[test]
    fn without_a_registrar_it_is_where_the_plugin_listens() {
        let there = Some("/srv/k/plugins/x.example");
        let found = |rows| found(HOST, rows, None, Some("/csi/csi.sock"));
        assert!([there, Some("/var/lib/kubelet/plugins/x.example")].contains(&found(CSI).as_deref()));
        assert_eq!(found("301 300 8:1 /srv/elsewhere /csi rw - ext4 /dev/sda1 rw\n"), None);
    }

    #[test]
    fn plugins_itself_and_what_is_staged_are_never_covered() {
        for directory in ["plugins", "plugins/kubernetes.io", "plugins/kubernetes.io/csi"] {
            let rows = format!("301 300 8:1 /srv/k/{directory} /csi rw - ext4 /dev/sda1 rw\n");
            let registration = format!("/var/lib/kubelet/{directory}/csi.sock");
            assert_eq!(found(HOST, &rows, Some(&registration), None), None, "{directory}");
            assert_eq!(found(HOST, &rows, None, Some("/csi/csi.sock")), None, "{directory}");
        }
    }

    #[test]
    fn a_closed_gate_is_seen_through() {
        let gate = "23 22 0:93 / /var/lib/kubelet/plugins/x.example ro shared:9 - tmpfs csihost-gate ro\n";
        let host = format!("{HOST}{gate}");
        let standard = Some("/var/lib/kubelet/plugins/x.example/csi.sock");
        assert!(found(&host, CSI, standard, None).is_some());
        assert_eq!(table(&host).gates().len(), 1);
        // Another mount at such a place is one like all others.
        assert!(table(&host.replace("tmpfs csihost-gate", "tmpfs gate")).gates().is_empty());
    }
}
