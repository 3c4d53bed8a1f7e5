//! Scene: arguments of programs, in /proc/PID/cmdline, units, variables and arguments' files.
//!
//! Kept are the flags that detection reads or that say what a process is to the kubelet, and
//! words that name programs, their verbs and files; of another flag only its name is kept. A flag
//! without `=` takes the next word with it, so a value that stands alone goes too.

use super::secrets::REDACTED;
use super::values::{Kind, is_key, is_path, is_unit, is_variable, shown};

/// Flags whose values are kept where they are of this kind, `-` for `_`. A value in two words is the next word.
const FLAGS: [(&[u8], Kind); 38] = [
    // What detection reads (kubelet, k3s, rke2, k0s, kubelite).
    (b"root-dir", Kind::Path),
    (b"volume-plugin-dir", Kind::Path),
    (b"data-dir", Kind::Path),
    (b"d", Kind::Path),
    (b"config", Kind::Path),
    (b"c", Kind::Path),
    (b"config-dir", Kind::Path),
    (b"kubelet-arg", Kind::Path),
    (b"kubelet-args-file", Kind::Path),
    (b"kubelet-root-dir", Kind::Path),
    (b"kubelet-extra-args", Kind::Path),
    (b"rootless", Kind::Word),
    (b"disable-agent", Kind::Word),
    (b"enable-worker", Kind::Word),
    (b"single", Kind::Word),
    (b"no-taints", Kind::Word),
    // What a container is to the kubelet.
    (b"kubelet-registration-path", Kind::Path),
    (b"plugin-registration-path", Kind::Path),
    (b"registration-path", Kind::Path),
    (b"csi-address", Kind::Endpoint),
    (b"endpoint", Kind::Endpoint),
    (b"driver-name", Kind::Driver),
    (b"drivername", Kind::Driver),
    (b"mode", Kind::Word),
    // How runtimes and the kubelet find each other.
    (b"container-runtime-endpoint", Kind::Endpoint),
    (b"image-service-endpoint", Kind::Endpoint),
    (b"containerd", Kind::Endpoint),
    (b"address", Kind::Endpoint),
    (b"namespace", Kind::Word),
    (b"root", Kind::Path),
    (b"state", Kind::Path),
    (b"snapshotter", Kind::Word),
    (b"cgroup-driver", Kind::Word),
    (b"kubeconfig", Kind::Path),
    (b"bootstrap-kubeconfig", Kind::Path),
    (b"pod-manifest-path", Kind::Path),
    (b"cert-dir", Kind::Path),
    (b"v", Kind::Word),
];

/// Flags that stand alone: the next word is not theirs.
const ALONE: [&[u8]; 6] =
    [b"rootless", b"disable-agent", b"enable-worker", b"single", b"no-taints", b"debug"];

/// Flags whose values are flags of the kubelet's: `--kubelet-arg=root-dir=/x`.
const NESTED: [&[u8]; 2] = [b"kubelet-arg", b"kubelet-extra-args"];

/// Programs' names and verbs that stand alone.
const VERBS: [&[u8]; 27] = [
    b"kubelet",
    b"hyperkube",
    b"k3s",
    b"k3s-server",
    b"k3s-agent",
    b"kubelite",
    b"microshift",
    b"rke2",
    b"k0s",
    b"server",
    b"agent",
    b"worker",
    b"controller",
    b"run",
    b"proxy",
    b"kubectl",
    b"snap",
    b"vi",
    b"sudo",
    b"containerd",
    b"dockerd",
    b"crio",
    b"conmon",
    b"init",
    b"microk8s.daemon-kubelite",
    b"k8s.kubelet",
    b"start",
];

/// Where programs and configuration are: a word below one of these is a path, and not a secret
/// that happens to begin with `/`.
const TREES: [&[u8]; 16] = [
    b"/usr/",
    b"/opt/",
    b"/var/",
    b"/snap/",
    b"/bin/",
    b"/sbin/",
    b"/etc/",
    b"/run/",
    b"/lib/",
    b"/srv/",
    b"/mnt/",
    b"/data/",
    b"/home/",
    b"/csi",
    b"/hyperkube",
    b"/kubelet",
];

/// Takes secrets out of words, one after the other.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The flag before, and whether its value is kept.
    pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy)]
enum Pending {
    Keep(Kind),
    Nested,
    Redact,
}

