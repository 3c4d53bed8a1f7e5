//! Engine: the os-profiles and driver profiles of a host: which there are, where each comes from, which os-profile is in
//! effect.

use super::config::{os_release, traits};
use super::layered;
use crate::host::{self, Host};
use crate::model::path::HostPath;
use crate::profile::{
    self, BUILTIN, Chosen, DRIVER_PLACES, DRIVERS, DriverProfile, DriverProfiles, OsRelease, Profile,
};
use crate::settings::{ConfigError, Settings};
use std::collections::BTreeMap;
use std::path::Path;

/// What a profile's source is called that is a part of the program.
const BUILT_IN: &str = "built in";

/// A profile of a host, masked ones too.
#[derive(Debug, Clone)]
pub struct Listed<P> {
    /// Its name.
    pub name: String,
    /// The file that counts, or "built in".
    pub source: String,
    /// What that file replaces, strongest first; one with the same text is not replaced.
    pub overrides: Vec<String>,
    /// Its text, and what it says; `None` where it is masked.
    pub read: Option<Read<P>>,
}

/// What was read of a profile.
#[derive(Debug, Clone)]
pub struct Read<P> {
    /// Its text.
    pub text: String,
    /// What it says.
    pub profile: Result<P, ConfigError>,
}

/// A kind of profile.
pub trait Kind: Sized {
    /// What it is called.
    const KIND: &str;

    /// Reads the profile `name` from the text of `file`.
    fn parse(name: &str, file: &str, text: &str) -> Result<Self, ConfigError>;
}

impl Kind for Profile {
    const KIND: &str = "os-profile";

    fn parse(name: &str, file: &str, text: &str) -> Result<Self, ConfigError> {
        Self::parse(name, file, text)
    }
}

impl Kind for DriverProfile {
    const KIND: &str = "driver profile";

    fn parse(name: &str, file: &str, text: &str) -> Result<Self, ConfigError> {
        Self::parse(name, file, text)
    }
}

/// The os-profiles of a host by name: those that are built in, with those on the host over them.
pub fn profiles(host: &Host) -> Result<Vec<Listed<Profile>>, ConfigError> {
    layers(host, &BUILTIN, &profile::PLACES)
}

/// The driver profiles of a host by name: those that are built in, with those on the host over them.
pub fn driver_profiles(host: &Host) -> Result<Vec<Listed<DriverProfile>>, ConfigError> {
    layers(host, &DRIVERS, &DRIVER_PLACES)
}

/// The driver profiles that count, which have to have what `settings` name of them.
pub(super) fn drivers_in_effect(host: &Host, settings: &Settings) -> Result<DriverProfiles, ConfigError> {
    let (mut site, mut masked) = (Vec::new(), Vec::new());
    for (name, source) in layered::directories(host, &DRIVER_PLACES.map(HostPath::from))? {
        match source {
            // An installed copy of what is built in.
            Some(source) if is_builtin(&DRIVERS, &name, &source.bytes) => {}
            Some(source) => site.push(read::<DriverProfile>(&name, source).profile?),
            None => masked.push(name),
        }
    }
    let profiles = DriverProfiles::new(&DRIVERS, site, &masked);
    profile::check_expected(settings, &profiles)?;
    Ok(profiles)
}

fn is_builtin(builtin: &[(&str, &str)], name: &str, bytes: &[u8]) -> bool {
    builtin.iter().any(|(known, text)| *known == name && text.as_bytes() == bytes)
}

fn layers<P: Kind>(
    host: &Host,
    builtin: &[(&str, &str)],
    places: &[&'static str; 3],
) -> Result<Vec<Listed<P>>, ConfigError> {
    let mut by_name: BTreeMap<String, Listed<P>> = BTreeMap::new();
    for &(name, text) in builtin {
        let shown = format!("{} {name} ({BUILT_IN})", P::KIND);
        let read = Read { text: text.to_owned(), profile: P::parse(name, &shown, text) };
        let listed = Listed {
            name: name.to_owned(),
            source: BUILT_IN.to_owned(),
            overrides: Vec::new(),
            read: Some(read),
        };
        by_name.insert(name.to_owned(), listed);
    }
    for (name, paths) in layered::stacks(host, &places.map(HostPath::from))? {
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

impl<P> Listed<P> {
    /// Whether its text is this one, and can be used.
    fn says(&self, text: &[u8]) -> bool {
        self.read.as_ref().is_some_and(|read| read.profile.is_ok() && read.text.as_bytes() == text)
    }

    /// Where it comes from, and what it replaces.
    fn sources(self) -> impl Iterator<Item = String> {
        std::iter::once(self.source).chain(self.overrides)
    }
}

fn read<P: Kind>(name: &str, source: layered::Source) -> Read<P> {
    match String::from_utf8(source.bytes) {
        Ok(text) => Read { profile: P::parse(name, &source.path, &text), text },
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
pub(super) fn chosen(
    host: &Host,
    profiles: &[Listed<Profile>],
    os: &OsRelease,
) -> Result<Chosen, ConfigError> {
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
pub fn profile_in_effect(host: &Host, profiles: &[Listed<Profile>]) -> Result<Chosen, ConfigError> {
    chosen(host, profiles, &os_release(host)?)
}

/// Reads the file at `path`, which a person named, as a profile of the kind `P`.
pub fn validate_profile<P: Kind>(path: &Path) -> Result<(), ConfigError> {
    let path_shown = path.display().to_string();
    let bytes = host::read_argument(path).map_err(|error| ConfigError {
        file: path_shown.clone(),
        line: None,
        message: error.to_string(),
    })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    read::<P>(&name, layered::Source { path: path_shown, bytes }).profile.map(drop)
}
