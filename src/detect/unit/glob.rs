//! Pure: wildcards in the paths of environment files (glob(7), as glob(3) goes through them).

use crate::detect::config::Files;
use crate::model::file::FileFact;
use crate::model::path::HostPath;

/// No pattern stands for more files than this, nor is a name tried against it for longer.
const MOST: usize = 256;

/// The files that a path with wildcards stands for, by name; a path without any is itself.
pub(super) fn paths(pattern: &HostPath, files: &dyn Files) -> Vec<HostPath> {
    let wild = |part: &[u8]| part.iter().any(|byte| b"*?[".contains(byte));
    if !wild(pattern.as_bytes()) {
        return vec![pattern.clone()];
    }
    let mut found = vec![HostPath::root()];
    for part in pattern.components() {
        found = match wild(part) {
            false => found.into_iter().map(|path| path.join(part)).collect(),
            true => found.iter().flat_map(|path| matching(path, part, files)).take(MOST).collect(),
        };
    }
    found.retain(|path| !matches!(files.file(path), FileFact::Absent | FileFact::Directory));
    found
}

fn matching<'a>(
    directory: &'a HostPath,
    pattern: &'a [u8],
    files: &dyn Files,
) -> impl Iterator<Item = HostPath> + use<'a> {
    let mut names = files.list(directory);
    names.sort();
    // A dot at the beginning has to be written.
    let plain = pattern.starts_with(b".");
    names.retain(|name| (plain || !name.starts_with(b".")) && matches(pattern, name));
    names.into_iter().map(|name| directory.join(name))
}

/// Whether a name is one that the pattern stands for. Each `*` is tried from left to right, and
/// only the last one is ever tried again, so that it takes no longer than the product of both.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (pattern, name);
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = p.strip_prefix(b"*") {
            again = Some((rest, n));
            p = rest;
            continue;
        }
        let step = match n.split_first() {
            Some((&byte, after)) => one(p, byte).map(|rest| (rest, after)),
            None if p.is_empty() => return true,
            None => return false,
        };
        match (step, again) {
            (Some((rest, after)), _) => (p, n) = (rest, after),
            (None, Some((rest, [_, tried @ ..]))) => {
                again = Some((rest, tried));
                (p, n) = (rest, tried);
            }
            (None, _) => return false,
        }
    }
}

/// What is left of the pattern if its first part stands for `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some(rest),
        b'\\' => rest.split_first().filter(|(letter, _)| **letter == byte).map(|(_, rest)| rest),
        b'[' => match set(rest, byte) {
            Some((true, rest)) => Some(rest),
            Some((false, _)) => None,
            // A bracket that is not closed is a letter.
            None => (byte == b'[').then_some(rest),
        },
        letter => (letter == byte).then_some(rest),
    }
}

/// Whether `byte` is in the set that begins here, and what comes after the set.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let (not, mut rest) = match pattern.first() {
        Some(b'!' | b'^') => (true, pattern.get(1..)?),
        _ => (false, pattern),
    };
    let (mut within, mut first) = (false, true);
    loop {
        let (&low, after) = rest.split_first()?;
        if low == b']' && !first {
            return Some((within != not, after));
        }
        first = false;
        match after {
            [b'-', high, after @ ..] if *high != b']' => {
                within |= (low..=*high).contains(&byte);
                rest = after;
            }
            after => {
                within |= low == byte;
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_stand_for_what_they_stand_for_in_a_shell() {
        for (pattern, name, wanted) in [
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("*a*b", "xaab", true),
            ("a?c", "abc", true),
            ("[ab]c", "bc", true),
            ("[!ab]c", "bc", false),
            ("[a-c]", "b", true),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("", "", true),
            ("a", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_is_too_odd(pattern in "[ab*?\\[\\]!\\\\-]{0,40}", name in "[ab]{0,40}") {
            matches(pattern.as_bytes(), name.as_bytes());
            prop_assert!(matches(b"*", name.as_bytes()));
        }
    }
}
