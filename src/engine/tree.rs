//! Engine: gives the offline service manager the files of a host.

use crate::host::{Host, HostError};
use crate::model::file::FileFact;
use crate::model::path::HostPath;
use crate::systemd::UnitTree;
use std::io;

/// The files of a host, for the offline service manager.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    host: &'a Host,
}

impl<'a> Tree<'a> {
    /// The files of `host`.
    pub(super) fn new(host: &'a Host) -> Self {
        Self { host }
    }
}

fn io(error: HostError) -> io::Error {
    io::Error::new(io::Error::from_raw_os_error(error.errno as i32).kind(), error)
}

impl UnitTree for Tree<'_> {
    fn read(&self, path: &HostPath) -> io::Result<Vec<u8>> {
        match self.host.file(path) {
            FileFact::File(file) => Ok(file.bytes),
            FileFact::Absent => Err(io::ErrorKind::NotFound.into()),
            // What systemd reads from /dev/null.
            FileFact::Masked => Ok(Vec::new()),
            FileFact::Directory | FileFact::Special => Err(io::Error::other(format!("{path} is not a file"))),
            FileFact::Unreadable(why) => Err(io::Error::other(why)),
        }
    }

    fn read_link(&self, path: &HostPath) -> io::Result<Vec<u8>> {
        self.host.link(path).map_err(io)
    }

    fn list(&self, path: &HostPath) -> io::Result<Vec<Vec<u8>>> {
        match self.host.exists(path) {
            true => self.host.list(path).map_err(io),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn symlink(&self, target: &[u8], path: &HostPath) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            self.host.make_directory(&parent, 0o755).map_err(io)?;
        }
        self.host.symlink(target, path).map_err(io)
    }

    fn remove(&self, path: &HostPath) -> io::Result<()> {
        self.host.remove_file(path).map_err(io)
    }

    fn remove_dir(&self, path: &HostPath) -> io::Result<()> {
        self.host.remove_directory(path).map_err(io)
    }
}
