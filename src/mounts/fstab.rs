//! Mounts: /etc/fstab as lossless lines (fstab(5)).
//!
//! Two parsers read the file. libmount (util-linux, libmount/src/tab_parse.c) is used by mount(8), and by
//! systemd-fstab-generator of systemd 259 and later (systemd pull request 38929). glibc's getmntent(3) is
//! used by the generator of earlier versions. Fields are separated by spaces and tabs, `\ooo` is a byte.
//! libmount ignores lines that getmntent takes: see [`Differs`]. Comments, empty lines, lines of one word
//! and relative mount points are kept and are no entries.
//!
//! tests/nodes/suites/smoke.rs compares this with the generators of systemd 247, 252, 257 and 262.

use crate::model::edit::{self, Splice, Text};
use crate::model::facts::Init;
use crate::model::path::HostPath;
use std::fmt;

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
    /// Why the two parsers do not read the line alike.
    pub differs: Option<Differs>,
}

/// Why one parser mounts something else than the other does, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// The line ends before the file system's type: libmount ignores it.
    NoType,
    /// A fifth or sixth field that is no number, such as a comment: libmount ignores the line.
    NoNumber,
    /// An escape other than `\040`, `\011`, `\012` and `\134`, which getmntent does not decode, or `\\\\`,
    /// which libmount does not.
    Escape,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoType => "mount(8) and systemd 259 and later ignore it: it has no file system type",
            Self::NoNumber => {
                "mount(8) and systemd 259 and later ignore it: its fifth or sixth field is not a number"
            }
            Self::Escape => {
                "it has an escape that systemd 259 and later reads in another way than earlier versions"
            }
        })
    }
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

    /// The line in a message.
    pub fn name(&self) -> String {
        match self.differs {
            None => format!("line {} of {FSTAB}", self.number),
            Some(differs) => format!("line {} of {FSTAB} ({differs})", self.number),
        }
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

/// The entries of the file, in its order.
pub fn entries(text: &[u8]) -> Vec<Entry<'_>> {
    (1..).zip(edit::lines_at(text)).filter_map(|(number, (at, line))| entry(number, at, line)).collect()
}

/// The lines that decide what is mounted at `point` at boot: one, and before it those that only one of the
/// two parsers takes.
///
/// systemd takes the first of several lines for a mount point and ignores the others ("Duplicate entry").
/// Without systemd, `mount -a` mounts all of them, and the last one covers the others.
pub fn in_effect<'e, 'a>(entries: &'e [Entry<'a>], point: &HostPath, init: &Init) -> Vec<&'e Entry<'a>> {
    let mut lines: Vec<_> = entries.iter().filter(|entry| entry.point == *point).collect();
    if matches!(init, Init::Other(_)) {
        lines.reverse();
    }
    let end = lines.iter().position(|entry| entry.differs.is_none()).map_or(lines.len(), |at| at + 1);
    lines.truncate(end);
    lines
}

fn entry(number: usize, at: usize, line: &[u8]) -> Option<Entry<'_>> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let mut fields = body.split(|&b| matches!(b, b' ' | b'\t')).filter(|field| !field.is_empty());
    let source = fields.next().filter(|field| !field.starts_with(b"#"))?;
    let target = fields.next()?;
    let point = HostPath::parse(&decoded(target)).ok()?;
    let (fs_type, options) = (fields.next(), fields.next().unwrap_or_default());
    let differs = if fs_type.is_none() {
        Some(Differs::NoType)
    } else if !fields.take(2).all(is_number) {
        Some(Differs::NoNumber)
    } else {
        (has_own_escape(source) || has_own_escape(target)).then_some(Differs::Escape)
    };
    Some(Entry {
        number,
        at,
        line,
        source: decoded(source),
        point,
        fs_type: decoded(fs_type.unwrap_or_default()),
        options: decoded(options),
        differs,
    })
}

