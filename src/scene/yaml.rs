//! Scene: configuration of k3s and RKE2, and whatever else is `key: value` by line.
//!
//! Not parsed but taken line by line, so that a file that is no YAML stays one that is none. What
//! belongs to a key that is not known becomes a comment, and line numbers stay what they are.

use super::secrets::REDACTED;
use super::values::{Kind, is_key, shown};
use super::words::assignment;

/// Keys at the top whose values are kept where they are of this kind. `kubelet-arg` is looked into.
const KEYS: [(&[u8], Kind); 13] = [
    (b"data-dir", Kind::Path),
    (b"disable-agent", Kind::Word),
    (b"rootless", Kind::Word),
    (b"config", Kind::Path),
    (b"debug", Kind::Word),
    (b"v", Kind::Word),
    (b"docker", Kind::Word),
    (b"snapshotter", Kind::Word),
    (b"container-runtime-endpoint", Kind::Endpoint),
    (b"selinux", Kind::Word),
    (b"profile", Kind::Word),
    (b"prefer-bundled-bin", Kind::Word),
    (b"protect-kernel-defaults", Kind::Word),
];
const NESTED: [&[u8]; 1] = [b"kubelet-arg"];

#[derive(Clone, Copy, PartialEq)]
enum Key {
    Kept(Kind),
    Nested,
    Unknown,
}

/// The text with the values of unknown keys taken out.
pub(super) fn yaml(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut key = Key::Unknown;
    for line in text.split_inclusive(|&b| b == b'\n') {
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        out.extend(one(line, &mut key));
        out.extend_from_slice(end);
    }
    out
}

fn one(line: &[u8], key: &mut Key) -> Vec<u8> {
    let trimmed = line.trim_ascii();
    if trimmed.is_empty() || trimmed == b"---" || trimmed == b"..." {
        return line.to_vec();
    }
    if trimmed.starts_with(b"#") {
        return b"# redacted".to_vec();
    }
    let continues = line.first().is_some_and(|b| b.is_ascii_whitespace() || *b == b'-' || b"]}".contains(b));
    if continues {
        return match *key {
            Key::Kept(kind) => kept(kind, line),
            Key::Nested => nested(line),
            Key::Unknown => b"# redacted".to_vec(),
        };
    }
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        *key = Key::Unknown;
        return b"# redacted".to_vec();
    };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or_default();
    let bare: Vec<u8> = name.iter().copied().filter(|b| !b"\"' ".contains(b)).collect();
    let bare = bare.strip_suffix(b"+").unwrap_or(&bare);
    *key = match () {
        () if NESTED.contains(&bare) => Key::Nested,
        () => {
            KEYS.iter().find(|(known, _)| *known == bare).map_or(Key::Unknown, |(_, kind)| Key::Kept(*kind))
        }
    };
    let known = is_key(bare);
    match *key {
        Key::Kept(kind) => [name, b":", &kept(kind, value)].concat(),
        Key::Nested => [name, b":", &nested(value)].concat(),
        Key::Unknown if known => [name, b": ", REDACTED].concat(),
        Key::Unknown => b"# redacted".to_vec(),
    }
}

/// A value, where it is of the kind; what is behind it is a comment. A list's dash stays.
fn kept(kind: Kind, value: &[u8]) -> Vec<u8> {
    let comment =
        value.windows(2).position(|pair| matches!(pair, [space, b'#'] if space.is_ascii_whitespace()));
    let value = value.get(..comment.unwrap_or(value.len())).unwrap_or_default();
    let start = value.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(value.len());
    let dash = match value.get(start..) {
        Some([b'-', space, ..]) if space.is_ascii_whitespace() => start + 1,
        _ => 0,
    };
    let (before, value) = value.split_at(dash);
    [before, &shown(kind, value)].concat()
}