impl Pending {
    fn shown(self, value: &[u8]) -> Vec<u8> {
        match self {
            Self::Keep(kind) => shown(kind, value),
            Self::Nested => assignment(value),
            Self::Redact => REDACTED.to_vec(),
        }
    }
}

/// What the value of a flag has to be.
fn kind(flag: &[u8]) -> Option<Kind> {
    FLAGS.iter().find(|(name, _)| *name == flag).map(|(_, kind)| *kind)
}

/// A flag's name: a known one, or what looks like one.
fn name_shown(name: &[u8]) -> Vec<u8> {
    let dashes = name.iter().take_while(|b| **b == b'-').count();
    let (dashes, bare) = name.split_at(dashes);
    match bare.is_empty() || kind(&clean(name)).is_some() || is_key(bare.strip_suffix(b"+").unwrap_or(bare)) {
        true => name.to_vec(),
        false => [dashes, REDACTED].concat(),
    }
}

impl Words {
    /// What is shown of the next word.
    pub(super) fn next(&mut self, word: &[u8]) -> Vec<u8> {
        // A value may begin with a dash, but a flag has two.
        if let Some(pending) = self.pending.take_if(|_| !word.starts_with(b"--")) {
            return pending.shown(word);
        }
        self.pending = None;
        if word.starts_with(b"-") && word != b"-" && word != b"--" {
            let (name, value) = split(word);
            let kept = clean(name);
            let pending = match () {
                () if NESTED.contains(&kept.as_slice()) => Pending::Nested,
                () => kind(&kept).map_or(Pending::Redact, Pending::Keep),
            };
            let Some(value) = value else {
                // One dash, and letters that run on: `-psecret` may be `-p secret`.
                if !name.starts_with(b"--") && name.len() > 2 {
                    return [name.get(..2).unwrap_or_default(), REDACTED].concat();
                }
                self.pending = Some(pending).filter(|_| !ALONE.contains(&kept.as_slice()));
                return name_shown(name);
            };
            return [name_shown(name).as_slice(), b"=", &pending.shown(value)].concat();
        }
        match plain(word) {
            true => word.to_vec(),
            false => REDACTED.to_vec(),
        }
    }
}

/// Whether a word that is no flag says nothing but which program, verb, file or variable is meant.
pub(super) fn plain(word: &[u8]) -> bool {
    let base = word.rsplit(|&b| b == b'/').next().unwrap_or_default();
    word.is_empty()
        || word == b"--"
        || VERBS.contains(&base) && (base == word || is_path(word))
        || TREES.iter().any(|tree| word.starts_with(tree)) && is_path(word)
        || word.strip_prefix(b"$").is_some_and(is_variable)
        || word.iter().all(u8::is_ascii_digit) && word.len() < 6
        || is_unit(word)
        || matches!(word, b"true" | b"false" | b"redacted")
}

/// `name=value`, as in kubelet-arg: kept where the name is a kept flag's.
pub(super) fn assignment(text: &[u8]) -> Vec<u8> {
    match split(text) {
        (name, Some(value)) => {
            let value = kind(&clean(name.trim_ascii())).map_or(REDACTED.to_vec(), |kind| shown(kind, value));
            [name_shown(name).as_slice(), b"=", &value].concat()
        }
        // Two words in one argument are broken input; what is meant is still seen.
        (text, None) => {
            let mut parts = text.splitn(2, |&b| b == b' ');
            let name = parts.next().unwrap_or_default();
            match parts.next() {
                Some(value) => {
                    let value = kind(&clean(name)).map_or(REDACTED.to_vec(), |kind| shown(kind, value));
                    [name_shown(name).as_slice(), b" ", &value].concat()
                }
                // A key of broken YAML stays one.
                None => match name.strip_suffix(b":") {
                    Some(key) => [name_shown(key).as_slice(), b":"].concat(),
                    None if kind(&clean(name)).is_some() || ALONE.contains(&clean(name).as_slice()) => {
                        name.to_vec()
                    }
                    None if name.starts_with(b"--") => name_shown(name),
                    None if name.is_empty() => Vec::new(),
                    None => REDACTED.to_vec(),
                },
            }
        }
    }
}

fn split(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    match word.iter().position(|&b| b == b'=') {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
        None => (word, None),
    }
}

