//! The driver profiles: what each CSI driver needs of the host, as TOML that a site can extend.
//!
//! In: the text of a file. Out: a [`DriverProfile`], or an error with file and line. `profile::demand` chooses among them.

use super::file::{Invalid, invalid, plain, said};
use crate::model::demand::{CpuFlag, ProtocolNeeds};
use crate::model::path::HostPath;
use crate::settings::{ConfigError, line_of};
use serde::Deserialize;
use toml::Spanned;

/// Directories of driver profiles, weakest first; by file name (UAPI.6).
pub const DRIVER_PLACES: [&str; 3] = [
    "/usr/lib/csihost/driver-profiles.d",
    "/run/csihost/driver-profiles.d",
    "/etc/csihost/driver-profiles.d",
];

/// The needs of one CSI driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverProfile {
    /// The file's name without `.toml`.
    pub name: String,
    /// A description, in one line.
    pub summary: String,
    /// The names under which the driver registers.
    pub drivers: Vec<DriverPattern>,
    /// Where the needs were read: project, version, files.
    pub source: String,
    /// Directories of the host that exist where the driver is, or is about to be, before it registers.
    pub traces: Vec<HostPath>,
    /// The protocols, at least one.
    pub protocols: Vec<Protocol>,
}

/// The driver profiles of a host. Those that are built in are read when a driver of theirs is on the node: there are many,
/// and a node has few drivers.
#[derive(Debug, Clone, Default)]
pub struct DriverProfiles {
    builtin: Vec<(&'static str, &'static str)>,
    site: Vec<DriverProfile>,
}

impl DriverProfiles {
    /// Those that are built in, by name and text, except for those that `site` replaces or that are `masked`.
    pub fn new(
        builtin: &[(&'static str, &'static str)],
        site: Vec<DriverProfile>,
        masked: &[String],
    ) -> Self {
        let counts = |name: &str| {
            site.iter().all(|profile| profile.name != name) && masked.iter().all(|masked| masked != name)
        };
        Self { builtin: builtin.iter().copied().filter(|(name, _)| counts(name)).collect(), site }
    }

    /// The profiles, by name, that can be for one of the drivers `names`, or that have traces.
    pub fn of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<DriverProfile> {
        let names: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
        let mentions = |text: &str| {
            ["\"*", "*\"", "\ntraces"].iter().any(|part| text.contains(part))
                || names.iter().any(|name| text.contains(name.as_str()))
        };
        let builtin = self.builtin.iter().filter(|(_, text)| mentions(text));
        // A test reads all that are built in.
        let read = builtin.filter_map(|(name, text)| DriverProfile::parse(name, name, text).ok());
        let mut all: Vec<DriverProfile> = self.site.iter().cloned().chain(read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// One protocol of a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Its needs.
    pub needs: ProtocolNeeds,
    /// True if only a setting says that it is used.
    pub only_on_request: bool,
}

/// The name of a driver, or with one `*` at an end the names of its deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverPattern(String);

impl DriverPattern {
    /// Returns true if a driver of this name is meant.
    pub fn is_of(&self, driver: &str) -> bool {
        match (self.0.strip_prefix('*'), self.0.strip_suffix('*')) {
            (Some(end), _) => driver.ends_with(end),
            (None, Some(start)) => driver.starts_with(start),
            (None, None) => driver == self.0,
        }
    }

    /// The name, where it is one.
    pub fn exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&self.0)
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns true for a name that a CSI driver may have (Container Storage Interface 1.11, GetPluginInfoResponse).
pub fn is_driver_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let inner = bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b));
    bytes.len() <= 63 && inner && ends(bytes.first()) && ends(bytes.last())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    summary: Spanned<String>,
    drivers: Spanned<Vec<Spanned<String>>>,
    source: Spanned<String>,
    #[serde(default)]
    traces: Vec<HostPath>,
    #[serde(default, rename = "protocol")]
    protocols: Vec<RawProtocol>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProtocol {
    name: Spanned<String>,
    #[serde(default)]
    only_on_request: bool,
    #[serde(default)]
    iscsi: bool,
    #[serde(default)]
    modules: Vec<Spanned<String>>,
    #[serde(default)]
    optional_modules: Vec<Spanned<String>>,
    #[serde(default)]
    loadable: Vec<Spanned<String>>,
    #[serde(default)]
    programs: Vec<Spanned<String>>,
    #[serde(default)]
    recommended: Vec<Spanned<String>>,
    #[serde(default)]
    services: Vec<Spanned<String>>,
    #[serde(default)]
    files: Vec<HostPath>,
    find_multipaths: Option<Spanned<String>>,
    #[serde(default)]
    huge_pages: u64,
    #[serde(default)]
    cpu: Vec<Spanned<String>>,
    note: Option<Spanned<String>>,
}

