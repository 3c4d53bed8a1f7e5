//! Mounts: paths as values in unit files.
//!
//! `What=`, `Where=`, `Description=` and `AssertPathIsDirectory=` take the rest of their line.
//! Quotes, spaces and backslashes within it stand for themselves; only specifiers are expanded
//! (systemd.unit(5), "Specifiers"; `config_parse_unit_path_printf()` and
//! `config_parse_unit_string_printf()` in systemd's src/core/load-fragment.c). The line itself is
//! read by `config_parse()` in src/shared/conf-parser.c: it must be UTF-8, white space at its end
//! is dropped, and a backslash at its end joins it to the next line. All of this was tried with
//! systemd 252.

use crate::model::path::HostPath;
use std::fmt;

/// Why a path cannot be written in a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuoteError {
    /// It holds a newline or another control character.
    Control(HostPath),
    /// It is not UTF-8.
    NotUtf8(HostPath),
}

impl fmt::Display for QuoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control(path) => {
                write!(f, "\"{path}\" holds a control character, which a unit file cannot say")
            }
            Self::NotUtf8(path) => {
                write!(f, "\"{path}\" is not UTF-8; systemd ignores such lines of a unit file")
            }
        }
    }
}

impl std::error::Error for QuoteError {}

/// The path as the value of a setting that takes one path.
pub fn unit_value(path: &HostPath) -> Result<String, QuoteError> {
    let text = std::str::from_utf8(path.as_bytes()).map_err(|_| QuoteError::NotUtf8(path.clone()))?;
    if text.chars().any(char::is_control) {
        return Err(QuoteError::Control(path.clone()));
    }
    let mut value = text.replace('%', "%%");
    // The line reader would eat these at the end of the line; `/` after them names the same
    // directory, and systemd takes it off again.
    if value.ends_with([' ', '\\']) {
        value.push('/');
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(path: &[u8]) -> Result<String, QuoteError> {
        unit_value(&HostPath::parse(path).unwrap())
    }

    #[test]
    fn only_the_percent_sign_and_the_end_of_the_line_are_special() {
        for (path, text) in [
            ("/var/lib/kubelet", "/var/lib/kubelet"),
            ("/a b\"c'd\\e#;f", "/a b\"c'd\\e#;f"),
            ("/100%/%n", "/100%%/%%n"),
            ("/ends in space ", "/ends in space /"),
            ("/ends in backslash\\", "/ends in backslash\\/"),
            ("/gr\u{fc}n", "/gr\u{fc}n"),
            ("/", "/"),
        ] {
            assert_eq!(value(path.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn what_a_unit_file_cannot_say_is_refused_with_the_reason() {
        for path in [&b"/a\nExecStart=evil"[..], b"/a\tb", b"/a\rb", "/a\u{85}b".as_bytes()] {
            assert!(matches!(value(path), Err(QuoteError::Control(_))), "{path:?}");
        }
        assert_eq!(
            value(b"/a\xff").unwrap_err().to_string(),
            "\"/a\\xff\" is not UTF-8; systemd ignores such lines of a unit file"
        );
    }
}
