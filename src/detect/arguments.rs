//! Pure: a flag's value in a kubelet's arguments.

/// The value of `--name`, as the kubelet's flag library (spf13/pflag, with `_` normalised to `-`)
/// understands it: `--name=value` or `--name value`, the last one wins, nothing after `--`.
pub(super) fn flag<'a>(args: &'a [Vec<u8>], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == b"--" {
            break;
        }
        let Some(flag) = arg.strip_prefix(b"--") else { continue };
        let (key, value) = match flag.iter().position(|&b| b == b'=') {
            Some(at) => (flag.get(..at).unwrap_or_default(), flag.get(at + 1..)),
            None => (flag, None),
        };
        let same = key.len() == name.len()
            && key.iter().zip(name.bytes()).all(|(&a, b)| a == b || (a == b'_' && b == b'-'));
        if same {
            found = value.or_else(|| rest.next().map(Vec::as_slice)).or(found);
        }
    }
    found
}

/// Whether these are the arguments of a kubelet that prints something and ends: it never uses its
/// root (kubernetes, cmd/kubelet/app/server.go: `--help` and `--version` are looked at first).
pub(super) fn only_asks(args: &[Vec<u8>]) -> bool {
    let asks = |arg: &&Vec<u8>| {
        matches!(arg.as_slice(), b"--help" | b"-h" | b"--version" | b"--version=true" | b"--version=raw")
    };
    args.iter().take_while(|arg| *arg != b"--").any(|arg| asks(&arg))
}

/// The value that `--kubelet-arg` of k3s, repeated as it may be, gives to the kubelet's `name`:
/// leading dashes are trimmed, the last one wins (k3s, pkg/util/args.go).
pub(super) fn kubelet_arg<'a>(args: &'a [Vec<u8>], name: &str) -> Option<&'a [u8]> {
    let mut found = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let value = match arg.as_slice() {
            b"--kubelet-arg" => rest.next().map(Vec::as_slice),
            arg => arg.strip_prefix(b"--kubelet-arg="),
        };
        let Some(value) = value else { continue };
        let value = value.strip_prefix(b"--").unwrap_or(value);
        if let Some(given) = value.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
            found = Some(given);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(args: &[&str]) -> Vec<Vec<u8>> {
        args.iter().map(|arg| arg.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_kubelet_that_only_tells_something_is_known() {
        for (args, asks) in [
            (&["kubelet", "--version"][..], true),
            (&["kubelet", "-h"], true),
            (&["kubelet", "--v=2"], false),
            (&["kubelet", "--version=false"], false),
            (&["kubelet", "--", "--version"], false),
        ] {
            assert_eq!(only_asks(&bytes(args)), asks, "{args:?}");
        }
    }

    #[test]
    fn of_k3s_own_arguments_only_those_for_the_kubelet_count() {
        for (args, expected) in [
            (&["k3s", "server", "--kubelet-arg=root-dir=/a", "--kubelet-arg", "v=2"][..], Some("/a")),
            (&["k3s", "server", "--kubelet-arg", "root-dir=/a", "--kubelet-arg=--root-dir=/b"], Some("/b")),
            (&["k3s", "server", "--data-dir=/a"], None),
            (&["k3s", "server", "--root-dir=/a"], None),
            (&["k3s", "server", "--kubelet-arg"], None),
        ] {
            assert_eq!(kubelet_arg(&bytes(args), "root-dir"), expected.map(str::as_bytes), "{args:?}");
        }
    }

    #[test]
    fn every_form_of_a_flag_is_read_and_the_last_wins() {
        for (args, expected) in [
            (&["kubelet", "--root-dir=/a"][..], Some("/a")),
            (&["kubelet", "--root-dir", "/a"], Some("/a")),
            (&["kubelet", "--root_dir=/a"], Some("/a")),
            (&["kubelet", "--root-dir=/a", "--root-dir=/b"], Some("/b")),
            (&["kubelet", "--root-dir=/a=b"], Some("/a=b")),
            (&["kubelet", "--root-dir="], Some("")),
            (&["kubelet", "--root-directory=/a"], None),
            (&["kubelet", "-root-dir=/a"], None),
            (&["kubelet", "--", "--root-dir=/a"], None),
            (&["kubelet", "--root-dir"], None),
            (&["kubelet"], None),
        ] {
            let args: Vec<_> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
            assert_eq!(flag(&args, "root-dir"), expected.map(str::as_bytes), "{args:?}");
        }
    }
}
