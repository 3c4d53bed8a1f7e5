//! Engine: configuration files in several places, the strongest last (UAPI.6, as systemd does it).

use crate::host::Host;
use crate::model::file::FileFact;
use crate::model::path::HostPath;
use crate::settings::ConfigError;
use std::collections::BTreeMap;

/// A file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Where it is, as shown.
    pub(super) path: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// Files `*.toml` of the directories `places`, weakest first, by file name without the suffix:
/// one of a later place replaces one of the same name, and a link to /dev/null masks it (`None`).
pub(super) fn directories(
    host: &Host,
    places: &[HostPath],
) -> Result<BTreeMap<String, Option<Source>>, ConfigError> {
    let last = |paths: Vec<HostPath>| paths.last().map_or(Ok(None), |path| file(host, path));
    stacks(host, places)?.into_iter().map(|(name, paths)| Ok((name, last(paths)?))).collect()
}

/// The same, with all files of a name, weakest first.
pub(super) fn stacks(
    host: &Host,
    places: &[HostPath],
) -> Result<BTreeMap<String, Vec<HostPath>>, ConfigError> {
    let mut by_name: BTreeMap<String, Vec<HostPath>> = BTreeMap::new();
    for place in places {
        let names = host.list(place).map_err(|error| unreadable(place, &error.to_string()))?;
        for name in names.into_iter().filter(|name| !name.starts_with(b".")) {
            let Some(stem) = name.strip_suffix(b".toml") else { continue };
            let stem = String::from_utf8_lossy(stem).into_owned();
            by_name.entry(stem).or_default().push(place.join(&name));
        }
    }
    Ok(by_name)
}

/// The last of `paths` that is there.
pub(super) fn last(host: &Host, paths: &[HostPath]) -> Result<Option<Source>, ConfigError> {
    match paths.iter().rev().find(|path| host.exists(path)) {
        Some(path) => file(host, path),
        None => Ok(None),
    }
}

/// The file at `path`; `None` if there is none, or it is masked.
pub(super) fn file(host: &Host, path: &HostPath) -> Result<Option<Source>, ConfigError> {
    match host.file(path) {
        FileFact::Absent | FileFact::Masked => Ok(None),
        FileFact::File(file) => Ok(Some(Source { path: path.to_string(), bytes: file.bytes })),
        FileFact::Directory | FileFact::Special => Err(unreadable(path, "it is not a file")),
        FileFact::Unreadable(why) => Err(unreadable(path, &why)),
    }
}

fn unreadable(path: &HostPath, why: &str) -> ConfigError {
    ConfigError { file: path.to_string(), line: None, message: why.to_owned() }
}