/// A flag's name without dashes, signs of k3s' (`+`, `-` at its end) and underscores.
fn clean(name: &[u8]) -> Vec<u8> {
    let start = name.iter().position(|&b| b != b'-').unwrap_or(name.len());
    let name = name.get(start..).unwrap_or_default();
    let name = name.strip_suffix(b"+").unwrap_or(name);
    let name = name.strip_suffix(b"-").unwrap_or(name);
    name.iter().map(|&b| if b == b'_' { b'-' } else { b }).collect()
}

/// True if it is a program's name, as a container's first argument or a process has it: no text.
fn is_program(name: &[u8]) -> bool {
    name.len() < 64 && name.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// The text of /proc/PID/cmdline. NULs stay where they are; a title that a process wrote for
/// itself ("k3s server") is words too.
pub fn cmdline(text: &[u8]) -> Vec<u8> {
    let mut words = Words::default();
    let arguments: Vec<&[u8]> = text.split(|&b| b == 0).collect();
    let one = arguments.iter().filter(|argument| !argument.is_empty()).count() == 1;
    let mut out = Vec::with_capacity(arguments.len());
    for (index, argument) in arguments.into_iter().enumerate() {
        out.push(match argument {
            // Only NULs of a wiped title, or an empty argument: neither is a value.
            b"" => Vec::new(),
            title if one => {
                let shown: Vec<Vec<u8>> = title.split(|&b| b == b' ').map(|word| words.next(word)).collect();
                shown.join(&b' ')
            }
            // The program itself; its directory may have any name.
            program
                if index == 0
                    && program.starts_with(b"/")
                    && !program.iter().any(|b| b"=?&@".contains(b)) =>
            {
                program.to_vec()
            }
            program if index == 0 && is_program(program) => program.to_vec(),
            argument => words.next(argument),
        });
    }
    out.join(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(args: &str) -> String {
        let text = args.replace(' ', "\0");
        String::from_utf8(cmdline(text.as_bytes())).unwrap().replace('\0', " ")
    }

    #[test]
    fn values_of_known_flags_stay_and_all_others_go() {
        for (args, expected) in [
            (
                "/usr/bin/kubelet --root-dir=/srv/k --token=abc",
                "/usr/bin/kubelet --root-dir=/srv/k --token=redacted",
            ),
            (
                "kubelet --root-dir /srv/k --token abc x",
                "kubelet --root-dir /srv/k --token redacted redacted",
            ),
            ("kubelet --root_dir=/srv/k", "kubelet --root_dir=/srv/k"),
            ("k3s server -t abc --token -abc", "k3s server -t redacted --token redacted"),
            ("k3s server --debug -d /srv", "k3s server --debug -d /srv"),
            ("k3s agent --kubelet-arg=root-dir=/srv", "k3s agent --kubelet-arg=root-dir=/srv"),
            ("k3s agent --kubelet-arg token=x", "k3s agent --kubelet-arg token=redacted"),
            (
                "k3s server --datastore-endpoint=postgres://u:p@h/d",
                "k3s server --datastore-endpoint=redacted",
            ),
            ("plugin --endpoint=tcp://u:p@10.0.0.1:1", "plugin --endpoint=tcp://redacted@10.0.0.1:1"),
            (
                "plugin --endpoint=hunter2 --v hunter2 --mode=x",
                "plugin --endpoint=redacted --v redacted --mode=redacted",
            ),
            (
                "plugin --driver-name=a.csi.io --driver-name=hunter2",
                "plugin --driver-name=a.csi.io --driver-name=redacted",
            ),
            ("kubelet --hunter2 --token:hunter2", "kubelet --redacted --redacted"),
            ("k3s hunter2/kubelet /etc/x=hunter2 $hunter2", "k3s redacted redacted redacted"),
            ("mysql -psecret secret", "mysql -predacted redacted"),
            ("vi kubelet", "vi kubelet"),
            ("sudo k3s server", "sudo k3s server"),
            ("/hyperkube kubelet", "/hyperkube kubelet"),
        ] {
            assert_eq!(shown_of(args), expected);
        }
    }

    #[test]
    fn titles_and_the_bytes_that_were_wiped_keep_their_shape() {
        assert_eq!(cmdline(b"/usr/local/bin/k3s server\0\0\0"), b"/usr/local/bin/k3s server\0\0\0");
        assert_eq!(cmdline(b"worker: pool s3cr3t\0"), b"redacted redacted redacted\0");
        assert_eq!(cmdline(b""), b"");
        assert_eq!(cmdline(b"kubelet\0--root-dir=/srv/\xff\0"), b"kubelet\0--root-dir=/srv/\xff\0");
    }
}
