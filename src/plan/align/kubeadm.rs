//! Pure: kubeadm: KUBELET_EXTRA_ARGS in the file that the unit reads it from. Its arguments come after
//! those of kubeadm, and the last counts.

use super::exec;
use super::refuse::overruled;
use super::start::Start;
use super::{Change, Kind, is_ours};
use crate::detect::config::variables;
use crate::model::edit::{self, Splice, Text};
use crate::model::file::{File, FileFact};
use crate::model::path::HostPath;
use crate::model::plan::Refusal;

const VARIABLE: &[u8] = b"KUBELET_EXTRA_ARGS";
/// Debian's, and the other distributions'.
const FILES: [&str; 2] = ["/etc/default/kubelet", "/etc/sysconfig/kubelet"];
const FLAG: &str = "--root-dir=/var/lib/kubelet";

/// The file that the unit reads, if its command uses the variable.
pub(super) fn file(start: &Start<'_>) -> Option<HostPath> {
    let service = start.service(&exec::drop_in(start)?)?;
    let uses = |word: &Vec<u8>| word == b"$KUBELET_EXTRA_ARGS";
    // What the unit itself gives would be replaced by the file.
    if service.exec.iter().rposition(uses) != service.exec.len().checked_sub(1)
        || service.environment.contains_key(VARIABLE)
    {
        return None;
    }
    let usual = |path: &&HostPath| FILES.iter().any(|usual| path.as_bytes() == usual.as_bytes());
    service.environment_files.iter().map(|file| &file.path).rfind(usual).cloned()
}

pub(super) fn change(start: &Start<'_>) -> Result<Option<Change>, Refusal> {
    let by_drop_in = || exec::change(start, "kubelet", "--root-dir");
    // Once begun, it is gone on with.
    if exec::drop_in(start).is_some_and(|path| is_ours(start.facts, &path)) {
        return by_drop_in();
    }
    let Some(path) = file(start) else { return by_drop_in() };
    let body = format!(
        "# The kubelet's root as it names it; its data stay where they are: csihost(8), contract.repair.\n\
         KUBELET_EXTRA_ARGS={FLAG}\n"
    );
    let place = || Ok(Some(Change::Place(Kind::File, path.clone(), body.clone())));
    match (start.facts.file(&path), start.is_set()) {
        _ if is_ours(start.facts, &path) && start.is_set() => place(),
        (_, true) => Ok(None),
        _ if is_ours(start.facts, &path) => Err(overruled(start, &path)),
        (FileFact::Absent, false) => place(),
        (FileFact::File(file), false) => match patched(&file.bytes) {
            Some(splices) => Ok(Some(Change::Patch(File::clone(file), splices))),
            None if has_flag(&file.bytes) => Err(overruled(start, &path)),
            // Written in a way that no line can be added to.
            None => by_drop_in(),
        },
        _ => by_drop_in(),
    }
}

fn has_flag(text: &[u8]) -> bool {
    variables(text).get(VARIABLE).is_some_and(|value| value.ends_with(FLAG.as_bytes()))
}

/// The file with the flag at the end of the variable's value; `None` where it is there, or where that
/// would not be what systemd reads.
fn patched(text: &[u8]) -> Option<Vec<Splice>> {
    if has_flag(text) {
        return None;
    }
    let before = variables(text);
    let assigns = |(_, line): &(usize, &[u8])| {
        let key = line.trim_ascii_start().strip_prefix(VARIABLE);
        key.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    };
    let splice = match edit::lines_at(text).filter(assigns).last() {
        Some((at, line)) => {
            let body = line.trim_ascii_end();
            let tail = line.get(body.len()..).unwrap_or_default();
            let (head, quote) = match body.last() {
                Some(quote @ (b'"' | b'\'')) => (body.get(..body.len() - 1)?, std::slice::from_ref(quote)),
                _ => (body, &b""[..]),
            };
            let blank = match head.last() {
                Some(b'=' | b'"' | b'\'') => "",
                _ => " ",
            };
            let new = [head, blank.as_bytes(), FLAG.as_bytes(), quote, tail].concat();
            Splice { at, old: Text(line.to_vec()), new: Text(new) }
        }
        None => edit::appended(text, format!("KUBELET_EXTRA_ARGS={FLAG}\n").as_bytes()),
    };
    // What systemd reads of it must be the old value and the flag, and all else as it was.
    let value = before.get(VARIABLE).cloned().unwrap_or_default();
    let blank = if value.is_empty() { "" } else { " " };
    let mut wanted = before;
    wanted.insert(VARIABLE.to_vec(), [value.as_slice(), blank.as_bytes(), FLAG.as_bytes()].concat());
    let after = edit::apply(text, std::slice::from_ref(&splice))?;
    (variables(&after) == wanted).then(|| vec![splice])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::edit::apply;
    use proptest::prelude::*;

    #[test]
    fn the_flag_is_added_to_the_value_as_it_is_written() {
        for (text, wanted) in [
            ("", "KUBELET_EXTRA_ARGS=--root-dir=/var/lib/kubelet\n"),
            ("KUBELET_EXTRA_ARGS=\n", "KUBELET_EXTRA_ARGS=--root-dir=/var/lib/kubelet\n"),
            ("KUBELET_EXTRA_ARGS=--v=2", "KUBELET_EXTRA_ARGS=--v=2 --root-dir=/var/lib/kubelet"),
            (
                "# c\nA=1\nKUBELET_EXTRA_ARGS=\"--v=2 --root-dir=/srv/k\" \nB=2\n",
                "# c\nA=1\nKUBELET_EXTRA_ARGS=\"--v=2 --root-dir=/srv/k --root-dir=/var/lib/kubelet\" \nB=2\n",
            ),
            ("A=1", "A=1\nKUBELET_EXTRA_ARGS=--root-dir=/var/lib/kubelet\n"),
        ] {
            let splices = patched(text.as_bytes()).unwrap();
            let after = apply(text.as_bytes(), &splices).unwrap();
            assert_eq!(String::from_utf8_lossy(&after), wanted, "{text}");
            assert_eq!(patched(&after), None, "twice: {text}");
        }
        // A value that goes on in the next line, and one in two pieces.
        for odd in ["KUBELET_EXTRA_ARGS=--v=2 \\\n  --x\n", "KUBELET_EXTRA_ARGS=\"a\n"] {
            assert_eq!(patched(odd.as_bytes()), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_file_holds_a_second_time_changes_nothing(text in "(KUBELET_EXTRA_ARGS=|[a#=\"' \\\\\n-]){0,12}") {
            if let Some(splices) = patched(text.as_bytes()) {
                let after = apply(text.as_bytes(), &splices).unwrap();
                prop_assert_eq!(patched(&after), None);
                prop_assert!(has_flag(&after));
            }
        }
    }
}
