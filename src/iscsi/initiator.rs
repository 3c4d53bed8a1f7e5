//! iSCSI: initiatorname.iscsi, the file that names this host to iSCSI targets.

use super::conf;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitiatorName {
    /// There is no file.
    Missing,
    /// The file names no initiator.
    Empty,
    /// Debian's request to make a name when the service starts (`GenerateName=yes`).
    Generate,
    /// The name that iscsid uses.
    Named(Vec<u8>),
}

/// Reads initiatorname.iscsi; `None` where there is none.
///
/// iscsid reads the name with `cfg_get_string_param()` (see [`super::conf`]): the first one wins.
/// Debian's startup-checks.sh looks for a line that begins with `GenerateName=yes`; a name beside
/// it is still the one that a running iscsid has.
pub fn parse(file: Option<&[u8]>) -> InitiatorName {
    let Some(bytes) = file else {
        return InitiatorName::Missing;
    };
    match conf::first_value(bytes, b"InitiatorName") {
        Some(name) => InitiatorName::Named(name.to_vec()),
        None if bytes.split(|&b| b == b'\n').any(|line| line.starts_with(b"GenerateName=yes")) => {
            InitiatorName::Generate
        }
        None => InitiatorName::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_that_iscsid_uses() {
        let named = |name: &str| InitiatorName::Named(name.as_bytes().to_vec());
        for (text, expected) in [
            ("InitiatorName=iqn.1993-08.org.debian:01:ab\n", named("iqn.1993-08.org.debian:01:ab")),
            ("## DO NOT EDIT\n#InitiatorName=iqn.a\nInitiatorName = iqn.b \r\n", named("iqn.b")),
            ("InitiatorName=iqn.a\nInitiatorName=iqn.b", named("iqn.a")),
            ("GenerateName=yes\nInitiatorName=iqn.a\n", named("iqn.a")),
            ("# comment\nGenerateName=yes\n", InitiatorName::Generate),
            ("# GenerateName=yes\n", InitiatorName::Empty),
            ("InitiatorName=\n", InitiatorName::Empty),
            ("", InitiatorName::Empty),
        ] {
            assert_eq!(parse(Some(text.as_bytes())), expected, "{text:?}");
        }
        assert_eq!(parse(None), InitiatorName::Missing);
    }
}
