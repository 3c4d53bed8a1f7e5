//! Small edits of a file whose other bytes are nobody's business.

use super::bytes::{shown, unshown};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::Write as _;

/// Replaces `old` at byte `at` of the file before the edit by `new`. Both are whole lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splice {
    /// Offset in the file as it was before any splice of the edit.
    pub at: usize,
    /// What is there.
    pub old: Text,
    /// What comes there.
    pub new: Text,
}

/// Bytes that are written to JSON as csihost shows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(pub Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(&self.0))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unshown(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not bytes as csihost shows them"))
    }
}

/// The lines of a file, each with where it begins; put together they are the file.
pub fn lines_at(file: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    file.split_inclusive(|&b| b == b'\n').scan(0, |end, line| {
        let at = *end;
        *end += line.len();
        Some((at, line))
    })
}

/// Adds `line`, which ends in a newline, after the last line of `file`, which may have none.
pub fn appended(file: &[u8], line: &[u8]) -> Splice {
    let (at, old, new) = match lines_at(file).last() {
        Some((at, last)) if !last.ends_with(b"\n") => (at, last, [last, b"\n", line].concat()),
        _ => (file.len(), &b""[..], line.to_vec()),
    };
    Splice { at, old: Text(old.to_vec()), new: Text(new) }
}

/// The file after `splices`, which are in order and do not overlap; `None` where the file does
/// not hold what they replace.
pub fn apply(file: &[u8], splices: &[Splice]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(file.len() + 64);
    let mut from = 0;
    for splice in splices {
        out.extend_from_slice(file.get(from..splice.at)?);
        file.get(splice.at..)?.strip_prefix(splice.old.0.as_slice())?;
        out.extend_from_slice(&splice.new.0);
        from = splice.at + splice.old.0.len();
    }
    out.extend_from_slice(file.get(from..)?);
    Some(out)
}

/// The edit that takes `splices` back.
pub fn reverse(splices: &[Splice]) -> Vec<Splice> {
    let (mut grown, mut shrunk) = (0, 0);
    splices
        .iter()
        .map(|splice| {
            let back =
                Splice { at: splice.at + grown - shrunk, old: splice.new.clone(), new: splice.old.clone() };
            grown += splice.new.0.len();
            shrunk += splice.old.0.len();
            back
        })
        .collect()
}

/// A unified diff of `splices` without context: the lines around them may hold secrets.
pub fn diff(path: &str, file: &[u8], splices: &[Splice]) -> String {
    let mut out = format!("--- {path}\n+++ {path}\n");
    let (mut added, mut removed) = (0, 0);
    for splice in splices {
        let line = 1 + file.get(..splice.at).unwrap_or_default().iter().filter(|&&b| b == b'\n').count();
        let (old, new) = (lines(&splice.old.0), lines(&splice.new.0));
        let range = |start: usize, count: usize| match count {
            // "If a hunk is empty, its start is the line before it" (diffutils, Detailed Unified).
            0 => format!("{},0", start - 1),
            1 => start.to_string(),
            _ => format!("{start},{count}"),
        };
        let (from, to) = (range(line, old.len()), range(line + added - removed, new.len()));
        let _ = writeln!(out, "@@ -{from} +{to} @@");
        for (sign, side) in [('-', &old), ('+', &new)] {
            for text in side {
                let (body, end) = match text.strip_suffix(b"\n") {
                    Some(body) => (body, ""),
                    None => (*text, "\n\\ No newline at end of file"),
                };
                let _ = writeln!(out, "{sign}{}{end}", shown(body));
            }
        }
        added += new.len();
        removed += old.len();
    }
    out
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|&b| b == b'\n').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn splice(at: usize, old: &str, new: &str) -> Splice {
        Splice { at, old: Text(old.into()), new: Text(new.into()) }
    }

    #[test]
    fn an_edit_of_a_file_that_changed_meanwhile_is_refused() {
        assert_eq!(apply(b"a\nb\n", &[splice(2, "b\n", "c\n")]), Some(b"a\nc\n".to_vec()));
        assert_eq!(apply(b"a\nx\n", &[splice(2, "b\n", "c\n")]), None);
        assert_eq!(apply(b"", &[splice(2, "", "c\n")]), None);
    }

    #[test]
    fn the_diff_shows_only_what_changes() {
        let file = b"secret = 1\nstartup = old\nsecret = 2\n";
        assert_eq!(
            diff("/f", file, &[splice(11, "startup = old\n", "# startup = old\nstartup = new\n")]),
            "--- /f\n+++ /f\n@@ -2 +2,2 @@\n-startup = old\n+# startup = old\n+startup = new\n"
        );
        assert_eq!(
            diff("/f", b"a", &[splice(1, "", "b")]).lines().last(),
            Some("\\ No newline at end of file")
        );
    }

    proptest! {
        #[test]
        fn the_reverse_of_an_edit_gives_every_byte_back(
            parts in proptest::collection::vec(("[a-z\n]{0,8}", "[a-z\n]{0,5}", "[a-z\n]{0,5}"), 0..6),
            tail in "[a-z\n]{0,8}",
        ) {
            let (mut file, mut splices) = (Vec::new(), Vec::new());
            for (keep, old, new) in &parts {
                file.extend_from_slice(keep.as_bytes());
                splices.push(splice(file.len(), old, new));
                file.extend_from_slice(old.as_bytes());
            }
            file.extend_from_slice(tail.as_bytes());
            let after = apply(&file, &splices).unwrap();
            prop_assert_eq!(apply(&after, &reverse(&splices)), Some(file));
        }
    }
}