impl DriverProfile {
    /// Reads the driver profile `name` from the text of `file`.
    ///
    /// # Errors
    ///
    /// Names the line of what cannot be used, and what is expected there.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ConfigError> {
        let raw: File = toml::from_str(text).map_err(|error| ConfigError::from_toml(file, text, &error))?;
        check(name, raw).map_err(|invalid| ConfigError {
            file: file.to_owned(),
            line: Some(line_of(text, invalid.at)),
            message: invalid.message,
        })
    }

    /// Returns true if `driver` is a name that a deployment chose, and a pattern knows.
    pub fn has_chosen_name(&self, driver: &str) -> bool {
        self.is_of(driver) && self.drivers.iter().all(|pattern| pattern.exact() != Some(driver))
    }

    /// Returns true if a driver of this name is meant.
    pub fn is_of(&self, driver: &str) -> bool {
        self.drivers.iter().any(|pattern| pattern.is_of(driver))
    }
}

fn check(name: &str, raw: File) -> Result<DriverProfile, Invalid> {
    if raw.drivers.get_ref().is_empty() {
        return invalid(&raw.drivers, "drivers: expected at least one name");
    }
    if raw.protocols.iter().all(|protocol| protocol.only_on_request) {
        return invalid(&raw.summary, "expected at least one [[protocol]] without only-on-request");
    }
    let mut protocols: Vec<Protocol> = Vec::new();
    for raw in raw.protocols {
        if protocols.iter().any(|known| known.needs.name == *raw.name.get_ref()) {
            return invalid(&raw.name, format!("protocol.name: {:?} is there twice", raw.name.get_ref()));
        }
        protocols.push(protocol(raw)?);
    }
    Ok(DriverProfile {
        name: name.to_owned(),
        summary: said("summary", raw.summary)?,
        drivers: raw.drivers.into_inner().into_iter().map(pattern).collect::<Result<_, _>>()?,
        source: said("source", raw.source)?,
        traces: raw.traces,
        protocols,
    })
}

fn pattern(text: Spanned<String>) -> Result<DriverPattern, Invalid> {
    let name = text.get_ref();
    let fixed = name.strip_prefix('*').or_else(|| name.strip_suffix('*')).unwrap_or(name);
    let fixed = if fixed == name { fixed } else { fixed.trim_matches(['.', '-']) };
    match is_driver_name(fixed) {
        true => Ok(DriverPattern(name.clone())),
        false => {
            let message =
                format!("drivers: {name:?}: expected the name of a CSI driver, with a * at one end at most");
            invalid(&text, message)
        }
    }
}

/// A value of find_multipaths (multipath.conf(5)).
fn find_multipaths(word: Spanned<String>) -> Result<String, Invalid> {
    match word.get_ref().as_str() {
        "no" | "yes" | "greedy" | "smart" | "strict" => Ok(word.into_inner()),
        other => invalid(
            &word,
            format!(
                "protocol.find-multipaths: {other:?}: expected \"no\", \"yes\", \"greedy\", \"smart\" or \"strict\""
            ),
        ),
    }
}

