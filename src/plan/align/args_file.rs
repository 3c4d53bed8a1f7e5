//! Pure: MicroK8s and the k8s snap: a line of the kubelet's arguments file. The last of one name counts.

use super::Change;
use super::refuse::{overruled, refusal};
use super::start::Start;
use crate::model::edit::{self, Splice, Text};
use crate::model::file::{File, FileFact};
use crate::model::kubelet::Distribution;
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

const LINE: &[u8] = b"--root-dir=/var/lib/kubelet";

/// The arguments file.
pub(super) fn file(start: &Start<'_>) -> Option<HostPath> {
    match start.declaration.distribution {
        Distribution::Microk8s => Some(HostPath::from("/var/snap/microk8s/current/args/kubelet")),
        Distribution::K8sSnap => Some(HostPath::from("/var/snap/k8s/common/args/kubelet")),
        _ => None,
    }
}

pub(super) fn change(start: &Start<'_>) -> Result<Option<Change>, Refusal> {
    let Some(path) = file(start).filter(|_| !start.is_set()) else { return Ok(None) };
    match start.facts.file(&path) {
        FileFact::File(file) => match patched(&file.bytes) {
            Some(splices) => Ok(Some(Change::Patch(File::clone(file), splices))),
            None => Err(overruled(start, &path)),
        },
        _ => Err(refusal(
            "align-command",
            &path.to_string(),
            "it cannot be read".to_owned(),
            format!("make {path} a readable file, then run csihost apply"),
        )),
    }
}

/// The file whose last word on the root is the standard path; `None` where it is so already.
fn patched(text: &[u8]) -> Option<Vec<Splice>> {
    let names_root =
        |line: &[u8]| line.windows(10).any(|part| part == b"--root-dir" || part == b"--root_dir");
    let counts = |(_, line): &(usize, &[u8])| names_root(line) && !line.trim_ascii_start().starts_with(b"#");
    let last = edit::lines_at(text).filter(counts).last();
    if last.is_some_and(|(_, line)| line.trim_ascii() == LINE) {
        return None;
    }
    // A line that holds nothing else is replaced; after any other comes one more.
    let alone = last.filter(|(_, line)| {
        let line = line.trim_ascii();
        line.starts_with(b"--root") && !line.iter().any(u8::is_ascii_whitespace)
    });
    Some(vec![match alone {
        Some((at, line)) => {
            let tail = line.get(line.trim_ascii_end().len()..).unwrap_or_default();
            Splice { at, old: Text(line.to_vec()), new: Text([LINE, tail].concat()) }
        }
        None => edit::appended(text, &[LINE, b"\n"].concat()),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::edit::apply;
    use proptest::prelude::*;

    #[test]
    fn the_line_of_the_root_is_replaced_or_one_is_added() {
        for (text, wanted) in [
            (
                "--a\n--root-dir=${SNAP_COMMON}/var/lib/kubelet\n--b\n",
                "--a\n--root-dir=/var/lib/kubelet\n--b\n",
            ),
            ("--a", "--a\n--root-dir=/var/lib/kubelet\n"),
            ("", "--root-dir=/var/lib/kubelet\n"),
            ("--root-dir /x --b\n", "--root-dir /x --b\n--root-dir=/var/lib/kubelet\n"),
            ("# --root-dir=/x\n", "# --root-dir=/x\n--root-dir=/var/lib/kubelet\n"),
        ] {
            let after = apply(text.as_bytes(), &patched(text.as_bytes()).unwrap()).unwrap();
            assert_eq!(String::from_utf8_lossy(&after), wanted);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds_a_second_time_changes_nothing(text in "(--root-dir=/x|[a# \n-]){0,12}") {
            if let Some(splices) = patched(text.as_bytes()) {
                let after = apply(text.as_bytes(), &splices).unwrap();
                prop_assert_eq!(patched(&after), None);
            }
        }
    }
}
