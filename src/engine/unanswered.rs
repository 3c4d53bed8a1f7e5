//! Objects that csihost leaves out because they did not answer, described by files that never wait.

use crate::detect::owner;
use crate::host::access;
use crate::host::process::Proc;
use crate::model::bytes::shown;
use crate::model::unanswered::{LeftOut, Unanswered, Why};
use anyhow::{Result, bail};

/// Names that the kernel shows for processes which are, or have in them, a kubelet.
const KUBELETS: [&str; 10] = [
    "kubelet",
    "hyperkube",
    "k3s",
    "k3s-server",
    "k3s-agent",
    "rke2",
    "k0s",
    "kubelite",
    "k8s-kubelet",
    "microshift",
];

/// The objects that are left out.
///
/// # Errors
/// One of them, or a process that is left out with them, may be this node's kubelet: without it nothing can be decided.
pub(super) fn left_out(proc: &Proc<'_>) -> Result<Vec<LeftOut>> {
    if !access::left_out().is_empty() {
        let pids = proc.pids()?;
        if let Some(pid) = pids.into_iter().find(|&pid| may_be_kubelet(proc, pid) && proc.is_left_out(pid)) {
            bail!(
                "process {pid} ({}) may be the kubelet, and is left out: its arguments or files, or those of a process in its \
                 container, do not answer when they are read; run cat /proc/{pid}/stack to see what it waits for, and \
                 restart it",
                shown(&proc.comm(pid)),
            );
        }
    }
    let mut described = Vec::new();
    for object in access::left_out() {
        let id = match object {
            Unanswered::Process(id) => id,
            Unanswered::Tenants => {
                described.push(LeftOut::Tenants);
                continue;
            }
            Unanswered::Journal => {
                described.push(LeftOut::Journal);
                continue;
            }
            Unanswered::Mount { point, fs_type } => {
                described.push(LeftOut::Mount { point: point.clone(), fs_type: fs_type.clone() });
                continue;
            }
        };
        if proc.started(id.pid) != Some(id.start) {
            continue;
        }
        described.push(process(proc, id.pid, Why::Silent));
    }
    described.extend(proc.too_long().into_iter().map(|pid| process(proc, pid, Why::TooLong)));
    Ok(described)
}

/// True if a process may be this node's kubelet, by files that never wait. It may run in a container (RKE1), or be a
/// service with a mount namespace of its own; a container of a pod may call its processes as it likes.
fn may_be_kubelet(proc: &Proc<'_>, pid: i32) -> bool {
    let is_hosts = || {
        proc.mount_namespace(pid) == proc.host_namespaces().mnt
            || proc.has_hosts_pid_namespace(pid) && owner(&proc.cgroup(pid)).pod.is_none()
    };
    KUBELETS.contains(&shown(&proc.comm(pid)).as_str()) && proc.user(pid) == Some(0) && is_hosts()
}

fn process(proc: &Proc<'_>, pid: i32, why: Why) -> LeftOut {
    LeftOut::Process {
        pid,
        comm: shown(&proc.comm(pid)),
        user: proc.user(pid),
        pod: owner(&proc.cgroup(pid)).pod,
        why,
    }
}
