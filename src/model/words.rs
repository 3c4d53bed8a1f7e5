//! Model: how systemd takes a text apart into words.
//!
//! The rules are those of systemd's `extract_first_word` (src/basic/extract-word.c) and
//! `cunescape_one` (src/basic/escape.c), described as "quoting" in systemd.syntax(7).

/// What separates words.
const WHITESPACE: &[u8] = b" \t\n\r";

/// What a backslash means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// An escape of C; any other is an error (`Environment=`).
    Strict,
    /// An escape of C; any other stays as it is written (`ExecStart=`).
    Kept,
    /// The next character stands for itself, and a quote may stay open: how the value of a
    /// `$VARIABLE` is taken apart.
    Dropped,
}

/// A quote that is not closed, a backslash at the end, or a wrong escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbalanced;

/// A word, and what comes after it.
type Word<'a> = (Vec<u8>, &'a [u8]);

/// The first word of `text`, quotes and escapes taken away, and what comes after it; `None` where
/// there is no more word. Quotes may open in the middle of a word.
pub fn first_word(text: &[u8], escapes: Escapes) -> Result<Option<Word<'_>>, Unbalanced> {
    let mut rest = skip_whitespace(text);
    if rest.is_empty() {
        return Ok(None);
    }
    let (mut word, mut quote) = (Vec::new(), None);
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, quote) {
            (b'\\', _) => {
                rest = escaped(after, escapes, quote.is_some(), &mut word)?;
                continue;
            }
            (byte, Some(open)) if byte == open => quote = None,
            (byte, Some(_)) => word.push(byte),
            (b'"' | b'\'', None) => quote = Some(byte),
            (byte, None) if WHITESPACE.contains(&byte) => return Ok(Some((word, skip_whitespace(after)))),
            (byte, None) => word.push(byte),
        }
        rest = after;
    }
    match quote {
        Some(_) if escapes != Escapes::Dropped => Err(Unbalanced),
        _ => Ok(Some((word, rest))),
    }
}

/// All words of `text`.
pub fn words(text: &[u8], escapes: Escapes) -> Result<Vec<Vec<u8>>, Unbalanced> {
    let (mut words, mut rest) = (Vec::new(), text);
    while let Some((word, after)) = first_word(rest, escapes)? {
        words.push(word);
        rest = after;
    }
    Ok(words)
}

/// What is left of `text` after the blanks that it begins with.
pub fn skip_whitespace(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !WHITESPACE.contains(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// Adds what the escape after a backslash stands for, and gives what comes after it.
fn escaped<'a>(
    text: &'a [u8],
    escapes: Escapes,
    quoted: bool,
    word: &mut Vec<u8>,
) -> Result<&'a [u8], Unbalanced> {
    let Some((&byte, after)) = text.split_first() else {
        return match escapes {
            Escapes::Dropped => Ok(text),
            Escapes::Kept if !quoted => {
                word.push(b'\\');
                Ok(text)
            }
            Escapes::Kept | Escapes::Strict => Err(Unbalanced),
        };
    };
    if escapes == Escapes::Dropped {
        word.push(byte);
        return Ok(after);
    }
    match c_escape(text) {
        Some((bytes, rest)) => {
            word.extend(bytes);
            Ok(rest)
        }
        None if escapes == Escapes::Kept => {
            word.extend([b'\\', byte]);
            Ok(after)
        }
        None => Err(Unbalanced),
    }
}

/// The bytes that an escape of C stands for: `text` begins after the backslash. NUL is none.
fn c_escape(text: &[u8]) -> Option<Word<'_>> {
    let (&byte, after) = text.split_first()?;
    let number = |digits: usize, radix: u32, from: &'static [u8]| {
        let rest = text.get(from.len()..)?;
        let (digits, rest) = rest.split_at_checked(digits)?;
        // A sign is not a digit, and from_str_radix takes one.
        let value = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
        (value != 0 && digits.iter().all(u8::is_ascii_hexdigit)).then_some((value, rest))
    };
    let simple = match byte {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b's' => b' ',
        b'\\' | b'"' | b'\'' => byte,
        b'x' => {
            let (value, rest) = number(2, 16, b"x")?;
            return Some((vec![u8::try_from(value).ok()?], rest));
        }
        b'u' | b'U' => {
            let (value, rest) = if byte == b'u' { number(4, 16, b"u")? } else { number(8, 16, b"U")? };
            return Some((char::from_u32(value)?.to_string().into_bytes(), rest));
        }
        b'0'..=b'7' => {
            let (value, rest) = number(3, 8, b"")?;
            return Some((vec![u8::try_from(value).ok()?], rest));
        }
        _ => return None,
    };
    Some((vec![simple], after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str, escapes: Escapes) -> Option<Vec<String>> {
        let words = words(text.as_bytes(), escapes).ok()?;
        Some(words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    #[test]
    fn words_are_split_as_systemd_splits_them() {
        use Escapes::{Dropped, Kept, Strict};
        for (text, escapes, wanted) in [
            ("a  b\tc ", Kept, Some(vec!["a", "b", "c"])),
            ("--a=\"b c\" 'd e'f", Kept, Some(vec!["--a=b c", "d ef"])),
            ("\"\" ''", Kept, Some(vec!["", ""])),
            (r#"a\x20b \101 \u00fc "\"" '\''"#, Kept, Some(vec!["a b", "A", "\u{fc}", "\"", "'"])),
            (r"a\qb", Kept, Some(vec![r"a\qb"])),
            (r"a\qb", Strict, None),
            (r"a\x00b", Strict, None),
            (r"\x+1", Strict, None),
            (r"\+12", Strict, None),
            (r"a\", Kept, Some(vec![r"a\"])),
            (r"a\", Strict, None),
            ("'a", Kept, None),
            ("'a\\", Kept, None),
            ("'a b", Dropped, Some(vec!["a b"])),
            (r"a\qb\ c \", Dropped, Some(vec!["aqb c", ""])),
            ("", Kept, Some(vec![])),
            ("  ", Kept, Some(vec![])),
        ] {
            let wanted = wanted.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(text, escapes), wanted, "{text} {escapes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_and_none_grows(text: Vec<u8>) {
            for escapes in [Escapes::Strict, Escapes::Kept, Escapes::Dropped] {
                if let Ok(words) = words(&text, escapes) {
                    prop_assert!(words.iter().map(Vec::len).sum::<usize>() <= text.len());
                }
            }
        }
    }
}
