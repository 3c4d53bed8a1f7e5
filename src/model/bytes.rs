//! Bytes that need not be UTF-8, and the one way in which csihost shows them.
//!
//! Names from /proc, mount tables and command lines are bytes. They are shown, in text and in
//! JSON alike, with control characters, characters that a terminal does not show or that turn the line around, the
//! backslash and whatever is not UTF-8 as `\xNN`, so that a name can neither forge a line of output nor be mistaken for another.

use std::fmt::Write as _;

/// True for characters that do not show as one of their own in a line: control characters (Unicode's Cc), those of
/// formatting (Cf: zero width, the order of a line's direction, tags), and separators of lines and paragraphs (Zl, Zp).
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
                | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Shows `bytes`: UTF-8 as it is, unsafe characters ([`is_unsafe`]), `\` and invalid bytes as `\xNN`.
///
/// The result names exactly one byte string: [`unshown`] gives it back.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unsafe(c) || c == '\\' {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    push_escaped(&mut out, byte);
                }
            } else {
                out.push(c);
            }
        }
        for &byte in chunk.invalid() {
            push_escaped(&mut out, byte);
        }
    }
    out
}

/// The text as one word of a shell, in single quotes.
pub fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The text as one word of a shell: in quotes where it needs them.
pub fn shell_word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._@:+,-".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => single_quoted(text),
    }
}

fn push_escaped(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// The bytes that [`shown`] showed as `text`, or `None` where `text` is not of that form.
pub fn unshown(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let digits = escape.strip_prefix("\\x")?.get(..2)?;
        if !digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        out.push(u8::from_str_radix(digits, 16).ok()?);
        rest = escape.get(4..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_what_could_deceive_as_escapes() {
        for (bytes, text) in [
            (&b"/var/lib/kubelet"[..], "/var/lib/kubelet"),
            (b"a\nb", "a\\x0ab"),
            (b"back\\slash", "back\\x5cslash"),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            ("\u{85}".as_bytes(), "\\xc2\\x85"),
            ("a\u{202e}b".as_bytes(), "a\\xe2\\x80\\xaeb"),
            ("\u{2028}\u{200b}".as_bytes(), "\\xe2\\x80\\xa8\\xe2\\x80\\x8b"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn refuses_text_that_was_never_shown() {
        for text in ["\\", "\\x", "\\x4", "\\xZZ", "\\n", "\\x0A"] {
            assert_eq!(unshown(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_names_the_same_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(unshown(&shown(&bytes)), Some(bytes));
        }
    }
}
