//! Pure: words of a shell command, for scripts that hand one over (`sh -c`, the k8s snap).
//!
//! Not a shell: what only running it can say (a command's output, arithmetic, a variable's
//! modification) becomes [`UNKNOWN`], so that a path with it in is refused later.

use crate::detect::unit::{Environment, get};
use crate::model::service::UNKNOWN;

/// Takes a command apart: quotes, escapes, comments and variables as in sh(1). Separators of commands
/// count as blanks. What follows an open quote is taken as quoted.
pub(super) fn words(text: &[u8], environment: &Environment) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut rest = text;
    let mut double = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => {
                double = !double;
                word.get_or_insert_default();
            }
            b'\'' if !double => {
                let end = after.iter().position(|&byte| byte == b'\'').unwrap_or(after.len());
                let (quoted, after) = after.split_at_checked(end).unwrap_or_default();
                word.get_or_insert_default().extend_from_slice(quoted);
                rest = after.get(1..).unwrap_or_default();
            }
            b'\\' => {
                let Some((&next, after)) = after.split_first() else { break };
                rest = after;
                match next {
                    b'\n' => {}
                    next if double && !b"$`\"\\".contains(&next) => {
                        word.get_or_insert_default().extend([b'\\', next]);
                    }
                    next => word.get_or_insert_default().push(next),
                }
            }
            b'`' => {
                let end = after.iter().position(|&byte| byte == b'`').unwrap_or(after.len());
                rest = after.get(end + 1..).unwrap_or_default();
                word.get_or_insert_default().push(UNKNOWN);
            }
            b'$' => {
                let (value, after) = variable(after, environment);
                rest = after;
                if double {
                    word.get_or_insert_default().extend_from_slice(&value);
                    continue;
                }
                // Blanks in the value of a bare variable separate words.
                for (index, part) in value.split(u8::is_ascii_whitespace).enumerate() {
                    if index > 0 {
                        words.extend(word.take());
                    }
                    if !part.is_empty() {
                        word.get_or_insert_default().extend_from_slice(part);
                    }
                }
            }
            b'#' if !double && word.is_none() => {
                let end = after.iter().position(|&byte| byte == b'\n').unwrap_or(after.len());
                rest = after.get(end..).unwrap_or_default();
            }
            byte if !double && (byte.is_ascii_whitespace() || b";&|<>()".contains(&byte)) => {
                words.extend(word.take());
            }
            byte => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

/// What follows a `$`: its value, and what comes after it.
fn variable<'a>(text: &'a [u8], environment: &Environment) -> (Vec<u8>, &'a [u8]) {
    let value = |name: &[u8]| {
        let name = std::str::from_utf8(name).unwrap_or_default();
        get(environment, name).map_or_else(|| vec![UNKNOWN], <[u8]>::to_vec)
    };
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if let Some(inner) = text.strip_prefix(b"{") {
        let end = inner.iter().position(|&byte| byte == b'}').unwrap_or(inner.len());
        let (name, after) = inner.split_at_checked(end).unwrap_or_default();
        let after = after.get(1..).unwrap_or_default();
        return (if name.iter().all(letter) { value(name) } else { vec![UNKNOWN] }, after);
    }
    if let Some(inner) = text.strip_prefix(b"(") {
        let mut depth = 1_usize;
        let end = inner.iter().position(|byte| {
            depth = match byte {
                b'(' => depth + 1,
                b')' => depth - 1,
                _ => depth,
            };
            depth == 0
        });
        return (vec![UNKNOWN], inner.get(end.map_or(inner.len(), |end| end + 1)..).unwrap_or_default());
    }
    let end = text.iter().position(|byte| !letter(byte)).unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some(([], _)) | None => (b"$".to_vec(), text),
        Some((name, after)) => (value(name), after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Vec<String> {
        let environment = Environment::from([(b"A".to_vec(), b"x y".to_vec()), (b"E".to_vec(), Vec::new())]);
        let words = words(text.as_bytes(), &environment);
        words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, wanted) in [
            ("exec kubelet --a=b", &["exec", "kubelet", "--a=b"][..]),
            ("--root-dir=\"/a b\" 'c  d'e\n# no\n--f", &["--root-dir=/a b", "c  de", "--f"]),
            ("$A \"$A\" \"${A}\"b '$A' $E x$E", &["x", "y", "x y", "x yb", "$A", "x"]),
            ("a\\ b \"a\\qb\\\"\" c\\\nd", &["a b", "a\\qb\"", "cd"]),
            ("a;b&&c | d", &["a", "b", "c", "d"]),
            ("--h=$(hostname -s (x))/a --i=`x y` ${A:-b} $NONE", &["--h=\0/a", "--i=\0", "\0", "\0"]),
            ("a$ $", &["a$", "$"]),
            ("'a b", &["a b"]),
            ("", &[]),
        ] {
            assert_eq!(split(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text: Vec<u8>, odd in "[$A{}()`'\"\\\\# \n;]*") {
            words(&text, &Environment::new());
            split(&odd);
        }
    }
}