/// True if strtol(3) reads the whole field.
fn is_number(field: &[u8]) -> bool {
    let digits = field.strip_prefix(b"-").or_else(|| field.strip_prefix(b"+")).unwrap_or(field);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// True if the field has an escape that only one parser decodes.
fn has_own_escape(field: &[u8]) -> bool {
    let mut rest = field;
    while let Some(at) = rest.iter().position(|&b| b == b'\\') {
        rest = rest.get(at + 1..).unwrap_or_default();
        match rest {
            [b'0', b'4', b'0', ..] | [b'0', b'1', b'1' | b'2', ..] | [b'1', b'3', b'4', ..] => {}
            [b'\\', ..] | [b'0'..=b'7', b'0'..=b'7', b'0'..=b'7', ..] => return true,
            _ => {}
        }
    }
    false
}

/// Decodes `\040` and its like, as libmount does; a backslash before anything else stands for itself.
fn decoded(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = match (first, tail) {
            (b'\\', [a @ b'0'..=b'7', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0').wrapping_mul(64) + (b - b'0') * 8 + (c - b'0'))
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

    /// The mount point of a line says which systemd makes a unit of it.
    const LINES: &str = include_str!("../../tests/fstab");

    #[test]
    fn lines_that_only_one_parser_takes_are_marked() {
        let mut count = 0;
        for entry in entries(LINES.as_bytes()) {
            let by = String::from_utf8_lossy(entry.point.components().next().unwrap()).into_owned();
            let line = String::from_utf8_lossy(entry.line);
            match entry.differs {
                None => assert_eq!(by, "all", "{line}"),
                Some(Differs::NoType | Differs::NoNumber) => assert_eq!(by, "early", "{line}"),
                Some(Differs::Escape) => assert!(by.starts_with("escape"), "{line}"),
            }
            count += 1;
        }
        assert!(count > 30, "only {count} lines were read");
        assert!(entries(b"/a /b none bind 0 # kept by ops")[0].differs == Some(Differs::NoNumber));
        assert!(entries(b"/a /b \t\r\n")[0].differs == Some(Differs::NoType));
    }

    fn sources(text: &str, init: &Init) -> Vec<String> {
        let all = entries(text.as_bytes());
        let lines = in_effect(&all, &HostPath::from("/x"), init);
        lines.iter().map(|entry| String::from_utf8_lossy(&entry.source).into_owned()).collect()
    }

    #[test]
    fn the_first_line_for_a_mount_point_is_in_effect_with_systemd_and_the_last_one_without() {
        let two = "/a /x none bind 0 0\n/c /y none bind\n/b /x/ none bind 0 0\n";
        assert_eq!(sources(two, &Init::Systemd), ["/a"]);
        assert_eq!(sources(two, &Init::Unreachable(String::new())), ["/a"]);
        assert_eq!(sources(two, &Init::Offline), ["/a"]);
        assert_eq!(sources(two, &Init::Other("openrc".to_owned())), ["/b"]);
        // The first line is in effect before systemd 259, the second one from then on, the third never.
        let unlike = "/a /x none bind # mine\n/b /x none bind\n/c /x none bind\n";
        assert_eq!(sources(unlike, &Init::Systemd), ["/a", "/b"]);
        assert_eq!(sources("/a /x\n/b /x none bind x\n", &Init::Systemd), ["/a", "/b"]);
        assert_eq!(sources("/a /z none bind\n", &Init::Systemd), [""; 0]);
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
        fn one_line_that_both_parsers_take_is_in_effect_or_all_that_one_takes(
            lines in proptest::collection::vec("/[ab] /[xy]( none( bind( 0( 0| #c)?| #c)?)?)?", 0..8),
            systemd in any::<bool>(),
        ) {
            let text = lines.join("\n");
            let all = entries(text.as_bytes());
            prop_assert_eq!(all.len(), lines.len());
            let init = if systemd { Init::Systemd } else { Init::Other("init".to_owned()) };
            for point in ["/x", "/y"] {
                let mut here: Vec<_> = all.iter().filter(|e| e.point == HostPath::from(point)).collect();
                if !systemd {
                    here.reverse();
                }
                let lines = in_effect(&all, &HostPath::from(point), &init);
                let alike = |entry: &&&Entry<'_>| entry.differs.is_none();
                // Each parser's first line is among them, and nothing behind libmount's.
                prop_assert_eq!(lines.first(), here.first());
                prop_assert_eq!(lines.iter().find(alike), here.iter().find(alike));
                prop_assert!(lines.iter().rev().skip(1).all(|entry| entry.differs.is_some()));
            }
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
