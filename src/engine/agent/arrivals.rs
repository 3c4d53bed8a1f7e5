//! Engine: containers that start. A plugin that is started anew has to be grafted before the kubelet
//! calls it, and nobody tells when a program runs; but a container's control group is made before it,
//! which inotify(7) tells. So where plugins are grafted, the agent looks for a few seconds, often and
//! only at processes that are new, for one that speaks of CSI.

use crate::detect::below_host;
use crate::detect::plugin::mentions;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::path::HostPath;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often it is looked.
const OFTEN: Duration = Duration::from_millis(25);
/// A runtime takes some hundred milliseconds from the control group to the program.
const LONG: Duration = Duration::from_secs(5);

/// Where control groups are mounted: the unified hierarchy, alone or beside others, and systemd's own.
const MOUNTED: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
/// Where pods are before one was seen: of the kubelet's two drivers (kubernetes,
/// pkg/kubelet/cm/pod_container_manager_linux.go).
/// The first stands for their parent: before a first pod there is none of them.
const PODS: [&str; 7] = [
    "",
    "kubepods.slice",
    "kubepods.slice/kubepods-besteffort.slice",
    "kubepods.slice/kubepods-burstable.slice",
    "kubepods",
    "kubepods/besteffort",
    "kubepods/burstable",
];

/// What is known of processes, and until when new ones are looked at.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    known: BTreeSet<i32>,
    /// Those that came since and speak of CSI, with how their arguments begin: a script may become
    /// another program.
    came: BTreeMap<i32, Vec<u8>>,
    until: Option<Instant>,
    next: Option<Instant>,
}

impl Arrivals {
    /// A container begins.
    pub(super) fn expect(&mut self, now: Instant) {
        self.until = Some(now + LONG);
        self.next.get_or_insert(now + OFTEN);
    }

    /// When it is looked next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks, now that it is time: whether a process that speaks of CSI has come.
    pub(super) fn come(&mut self, proc: &Proc<'_>, now: Instant) -> bool {
        self.next = self.until.filter(|&until| now < until).map(|_| now + OFTEN);
        let pids = proc.pids().unwrap_or_default();
        let mut heads = proc.heads();
        let mut come = false;
        // All others are looked at again and again: a runtime's process becomes the program.
        for pid in pids.into_iter().filter(|pid| !self.known.contains(pid)) {
            let Some(head) = heads.read(pid).filter(|head| mentions(head)) else { continue };
            if self.came.get(&pid).is_none_or(|before| before != head) {
                self.came.insert(pid, head.to_vec());
                come = true;
            }
        }
        come
    }

    /// A turn has looked at all processes that there are.
    pub(super) fn looked(&mut self, proc: &Proc<'_>) {
        // While containers begin, what is there may yet become a plugin.
        if self.next.is_none() {
            self.known = proc.pids().unwrap_or_default().into_iter().collect();
            self.came.clear();
        }
    }
}

/// The control groups in which new ones are worth a look: those of the pods of `plugins`, and those in
/// which such pods are made; `None` where there is no plugin to go by.
pub(super) fn control_groups(proc: &Proc<'_>, plugins: &[i32]) -> Option<BTreeSet<HostPath>> {
    let first = proc.cgroup(1);
    let groups: Vec<HostPath> =
        plugins.iter().flat_map(|&pid| below_host(&proc.cgroup(pid), &first)).collect();
    let pods = groups.iter().filter_map(HostPath::parent);
    let both: BTreeSet<HostPath> = pods.flat_map(|pod| [pod.parent(), Some(pod)]).flatten().collect();
    (!both.is_empty()).then(|| mounted(both.iter().map(HostPath::relative)))
}

/// Where the control groups of pods are, or will be, on a host of which no plugin is known, and those of
/// the pods that are there: a container that ended is made anew in the group of its pod.
pub(super) fn usual_control_groups(host: &Host) -> BTreeSet<HostPath> {
    let mut groups = mounted(PODS.iter().map(std::path::Path::new));
    let is_pod = |name: &Vec<u8>| name.windows(3).any(|three| three == b"pod");
    let pods = |group: &HostPath| -> Vec<HostPath> {
        let names = host.list(group).unwrap_or_default();
        names.iter().filter(|name| is_pod(name)).map(|name| group.join(name)).collect()
    };
    let there: Vec<HostPath> = groups.iter().flat_map(pods).collect();
    groups.extend(there);
    groups
}

fn mounted<'a>(groups: impl Iterator<Item = &'a std::path::Path> + Clone) -> BTreeSet<HostPath> {
    use std::os::unix::ffi::OsStrExt;
    let at = |place: &'static str| {
        groups.clone().map(move |group| HostPath::from(place).join(group.as_os_str().as_bytes()))
    };
    MOUNTED.into_iter().flat_map(at).collect()
}
