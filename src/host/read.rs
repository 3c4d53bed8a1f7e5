//! Edge: what is at a path, who may write there, and what a file holds.

use super::walk::{Last, Walked};
use super::{Host, HostError, Result, failed};
use crate::model::facts::Mode;
use crate::model::file::{Attributes, DirFact, File, FileFact, FileId, Trust};
use crate::model::mount::Device;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::dir::Dir;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag, major, minor};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

/// No configuration file is larger; what is would be read into memory on every turn.
const LARGEST_FILE: u64 = 4 << 20;

impl Host {
    /// What is at `path`, links followed, a regular file read whole.
    pub fn file(&self, path: &HostPath) -> FileFact {
        match self.try_file(path) {
            Ok(fact) => fact,
            Err(error) => FileFact::Unreadable(error.to_string()),
        }
    }

    fn try_file(&self, path: &HostPath) -> Result<FileFact> {
        let mut walked = self.walk(path, Last::Keep)?;
        if walked.kind() == Some(SFlag::S_IFLNK) {
            // As systemd masks, whatever /dev/null is below this root.
            let target = readlinkat(walked.parent(self), walked.name.as_slice());
            if target.is_ok_and(|target| target.as_bytes() == b"/dev/null") {
                return Ok(FileFact::Masked);
            }
            walked = self.walk(path, Last::Follow)?;
            if walked.found.is_none() {
                let why = format!("{path} links to {}, which is not there", walked.canonical());
                return Ok(FileFact::Unreadable(why));
            }
        }
        let Some(stat) = walked.found else { return Ok(FileFact::Absent) };
        match walked.kind() {
            Some(SFlag::S_IFDIR) => return Ok(FileFact::Directory),
            Some(SFlag::S_IFREG) => {}
            _ => return Ok(FileFact::Special),
        }
        if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > LARGEST_FILE {
            let why = format!("{path} has {} bytes; csihost reads at most {LARGEST_FILE}", stat.st_size);
            return Ok(FileFact::Unreadable(why));
        }
        let bytes = self.read_walked(&walked, path)?;
        let attributes = Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
        Ok(FileFact::File(File { bytes, attributes, canonical: walked.canonical() }))
    }

    fn read_walked(&self, walked: &Walked, path: &HostPath) -> Result<Vec<u8>> {
        // O_NONBLOCK: a pipe in the file's place must not hang csihost.
        let fd = walked.open(self, OFlag::O_RDONLY | OFlag::O_NONBLOCK).map_err(failed("read", path))?;
        let mut bytes = Vec::new();
        std::fs::File::from(fd)
            .take(LARGEST_FILE)
            .read_to_end(&mut bytes)
            .map_err(io_failed("read", path))?;
        Ok(bytes)
    }

    /// What is at `path` where a directory is expected, links followed.
    pub fn directory(&self, path: &HostPath) -> DirFact {
        let walked = match self.walk(path, Last::Follow) {
            Ok(walked) => walked,
            Err(error) => return DirFact::Other(error.to_string()),
        };
        let canonical = walked.canonical();
        match walked.kind() {
            None => DirFact::Absent { canonical },
            Some(SFlag::S_IFDIR) => match self.list_walked(&walked, DirFact::ENTRIES) {
                Ok(entries) => DirFact::Directory { canonical, entries },
                Err(errno) => DirFact::Other(failed("list", path)(errno).to_string()),
            },
            Some(_) => DirFact::Other(format!("{path} is not a directory")),
        }
    }

    /// The names in the directory at `path`, sorted; none if there is no such directory.
    pub fn list(&self, path: &HostPath) -> Result<Vec<Vec<u8>>> {
        self.note_listed(path);
        let walked = self.walk(path, Last::Follow)?;
        match walked.kind() {
            None => Ok(Vec::new()),
            Some(_) => self.list_walked(&walked, usize::MAX).map_err(failed("list", path)),
        }
    }

