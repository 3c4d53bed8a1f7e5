//! Pure: one os-profile as it is written, and the checks that make a [`Profile`] of it.

use super::iqn::IqnPrefix;
use super::packages::{PackageManager, PackagePolicy, Packages};
use super::{Fallback, InitKind, Iscsi, Match, Needs, Profile, Support, SystemdUnits, Unsupported};
use crate::model::path::HostPath;
use crate::model::unit::UnitName;
use crate::settings::{ConfigError, line_of};
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
    #[serde(default)]
    programs: Vec<HostPath>,
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
    policy: Option<Spanned<PackagePolicy>>,
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
    daemon: HostPath,
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
struct Invalid {
    /// Byte offset of the value.
    at: usize,
    message: String,
}

fn invalid<T, U>(value: &Spanned<T>, message: impl Into<String>) -> Result<U, Invalid> {
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
        programs: raw.programs,
    })
}

fn packages(raw: RawPackages) -> Result<Packages, Invalid> {
    let names = |key: &str, names: Vec<Spanned<String>>| -> Result<Vec<String>, Invalid> {
        names.into_iter().map(|name| plain(&format!("packages.{key}"), name, "-._+:")).collect()
    };
    let iscsi = names("iscsi", raw.iscsi)?;
    if let Some(policy) = &raw.policy
        && *policy.get_ref() == PackagePolicy::Install
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
        daemon: raw.daemon,
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
fn said(key: &str, text: Spanned<String>) -> Result<String, Invalid> {
    let trimmed = text.get_ref().trim();
    match trimmed.is_empty() || trimmed.contains(char::is_control) {
        true => invalid(&text, format!("{key}: expected one line of text")),
        false => Ok(trimmed.to_owned()),
    }
}

/// A word of letters, digits and `others` that begins with a letter or digit: no option, no path.
fn plain(key: &str, word: Spanned<String>, others: &str) -> Result<String, Invalid> {
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
