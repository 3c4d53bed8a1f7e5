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
/// One of them may be this node's kubelet: without it nothing can be decided.
pub(super) fn left_out(proc: &Proc<'_>) -> Result<Vec<LeftOut>> {
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
        let (comm, user) = (shown(&proc.comm(id.pid)), proc.user(id.pid));
        let owner = owner(&proc.cgroup(id.pid));
        // A service may have a mount namespace of its own; a container may call its processes as it likes.
        let is_hosts = id.namespace.is_none() || owner.pod.is_none() && owner.container.is_none();
        if is_hosts && user == Some(0) && KUBELETS.contains(&comm.as_str()) {
            bail!(
                "process {} ({comm}) does not answer when its arguments or its files are read, and may be the kubelet; run \
                 cat /proc/{}/stack to see what it waits for, and restart it",
                id.pid,
                id.pid
            );
        }
        described.push(process(proc, id.pid, Why::Silent));
    }
    described.extend(proc.too_long().into_iter().map(|pid| process(proc, pid, Why::TooLong)));
    Ok(described)
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