/// Values of kubelet-arg: scalars and lists in both forms, with quotes of both kinds.
fn nested(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut item = Vec::new();
    let mut quote = None;
    for &byte in text {
        let ends = match quote {
            Some(quote) => byte == quote,
            None => b"[],\"'#".contains(&byte),
        };
        if !ends {
            item.push(byte);
            continue;
        }
        flush(&mut item, &mut out);
        match (quote, byte) {
            (Some(_), _) => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            // A comment.
            (None, b'#') => return out,
            _ => {}
        }
        out.push(byte);
    }
    flush(&mut item, &mut out);
    out
}

/// One value, with the dash and the white space around it as they are.
fn flush(item: &mut Vec<u8>, out: &mut Vec<u8>) {
    let text = std::mem::take(item);
    let start = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len());
    // A list's dash has white space behind it; `--root-dir` has none.
    let start = match text.get(start..) {
        Some([b'-', space, ..]) if space.is_ascii_whitespace() => text
            .iter()
            .enumerate()
            .skip(start + 1)
            .find(|(_, b)| !b.is_ascii_whitespace())
            .map_or(text.len(), |(at, _)| at),
        Some([b'-']) => text.len(),
        _ => start,
    };
    let (before, value) = text.split_at(start);
    let body = value.trim_ascii_end();
    out.extend_from_slice(before);
    out.extend(assignment(body));
    out.extend_from_slice(value.get(body.len()..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shows(text: &str, expected: &str) {
        assert_eq!(String::from_utf8(yaml(text.as_bytes())).unwrap(), expected);
    }

    #[test]
    fn known_keys_stay_and_all_others_keep_their_name() {
        shows("token: abc\ndata-dir: /srv/k3s\n", "token: redacted\ndata-dir: /srv/k3s\n");
        shows(
            "\"agent-token\": |\n  a\n  b\nv: 2",
            "\"agent-token\": redacted\n# redacted\n# redacted\nv: 2",
        );
        shows("# token: abc\n\n---\n", "# redacted\n\n---\n");
        shows("tls-san:\n- a\n- b\n", "tls-san: redacted\n# redacted\n# redacted\n");
        shows("{token: abc}\n", "# redacted\n");
        shows("abc\n", "# redacted\n");
        shows("-----BEGIN PRIVATE KEY-----\nMII=\n", "# redacted\n# redacted\n");
    }

    #[test]
    fn the_kubelets_arguments_are_looked_into() {
        shows(
            "kubelet-arg:\n  - root-dir=/srv/k\n  - \"--token=abc\" # abc\n- 'v=2'\n",
            "kubelet-arg:\n  - root-dir=/srv/k\n  - \"--token=redacted\" \n- 'v=2'\n",
        );
        shows(
            "kubelet-arg+: [root-dir=/a, \"secret=x\"]\n",
            "kubelet-arg+: [root-dir=/a, \"secret=redacted\"]\n",
        );
        shows("kubelet-arg: root-dir=/srv/k\n", "kubelet-arg: root-dir=/srv/k\n");
        shows("kubelet-arg: \"root-dir /srv/x\"\n", "kubelet-arg: \"root-dir /srv/x\"\n");
        shows("kubelet-arg: \"node-labels=a b\"\n", "kubelet-arg: \"node-labels=redacted\"\n");
    }

    #[test]
    fn what_is_no_yaml_stays_none() {
        shows(
            "kubelet-arg:\n  - root-dir=/srv/kubelet\n token: [x",
            "kubelet-arg:\n  - root-dir=/srv/kubelet\n token: [redacted",
        );
    }

    #[test]
    fn a_value_that_is_none_of_its_key_goes() {
        shows(
            "data-dir: hunter2\nv: hunter2 # hunter2\ndebug: true # hunter2\nsnapshotter:\n  hunter2\nkubelet-arg: hunter2\n",
            "data-dir: redacted\nv: redacted\ndebug: true\nsnapshotter:\n  redacted\nkubelet-arg: redacted\n",
        );
        shows("hunter2: x\n", "# redacted\n");
    }
}
