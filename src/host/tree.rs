//! Edge: what a capture needs: which paths were asked for, bare entries of directories, and files
//! of any size up to a limit.

use super::read::io_failed;
use super::walk::{Last, kind};
use super::{Host, HostError, Result, failed, open_in};
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use std::collections::BTreeSet;
use std::io::Read;

/// What kind of thing is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A regular file.
    File,
    /// A socket, pipe or device.
    Special,
}

/// What lstat(2) says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Size in bytes, as far as the file system knows.
    pub size: u64,
}

/// What a host was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// All paths.
    pub paths: BTreeSet<HostPath>,
    /// Directories of which all names were asked for, whatever they are.
    pub listed: BTreeSet<HostPath>,
}

impl Host {
    /// From now on, keeps the paths that are asked for.
    pub fn recording(mut self) -> Self {
        self.asked = Some(Default::default());
        self
    }

    /// The same host, for what nobody wants to know: files that decide nothing.
    pub fn aside(&self) -> Result<Self> {
        let root = self.root.try_clone().map_err(io_failed("open", &HostPath::root()))?;
        Ok(Self { root, mode: self.mode, owner: self.owner, asked: None, of: self.of })
    }

    /// The paths that were asked for since.
    pub fn asked(&self) -> BTreeSet<HostPath> {
        let asked = self.asked.as_ref().and_then(|asked| asked.lock().ok());
        asked.map(|asked| asked.paths.clone()).unwrap_or_default()
    }

    /// What was asked for since this was called last.
    pub fn take_asked(&self) -> Asked {
        let asked = self.asked.as_ref().and_then(|asked| asked.lock().ok());
        asked.map(|mut asked| std::mem::take(&mut *asked)).unwrap_or_default()
    }

    pub(super) fn note(&self, path: &HostPath) {
        if let Some(mut asked) = self.asked.as_ref().and_then(|asked| asked.lock().ok()) {
            asked.paths.insert(path.clone());
        }
    }

    pub(super) fn note_listed(&self, path: &HostPath) {
        if let Some(mut asked) = self.asked.as_ref().and_then(|asked| asked.lock().ok()) {
            asked.listed.insert(path.clone());
        }
    }

    /// What is at `path` itself; `None` if nothing is.
    pub fn meta(&self, path: &HostPath) -> Result<Option<Meta>> {
        let walked = self.walk(path, Last::Keep)?;
        Ok(walked.found.map(|stat| Meta {
            kind: match kind(&stat) {
                SFlag::S_IFDIR => Kind::Directory,
                SFlag::S_IFLNK => Kind::Link,
                SFlag::S_IFREG => Kind::File,
                _ => Kind::Special,
            },
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        }))
    }

    /// The entries of the directory at `path`, links not followed, at most `most` of them, sorted.
    ///
    /// Kinds are those that the directory itself knows: nothing is asked of the entries, one of
    /// which may be the mount of a server that does not answer. Where it does not know, `None`.
    pub fn entries(&self, path: &HostPath, most: usize) -> Result<Vec<(Vec<u8>, Option<Kind>)>> {
        let walked = self.walk(path, Last::Keep)?;
        let list = || -> nix::Result<_> {
            let fd = walked.open(self, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            let mut entries = Vec::new();
            for entry in Dir::from_fd(fd)?.iter() {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let kind = entry.file_type().map(|kind| match kind {
                    Type::Directory => Kind::Directory,
                    Type::Symlink => Kind::Link,
                    Type::File => Kind::File,
                    _ => Kind::Special,
                });
                entries.push((name.to_vec(), kind));
                if entries.len() == most {
                    break;
                }
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(entries)
        };
        list().map_err(failed("list", path))
    }

    /// The first `limit` bytes of the file at `path`, links followed.
    pub fn read_up_to(&self, path: &HostPath, limit: u64) -> Result<Vec<u8>> {
        let walked = self.walk(path, Last::Follow)?;
        if !matches!(walked.kind(), Some(SFlag::S_IFREG)) {
            return Err(HostError { tried: "read", path: path.to_string(), errno: Errno::ENOENT });
        }
        // O_NONBLOCK: it may have become a pipe meanwhile.
        let fd = open_in(walked.parent(self), &walked.name, OFlag::O_RDONLY | OFlag::O_NONBLOCK)
            .map_err(failed("read", path))?;
        let mut bytes = Vec::new();
        let read = std::fs::File::from(fd).take(limit).read_to_end(&mut bytes);
        read.map_err(io_failed("read", path))?;
        Ok(bytes)
    }
}
