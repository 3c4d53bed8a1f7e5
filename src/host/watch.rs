//! Edge: waits for a file to be replaced, without polling (inotify(7)).

use super::{Host, HostError, Result};
use crate::model::path::HostPath;
use inotify::{Inotify, WatchMask};
use nix::Error as Errno;

/// Wakes when a file in one directory is written or replaced.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    directory: String,
    name: Vec<u8>,
}

impl Host {
    /// Watches for the file at `path`; its directory must be there.
    ///
    /// The directory is watched and not the file: a file that is replaced is another inode.
    pub fn watch(&self, path: &HostPath) -> Result<Watch> {
        let parent = path.parent().unwrap_or_else(HostPath::root);
        let failed = |error: std::io::Error| HostError {
            tried: "watch",
            path: parent.to_string(),
            errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
        };
        let inotify = Inotify::init().map_err(failed)?;
        let mask = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        inotify.watches().add(parent.as_path(), mask).map_err(failed)?;
        Ok(Watch { inotify, directory: parent.to_string(), name: path.file_name().to_vec() })
    }
}

impl Watch {
    /// Waits until the file was written or replaced.
    pub fn wait(&mut self) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let mut buffer = [0; 4096];
        loop {
            let events = match self.inotify.read_events_blocking(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                events => events.map_err(|error| HostError {
                    tried: "watch",
                    path: self.directory.clone(),
                    errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw),
                })?,
            };
            // Looked at to the end: what is left in the buffer is lost.
            if events.filter(|event| event.name.is_some_and(|name| name.as_bytes() == self.name)).count() > 0
            {
                return Ok(());
            }
        }
    }
}
