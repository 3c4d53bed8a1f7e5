//! Pure: one os-profile as it is written, and the checks that make a [`Profile`] of it.

use super::iqn::IqnPrefix;
use super::packages::{PackageManager, Packages};
use super::{Fallback, InitKind, Iscsi, Match, Needs, Profile, Support, SystemdUnits, Unsupported};
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::settings::{ConfigError, Policy, line_of};
use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    summary: Spanned<String>,
    #[serde(default, rename = "match")]
    matches: Vec<Spanned<RawMatch>>,
    fallback: Option<RawFallback>,
    unsupported: Option<Spanned<RawUnsupported>>,
    packages: Option<Spanned<RawPackages>>,
    iscsi: Option<Spanned<RawIscsi>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMatch {
    id: Spanned<String>,
    variant: Option<Spanned<String>>,
    version_from: Option<Spanned<String>>,
    version_below: Option<Spanned<String>>,
    console: Option<Spanned<String>>,
    ostree: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFallback {
    programs: Vec<HostPath>,
    init: Option<InitKind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawUnsupported {
    reason: Spanned<String>,
    remedy: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPackages {
    manager: PackageManager,
    policy: Option<Spanned<Policy>>,
    #[serde(default)]
    iscsi: Vec<Spanned<String>>,
    #[serde(default)]
    nfs: Vec<Spanned<String>>,
    #[serde(default)]
    cryptsetup: Vec<Spanned<String>>,
    note: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawIscsi {
    daemon: Spanned<Vec<HostPath>>,
    conf: HostPath,
    initiator_name: HostPath,
    units: Spanned<Vec<UnitName>>,
    service: Option<Spanned<UnitName>>,
    modules: Vec<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    #[serde(default)]
    baked_names: Vec<String>,
    nodes: Vec<HostPath>,
    openrc: Option<Spanned<String>>,
}

/// A value that has the right type and cannot be used.
pub(super) struct Invalid {
    /// Byte offset of the value.
    pub(super) at: usize,
    pub(super) message: String,
}

pub(super) fn invalid<T, U>(value: &Spanned<T>, message: impl Into<String>) -> Result<U, Invalid> {
    Err(Invalid { at: value.span().start, message: message.into() })
}

/// Reads the profile `name` from the text of `file`.
pub(super) fn parse(name: &str, file: &str, text: &str) -> Result<Profile, ConfigError> {
    let raw: File = toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
    check(name, raw).map_err(|invalid| ConfigError {
        file: file.to_owned(),
        line: Some(line_of(text, invalid.at)),
        message: invalid.message,
    })
}

fn check(name: &str, raw: File) -> Result<Profile, Invalid> {
    if raw.matches.is_empty() && raw.fallback.is_none() {
        return invalid(&raw.summary, "it is for no system: expected [[match]] or [fallback]");
    }
    let support = match (raw.unsupported, raw.packages, raw.iscsi) {
        (Some(why), None, None) => {
            let why = why.into_inner();
            let reason = said("unsupported.reason", why.reason)?;
            Support::Unsupported(Unsupported { reason, remedy: said("unsupported.remedy", why.remedy)? })
        }
        (None, Some(packages), Some(iscsi)) => Support::Supported(Box::new(Needs {
            packages: self::packages(packages.into_inner())?,
            iscsi: self::iscsi(iscsi.into_inner())?,
        })),
        (Some(_), Some(packages), _) => return invalid(&packages, "[packages] beside [unsupported]"),
        (Some(_), None, Some(iscsi)) => return invalid(&iscsi, "[iscsi] beside [unsupported]"),
        (None, Some(packages), None) => return invalid(&packages, "[packages] without [iscsi]"),
        (None, None, Some(iscsi)) => return invalid(&iscsi, "[iscsi] without [packages]"),
        (None, None, None) => {
            return invalid(&raw.summary, "expected [packages] and [iscsi], or [unsupported]");
        }
    };
    let matches = raw.matches.into_iter().map(|rule| self::rule(rule.into_inner()));
    Ok(Profile {
        name: name.to_owned(),
        matches: matches.collect::<Result<_, _>>()?,
        summary: said("summary", raw.summary)?,
        fallback: raw.fallback.map(|raw| Fallback { programs: raw.programs, init: raw.init }),
        support,
    })
}

fn rule(raw: RawMatch) -> Result<Match, Invalid> {
    let word = |key: &str, value: Option<Spanned<String>>| {
        value.map(|value| plain(&format!("match.{key}"), value, "-._")).transpose()
    };
    let version = |key: &str, value: Option<Spanned<String>>| match value {
        Some(value) if !value.get_ref().contains(|c: char| c.is_ascii_digit()) => {
            invalid(&value, format!("match.{key}: {:?}: expected a version", value.get_ref()))
        }
        value => Ok(value),
    };
    let from = version("version-from", raw.version_from)?;
    let below = version("version-below", raw.version_below)?;
    if let (Some(from), Some(below)) = (&from, &below)
        && super::select::compare(from.get_ref(), below.get_ref()).is_ge()
    {
        return invalid(below, "match.version-below: not above version-from: no version fits");
    }
    Ok(Match {
        id: plain("match.id", raw.id, "-._")?,
        variant: word("variant", raw.variant)?,
        version_from: from.map(Spanned::into_inner),
        version_below: below.map(Spanned::into_inner),
        console: word("console", raw.console)?,
        ostree: raw.ostree,
    })
}

fn packages(raw: RawPackages) -> Result<Packages, Invalid> {
    let names = |key: &str, names: Vec<Spanned<String>>| -> Result<Vec<String>, Invalid> {
        names.into_iter().map(|name| plain(&format!("packages.{key}"), name, "-._+:")).collect()
    };
    let iscsi = names("iscsi", raw.iscsi)?;
    if let Some(policy) = &raw.policy
        && *policy.get_ref() == Policy::Install
        && raw.manager.install_command(&iscsi).is_none()
    {
        return invalid(policy, "packages.policy: \"install\" needs a manager and packages.iscsi");
    }
    Ok(Packages {
        manager: raw.manager,
        policy: raw.policy.map(Spanned::into_inner).unwrap_or_default(),
        iscsi,
        nfs: names("nfs", raw.nfs)?,
        cryptsetup: names("cryptsetup", raw.cryptsetup)?,
        note: raw.note.map(|note| said("packages.note", note)).transpose()?,
    })
}

fn iscsi(raw: RawIscsi) -> Result<Iscsi, Invalid> {
    if raw.daemon.get_ref().is_empty() {
        return invalid(&raw.daemon, "iscsi.daemon: expected at least one path");
    }
    let systemd = match (raw.units.get_ref().is_empty(), raw.service) {
        (false, Some(service)) => {
            Some(SystemdUnits { units: raw.units.into_inner(), service: service.into_inner() })
        }
        (true, None) => None,
        (true, Some(_)) => return invalid(&raw.units, "iscsi.units: expected at least one unit"),
        (false, None) => return invalid(&raw.units, "iscsi.service: missing, beside iscsi.units"),
    };
    let prefix = match raw.prefix {
        None => IqnPrefix::default(),
        Some(prefix) => match IqnPrefix::parse(prefix.get_ref()) {
            Ok(parsed) => parsed,
            Err(why) => return invalid(&prefix, format!("iscsi.prefix: {why}")),
        },
    };
    let modules = raw.modules.into_iter().map(|module| plain("iscsi.modules", module, "-_"));
    Ok(Iscsi {
        daemon: raw.daemon.into_inner(),
        conf: raw.conf,
        initiator_name: raw.initiator_name,
        systemd,
        modules: modules.collect::<Result<_, _>>()?,
        prefix,
        baked_names: raw.baked_names,
        nodes: raw.nodes,
        openrc: raw.openrc.map(|service| plain("iscsi.openrc", service, "-_")).transpose()?,
    })
}

/// A text for people, in one line.
pub(super) fn said(key: &str, text: Spanned<String>) -> Result<String, Invalid> {
    let trimmed = text.get_ref().trim();
    match trimmed.is_empty() || trimmed.contains(char::is_control) {
        true => invalid(&text, format!("{key}: expected one line of text")),
        false => Ok(trimmed.to_owned()),
    }
}

/// A word of letters, digits and `others` that begins with a letter or digit: no option, no path.
pub(super) fn plain(key: &str, word: Spanned<String>, others: &str) -> Result<String, Invalid> {
    let text = word.get_ref();
    let valid = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    match valid {
        true => Ok(word.into_inner()),
        false => {
            invalid(&word, format!("{key}: {text:?}: expected a word of letters, digits and \"{others}\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGES: &str = "[packages]\nmanager = 'apt'\niscsi = ['open-iscsi']\n";
    const ISCSI: &str = "[iscsi]\ndaemon = ['/sbin/iscsid']\nconf = '/etc/iscsi/iscsid.conf'\n\
        initiator-name = '/etc/iscsi/initiatorname.iscsi'\nunits = ['iscsid.socket']\nservice = 'iscsid.service'\n\
        modules = ['iscsi_tcp']\nnodes = ['/etc/iscsi/nodes']\n";
    const WHY: &str = "[unsupported]\nreason = 'a'\nremedy = 'b'\n";

    fn parsed(text: &str) -> Result<Profile, String> {
        parse("x", "/etc/x.toml", text).map_err(|error| error.to_string())
    }

    /// A profile of three lines of head, then packages from line 4 and iscsi from line 7 on.
    fn good() -> String {
        format!("summary = 'X'\n[[match]]\nid = 'x'\n{PACKAGES}{ISCSI}")
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let profile = parsed(&good()).unwrap();
        let needs = profile.needs().unwrap();
        assert_eq!(needs.packages.policy, Policy::Require);
        assert_eq!(needs.packages.nfs, [""; 0]);
        assert_eq!(needs.iscsi.prefix, IqnPrefix::default());
        assert_eq!((&needs.iscsi.openrc, &profile.fallback), (&None, &None));
        assert_eq!(needs.iscsi.units(), [UnitName::from("iscsid.socket")]);
    }

    #[test]
    fn an_unsupported_system_needs_nothing_but_an_explanation() {
        let profile = parsed(&format!("summary = 'X'\n[[match]]\nid = 'x'\n{WHY}")).unwrap();
        assert_eq!(profile.needs(), None);
        let why = Unsupported { reason: "a".to_owned(), remedy: "b".to_owned() };
        assert_eq!(profile.support, Support::Unsupported(why));
    }

    #[test]
    fn each_wrong_value_is_named_with_file_and_line() {
        let with = |old: &str, new: &str| {
            assert!(good().contains(old), "{old}");
            good().replace(old, new)
        };
        for (text, error) in [
            (String::new(), ":1: missing field `summary`"),
            (with("summary = 'X'", "summary = ' '"), ":1: summary: expected one line"),
            (with("summary = 'X'", "summary = 'a\u{7}b'"), ":1: "),
            (with("summary = 'X'", "summary = 1"), ":1: invalid type"),
            (with("[[match]]", "[[mach]]"), ":2: unknown field `mach`"),
            (with("id = 'x'", "id = ''"), ":3: match.id: \"\": expected a word"),
            (with("id = 'x'", "id = 'a b'"), ":3: match.id"),
            (with("id = 'x'", "id = 'x'\nversion-from = 'new'"), ":4: match.version-from"),
            (
                with("id = 'x'", "id = 'x'\nversion-from = '12'\nversion-below = '9'"),
                ":5: match.version-below: not above",
            ),
            (with("id = 'x'", "id = 'x'\nconsole = '../x'"), ":4: match.console"),
            (with("id = 'x'", "id = 'x'\nversion = '1'"), ":4: unknown field `version`"),
            (with("[[match]]\nid = 'x'\n", ""), ":1: it is for no system"),
            (with("'apt'", "'brew'"), ":5: unknown variant `brew`"),
            (with("['open-iscsi']", "['--upgrade']"), ":6: packages.iscsi: \"--upgrade\""),
            (with("['open-iscsi']", "['a;b']"), ":6: packages.iscsi"),
            (with("['open-iscsi']", "['a']\npolicy = 'maybe'"), ":7: unknown variant `maybe`"),
            (with("['open-iscsi']", "[]\npolicy = 'install'"), ":7: packages.policy: \"install\" needs"),
            (with("manager = 'apt'", "manager = 'none'\npolicy = 'install'"), ":6: packages.policy"),
            (with("['open-iscsi']", "['a']\nnote = '''a\nb'''"), ":7: packages.note: expected one line"),
            (with("['/sbin/iscsid']", "[]"), ":8: iscsi.daemon: expected at least one"),
            (with("['/sbin/iscsid']", "['sbin/iscsid']"), ":8: \"sbin/iscsid\" is not absolute"),
            (with("'/etc/iscsi/iscsid.conf'", "'/etc/../x'"), ":9: \"/etc/../x\" contains"),
            (with("['iscsid.socket']", "[]"), ":11: iscsi.units: expected at least one"),
            (with("['iscsid.socket']", "['iscsid']"), ":11: \"iscsid\" is not the name of a systemd unit"),
            (with("service = 'iscsid.service'\n", ""), ":11: iscsi.service: missing"),
            (with("['iscsi_tcp']", "['../x']"), ":13: iscsi.modules"),
            (with("['/etc/iscsi/nodes']", "['']"), ":14: \"\" is not a path"),
            (good() + "prefix = 'iqn.x'\n", ":15: iscsi.prefix: \"iqn.x\""),
            (good() + "openrc = 'a/b'\n", ":15: iscsi.openrc"),
            (good() + "fsck = 1\n", ":15: unknown field `fsck`"),
            (good() + WHY, ":4: [packages] beside [unsupported]"),
            (format!("summary = 'X'\n[fallback]\nprograms = []\n{ISCSI}{WHY}"), ":4: [iscsi] beside"),
            (format!("summary = 'X'\n[fallback]\nprograms = []\n{ISCSI}"), ":4: [iscsi] without [packages]"),
            (format!("summary = 'X'\n[fallback]\nprograms = []\n{PACKAGES}"), ":4: [packages] without"),
            ("summary = 'X'\n[fallback]\nprograms = []\n".to_owned(), ":1: expected [packages] and [iscsi]"),
            ("summary = 'X'\n[fallback]\nprograms = ['x']\n".to_owned(), ":3: \"x\" is not absolute"),
            (
                "summary = 'X'\n[fallback]\nprograms = []\ninit = 'upstart'\n".to_owned(),
                ":4: unknown variant `upstart`",
            ),
            (format!("summary = 'X'\n[fallback]\n{WHY}"), ":2: missing field `programs`"),
            (
                "summary = 'X'\n[unsupported]\nreason = ''\nremedy = 'b'\n[fallback]\nprograms = []\n"
                    .to_owned(),
                ":3: unsupported.reason",
            ),
            ("summary = 'X\n".to_owned(), ":1: "),
        ] {
            let message = parsed(&text).unwrap_err();
            assert!(message.starts_with(&format!("/etc/x.toml{error}")), "{text}\n{message}");
        }
    }
}
