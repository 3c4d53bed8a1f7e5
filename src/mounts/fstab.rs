//! Mounts: /etc/fstab as lossless lines (fstab(5)).
//!
//! Fields are read as getmntent(3) and libmount read them: separated by spaces and tabs, `\ooo`
//! for a byte. What is not an entry (comments, empty lines, lines of one word) is kept and means
//! nothing.

use crate::model::edit::{self, Splice, Text};
use crate::model::path::HostPath;

/// Where the table is.
pub const FSTAB: &str = "/etc/fstab";

/// One line of the file that mounts something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Counted from 1.
    pub number: usize,
    /// Where in the file the line begins.
    pub at: usize,
    /// The line, its end included.
    pub line: &'a [u8],
    /// What is mounted, escapes decoded.
    pub source: Vec<u8>,
    /// Where: absolute and clean.
    pub point: HostPath,
    /// The file system's type; empty where the line ends before it.
    pub fs_type: Vec<u8>,
    /// Options, separated by commas; empty where the line ends before them.
    pub options: Vec<u8>,
}

impl Entry<'_> {
    /// Whether `name` is among the options.
    pub fn has(&self, name: &str) -> bool {
        self.options.split(|&b| b == b',').any(|option| option == name.as_bytes())
    }

    /// The directory that is bound, where the line binds one.
    pub fn bound(&self) -> Option<HostPath> {
        (self.has("bind") || self.has("rbind")).then(|| HostPath::parse(&self.source).ok()).flatten()
    }

    /// The line as a comment that says who made it one.
    pub fn commented(&self) -> Splice {
        let ending = match self.line {
            [.., b'\r', b'\n'] => &b"\r\n"[..],
            [.., b'\n'] => b"\n",
            _ => b"",
        };
        let body = self.line.strip_suffix(ending).unwrap_or(self.line);
        let new = [b"# ", body, b" (csihost)", ending].concat();
        Splice { at: self.at, old: Text(self.line.to_vec()), new: Text(new) }
    }
}

/// The entries of the file, in its order: of two for one mount point, the later one is mounted over
/// the other.
pub fn entries(text: &[u8]) -> Vec<Entry<'_>> {
    (1..).zip(edit::lines_at(text)).filter_map(|(number, (at, line))| entry(number, at, line)).collect()
}

fn entry(number: usize, at: usize, line: &[u8]) -> Option<Entry<'_>> {
    let blank = |&b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let mut fields = line.split(blank).filter(|field| !field.is_empty());
    let source = fields.next().filter(|field| !field.starts_with(b"#"))?;
    let point = HostPath::parse(&decoded(fields.next()?)).ok()?;
    let (fs_type, options) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    Some(Entry {
        number,
        at,
        line,
        source: decoded(source),
        point,
        fs_type: decoded(fs_type),
        options: decoded(options),
    })
}

/// `\040` and its like; a backslash before anything else stands for itself.
fn decoded(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(first));
        rest = if octal.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(usize, String, String, String)> {
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        entries(text.as_bytes())
            .iter()
            .map(|e| (e.number, shown(&e.source), e.point.to_string(), shown(&e.options)))
            .collect()
    }

    #[test]
    fn entries_are_told_from_comments_and_their_escapes_are_decoded() {
        let text = "# a comment\n\n  UUID=1\t/ ext4 defaults 0 1\n\t# another\n\
            /a\\040b /var/lib/kubelet/pods/ none bind,x-systemd.after=k\n/half\n/c /d\nnone relative x\n";
        assert_eq!(
            read(text),
            [
                (3, "UUID=1".to_owned(), "/".to_owned(), "defaults".to_owned()),
                (
                    5,
                    "/a b".to_owned(),
                    "/var/lib/kubelet/pods".to_owned(),
                    "bind,x-systemd.after=k".to_owned()
                ),
                (7, "/c".to_owned(), "/d".to_owned(), String::new()),
            ]
        );
    }

    #[test]
    fn only_a_bind_mount_has_a_directory_that_it_binds() {
        let of = |line: &str| entries(line.as_bytes())[0].bound().map(|path| path.to_string());
        assert_eq!(of("/a /b none rw,bind\n"), Some("/a".to_owned()));
        assert_eq!(of("/a /b none rbind,rshared"), Some("/a".to_owned()));
        assert_eq!(of("/dev/sda1 /b ext4 defaults"), None);
        assert_eq!(of("/dev/sda1 /b ext4 nobind"), None);
        assert_eq!(of("UUID=1 /b none bind"), None);
    }

    #[test]
    fn a_line_that_is_commented_out_stays_readable() {
        let text = b"/a /b none bind\r\n/c /d none bind";
        let splices: Vec<_> = entries(text).iter().map(Entry::commented).collect();
        assert_eq!(
            edit::apply(text, &splices).unwrap(),
            b"# /a /b none bind (csihost)\r\n# /c /d none bind (csihost)"
        );
    }

    proptest! {
        #[test]
        fn every_path_that_is_escaped_as_the_kernel_escapes_it_is_read_back(
            name in "/[ -~\t\n]{1,20}",
        ) {
            let escaped: String = name.chars().map(|c| match c {
                ' ' | '\t' | '\n' | '\\' | '#' => format!("\\{:03o}", u32::from(c)),
                c => c.to_string(),
            }).collect();
            let line = format!("{escaped} /x none bind\n");
            prop_assert_eq!(&entries(line.as_bytes())[0].source, name.as_bytes());
        }

        #[test]
        fn lines_lie_where_they_say_and_commenting_all_out_leaves_none(
            text in "([ \t#/a-z\\\\0-7,]{0,12}(/[a-z/]{0,6} /[a-z/\\\\0]{0,6} none bind)?[\r]?\n?){0,8}",
        ) {
            let bytes = text.as_bytes();
            let found = entries(bytes);
            for entry in &found {
                prop_assert_eq!(bytes.get(entry.at..entry.at + entry.line.len()), Some(entry.line));
            }
            let splices: Vec<_> = found.iter().map(Entry::commented).collect();
            let after = edit::apply(bytes, &splices).unwrap();
            prop_assert!(entries(&after).is_empty());
            prop_assert_eq!(edit::apply(&after, &edit::reverse(&splices)).unwrap(), bytes);
        }
    }
}
