//! Pure: MicroK8s, whose kubelite reads the kubelet's arguments from a file.
//!
//! Set up where that file is there. Lines are trimmed, blank ones and those that begin with `#` left
//! out; all quotes go, blanks separate, and variables are replaced (`os.ExpandEnv`).

use super::{Found, Given, Text, text};
use crate::detect::arguments::flag;
use crate::model::kubelet::{Distribution, KubeletRoot, Source};
use crate::model::path::HostPath;
use crate::model::service::UNKNOWN;
use crate::model::unit::UnitName;

const ARGS: &str = "/var/snap/microk8s/current/args/kubelet";
/// What snapd sets for a snap's services (snapd, snap/snapenv); `current` is the revision's link.
const VARIABLES: [(&[u8], &[u8]); 5] = [
    (b"SNAP", b"/snap/microk8s/current"),
    (b"SNAP_DATA", b"/var/snap/microk8s/current"),
    (b"SNAP_COMMON", b"/var/snap/microk8s/common"),
    (b"SNAP_NAME", b"microk8s"),
    (b"SNAP_INSTANCE_NAME", b"microk8s"),
];
/// kubelite since 1.21, the kubelet alone before.
const UNITS: [&str; 2] = ["snap.microk8s.daemon-kubelite.service", "snap.microk8s.daemon-kubelet.service"];

pub(super) fn declare(found: &mut Found<'_>) {
    let path = HostPath::from(ARGS);
    let text = match text(found.files, &path) {
        Text::Read(text) => text,
        Text::Absent => return,
        Text::Unread(error) => return found.undecided(path, None, error),
    };
    let unit = snap_unit(found, &UNITS);
    let (args, lines) = arguments(&text);
    let root = flag(&args, "root-dir").map(|value| Given {
        value: value.to_vec(),
        source: Source::ArgsFile,
        path: path.to_string(),
        line: line_of(&args, &lines, value),
    });
    let plugins = flag(&args, "volume-plugin-dir").map(<[u8]>::to_vec);
    found.declare(Distribution::Microk8s, unit, root, KubeletRoot::standard(), plugins);
}

/// The first of a snap's units that is there; snapd writes them all to one place.
pub(super) fn snap_unit(found: &Found<'_>, units: &[&'static str]) -> Option<UnitName> {
    let directory = HostPath::from("/etc/systemd/system");
    let there = |unit: &&&str| found.files.file(&directory.join(unit)).file().is_some();
    units.iter().find(there).map(|unit| UnitName::from(*unit))
}

/// The line of the last argument in which a value stands.
pub(super) fn line_of(args: &[Vec<u8>], lines: &[usize], value: &[u8]) -> Option<usize> {
    args.iter().rposition(|arg| arg.ends_with(value)).and_then(|at| lines.get(at).copied())
}

/// The arguments, and the lines on which they stand.
fn arguments(text: &[u8]) -> (Vec<Vec<u8>>, Vec<usize>) {
    let (mut args, mut lines) = (Vec::new(), Vec::new());
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.starts_with(b"#") {
            continue;
        }
        let line: Vec<u8> = line.iter().copied().filter(|byte| !b"\"'".contains(byte)).collect();
        for word in line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()) {
            args.push(with_variables(word));
            lines.push(index + 1);
        }
    }
    (args, lines)
}

/// `os.ExpandEnv` for what a snap's environment has.
fn with_variables(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
        let (plain, after) = rest.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(plain);
        let after = after.get(1..).unwrap_or_default();
        let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let (name, after) = match after.strip_prefix(b"{") {
            Some(inner) => {
                let end = inner.iter().position(|&byte| byte == b'}').unwrap_or(inner.len());
                let (name, after) = inner.split_at_checked(end).unwrap_or_default();
                (name, after.get(1..).unwrap_or_default())
            }
            None => {
                let end = after.iter().position(|byte| !letter(byte)).unwrap_or(after.len());
                after.split_at_checked(end).unwrap_or_default()
            }
        };
        match VARIABLES.iter().find(|(other, _)| *other == name) {
            Some((_, value)) => out.extend_from_slice(value),
            None => out.push(UNKNOWN),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_are_read_as_kubelite_reads_them() {
        let text =
            "# c\n  --a=\"b\"  --c 'd e'\n\n--root-dir=${SNAP_COMMON}/var/lib/kubelet\n--x=$NONE/$SNAP.\n";
        let (args, lines) = arguments(text.as_bytes());
        let args: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        let wanted = [
            "--a=b",
            "--c",
            "d",
            "e",
            "--root-dir=/var/snap/microk8s/common/var/lib/kubelet",
            "--x=\0//snap/microk8s/current.",
        ];
        assert_eq!(
            (args.as_slice(), lines.as_slice()),
            (&wanted.map(str::to_owned)[..], &[2, 2, 2, 2, 4, 5][..])
        );
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd(text: Vec<u8>, odd in "[$S{}# \"\n]*") {
            arguments(&text);
            arguments(odd.as_bytes());
        }
    }
}
