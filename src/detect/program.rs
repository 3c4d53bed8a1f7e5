//! Pure: whether a process is a kubelet at all.

use super::arguments;
use crate::model::bytes::shown;
use crate::model::kubelet::{Rejection, RejectionReason};
use crate::model::process::{Namespaces, Process};

/// The programs that are a kubelet, or have one inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// A process of its own, whose arguments are the kubelet's (also `hyperkube kubelet`).
    Kubelet,
    /// k3s: the kubelet is a part of the process. Its arguments are k3s' own, and not to be seen
    /// since 1.19.1.
    K3s,
    /// MicroK8s.
    Kubelite,
    /// MicroShift.
    Microshift,
}

/// What the beginning of /proc/PID/cmdline makes of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing of interest: nothing else is read of it.
    Other,
    /// It may be a kubelet: all of it is worth reading.
    Candidate,
    /// It only has the word in its arguments; others have taken such for a kubelet.
    Mention(String),
}

/// The cheap look that thousands of other processes do not pass. `head` may be cut off.
pub fn look(head: &[u8]) -> Look {
    // Most processes say none of these words anywhere.
    if !WORDS.iter().any(|word| contains(head, word)) {
        return Look::Other;
    }
    let mut args = head.split(|&b| b == 0);
    let first = args.next().unwrap_or_default();
    if is_candidate(first, args.clone().next().unwrap_or_default()) {
        return Look::Candidate;
    }
    // k3s writes its title into its first argument; so do others.
    let words = first.split(|&b| b == b' ').chain(args.clone().take(2));
    let named = words.into_iter().find(|word| NAMES.contains(&base_name(word)));
    let told = named.or_else(|| head.split(|&b| b == 0).find(|arg| arg.starts_with(b"--kubelet-")));
    let prefixed = base_name(first).starts_with(b"kubelet");
    match (told, prefixed) {
        (None, false) => Look::Other,
        (None, true) => Look::Mention(format!("{} is not the kubelet's program", short(first))),
        (Some(word), _) => {
            Look::Mention(format!("{} only has \"{}\" in its arguments", short(first), short(word)))
        }
    }
}

/// What every name below contains one of.
const WORDS: [&[u8]; 5] = [b"kubelet", b"k3s", b"kubelite", b"hyperkube", b"microshift"];

const NAMES: [&[u8]; 7] =
    [b"kubelet", b"hyperkube", b"k3s", b"k3s-server", b"k3s-agent", b"kubelite", b"microshift"];

fn contains(text: &[u8], word: &[u8]) -> bool {
    let Some((&first, rest)) = word.split_first() else { return true };
    let mut text = text;
    while let Some(at) = text.iter().position(|&b| b == first) {
        text = text.get(at + 1..).unwrap_or_default();
        if text.starts_with(rest) {
            return true;
        }
    }
    false
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default()
}

/// As much of an argument as fits a line.
fn short(arg: &[u8]) -> String {
    const MOST: usize = 120;
    match arg.get(..MOST) {
        Some(head) if arg.len() > MOST => format!("{}…", shown(head)),
        _ => shown(arg),
    }
}

/// Whether the first two arguments may be a kubelet's: its own, or the title that k3s writes.
fn is_candidate(first: &[u8], second: &[u8]) -> bool {
    by_words(first, second).is_some() || base_name(title_words(first).0).starts_with(b"k3s")
}

/// A title's first word, and what follows it.
fn title_words(title: &[u8]) -> (&[u8], &[u8]) {
    match title.iter().position(|&b| b == b' ') {
        Some(at) => title.split_at(at),
        None => (title, &[]),
    }
}

fn by_words(first: &[u8], second: &[u8]) -> Option<Program> {
    let of = |name: &[u8], second: &[u8]| match (name, second) {
        (b"kubelet", _) | (b"hyperkube", b"kubelet" | b"/kubelet") => Some(Program::Kubelet),
        (b"k3s", b"server" | b"agent") | (b"k3s-server" | b"k3s-agent", _) => Some(Program::K3s),
        (b"kubelite", _) => Some(Program::Kubelite),
        (b"microshift", b"run") => Some(Program::Microshift),
        _ => None,
    };
    of(base_name(first), second).or_else(|| {
        // A title: words in the place of the first argument.
        let (name, rest) = title_words(first);
        let second = rest.trim_ascii().split(|&b| b == b' ').next().unwrap_or_default();
        let program = of(base_name(name), second)?;
        // Only k3s is known to write one; "kubelet x" may be any program's name with a space.
        (program == Program::K3s).then_some(program)
    })
}

/// What `process` runs, by its first arguments, and for k3s by its name.
pub(super) fn program(process: &Process) -> Option<Program> {
    let first = process.args.first()?;
    let second = process.args.get(1).map_or(&b""[..], Vec::as_slice);
    by_words(first, second).or_else(|| {
        // A renamed k3s: since 1.19.1 it gives itself the name of its role.
        let k3s = base_name(title_words(first).0).starts_with(b"k3s");
        let named = matches!(process.comm.as_slice(), b"k3s-server" | b"k3s-agent");
        (k3s && named).then_some(Program::K3s)
    })
}

