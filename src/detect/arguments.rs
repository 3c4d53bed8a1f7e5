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

#[cfg(test)]
mod tests {
    use super::*;

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
