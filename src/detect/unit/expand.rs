//! Pure: variables in a service's command (`replace_env_argv`, systemd's src/basic/env-util.c).

use super::Environment;
use crate::model::words::{Escapes, words};

/// No command is longer: what a variable makes of one is bounded.
const MOST: usize = 1 << 20;

/// Replaces variables: `$NAME` as a word by the words of its value, `${NAME}` anywhere by its value
/// as it is, `$$` by `$`. One that is not set is nothing.
pub(super) fn arguments(exec: &[Vec<u8>], environment: &Environment) -> Vec<Vec<u8>> {
    let (mut arguments, mut size) = (Vec::new(), 0);
    for word in exec {
        let mut replaced = Vec::new();
        match word.strip_prefix(b"$") {
            Some(name) if !name.starts_with(b"{") && !name.starts_with(b"$") => {
                // Quotes that stay open are taken as closed: this cannot fail.
                let value = value(name, environment);
                size += value.len();
                replaced = words(value, Escapes::Dropped).unwrap_or_default();
            }
            _ => replaced.push(in_word(word, environment)),
        }
        size += replaced.iter().map(|word| word.len() + 1).sum::<usize>();
        if size > MOST {
            break;
        }
        arguments.extend(replaced);
    }
    arguments
}

fn value<'a>(name: &[u8], environment: &'a Environment) -> &'a [u8] {
    environment.get(name).map(Vec::as_slice).unwrap_or_default()
}

fn in_word(word: &[u8], environment: &Environment) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
        let (plain, after) = rest.split_at_checked(at).unwrap_or_default();
        out.extend_from_slice(plain);
        if let Some(after) = after.strip_prefix(b"$$") {
            out.push(b'$');
            rest = after;
            continue;
        }
        let braced = after.strip_prefix(b"${").and_then(|inner| {
            let end = inner.iter().position(|&byte| byte == b'}')?;
            Some((inner.get(..end)?, inner.get(end + 1..)?))
        });
        match braced {
            Some((name, after)) => {
                if out.len() < MOST {
                    out.extend_from_slice(value(name, environment));
                }
                rest = after;
            }
            None => {
                out.push(b'$');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expand(words: &[&str]) -> Vec<String> {
        let variables = [("ONE", "x"), ("TWO", "x  'y z' \\w"), ("EMPTY", ""), ("OPEN", "'a b")];
        let environment =
            variables.iter().map(|(a, b)| (a.as_bytes().to_vec(), b.as_bytes().to_vec())).collect();
        let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let expanded = arguments(&words, &environment);
        expanded.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn variables_are_replaced_as_systemd_replaces_them() {
        for (word, wanted) in [
            ("$TWO", &["x", "y z", "w"][..]),
            ("${TWO}", &["x  'y z' \\w"]),
            ("a${ONE}b${ONE}", &["axbx"]),
            ("a$ONE", &["a$ONE"]),
            ("$ONE$ONE", &[]),
            ("$EMPTY", &[]),
            ("${EMPTY}", &[""]),
            ("$NONE", &[]),
            ("a${NONE}", &["a"]),
            ("$$ONE", &["$ONE"]),
            ("a$$b", &["a$b"]),
            ("${ONE", &["${ONE"]),
            ("$OPEN", &["a b"]),
            ("$", &[]),
            ("a$", &["a$"]),
        ] {
            assert_eq!(expand(&[word]), wanted, "{word}");
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_bounded(word in "[${}A]*", value in "[a '\\\\]*", times in 0..100_usize) {
            let environment = Environment::from([(b"A".to_vec(), value.repeat(1000).into_bytes())]);
            let words = vec![word.into_bytes(); times];
            let size: usize = arguments(&words, &environment).iter().map(Vec::len).sum();
            prop_assert!(size <= MOST);
        }
    }
}
