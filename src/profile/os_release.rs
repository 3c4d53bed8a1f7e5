//! Pure: reads os-release(5).

use std::collections::BTreeMap;

/// The assignments of an os-release file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsRelease(BTreeMap<String, String>);

impl OsRelease {
    /// Reads shell-like assignments as os-release(5) allows them; lines that are none are passed
    /// over, as every other reader of this file does.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let pairs = text.lines().filter_map(|line| {
            let (key, value) = line.trim().split_once('=')?;
            let valid = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            valid.then(|| (key.to_owned(), unquote(value)))
        });
        Self(pairs.collect())
    }

    /// A value; empty ones count as absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `ID`, or what os-release(5) says of its absence.
    pub fn id(&self) -> &str {
        self.get("ID").unwrap_or("linux")
    }

    /// For people.
    pub fn pretty_name(&self) -> &str {
        self.get("PRETTY_NAME").or_else(|| self.get("NAME")).unwrap_or_else(|| self.id())
    }
}

/// Takes the quotes off a value: single ones keep everything, in double ones and without any a
/// backslash keeps what follows.
fn unquote(value: &str) -> String {
    let value = value.trim();
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_of_quoting_and_survives_junk() {
        let release = OsRelease::parse(
            b"# a comment\nID=debian\nNAME=\"De\\\"bian\"\nVERSION_ID='12'\n\nnonsense\n=x\nID_LIKE=\nA B=c\nBAD=\xff\n",
        );
        assert_eq!(release.id(), "debian");
        assert_eq!(release.get("NAME"), Some("De\"bian"));
        assert_eq!(release.get("VERSION_ID"), Some("12"));
        assert_eq!(release.get("ID_LIKE"), None);
        assert_eq!(release.pretty_name(), "De\"bian");
        assert_eq!(OsRelease::parse(b"").id(), "linux");
    }
}
