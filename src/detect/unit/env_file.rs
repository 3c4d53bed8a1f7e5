//! Pure: the syntax of environment files, as systemd's own parser reads it
//! (`parse_env_file_internal`, src/basic/env-file.c, of version 254 and later).

use super::Environment;
use crate::model::service::is_name;

/// Where the parser is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BeforeKey,
    Key,
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuote,
    DoubleQuote,
    DoubleQuoteEscape,
    Comment,
    CommentEscape,
}

/// The assignment that is being read.
#[derive(Default)]
struct Open {
    key: Vec<u8>,
    value: Vec<u8>,
    /// So much of the value does not go, even if it is blank: it was escaped or quoted.
    kept: usize,
    line: usize,
}

/// The variables of an environment file, and the lines whose assignments are none.
pub(super) fn variables(text: &[u8]) -> (Environment, Vec<usize>) {
    let (mut variables, mut wrong) = (Environment::new(), Vec::new());
    let (mut state, mut open, mut line) = (State::BeforeKey, Open::default(), 1);
    let mut push = |open: Open| {
        let value = open.value.as_slice();
        let (kept, rest) = value.split_at_checked(open.kept).unwrap_or((value, &[]));
        let value = [kept, rest.trim_ascii_end()].concat();
        let key = open.key.trim_ascii_end();
        // Two lines may be one in a value; both of its parts have to be text.
        if is_name(key) && std::str::from_utf8(&value).is_ok() {
            variables.insert(key.to_vec(), value);
        } else {
            wrong.push(open.line);
        }
    };
    for &byte in text {
        let newline = byte == b'\n' || byte == b'\r';
        let blank = byte == b' ' || byte == b'\t' || newline;
        state = match state {
            State::BeforeKey if byte == b'#' || byte == b';' => State::Comment,
            State::BeforeKey if blank => State::BeforeKey,
            State::BeforeKey => {
                open = Open { key: vec![byte], line, ..Open::default() };
                // systemd takes a key of which `=` is the first letter, and refuses it later.
                State::Key
            }
            // A line without a `=` is left out without a word.
            State::Key if newline => State::BeforeKey,
            State::Key if byte == b'=' => State::BeforeValue,
            State::Key => {
                open.key.push(byte);
                State::Key
            }
            State::BeforeValue | State::Value if newline => {
                push(std::mem::take(&mut open));
                State::BeforeKey
            }
            State::BeforeValue if byte == b'\'' => State::SingleQuote,
            State::BeforeValue if byte == b'"' => State::DoubleQuote,
            State::BeforeValue | State::Value if byte == b'\\' => State::ValueEscape,
            State::BeforeValue if blank => State::BeforeValue,
            State::BeforeValue | State::Value => {
                open.value.push(byte);
                State::Value
            }
            State::ValueEscape => {
                if !newline {
                    open.value.push(byte);
                }
                open.kept = open.value.len();
                State::Value
            }
            State::SingleQuote if byte == b'\'' => State::BeforeValue,
            State::DoubleQuote if byte == b'"' => State::BeforeValue,
            State::DoubleQuote if byte == b'\\' => State::DoubleQuoteEscape,
            State::SingleQuote | State::DoubleQuote => {
                open.value.push(byte);
                open.kept = open.value.len();
                state
            }
            State::DoubleQuoteEscape => {
                if b"\"\\`$".contains(&byte) {
                    open.value.push(byte);
                } else if byte != b'\n' {
                    open.value.extend([b'\\', byte]);
                }
                open.kept = open.value.len();
                State::DoubleQuote
            }
            State::Comment if byte == b'\\' => State::CommentEscape,
            State::Comment | State::CommentEscape if newline => State::BeforeKey,
            State::Comment | State::CommentEscape => State::Comment,
        };
        line += usize::from(byte == b'\n');
    }
    if !matches!(state, State::BeforeKey | State::Key | State::Comment | State::CommentEscape) {
        push(open);
    }
    (variables, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn environment_files_are_read_as_systemd_reads_them() {
        for (text, wanted) in [
            ("A=1\nB=2", &[("A", "1"), ("B", "2")][..]),
            ("# A=1\n; B=2\n\n  C = 3  \n", &[("C", "3")]),
            ("A=\"x y\" \nB='x \"y'\n", &[("A", "x y"), ("B", "x \"y")]),
            ("A=\"x\"'y'z\n", &[("A", "xyz")]),
            // A quote in the middle of a bare value is a letter.
            ("A=x\"y\"\n", &[("A", "x\"y\"")]),
            ("A=x \\\n  y\n", &[("A", "x   y")]),
            ("A=x\\y\\ \nB=\"\\$\\a\\\"\\\n1\"\n", &[("A", "xy "), ("B", "$\\a\"1")]),
            ("A='x\ny'\nB=1\n", &[("A", "x\ny"), ("B", "1")]),
            ("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]),
            ("nonsense\nA=1\n", &[("A", "1")]),
            ("export A=1\n1A=2\n=3\nB=4\n", &[("B", "4")]),
            ("A=1\nA=2\n", &[("A", "2")]),
            ("A=\n", &[("A", "")]),
            ("# c \\\nA=1\n", &[("A", "1")]),
            ("A=\"not closed\nB=1\n", &[("A", "not closed\nB=1\n")]),
            ("A", &[]),
        ] {
            let wanted: Environment =
                wanted.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())).collect();
            assert_eq!(variables(text.as_bytes()).0, wanted, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_variable_is_told_with_its_line() {
        assert_eq!(variables(b"A=1\nexport B=2\n\n2=3\nC=\xff\n").1, [2, 4, 5]);
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd_and_none_grows(text: Vec<u8>, odd in "[A=#;'\"\\\\ $\n\r]*") {
            for text in [text.as_slice(), odd.as_bytes()] {
                let (found, _) = variables(text);
                let size: usize = found.iter().map(|(name, value)| name.len() + value.len()).sum();
                prop_assert!(size <= text.len());
            }
        }
    }
}
