//! iSCSI: iscsid.conf as lines that are never lost, and what iscsid reads in them.
//!
//! Two parsers of open-iscsi read this file, by opposite rules. `iscsid.startup` is read by
//! `cfg_get_string_param()` (usr/iscsi_util.c): the **first** match wins; the key counts wherever
//! it is in a line, even in `;iscsid.startupX = y`; only a `#` before it makes a line a comment,
//! and a later one is part of the value; white space around the value goes, so CRLF does no harm;
//! a line without `=` or without a value is passed over. It reads into 1024 bytes with fgets(3):
//! what follows the first 1023 bytes of a line is a line of its own, even behind a `#`.
//!
//! `node.*`, `discovery.*` and `iface.*` are read by `idbm_recinfo_config()` (usr/idbm.c): the
//! **last** match wins, only a leading `#` makes a comment, and a last line that has no newline
//! is dropped.

use crate::model::edit;

/// The key of the command with which open-iscsi's tools start the daemon.
pub const STARTUP: &[u8] = b"iscsid.startup";

/// `cfg_get_string_param()` reads this many bytes of a line at a time (1024, less one for NUL).
pub(crate) const BUFFER: usize = 1023;

/// The file as its bytes; nothing is thrown away, so nothing can be lost.
#[derive(Debug, Clone, Copy)]
pub struct Conf<'a> {
    bytes: &'a [u8],
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Where it begins in the file.
    pub at: usize,
    /// The line with its newline, which only the last may lack.
    pub bytes: &'a [u8],
}

/// A line in which iscsid would find a startup command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartupLine<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The command.
    pub value: &'a [u8],
}

impl<'a> Conf<'a> {
    /// The document of a file.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The whole file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The lines, which put together are the file.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        edit::lines_at(self.bytes).map(|(at, bytes)| Line { at, bytes })
    }

    /// The startup command in effect.
    pub fn startup(&self) -> Option<&'a [u8]> {
        first_value(self.bytes, STARTUP)
    }

    /// All lines that name a startup command; the first is in effect, and each of the others
    /// would be if those before it were not there.
    pub fn competing(&self) -> Vec<StartupLine<'a>> {
        self.lines().filter_map(|line| Some(StartupLine { line, value: line.value(STARTUP)? })).collect()
    }
}

impl<'a> Line<'a> {
    /// The value that `cfg_get_string_param()` would find for `key` in this line.
    pub(crate) fn value(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.bytes.chunks(BUFFER).find_map(|piece| value_in(piece, key))
    }

    /// What `idbm_recinfo_config()` takes for the name in this line, whether or not it then finds
    /// a value. Only for lines that fit into its buffer.
    pub(crate) fn idbm_name(&self) -> Option<&'a [u8]> {
        let line = c_string(self.bytes).strip_suffix(b"\n")?;
        let line = trim(line);
        let end = line.iter().position(|&b| is_space(b) || b == b'=').unwrap_or(line.len());
        line.get(..end).filter(|name| !name.is_empty() && !line.starts_with(b"#"))
    }
}

/// The first value of `key` in a file, by the rules of `cfg_get_string_param()`.
pub(crate) fn first_value<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    Conf::new(bytes).lines().find_map(|line| line.value(key))
}

fn value_in<'a>(piece: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let text = c_string(piece);
    let at = find(text, key)?;
    let (before, from_key) = text.split_at(at);
    if before.contains(&b'#') {
        return None;
    }
    let equals = from_key.iter().position(|&b| b == b'=')?;
    let value = trim(from_key.get(equals + 1..)?);
    (!value.is_empty()).then_some(value)
}

/// Where `needle` begins in `text`, as strstr(3) says.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// What C sees of bytes: nothing from a NUL on.
fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}

/// isspace(3) in the C locale; Rust's own idea of ASCII white space lacks the vertical tab.
pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&b| !is_space(b)) else {
        return &[];
    };
    let end = text.iter().rposition(|&b| !is_space(b)).map_or(text.len(), |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn startup(text: &str) -> Option<String> {
        Conf::new(text.as_bytes()).startup().map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn the_first_live_line_is_in_effect() {
        for (text, value) in [
            ("iscsid.startup = /sbin/iscsid\n", Some("/sbin/iscsid")),
            ("iscsid.startup=/a\niscsid.startup=/b\n", Some("/a")),
            ("# iscsid.startup = /a\n  iscsid.startup\t=\t/b c \r\n", Some("/b c")),
            (";iscsid.startup = /a\n", Some("/a")),
            ("iscsid.startupX = /a\n", Some("/a")),
            ("iscsid.startup of this host = /a = b\n", Some("/a = b")),
            ("iscsid.startup = /a # b\n", Some("/a # b")),
            ("x # iscsid.startup = /a\n", None),
            ("iscsid.startup\niscsid.startup =\niscsid.startup = \t\r\n", None),
            ("iscsid.startup = \"/a\"", Some("\"/a\"")),
            ("ISCSID.STARTUP = /a\n", None),
            ("iscsid.startup = /a\0b\n", Some("/a")),
            ("\0iscsid.startup = /a\n", None),
            ("", None),
        ] {
            assert_eq!(startup(text).as_deref(), value, "{text:?}");
        }
    }

    #[test]
    fn behind_1023_bytes_even_a_comment_comes_to_life() {
        let comment = |length: usize| format!("#{}iscsid.startup = /a\n", " ".repeat(length - 1));
        assert_eq!(startup(&comment(1022)), None);
        assert_eq!(startup(&comment(1023)).as_deref(), Some("/a"));
        // The key itself is cut in two.
        assert_eq!(startup(&comment(1020)), None);
    }

    #[test]
    fn all_live_lines_compete_and_know_where_they_are() {
        let text = b"# iscsid.startup = a\niscsid.startup = b\nnode.x = 1\n;iscsid.startup=c";
        let competing = Conf::new(text).competing();
        let seen: Vec<(usize, &[u8])> = competing.iter().map(|found| (found.line.at, found.value)).collect();
        assert_eq!(seen, [(21, &b"b"[..]), (51, b"c")]);
    }

    #[test]
    fn names_are_seen_as_the_other_parser_sees_them() {
        let name = |text: &str| {
            Line { at: 0, bytes: text.as_bytes() }
                .idbm_name()
                .map(|name| String::from_utf8(name.to_vec()).unwrap())
        };
        assert_eq!(name(" node.startup = x\n").as_deref(), Some("node.startup"));
        assert_eq!(name("node.startup=x\r\n").as_deref(), Some("node.startup"));
        assert_eq!(name(";a = x\n").as_deref(), Some(";a"));
        assert_eq!(name(" # node.startup = x\n"), None);
        assert_eq!(name("node.startup = x"), None);
        assert_eq!(name("\n"), None);
        assert_eq!(name("= x\n"), None);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost(bytes: Vec<u8>) {
            let conf = Conf::new(&bytes);
            let mut whole = Vec::new();
            for line in conf.lines() {
                prop_assert_eq!(line.at, whole.len());
                whole.extend_from_slice(line.bytes);
            }
            prop_assert_eq!(&whole, &bytes);
            let _ = conf.competing();
        }
    }
}
