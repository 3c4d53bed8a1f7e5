//! Pure: flags on the command lines of distributions, as the libraries of Go take them.

/// A flag of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag<'a> {
    /// Its name, without the dashes.
    pub(super) name: &'a [u8],
    /// What follows `=`, or the next word if that can be its value.
    pub(super) value: Option<&'a [u8]>,
    /// Whether the value is a word of its own, and so may be none of a flag that takes none.
    pub(super) apart: bool,
}

/// The flags in `args`, each with what may be its value. Those that `take` one have the next word,
/// whatever it is; of others that is not known here: the next word is the value if it is no flag itself.
pub(super) fn flags<'a>(args: &'a [Vec<u8>], take: &[&str]) -> Vec<Flag<'a>> {
    let mut flags = Vec::new();
    let mut rest = args.iter().map(Vec::as_slice).peekable();
    while let Some(arg) = rest.next() {
        if arg == b"--" {
            break;
        }
        let Some(flag) = arg.strip_prefix(b"--").or_else(|| arg.strip_prefix(b"-")) else { continue };
        flags.push(match flag.iter().position(|&byte| byte == b'=') {
            Some(at) => Flag {
                name: flag.get(..at).unwrap_or_default(),
                value: Some(flag.get(at + 1..).unwrap_or_default()),
                apart: false,
            },
            None => {
                let takes = take.iter().any(|name| name.as_bytes() == flag);
                let value = rest.next_if(|next| takes || !next.starts_with(b"-"));
                Flag { name: flag, value, apart: true }
            }
        });
    }
    flags
}

/// The last value of a flag that takes one.
pub(super) fn value<'a>(args: &'a [Vec<u8>], name: &str) -> Option<&'a [u8]> {
    flags(args, &[name]).iter().rev().find(|flag| flag.name == name.as_bytes()).and_then(|flag| flag.value)
}

/// Whether a flag that takes no value is set.
pub(super) fn is_set(args: &[Vec<u8>], name: &str) -> bool {
    let flags = flags(args, &[]);
    let last = flags.iter().rev().find(|flag| flag.name == name.as_bytes());
    last.is_some_and(|flag| flag.apart || flag.value.is_some_and(is_true))
}

/// Go's `strconv.ParseBool`.
pub(super) fn is_true(text: &[u8]) -> bool {
    matches!(text, b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn flags_are_found_in_every_form() {
        for (args, wanted) in [
            ("server --data-dir /x", Some("/x")),
            ("server --data-dir=/x", Some("/x")),
            ("server -data-dir=/x", Some("/x")),
            ("server --data-dir=/x --data-dir /y", Some("/y")),
            ("server --data-dir --other", Some("--other")),
            ("server --other --data-dir /x", Some("/x")),
            ("server -- --data-dir=/x", None),
            ("server --data-dir", None),
        ] {
            assert_eq!(value(&words(args), "data-dir"), wanted.map(str::as_bytes), "{args}");
        }
    }

    #[test]
    fn switches_are_on_unless_they_say_otherwise() {
        for (args, wanted) in [
            ("a --single", true),
            ("a --single b", true),
            ("a --single=true", true),
            ("a --single=false", false),
            ("a --single --single=0", false),
            ("a", false),
        ] {
            assert_eq!(is_set(&words(args), "single"), wanted, "{args}");
        }
    }
}
