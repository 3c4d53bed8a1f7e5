//! Mounts: whether the first rows of a container's mount table say all that will be asked of it.
//!
//! A plugin sees the volumes of all pods, and the kernel takes its time to write them down; they
//! come after the directories that were mounted when the container was made. So a table need not be
//! read to its end where that could change no answer. What is asked is
//!
//! 1. on which mounts the kubelet's strings and the driver's socket lie. Rows that are yet to come
//!    could lead these paths elsewhere (a mount on top, or above), so the kernel is asked by which
//!    mount it gets there (statx(2), `stx_mnt_id`), and the rows have to say the same;
//! 2. whether there is some mount that makes the container a plugin. Where one is found, others
//!    change nothing;
//! 3. whether mounts travel. Where they do so both ways, more rows change nothing: a group that is
//!    reached stays reached.
//!
//! So only the table of a plugin that is in order is read in part; of all others, everything counts.

use super::super::contract::travels_both_ways;
use super::super::resolve::cover;
use super::Host;
use crate::model::contract::{Plugin, Publisher};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;

/// The host and the kubelet, as tables of plugins are held against them.
pub struct Sufficient<'a> {
    host: Host<'a>,
    publisher: &'a Publisher,
}

impl<'a> Sufficient<'a> {
    /// For the plugins of this kubelet.
    pub fn new(host: &'a MountTable, publisher: &'a Publisher) -> Self {
        Self { host: Host::new(host, publisher), publisher }
    }

    /// The paths of which the mounts have to be known: the kubelet's strings, and where sockets are.
    pub fn asked(&self, plugin: &Plugin) -> Vec<HostPath> {
        let Plugin { seat, view, .. } = plugin;
        let sockets = seat.claims.iter().flat_map(|claims| [&claims.endpoint, &claims.address]);
        let mut asked: Vec<HostPath> = sockets.flatten().filter_map(HostPath::parent).collect();
        asked.extend(seat.claims.iter().filter_map(|claims| claims.registry.clone()));
        asked.push(view.pods.path.clone());
        // Where stat(2) finds the kubelet's own directory, no table is asked. Its mount may come
        // last: runtimes mount by depth (containerd, internal/cri/server, `orderedMounts`).
        let same = matches!((self.publisher.view.staging.found, view.staging.found), (Some(Some(a)), Some(Some(b))) if a == b);
        asked.extend((!same).then(|| view.staging.path.clone()));
        asked
    }

