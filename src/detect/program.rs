//! Pure: whether a process is a kubelet at all.

use crate::model::bytes::shown;
use crate::model::kubelet::{Rejection, RejectionReason};
use crate::model::process::{Namespaces, Process};

/// The programs that are a kubelet, or have one inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// A process of its own, whose arguments are the kubelet's (also `hyperkube kubelet`).
    Kubelet,
    /// k3s: the kubelet is a part of the process, its arguments are not to be seen.
    K3s,
    /// MicroK8s.
    Kubelite,
    /// MicroShift.
    Microshift,
}

/// Whether the text of /proc/PID/cmdline is worth a second look: the cheap filter that thousands
/// of other processes do not pass.
pub fn may_be_kubelet(cmdline: &[u8]) -> bool {
    let first = cmdline.split(|&b| b == 0).next().unwrap_or_default();
    // k3s writes its title into its first argument: "/usr/local/bin/k3s server".
    let words = first.split(|&b| b == b' ').chain(cmdline.split(|&b| b == 0).skip(1)).take(3);
    words.into_iter().any(|word| NAMES.contains(&base_name(word)))
}

const NAMES: [&[u8]; 7] =
    [b"kubelet", b"hyperkube", b"k3s", b"k3s-server", b"k3s-agent", b"kubelite", b"microshift"];

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// What `process` runs, by its first arguments.
pub(super) fn program(process: &Process) -> Option<Program> {
    let title = process.args.first()?;
    let (first, rest_of_title) = match title.iter().position(|&b| b == b' ') {
        Some(at) if process.args.len() == 1 => title.split_at(at),
        _ => (title.as_slice(), &b""[..]),
    };
    let second = match rest_of_title.trim_ascii() {
        [] => process.args.get(1).map_or(&b""[..], Vec::as_slice),
        words => words.split(|&b| b == b' ').next().unwrap_or_default(),
    };
    match (base_name(first), second) {
        (b"kubelet", _) | (b"hyperkube", b"kubelet" | b"/kubelet") => Some(Program::Kubelet),
        (b"k3s", b"server" | b"agent") | (b"k3s-server" | b"k3s-agent", _) => Some(Program::K3s),
        (b"kubelite", _) => Some(Program::Kubelite),
        (b"microshift", b"run") => Some(Program::Microshift),
        _ => None,
    }
}

/// Why `process` is not this host's kubelet, if it is not; `host` are the host's namespaces.
pub fn refuse(process: &Process, host: &Namespaces) -> Option<Rejection> {
    let name = process.args.first().map_or_else(|| shown(&process.comm), |first| shown(first));
    let reject = |reason, detail: String| Some(Rejection { pid: Some(process.pid), reason, detail });
    if program(process).is_none() {
        return reject(RejectionReason::NotAKubelet, format!("{name} only has the word in its arguments"));
    }
    let differs =
        |mine: Option<u64>, theirs: Option<u64>| mine.is_some() && theirs.is_some() && mine != theirs;
    if differs(process.namespaces.user, host.user) {
        let detail = format!("{name} runs in a user namespace of its own: it is not root on this host");
        return reject(RejectionReason::ForeignUserNamespace, detail);
    }
    if differs(process.namespaces.pid, host.pid) {
        let detail =
            format!("{name} runs in a PID namespace of its own: it is another node's kubelet (kind, k3d)");
        return reject(RejectionReason::NestedPidNamespace, detail);
    }
    if process.uid != 0 {
        return reject(RejectionReason::NotRoot, format!("{name} runs as user {}", process.uid));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(args: &[&str]) -> Process {
        Process {
            pid: 7,
            args: args.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            ..Process::default()
        }
    }

    #[test]
    fn a_program_is_known_by_what_it_is_and_not_by_what_it_mentions() {
        for (args, expected) in [
            (&["/usr/bin/kubelet", "--v=2"][..], Some(Program::Kubelet)),
            (&["kubelet"], Some(Program::Kubelet)),
            (&["/hyperkube", "kubelet", "--root-dir=/x"], Some(Program::Kubelet)),
            (&["/hyperkube", "proxy"], None),
            (&["/usr/local/bin/k3s server"], Some(Program::K3s)),
            (&["/usr/local/bin/k3s", "agent"], Some(Program::K3s)),
            (&["/usr/local/bin/k3s", "kubectl"], None),
            (&["/snap/microk8s/1/kubelite", "--kubelet-args-file=x"], Some(Program::Kubelite)),
            (&["sudo", "k3s", "server"], None),
            (&["vi", "kubelet"], None),
            (&["/csi-node-driver-registrar", "--kubelet-registration-path=/var/lib/kubelet"], None),
            (&["kubelet-wrapper"], None),
            (&["/opt/my kubelet/run"], None),
            (&[], None),
        ] {
            assert_eq!(program(&process(args)), expected, "{args:?}");
        }
    }

    #[test]
    fn the_cheap_filter_passes_all_that_may_be_one() {
        for text in [
            "/usr/bin/kubelet\0--v=2\0",
            "/usr/local/bin/k3s server\0\0",
            "vi\0kubelet\0",
            "/hyperkube\0kubelet\0",
        ] {
            assert!(may_be_kubelet(text.as_bytes()), "{text:?}");
        }
        for text in [
            "",
            "\0",
            "bash\0",
            "registrar\0--path=/var/lib/kubelet/x\0",
            "containerd-shim\0-id\0k8s\0kubelet\0",
        ] {
            assert!(!may_be_kubelet(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn only_root_in_the_hosts_namespaces_is_the_hosts_kubelet() {
        let host = Namespaces { pid: Some(1), user: Some(2), mnt: Some(3) };
        let mut kubelet = process(&["kubelet"]);
        kubelet.namespaces = Namespaces { pid: Some(1), user: Some(2), mnt: Some(99) };
        assert_eq!(refuse(&kubelet, &host), None);
        kubelet.uid = 1000;
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::NotRoot);
        kubelet.namespaces.pid = Some(98);
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::NestedPidNamespace);
        kubelet.namespaces.user = Some(97);
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::ForeignUserNamespace);
    }
}
