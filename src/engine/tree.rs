//! Engine: gives the service managers that need no systemd the files and the programs of a host.

use super::install;
use crate::host::{Host, HostError, Started};
use crate::model::facts::Mode;
use crate::model::file::FileFact;
use crate::model::path::HostPath;
use crate::systemd::{DirectHost, Ended, UnitTree};
use std::io;

/// The files and the programs of a host, for service managers.
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

impl DirectHost for Tree<'_> {
    type Child = Started;

    fn is_live(&self) -> bool {
        self.host.mode() == Mode::Live
    }

    fn exists(&self, path: &HostPath) -> bool {
        self.host.exists(path)
    }

    fn program(&self, name: &str) -> io::Result<HostPath> {
        install::program(self.host, name).map_err(io::Error::other)
    }

    fn start(
        &self,
        program: &HostPath,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> io::Result<Started> {
        self.host.spawn(program, arguments, environment).map_err(io)
    }

    fn ended(&self, child: &mut Started) -> io::Result<Option<Ended>> {
        let ended = self.host.ended(child).map_err(io)?;
        Ok(ended.map(|(status, said)| Ended { status, said }))
    }

    fn runs(&self, program: &HostPath) -> io::Result<bool> {
        Ok(!self.host.running(program).map_err(io)?.is_empty())
    }

    fn terminate(&self, program: &HostPath) -> io::Result<()> {
        self.host.terminate(program).map_err(io)
    }
}
