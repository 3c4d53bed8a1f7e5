//! Engine: gives detection the files of a host.

use crate::detect::config::Files;
use crate::host::Host;
use crate::model::file::FileFact;
use crate::model::path::HostPath;

/// The files of a host, for detection.
#[derive(Debug)]
pub(super) struct HostFiles<'a> {
    host: &'a Host,
}

impl<'a> HostFiles<'a> {
    /// The files of `host`.
    pub(super) fn new(host: &'a Host) -> Self {
        Self { host }
    }
}

impl Files for HostFiles<'_> {
    fn file(&self, path: &HostPath) -> FileFact {
        self.host.file(path)
    }

    fn list(&self, directory: &HostPath) -> Vec<Vec<u8>> {
        // A file in a directory's place holds no names, and one that cannot be read shows none.
        self.host.list(directory).unwrap_or_default()
    }

    fn is_program(&self, path: &HostPath) -> bool {
        self.host.is_program(path)
    }

    fn link(&self, path: &HostPath) -> Option<Vec<u8>> {
        self.host.link(path).ok()
    }
}