    /// Whether the mounts of a plugin's seat, the first rows of its table, say all. `lies_on` are
    /// paths, without links, each with the mount on which the kernel finds it.
    pub fn says_all(&self, plugin: &Plugin, lies_on: &[(HostPath, u64)]) -> bool {
        let Some(rows) = &plugin.seat.mounts else { return false };
        let row = |path: &HostPath| cover(rows, path.as_bytes()).map(|row| row.id);
        let as_the_kernel_says =
            |path: &HostPath| lies_on.iter().any(|(known, mount)| known == path && row(path) == Some(*mount));
        self.asked(plugin).iter().all(as_the_kernel_says)
            && self.host.holds(&plugin.seat, None)
            && (self.host.registers_itself(&plugin.seat) || self.host.publishes(&plugin.seat))
            && travels_both_ways(self.publisher, plugin, self.host.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contract::{Lookup, Plugins, View};
    use crate::model::mount::MountTable;
    use crate::mounts::contract::contracts;
    use crate::mounts::mountinfo::parse;
    use crate::mounts::plugins::choose;
    use crate::mounts::plugins::tests::{HOST, path, pod, publisher, registrar, server};
    use proptest::prelude::*;

    /// The plugin's own rows, in the order in which a runtime makes them, then those of volumes.
    fn rows(tags: &str, late: &str) -> String {
        format!(
            "300 299 0:60 / / rw - overlay overlay rw\n\
             301 300 0:61 / /proc rw - proc proc rw\n\
             302 300 8:1 /var/lib/kubelet/plugins/x.example /csi rw - ext4 /dev/sda1 rw\n\
             303 300 8:1 /var/lib/kubelet/pods /var/lib/kubelet/pods rw {tags}- ext4 /dev/sda1 rw\n\
             304 303 0:90 / /var/lib/kubelet/pods/u/volumes/v rw shared:90 - tmpfs tmpfs rw\n{late}"
        )
    }

    fn plugin(text: &str) -> Plugin {
        let claims = [server("x.example")];
        let seat = pod(40, "a", &[(&claims, parse(text.as_bytes()).unwrap())]).remove(0);
        let view = View::unseen(&publisher("/var/lib/kubelet").root);
        Plugin { seat, driver: None, registration: None, registrar: None, view }
    }

    /// As statx(2) would say: by the whole table.
    fn lies_on(whole: &MountTable, asked: &[HostPath]) -> Vec<(HostPath, u64)> {
        asked.iter().filter_map(|path| Some((path.clone(), cover(whole, path.as_bytes())?.id))).collect()
    }

    /// Whether so many rows of `text` say all.
    fn after(text: &str, count: usize) -> bool {
        let (host, publisher) = (parse(HOST.as_bytes()).unwrap(), publisher("/var/lib/kubelet"));
        let sufficient = Sufficient::new(&host, &publisher);
        let first: String = text.split_inclusive('\n').take(count).collect();
        let plugin = plugin(&first);
        sufficient.says_all(&plugin, &lies_on(&parse(text.as_bytes()).unwrap(), &sufficient.asked(&plugin)))
    }

    #[test]
    fn the_rows_of_socket_and_pods_say_all_of_a_plugin_in_order() {
        let text = rows("shared:1 ", "");
        assert_eq!([2, 3, 4, 5].map(|count| after(&text, count)), [false, false, true, true]);
    }

    #[test]
    fn a_plugin_that_is_not_in_order_is_read_to_its_end() {
        for tags in ["", "master:1 ", "shared:7 "] {
            assert!(!after(&rows(tags, ""), 5), "{tags}");
        }
    }

    #[test]
    fn a_mount_that_comes_later_and_leads_elsewhere_is_waited_for() {
        for over in ["/csi", "/var/lib/kubelet/pods", "/var/lib"] {
            let parent = if over.ends_with("pods") { 303 } else { 300 };
            let late = format!("399 {parent} 0:99 / {over} rw - tmpfs tmpfs rw\n");
            assert!(!after(&rows("shared:1 ", &late), 5), "{over}");
        }
    }

    #[test]
    fn a_staging_directory_that_is_the_kubelets_own_needs_no_row() {
        let (host, mut publisher) = (parse(HOST.as_bytes()).unwrap(), publisher("/var/lib/kubelet"));
        let staging = path("/var/lib/kubelet/plugins/kubernetes.io/csi");
        let id = crate::mounts::resolve::place(&host, b"/")
            .map(|place| crate::model::file::FileId { device: place.mount.device, inode: 7 });
        publisher.view.staging = Lookup { path: staging.clone(), found: Some(id) };
        let mut plugin = plugin(&rows("shared:1 ", ""));
        let sufficient = Sufficient::new(&host, &publisher);
        assert!(sufficient.asked(&plugin).contains(&staging));
        plugin.view.staging.found = Some(id);
        assert!(!sufficient.asked(&plugin).contains(&staging));
    }

    proptest! {
        #[test]
        fn what_the_first_rows_say_all_of_is_what_the_whole_table_says(
            late in proptest::collection::vec((0..6u64, prop_oneof![
                Just("/"), Just("/csi"), Just("/var"), Just("/var/lib/kubelet"), Just("/var/lib/kubelet/pods"),
                Just("/var/lib/kubelet/plugins/kubernetes.io/csi"), Just("/x"),
            ], prop_oneof![Just("8:1 /var/lib/kubelet/pods"), Just("8:1 /var/lib/kubelet"), Just("8:1 /"), Just("0:99 /")],
                prop_oneof![Just(""), Just("shared:1 "), Just("master:1 "), Just("shared:8 master:1 ")]), 0..8),
            tags in prop_oneof![Just(""), Just("shared:1 "), Just("master:1 "), Just("shared:8 master:1 ")],
            count in 1..12usize,
        ) {
            // A mount lies on one that is above it, or on the root.
            let points = ["/", "/proc", "/csi", "/var/lib/kubelet/pods"];
            let parent = |chosen: u64, point: &str| match points.get(chosen as usize) {
                Some(above) if point.starts_with(above) => 300 + chosen,
                _ => 300,
            };
            let late: String = late.iter().zip(310..).map(|((chosen, point, shown, tags), id)| {
                format!("{id} {} {shown} {point} rw {tags}- t s rw\n", parent(*chosen, point))
            }).collect();
            let text: String = rows(tags, &late);
            if after(&text, count) {
                let (host, publisher) = (parse(HOST.as_bytes()).unwrap(), publisher("/var/lib/kubelet"));
                let first: String = text.split_inclusive('\n').take(count).collect();
                let answers = [first.as_str(), text.as_str()].map(|text| {
                    let mut seats = vec![plugin(text).seat];
                    seats.extend(pod(80, "a", &[(&[registrar("/var/lib/kubelet/plugins/x.example/csi.sock")],
                        parse(rows("", "").as_bytes()).unwrap())]));
                    let chosen = choose(&seats, &host, &publisher, &[]);
                    let found = vec![plugin(text)];
                    let plugins = Plugins { kubelet: Some(publisher.clone()), found, ..Plugins::default() };
                    (chosen, contracts(&plugins, &host, false))
                });
                prop_assert_eq!(&answers[0], &answers[1]);
            }
        }
    }
}