    fn list_walked(&self, walked: &Walked, most: usize) -> nix::Result<Vec<Vec<u8>>> {
        let fd = walked.open(self, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(fd)?.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
                if names.len() == most {
                    break;
                }
            }
        }
        names.sort();
        Ok(names)
    }

    /// What the link at `path` says, without following it.
    pub fn link(&self, path: &HostPath) -> Result<Vec<u8>> {
        let walked = self.walk(path, Last::Keep)?;
        let target =
            readlinkat(walked.parent(self), walked.name.as_slice()).map_err(failed("read the link", path))?;
        Ok(target.as_bytes().to_vec())
    }

    /// Whether anything, a dangling link included, is at `path`.
    pub fn exists(&self, path: &HostPath) -> bool {
        self.walk(path, Last::Keep).is_ok_and(|walked| walked.found.is_some())
    }

    /// Whether `path` is a program that root can run.
    pub fn is_program(&self, path: &HostPath) -> bool {
        self.walk(path, Last::Follow).is_ok_and(|walked| {
            walked.kind() == Some(SFlag::S_IFREG)
                && walked.found.is_some_and(|stat| stat.st_mode & 0o111 != 0)
        })
    }

    /// Whether nothing can be written at `path`: it lies on a file system, or a mount, that is
    /// read-only. The nearest directory that is there decides.
    pub fn read_only(&self, path: &HostPath) -> bool {
        let read_only = || {
            let walked = self.walk(path, Last::Follow).ok()?;
            let stat = match walked.found {
                Some(_) => fstatvfs(walked.open(self, OFlag::O_PATH).ok()?),
                None => fstatvfs(walked.parent(self)),
            };
            Some(stat.ok()?.flags().contains(FsFlags::ST_RDONLY))
        };
        read_only().unwrap_or_default()
    }

    /// Whether `path` is a socket.
    pub fn is_socket(&self, path: &HostPath) -> bool {
        self.walk(path, Last::Follow).is_ok_and(|walked| walked.kind() == Some(SFlag::S_IFSOCK))
    }

    /// Whole minutes since the last modification of the file or directory at `path`; `None` if nothing is there. A
    /// clock that was set back makes them fewer.
    ///
    /// # Errors
    /// The path cannot be walked.
    pub fn minutes_unchanged(&self, path: &HostPath) -> Result<Option<u64>> {
        let walked = self.walk(path, Last::Keep)?;
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let minutes = |modified: i64| seconds.saturating_sub(u64::try_from(modified).unwrap_or(0)) / 60;
        Ok(walked.found.map(|stat| minutes(stat.st_mtime)))
    }

    /// What `path` is once symbolic links are followed; `None` if nothing is there.
    pub fn canonical(&self, path: &HostPath) -> Option<HostPath> {
        let walked = self.walk(path, Last::Follow).ok()?;
        walked.found.as_ref().map(|_| walked.canonical())
    }

    /// Which file or directory `path` names, as stat(2) tells. On some file systems (btrfs) the
    /// device is not the one of the mount table.
    pub fn file_id(&self, path: &HostPath) -> Option<FileId> {
        file_id(&self.walk(path, Last::Follow).ok()?.found?)
    }

    /// What `path` is once symbolic links are followed, whether or not something is there; `None`
    /// where nobody can know.
    pub fn names(&self, path: &HostPath) -> Option<Named> {
        let walked = self.walk(path, Last::Follow).ok()?;
        Some(Named {
            path: walked.canonical(),
            id: walked.found.as_ref().and_then(file_id),
            mount: match self.mode() {
                Mode::Live => mount_id(walked.parent(self), &walked),
                Mode::Offline => None,
            },
        })
    }

    /// Whether only root can change what `path` names. Links on the way are followed, and the
    /// directories that hold them count too.
    pub fn trust(&self, path: &HostPath) -> Trust {
        let walked = match self.walk(path, Last::Follow) {
            Ok(walked) => walked,
            Err(error) => return Trust::Missing(error.to_string()),
        };
        for (index, step) in walked.dirs.iter().enumerate() {
            if !self.only_root_writes(&step.stat) {
                return untrusted(walked.path_of(index), &step.stat);
            }
        }
        if let Some((path, stat)) = walked.left.iter().find(|(_, stat)| !self.only_root_writes(stat)) {
            return untrusted(path.clone(), stat);
        }
        match walked.found {
            None => Trust::Missing(format!("{path} is not there")),
            Some(stat) if self.only_root_writes(&stat) => Trust::Root,
            Some(stat) if stat.st_uid == self.owner.0 => {
                Trust::WritableItself { mode: stat.st_mode & 0o7777 }
            }
            Some(stat) => untrusted(walked.canonical(), &stat),
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The path without symbolic links.
    pub path: HostPath,
    /// Which file or directory is there, by stat(2); `None` if none is.
    pub id: Option<FileId>,
    /// The mount on which it is, by its number in the mount table, or on which the nearest directory
    /// above is; `None` where the kernel does not tell (before Linux 5.8), and in a scene.
    pub mount: Option<u64>,
}

fn mount_id(parent: BorrowedFd<'_>, walked: &Walked) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let name = walked.found.map_or(b"".as_slice(), |_| &walked.name);
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = statx(parent, name, flags, StatxFlags::MNT_ID).ok()?;
    (stat.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(stat.stx_mnt_id)
}

/// Reads a file that a person named on the command line, relative to where they are.
pub fn read_argument(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn file_id(stat: &FileStat) -> Option<FileId> {
    let part = |number: u64| u32::try_from(number).ok();
    let device = Device { major: part(major(stat.st_dev))?, minor: part(minor(stat.st_dev))? };
    Some(FileId { device, inode: stat.st_ino })
}

/// No report of a node is larger.
const LARGEST_REPORT: u64 = 16 << 20;

/// Reads a report that a person named on the command line, whole, and says which file it is, so
/// that one that is named twice is noticed.
pub fn read_report(path: &std::path::Path) -> std::io::Result<(Vec<u8>, (u64, u64))> {
    let file = std::fs::File::open(path)?;
    let meta = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(LARGEST_REPORT + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST_REPORT {
        return Err(std::io::Error::other(format!(
            "more than {LARGEST_REPORT} bytes: no report is as large"
        )));
    }
    Ok((bytes, (meta.dev(), meta.ino())))
}

fn untrusted(path: HostPath, stat: &nix::sys::stat::FileStat) -> Trust {
    Trust::Untrusted { path, mode: stat.st_mode & 0o7777, uid: stat.st_uid }
}

/// Turns an I/O error into one that says what was tried.
pub(super) fn io_failed(
    tried: &'static str,
    path: &HostPath,
) -> impl FnOnce(std::io::Error) -> HostError + use<> {
    let path = path.to_string();
    move |error| HostError { tried, path, errno: error.raw_os_error().map_or(Errno::EIO, Errno::from_raw) }
}
