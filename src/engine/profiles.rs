//! Engine: the os-profiles of a host: which there are, where each comes from, which is in effect.

use super::config::{os_release, traits};
use super::layered;
use crate::host::{self, Host};
use crate::model::path::HostPath;
use crate::profile::{self, BUILTIN, Chosen, OsRelease, Profile};
use crate::settings::ConfigError;
use std::collections::BTreeMap;
use std::path::Path;

/// What a profile's source is called that is a part of the program.
const BUILT_IN: &str = "built in";

/// An os-profile of a host, masked ones too.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The file that counts, or "built in".
    pub source: String,
    /// What that file replaces, strongest first; one with the same text is not replaced.
    pub overrides: Vec<String>,
    /// Its text, and what it says; `None` where it is masked.
    pub read: Option<Read>,
}

/// What was read of a profile.
#[derive(Debug, Clone)]
pub struct Read {
    /// Its text.
    pub text: String,
    /// What it says.
    pub profile: Result<Profile, ConfigError>,
}

/// The os-profiles of a host by name: those that are built in, with those on the host over them.
pub fn profiles(host: &Host) -> Result<Vec<Listed>, ConfigError> {
    let mut by_name: BTreeMap<String, Listed> = BTreeMap::new();
    for (name, text) in BUILTIN {
        let shown = format!("os-profile {name} ({BUILT_IN})");
        let read = Read { text: text.to_owned(), profile: Profile::parse(name, &shown, text) };
        let listed = Listed {
            name: name.to_owned(),
            source: BUILT_IN.to_owned(),
            overrides: Vec::new(),
            read: Some(read),
        };
        by_name.insert(name.to_owned(), listed);
    }
    for (name, paths) in layered::stacks(host, &profile::PLACES.map(HostPath::from))? {
        let last = paths.last().cloned();
        for path in paths {
            let source = match layered::file(host, &path) {
                Err(error) if Some(&path) == last.as_ref() => return Err(error),
                // Replaced in any case.
                source => source.unwrap_or_default(),
            };
            let mut listed =
                Listed { name: name.clone(), source: path.to_string(), overrides: Vec::new(), read: None };
            match (source, by_name.remove(&name)) {
                // An installed copy, as a rule of what is built in: nothing is replaced.
                (Some(source), Some(below)) if below.says(&source.bytes) => {
                    listed.overrides = below.overrides;
                    listed.read = below.read;
                }
                (source, below) => {
                    listed.read = source.map(|source| read(&name, source));
                    listed.overrides = below.into_iter().flat_map(Listed::sources).collect();
                }
            }
            by_name.insert(name.clone(), listed);
        }
    }
    Ok(by_name.into_values().collect())
}

impl Listed {
    /// Whether its text is this one, and can be used.
    fn says(&self, text: &[u8]) -> bool {
        self.read.as_ref().is_some_and(|read| read.profile.is_ok() && read.text.as_bytes() == text)
    }

    /// Where it comes from, and what it replaces.
    fn sources(self) -> impl Iterator<Item = String> {
        std::iter::once(self.source).chain(self.overrides)
    }
}

fn read(name: &str, source: layered::Source) -> Read {
    match String::from_utf8(source.bytes) {
        Ok(text) => Read { profile: Profile::parse(name, &source.path, &text), text },
        Err(error) => {
            let bytes = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
            let line = Some(1 + bytes.filter(|&&b| b == b'\n').count());
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Read {
                profile: Err(ConfigError { file: source.path, line, message: "not UTF-8".to_owned() }),
                text,
            }
        }
    }
}

/// The profile that is in effect on `host`.
pub(super) fn chosen(host: &Host, profiles: &[Listed], os: &OsRelease) -> Result<Chosen, ConfigError> {
    let read = profiles.iter().filter_map(|listed| listed.read.as_ref());
    let usable: Vec<Profile> = read.map(|read| read.profile.clone()).collect::<Result<_, _>>()?;
    let chosen = traits(host, |traits| profile::choose(&usable, os, traits))?;
    chosen.ok_or_else(|| ConfigError {
        file: profile::PLACES.join(", "),
        line: None,
        message: format!("no os-profile is for {}, and \"generic\" is masked", os.pretty_name()),
    })
}

/// The same, where os-release has not been read yet.
pub fn profile_in_effect(host: &Host, profiles: &[Listed]) -> Result<Chosen, ConfigError> {
    chosen(host, profiles, &os_release(host)?)
}

/// Reads the file at `path`, which a person named, as an os-profile.
pub fn validate_profile(path: &Path) -> Result<(), ConfigError> {
    let path_shown = path.display().to_string();
    let bytes = host::read_argument(path).map_err(|error| ConfigError {
        file: path_shown.clone(),
        line: None,
        message: error.to_string(),
    })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    read(&name, layered::Source { path: path_shown, bytes }).profile.map(drop)
}
