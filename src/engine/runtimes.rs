//! Engine: reads the processes that may be the host's container runtime.

use super::kubelet::Found;
use super::tree::Tree;
use crate::detect::{Identity, runtime_unit};
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::bytes::shown;
use crate::model::runtime::RuntimeProcess;
use crate::model::sandbox::Sandbox;
use crate::mounts::mountinfo;
use crate::systemd::Offline;

/// The runtimes among the processes that `found` names. A process that goes away meanwhile is none, and no error.
pub(super) fn runtimes(host: &Host, proc: &Proc<'_>, found: &Found<'_>) -> Vec<RuntimeProcess> {
    let here = proc.host_namespaces();
    let kubelet = found.detection.kubelet.as_ref().and_then(|kubelet| kubelet.pid);
    let kubelets = kubelet.and_then(|pid| proc.mount_namespace(pid));
    let read = |(pid, name): &(i32, Vec<u8>)| {
        let pid = *pid;
        let started = proc.started(pid)?;
        let namespaces = proc.namespaces_of(pid);
        let identity = Identity { user: proc.user(pid), namespaces, cgroup: proc.cgroup(pid) };
        let unit = runtime_unit(&identity, &here)?;
        let own = namespaces.mnt.filter(|own| here.mnt.is_some_and(|hosts| *own != hosts));
        // The table of one that shares the kubelet's is the kubelet's.
        let mounts = match own {
            Some(_) => Some(mountinfo::parse(&proc.mountinfo_of(pid).ok()?).ok()?),
            None => None,
        };
        let sandbox = mounts
            .as_ref()
            .and_then(|_| Offline::new(Tree::new(host)).texts(&unit).map(|texts| Sandbox::read(&texts)));
        let with_kubelet = namespaces.mnt.is_some() && namespaces.mnt == kubelets;
        let name = shown(name);
        (proc.started(pid) == Some(started)).then_some(RuntimeProcess {
            pid,
            name,
            unit,
            sandbox,
            mounts,
            with_kubelet,
        })
    };
    found.world.runtimes.iter().filter_map(read).collect()
}
