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
    let mut by_name: BTreeMap<Vec<u8>, HostPath> = BTreeMap::new();
    for place in places {
        let names = host.list(place).map_err(|error| unreadable(place, &error.to_string()))?;
        for name in names.into_iter().filter(|name| name.ends_with(b".toml") && !name.starts_with(b".")) {
            let path = place.join(&name);
            by_name.insert(name, path);
        }
    }
    let files = by_name.iter().map(|(name, path)| {
        let name = String::from_utf8_lossy(name);
        let stem = name.strip_suffix(".toml").unwrap_or(&name).to_owned();
        Ok((stem, file(host, path)?))
    });
    files.collect()
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
