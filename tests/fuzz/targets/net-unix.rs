#![no_main]
//! Rows of /proc/PID/net/unix: what they claim is the kubelet's only if the host confirms it.

use csihost::detect::{Ids, Observed, World, detect};
use csihost::model::file::Trust;
use csihost::model::kubelet::KubeletRoot;
use csihost::model::mount::MountTable;
use csihost::model::path::HostPath;
use csihost::model::process::Process;
use libfuzzer_sys::fuzz_target;

struct Nothing(MountTable);

impl World for Nothing {
    fn mounts<'a>(&'a self, _: &'a Process) -> &'a MountTable {
        &self.0
    }
    fn canonical(&self, _: Option<&Process>, path: &HostPath) -> HostPath {
        path.clone()
    }
    fn host_dir(&self, _: &Process, root: &KubeletRoot) -> Option<HostPath> {
        Some(root.as_path().clone())
    }
    fn trust(&self, _: Option<&Process>, _: &HostPath) -> Trust {
        Trust::Missing("nothing is there".to_owned())
    }
    fn is_socket(&self, _: &Process, _: &HostPath) -> Option<bool> {
        None
    }
    fn ids(&self, _: &Process, _: &HostPath) -> Option<Ids> {
        None
    }
    fn exists(&self, _: &HostPath) -> bool {
        false
    }
}

fuzz_target!(|bytes: &[u8]| {
    let process = Process {
        pid: 7,
        args: vec![b"k3s server".to_vec()],
        sockets: (0..10).collect(),
        net_unix: bytes.to_vec(),
        cgroup: bytes.to_vec(),
        ..Process::default()
    };
    let observed = Observed { processes: vec![process], ..Observed::default() };
    let found = detect(observed, &Nothing(MountTable::default()));
    assert!(found.kubelet.is_none(), "a row that nothing confirms is an answer");
    let _ = csihost::scene::net_unix(bytes);
});
