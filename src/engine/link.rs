//! Engine: a link that gives way to a directory, and comes back; what is moved out of the way.

use crate::host::Host;
use crate::model::file::Trust;
use crate::model::path::HostPath;
use anyhow::{Result, bail};

/// What is made ready beside the path; the lock is held, so what has that name was left by a crash.
fn beside(path: &HostPath) -> Option<HostPath> {
    Some(path.parent()?.join([b".", path.file_name(), b".csihost"].concat()))
}

/// The directory of `path`, where nobody but root can change what has a name.
fn checked(host: &Host, path: &HostPath) -> Result<HostPath> {
    let (Some(parent), Some(beside)) = (path.parent(), beside(path)) else { bail!("{path} has no parent") };
    match host.trust(&parent) {
        Trust::Root => Ok(beside),
        other => bail!("{parent} can be changed by others than root: {other:?}"),
    }
}

/// Puts an empty directory in the place of the link at `path`.
pub(super) fn replace(host: &Host, path: &HostPath, mode: u32) -> Result<()> {
    let beside = checked(host, path)?;
    host.link(path)?;
    match host.link(&beside) {
        Ok(_) => host.remove_file(&beside)?,
        Err(_) => host.remove_directory(&beside)?,
    }
    host.make_directory(&beside, mode)?;
    host.exchange(path, &beside)?;
    Ok(host.remove_file(&beside)?)
}

/// Puts the link back in the place of the directory at `path`, or where nothing is; gives where the
/// directory is now, if there is something in it.
pub(super) fn restore(host: &Host, path: &HostPath, to: &[u8]) -> Result<Option<HostPath>> {
    let beside = checked(host, path)?;
    if host.link(&beside).is_ok() {
        host.remove_file(&beside)?;
    }
    if !host.exists(path) {
        host.symlink(to, path)?;
        return Ok(None);
    }
    host.symlink(to, &beside)?;
    host.exchange(path, &beside)?;
    if host.list(&beside)?.is_empty() {
        host.remove_directory(&beside)?;
        return Ok(None);
    }
    let name = [path.file_name(), b".csihost-undone"].concat();
    let aside = vacant(host, &path.parent().unwrap_or_else(HostPath::root).join(name));
    host.rename(&beside, &aside)?;
    Ok(Some(aside))
}

/// `path`, or one beside it where something is already: what was made anew is moved away too.
pub(super) fn vacant(host: &Host, path: &HostPath) -> HostPath {
    let beside = |n: u32| match path.parent() {
        Some(parent) => parent.join([path.file_name(), format!(".{n}").as_bytes()].concat()),
        None => path.clone(),
    };
    let mut places = std::iter::once(path.clone()).chain((2..1000).map(beside));
    places.find(|place| !host.exists(place)).unwrap_or_else(|| path.clone())
}