/// Why `process` is not this host's kubelet, if it is not; `host` are the host's namespaces.
pub fn refuse(process: &Process, host: &Namespaces) -> Option<Rejection> {
    let name = short(process.args.first().unwrap_or(&process.comm));
    let reject = |reason, detail: String| Some(Rejection { pid: Some(process.pid), reason, detail });
    let Some(program) = program(process) else {
        return reject(RejectionReason::NotAKubelet, format!("{name} is not the kubelet's program"));
    };
    let differs =
        |mine: Option<u64>, theirs: Option<u64>| mine.is_some() && theirs.is_some() && mine != theirs;
    if differs(process.namespaces.user, host.user) {
        let detail = format!("{name} runs in a user namespace of its own: it is not root on this host");
        return reject(RejectionReason::ForeignUserNamespace, detail);
    }
    if process.nested || differs(process.namespaces.pid, host.pid) {
        let detail =
            format!("{name} runs in a PID namespace of its own: it is another node's kubelet (kind, k3d)");
        return reject(RejectionReason::NestedPidNamespace, detail);
    }
    if process.uid != 0 {
        return reject(RejectionReason::NotRoot, format!("{name} runs as user {}", process.uid));
    }
    if program == Program::Kubelet && arguments::only_asks(&process.args) {
        let detail = format!("{name} only tells its version or its flags");
        return reject(RejectionReason::NotAKubelet, detail);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            (&["/opt/my tools/kubelet"], Some(Program::Kubelet)),
            (&["/opt/my\ntools/kubelet", "--v=2"], Some(Program::Kubelet)),
            (&["/hyperkube", "kubelet", "--root-dir=/x"], Some(Program::Kubelet)),
            (&["/hyperkube", "proxy"], None),
            (&["/usr/local/bin/k3s server"], Some(Program::K3s)),
            (&["/usr/local/bin/k3s server   "], Some(Program::K3s)),
            (&["/usr/local/bin/k3s", "agent"], Some(Program::K3s)),
            (&["/usr/local/bin/k3s", "kubectl"], None),
            (&["/usr/local/bin/k3s-v1.30 server"], None),
            (&["/snap/microk8s/1/kubelite", "--kubelet-args-file=x"], Some(Program::Kubelite)),
            (&["microshift", "run"], Some(Program::Microshift)),
            (&["microshift", "version"], None),
            (&["sudo", "k3s", "server"], None),
            (&["sudo k3s server"], None),
            (&["vi", "kubelet"], None),
            (&["/csi-node-driver-registrar", "--kubelet-registration-path=/var/lib/kubelet"], None),
            (&["kubelet-wrapper"], None),
            (&["kubelet wrapper"], None),
            (&["/opt/my kubelet/run"], None),
            (&[], None),
        ] {
            assert_eq!(program(&process(args)), expected, "{args:?}");
        }
        let mut renamed = process(&["/usr/local/bin/k3s-v1.30 server"]);
        renamed.comm = b"k3s-server".to_vec();
        assert_eq!(program(&renamed), Some(Program::K3s));
    }

    #[test]
    fn the_cheap_look_passes_all_that_may_be_one() {
        for text in [
            "/usr/bin/kubelet\0--v=2\0",
            "/usr/local/bin/k3s server\0\0",
            "/usr/local/bin/k3s-v1.30 server\0\0",
            "/hyperkube\0kubelet\0",
            "/opt/my tools/kubelet\0",
        ] {
            assert_eq!(look(text.as_bytes()), Look::Candidate, "{text:?}");
        }
        for text in
            ["", "\0", "bash\0", "cat\0/etc/kubelets\0", "containerd-shim\0-id\0k8s\0kubelet\0", "my-k3s\0"]
        {
            assert_eq!(look(text.as_bytes()), Look::Other, "{text:?}");
        }
    }

    #[test]
    fn what_only_mentions_a_kubelet_is_named_with_the_word() {
        for (text, word) in [
            ("vi\0kubelet\0", "vi only has \"kubelet\" in its arguments"),
            ("sudo\0k3s\0server\0", "sudo only has \"k3s\" in its arguments"),
            (
                "reg\0--v=1\0--kubelet-registration-path=/x\0",
                "reg only has \"--kubelet-registration-path=/x\"",
            ),
            ("/kubelet-wrapper\0", "/kubelet-wrapper is not the kubelet's program"),
        ] {
            let Look::Mention(detail) = look(text.as_bytes()) else { panic!("{text:?}") };
            assert!(detail.starts_with(word), "{detail}");
        }
        let long = [b"vi\0--kubelet-".as_slice(), &[b'\xff'; 4000]].concat();
        assert!(matches!(look(&long), Look::Mention(detail) if detail.len() < 700));
    }

    #[test]
    fn only_root_in_the_hosts_namespaces_is_the_hosts_kubelet() {
        let host = Namespaces { pid: Some(1), user: Some(2), mnt: Some(3), net: Some(4) };
        let mut kubelet = process(&["kubelet"]);
        kubelet.namespaces = Namespaces { pid: Some(1), user: Some(2), mnt: Some(99), net: Some(98) };
        assert_eq!(refuse(&kubelet, &host), None);
        kubelet.uid = 1000;
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::NotRoot);
        kubelet.nested = true;
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::NestedPidNamespace);
        kubelet.nested = false;
        kubelet.namespaces.pid = Some(98);
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::NestedPidNamespace);
        kubelet.namespaces.user = Some(97);
        assert_eq!(refuse(&kubelet, &host).unwrap().reason, RejectionReason::ForeignUserNamespace);
        let asked = refuse(&process(&["kubelet", "--version"]), &host).unwrap();
        assert_eq!(asked.reason, RejectionReason::NotAKubelet);
    }

    proptest! {
        #[test]
        fn every_program_passes_the_cheap_look(args in proptest::collection::vec(
            prop_oneof!["[a-z/]{0,6}(kubelet|k3s|hyperkube|kubelite|microshift)( server| agent)?", "server|agent|run|kubelet", "[^\u{0}]{0,9}"], 0..4)
        ) {
            let process = process(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let head = args.join("\0");
            if program(&process).is_some() {
                prop_assert_eq!(look(head.as_bytes()), Look::Candidate);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(head: Vec<u8>) {
            let _ = look(&head);
        }
    }
}
