//! Model: what stands in a systemd unit file, line by line (systemd.syntax(7)), and the names and
//! specifiers that a unit's name gives (systemd.unit(5)).

/// A setting in a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The section, without its brackets.
    pub section: String,
    /// What is set.
    pub key: String,
    /// To what, continued lines joined, blanks around it taken away.
    pub value: String,
    /// The line on which it begins, from 1.
    pub line: usize,
}

/// A line that systemd ignores, with a warning in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Which line, from 1.
    pub line: usize,
    /// What it should be.
    pub expected: &'static str,
}

/// The settings of a unit file in their order, and the lines that are none.
///
/// As `config_parse` (systemd, src/shared/conf-parser.c): a backslash at the very end of a line joins the
/// next one with a space; comments are left out, between continued lines too.
pub fn assignments(text: &[u8]) -> (Vec<Assignment>, Vec<Ignored>) {
    let (mut assignments, mut ignored) = (Vec::new(), Vec::new());
    let mut section: Option<String> = None;
    for (line, text) in logical_lines(text) {
        let mut ignore = |expected| ignored.push(Ignored { line, expected });
        let Ok(text) = String::from_utf8(text) else {
            ignore("UTF-8");
            continue;
        };
        let text = text.trim_matches(BLANKS);
        if text.is_empty() {
            continue;
        }
        if let Some(header) = text.strip_prefix('[') {
            match header.strip_suffix(']') {
                Some(name) => section = Some(name.to_owned()),
                None => {
                    // systemd reads no further.
                    ignore("a section's name in brackets");
                    break;
                }
            }
            continue;
        }
        match (&section, text.split_once('=')) {
            (Some(section), Some((key, value))) if !key.trim_matches(BLANKS).is_empty() => {
                assignments.push(Assignment {
                    section: section.clone(),
                    key: key.trim_matches(BLANKS).to_owned(),
                    value: value.trim_matches(BLANKS).to_owned(),
                    line,
                });
            }
            (None, Some(_)) => ignore("a section's name before the first setting"),
            _ => ignore("a setting, as KEY=VALUE"),
        }
    }
    (assignments, ignored)
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Lines with the number of the first of those that they were joined from.
fn logical_lines(text: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut lines = Vec::new();
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        // A carriage return ends a line as well.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start = line.iter().position(|&b| b != b' ' && b != b'\t' && b != b'\r').unwrap_or(line.len());
        let line = line.get(start..).unwrap_or_default();
        if line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((index + 1, Vec::new()));
        joined.extend_from_slice(line);
        let backslashes = joined.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 1 {
            joined.pop();
            joined.push(b' ');
            open = Some((number, joined));
        } else {
            lines.push((number, joined));
        }
    }
    lines.extend(open);
    lines
}

/// `foo@.service` and `bar` of `foo@bar.service`; no instance for a template itself; `None` for a
/// plain name.
pub fn template(name: &str) -> Option<(String, Option<&str>)> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    Some((format!("{prefix}@.{suffix}"), Some(instance).filter(|instance| !instance.is_empty())))
}

/// The instance of a template's name.
pub fn instance_of(name: &str, instance: &str) -> String {
    name.replacen("@.", &format!("@{instance}."), 1)
}

/// What the specifier `%letter` stands for, where it depends on nothing but the unit's name.
pub fn of_name(letter: u8, name: &str) -> Option<&str> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    Some(match letter {
        b'n' => name,
        b'N' => stem,
        b'p' => prefix,
        b'i' => instance,
        b'j' => prefix.rsplit('-').next().unwrap_or(prefix),
        b'%' => "%",
        _ => return None,
    })
}

/// Replaces the specifiers that [Install] may use and that depend on nothing but the unit's name;
/// `None` for one that depends on the host.
pub fn expand(text: &str, name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('%') {
        out.push_str(plain);
        let letter = *after.as_bytes().first()?;
        out.push_str(of_name(letter, name)?);
        rest = after.get(1..)?;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn settings_are_read_as_systemd_reads_them() {
        let text = b"\xef\xbb\xbf# c\n[Unit]\r\nA=1\n[Service]\n  B = a \\\n# between\n;too\n   b\\\\\nC=\\\n\nD==x=\\ \n";
        let (found, ignored) = assignments(text);
        let found: Vec<_> =
            found.iter().map(|a| (a.section.as_str(), a.key.as_str(), a.value.as_str(), a.line)).collect();
        assert_eq!(
            found,
            [
                ("Unit", "A", "1", 3),
                ("Service", "B", "a  b\\\\", 5),
                ("Service", "C", "", 9),
                // A blank after the backslash: nothing is continued.
                ("Service", "D", "=x=\\", 11),
            ]
        );
        assert_eq!(ignored, []);
    }

    #[test]
    fn what_is_no_setting_is_told_with_its_line() {
        let (found, ignored) = assignments(b"A=1\n[S]\nnonsense\n=x\nB=\xff\nC=2\n[broken\nD=3\n");
        assert_eq!(found.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(), ["C"]);
        assert_eq!(ignored.iter().map(|i| i.line).collect::<Vec<_>>(), [1, 3, 4, 5, 7]);
    }

    #[test]
    fn names_come_apart_into_template_and_instance() {
        assert_eq!(template("a@b.service"), Some(("a@.service".to_owned(), Some("b"))));
        assert_eq!(template("a@.service"), Some(("a@.service".to_owned(), None)));
        assert_eq!(template("a.service"), None);
        assert_eq!(instance_of("a@.service", "b"), "a@b.service");
    }

    #[test]
    fn specifiers_of_the_name_are_replaced_and_others_refused() {
        assert_eq!(expand("%p-%i-%n-%N-%j-%%", "a-b@c.service").unwrap(), "a-b-c-a-b@c.service-a-b@c-b-%");
        assert_eq!(expand("%H.target", "a.service"), None);
        assert_eq!(expand("a%", "a.service"), None);
        assert_eq!(expand("a%\u{fc}", "a.service"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text: Vec<u8>, odd in "[\\[\\]=#;%\\\\ a\n]*") {
            assignments(&text);
            assignments(odd.as_bytes());
            expand(&odd, "a.service");
        }
    }
}