fn protocol(raw: RawProtocol) -> Result<Protocol, Invalid> {
    let words = |key: &str, words: Vec<Spanned<String>>, others: &str| -> Result<Vec<String>, Invalid> {
        words.into_iter().map(|word| plain(&format!("protocol.{key}"), word, others)).collect()
    };
    let flag = |word: Spanned<String>| match word.get_ref().as_str() {
        "sse4_2" => Ok(CpuFlag::Sse42),
        "asimd" => Ok(CpuFlag::Asimd),
        other => invalid(&word, format!("protocol.cpu: {other:?}: expected \"sse4_2\" or \"asimd\"")),
    };
    let services = words("services", raw.services, "-_.@:")?;
    Ok(Protocol {
        only_on_request: raw.only_on_request,
        needs: ProtocolNeeds {
            name: plain("protocol.name", raw.name, "-_")?,
            iscsi: raw.iscsi,
            modules: words("modules", raw.modules, "-_")?,
            optional_modules: words("optional-modules", raw.optional_modules, "-_")?,
            loadable: words("loadable", raw.loadable, "-_")?,
            programs: words("programs", raw.programs, "-._+")?,
            recommended: words("recommended", raw.recommended, "-._+")?,
            services,
            files: raw.files,
            find_multipaths: raw.find_multipaths.map(find_multipaths).transpose()?,
            huge_pages: raw.huge_pages,
            cpu: raw.cpu.into_iter().map(flag).collect::<Result<_, _>>()?,
            note: raw.note.map(|note| said("protocol.note", note)).transpose()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "summary = 'x'\ndrivers = ['a.example', '*.b.example']\nsource = 'y'\n[[protocol]]\nname = 'p'\n";

    fn parse(text: &str) -> Result<DriverProfile, String> {
        DriverProfile::parse("x", "x.toml", text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_with_a_star_is_that_of_all_deployments() {
        let profile = parse(GOOD).unwrap();
        for (name, is) in
            [("a.example", true), ("ns.b.example", true), ("a.example2", false), ("b.example", false)]
        {
            assert_eq!(profile.is_of(name), is, "{name}");
        }
    }

    #[test]
    fn wrong_values_are_named_with_their_line() {
        for (text, error) in [
            ("", "x.toml:1: missing field"),
            ("summary = 'x'\ndrivers = []\nsource = 'y'\n", "x.toml:2: drivers: expected at least one name"),
            (
                "summary = 'x'\ndrivers = ['a']\nsource = 'y'\n",
                "x.toml:1: expected at least one [[protocol]]",
            ),
            (&GOOD.replace("*.b", "*.b*"), "x.toml:2: drivers: \"*.b*.example\""),
            (&GOOD.replace("a.example", "-rf"), "x.toml:2: drivers: \"-rf\": expected the name"),
            (&format!("{GOOD}modules = ['../x']\n"), "x.toml:6: protocol.modules: \"../x\""),
            (&format!("{GOOD}cpu = ['avx']\n"), "x.toml:6: protocol.cpu: \"avx\": expected \"sse4_2\""),
            (&format!("{GOOD}[[protocol]]\nname = 'p'\n"), "x.toml:7: protocol.name: \"p\" is there twice"),
            (&format!("{GOOD}huge-pages = -1\n"), "x.toml:6: invalid value"),
            (&format!("{GOOD}program = ['x']\n"), "x.toml:6: unknown field `program`"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(error), "{text:?}: {message}");
        }
    }

    #[test]
    fn names_of_drivers_are_those_of_the_specification() {
        for (name, is) in [
            ("driver.longhorn.io", true),
            ("a", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_driver_name(name), is, "{name}");
        }
        assert!(is_driver_name(&"a".repeat(63)) && !is_driver_name(&"a".repeat(64)));
    }
}
