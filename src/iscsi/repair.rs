//! iSCSI: the edit of iscsid.conf after which a certain startup command is in effect.
//!
//! Whatever else is in the file, both of its parsers (see [`super::conf`]) read it as before.

use super::conf::{BUFFER, Conf, Line, STARTUP, find, trim};
use crate::model::edit::{Splice, Text};

/// The edit after which `value` is in effect.
///
/// Competing lines become comments, and a comment that says what is wanted becomes a line. A line
/// that cannot become a comment without harm stays; as the first line wins, the wanted one is then
/// put before it.
pub(crate) fn repair(conf: &Conf, value: &[u8]) -> Vec<Splice> {
    let ours = [STARTUP, b" = ", value, b"\n"].concat();
    let lines: Vec<Line> = conf.lines().collect();
    let live: Vec<Option<&[u8]>> = lines.iter().map(|line| line.value(STARTUP)).collect();
    let numbered = || lines.iter().zip(&live).enumerate();

    let fence = numbered()
        .find(|(_, (line, live))| live.is_some() && !may_be_commented(line))
        .map_or(lines.len(), |(index, _)| index);
    let within = || numbered().take(fence);
    let kept = within().find(|(_, (_, live))| **live == Some(value)).map(|(index, _)| index);
    let revived = match kept {
        Some(_) => None,
        None => within().find(|(_, (line, _))| commented_value(line) == Some(value)).map(|(index, _)| index),
    };

    let mut splices = Vec::new();
    let mut put = |at: usize, old: &[u8], new: Vec<u8>| {
        splices.push(Splice { at, old: Text(old.to_vec()), new: Text(new) });
    };
    let place = match kept.or(revived) {
        Some(_) => None,
        None => Some(place(&lines, &live, fence)),
    };
    if let Some(Place::Top) = place {
        put(0, b"", ours.clone());
    }
    for (index, (line, live)) in numbered() {
        let new = match live {
            Some(_) if Some(index) != kept && may_be_commented(line) => [b"# ", line.bytes].concat(),
            _ if Some(index) == revived => ours.clone(),
            _ => line.bytes.to_vec(),
        };
        let before = matches!(place, Some(Place::Before(at)) if at == index);
        let after = matches!(place, Some(Place::After(at)) if at == index);
        if new != line.bytes {
            let (above, below): (&[u8], &[u8]) =
                (if before { &ours } else { b"" }, if after { &ours } else { b"" });
            put(line.at, line.bytes, [above, &new, below].concat());
        } else if before {
            // Only our own line is named: those around it may hold secrets.
            put(line.at, b"", ours.clone());
        } else if after {
            put(line.at + line.bytes.len(), b"", ours.clone());
        }
    }
    splices
}

/// Where a line is put.
#[derive(Clone, Copy)]
enum Place {
    /// Into an empty file.
    Top,
    Before(usize),
    /// Behind a line that has its newline.
    After(usize),
}

/// The place for a new line: by the line that it replaces, or by the last comment about startup
/// commands, or at the end; but before `fence`, and never behind a line without a newline, which
/// would need one: idbm_recinfo_config() drops such a line, and would no longer.
fn place(lines: &[Line], live: &[Option<&[u8]>], fence: usize) -> Place {
    let replaced = live.iter().take(fence).position(Option::is_some);
    let mentioned = || lines.iter().take(fence).rposition(|line| find(line.bytes, STARTUP).is_some());
    let last = || fence.checked_sub(1);
    // A fence that stands elsewhere than at the end is the only line that matters.
    let behind = match fence == lines.len() {
        true => replaced.or_else(mentioned).or_else(last),
        false => replaced.or_else(mentioned),
    };
    match behind {
        Some(index) if lines.get(index).is_some_and(|line| line.bytes.ends_with(b"\n")) => {
            Place::After(index)
        }
        Some(index) => Place::Before(index),
        None if lines.is_empty() => Place::Top,
        None => Place::Before(fence),
    }
}

/// Whether `# ` before a line makes it a comment and does nothing else: not where a line is read
/// in several pieces, and not where the other parser finds a setting of its own in it.
pub(crate) fn may_be_commented(line: &Line) -> bool {
    const OTHERS: [&[u8]; 3] = [b"node.", b"discovery.", b"iface"];
    line.bytes.len() <= BUFFER
        && !line.idbm_name().is_some_and(|name| OTHERS.iter().any(|other| name.starts_with(other)))
}

/// The command in a line like `# iscsid.startup = command`.
fn commented_value<'a>(line: &Line<'a>) -> Option<&'a [u8]> {
    if line.bytes.len() > BUFFER {
        return None;
    }
    let text = trim(line.bytes).strip_prefix(b"#")?;
    let text = trim(text).strip_prefix(STARTUP)?;
    trim(text).strip_prefix(b"=").map(trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::edit::apply;

    /// The file once /sbin/iscsid is in effect.
    fn after(text: &str) -> String {
        let splices = repair(&Conf::new(text.as_bytes()), b"/sbin/iscsid");
        assert!(!format!("{splices:?}").contains("secret"));
        String::from_utf8(apply(text.as_bytes(), &splices).unwrap()).unwrap()
    }

    #[test]
    fn a_new_line_goes_behind_the_last_one_about_startup_or_to_the_end() {
        for (text, expected) in [
            ("a = b\n#iscsid.startup = /x\nc = d\n", "a = b\n#iscsid.startup = /x\n!c = d\n"),
            ("a = b\nc = d\n", "a = b\nc = d\n!"),
            // A last line without newline is dropped by the other parser, and must stay so.
            ("a = b\nc = d", "a = b\n!c = d"),
            ("c = d", "!c = d"),
            ("a = b\n#iscsid.startup = /x", "a = b\n!#iscsid.startup = /x"),
            ("", "!"),
            ("a = b\r\n", "a = b\r\n!"),
        ] {
            let expected = expected.replace('!', "iscsid.startup = /sbin/iscsid\n");
            assert_eq!(after(text), expected, "{text:?}");
        }
    }

    #[test]
    fn odd_lines_are_commented_where_they_live() {
        for (text, expected) in [
            (";iscsid.startup = /x\n", "# ;iscsid.startup = /x\n!"),
            ("  iscsid.startup = /x", "!#   iscsid.startup = /x"),
            ("iscsid.startup = /x\r\nnode.a = 1\r\n", "# iscsid.startup = /x\r\n!node.a = 1\r\n"),
            // A later line that already says it is kept.
            (
                "iscsid.startup = /x\niscsid.startup=/sbin/iscsid",
                "# iscsid.startup = /x\niscsid.startup=/sbin/iscsid",
            ),
        ] {
            let expected = expected.replace('!', "iscsid.startup = /sbin/iscsid\n");
            assert_eq!(after(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_commented_without_harm_is_overruled() {
        let long = format!("#{}iscsid.startup = /x\n", " ".repeat(1022));
        let password = "node.session.auth.password = iscsid.startup=/secret\n".to_owned();
        for line in [long, password] {
            let text = format!("# head\n{line}# iscsid.startup = /sbin/iscsid\n");
            assert_eq!(
                after(&text),
                format!("# head\niscsid.startup = /sbin/iscsid\n{line}# iscsid.startup = /sbin/iscsid\n")
            );
        }
    }
}
