//! Pure: what stands before the random part of an initiator name.

use std::fmt;

/// The longest name of an iSCSI node in bytes (RFC 7143, 4.2.7.1).
const LONGEST_NAME: usize = 223;
/// What is kept for the random part.
const RANDOM: usize = 32;

/// The beginning of an initiator name: `iqn.`, the month in which somebody had the domain, the
/// domain reversed, and maybe `:` and more (RFC 7143, 4.2.7.4). iscsi-iname(8) and csihost put
/// `:` and a random part behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IqnPrefix(String);

impl IqnPrefix {
    /// Checks a prefix.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| Err(format!("{text:?}: {why}; expected such as \"iqn.1993-08.org.debian:01\""));
        // Upper case is mapped to lower by some targets and not by others (RFC 3722).
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b);
        let Some(rest) = text.strip_prefix("iqn.") else { return wrong("it does not begin with \"iqn.\"") };
        if !text.bytes().all(plain) {
            return wrong("it holds something else than lower-case letters, digits, \"-\", \".\" and \":\"");
        }
        if text.len() > LONGEST_NAME - RANDOM {
            return wrong("it is too long");
        }
        if text.ends_with(':') {
            return wrong("it ends with \":\"");
        }
        let Some((month, authority)) = rest.split_once('.') else { return wrong("it names no domain") };
        let digits = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        match month.split_once('-') {
            Some((year, month)) if digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month) => {}
            _ => return wrong("its date is no year and month"),
        }
        let domain = authority.split(':').next().unwrap_or_default();
        if domain.split('.').any(str::is_empty) {
            return wrong("it names no domain");
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix, without a `:` at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// csihost's own authority.
impl Default for IqnPrefix {
    fn default() -> Self {
        Self("iqn.2026-11.io.csihost:01".to_owned())
    }
}

impl fmt::Display for IqnPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_begin_a_name_is_a_prefix() {
        for good in [
            "iqn.1993-08.org.debian:01",
            "iqn.1994-05.com.redhat",
            "iqn.1996-04.de.suse:01",
            IqnPrefix::default().as_str(),
        ] {
            assert_eq!(IqnPrefix::parse(good).unwrap().as_str(), good);
        }
        let long = format!("iqn.2026-11.io.{}", "a".repeat(200));
        for bad in [
            "",
            "iqn.",
            "eui.02004567A425678D",
            "iqn.1993-13.org.debian:01",
            "iqn.93-08.org.debian",
            "iqn.1993-08",
            "iqn.1993-08.",
            "iqn.1993-08.org..debian",
            "iqn.1993-08.org.debian:",
            "iqn.1993-08.org.debian:a b",
            "iqn.1993-08.org.Debian",
            "iqn.1993-08.org.debian\nInitiatorName=x",
            &long,
        ] {
            assert!(IqnPrefix::parse(bad).is_err(), "{bad}");
        }
    }
}
