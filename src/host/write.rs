//! Edge: changes files so that after a power cut there is the old one or the new one.
//!
//! A file is written under a temporary name in its own directory, given the mode, the owner and
//! the SELinux label of the one it replaces, synced, renamed over it, and the directory synced:
//! rename(2) is atomic, and only an fsync(2) of the directory makes it last.

use super::read::io_failed;
use super::walk::{Last, Walked};
use super::{Host, HostError, Result, failed};
use crate::model::file::{Attributes, FileFact};
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::{Mode, SFlag, fchmod, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fsync, symlinkat, unlinkat};
use std::io::Write;
use std::os::fd::BorrowedFd;
use xattr::FileExt;

const SELINUX: &str = "security.selinux";

impl Host {
    /// Replaces the file at `path`, or makes it, with `bytes`.
    ///
    /// A file that is there keeps its mode, owner and SELinux label; a new one gets `new`. A
    /// symbolic link at `path` is not followed but refused: resolve it first.
    pub fn write(&self, path: &HostPath, bytes: &[u8], new: Attributes) -> Result<()> {
        let walked = self.walk(path, Last::Keep)?;
        if !walked.missing.is_empty() {
            return Err(HostError { tried: "write", path: path.to_string(), errno: Errno::ENOENT });
        }
        match walked.kind() {
            None | Some(SFlag::S_IFREG) => {}
            Some(SFlag::S_IFLNK) => {
                return Err(HostError {
                    tried: "write through the link",
                    path: path.to_string(),
                    errno: Errno::ELOOP,
                });
            }
            Some(_) => {
                return Err(HostError { tried: "write", path: path.to_string(), errno: Errno::EISDIR });
            }
        }
        let label = self.label(&walked);
        let attributes = match walked.found {
            Some(stat) => Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid },
            None => new,
        };
        let dir = walked.parent(self);
        // The lock is held, so what is there under the temporary name was left by a crash.
        let temporary = [b".", walked.name.as_slice(), b".csihost"].concat();
        let written = self
            .write_temporary(dir, &temporary, bytes, attributes, label.as_deref())
            .and_then(|()| renameat(dir, temporary.as_slice(), dir, walked.name.as_slice()));
        if let Err(errno) = written {
            let _ = unlinkat(dir, temporary.as_slice(), UnlinkatFlags::NoRemoveDir);
            return Err(failed("write", path)(errno));
        }
        sync_directory(dir).map_err(failed("sync the directory of", path))
    }

    fn write_temporary(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        bytes: &[u8],
        attributes: Attributes,
        label: Option<&[u8]>,
    ) -> nix::Result<()> {
        let create = || {
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(dir, name, flags, Mode::from_bits_truncate(0o600))
        };
        let fd = match create() {
            Err(Errno::EEXIST) => {
                unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
                create()?
            }
            created => created?,
        };
        let mut file = std::fs::File::from(fd);
        if (attributes.uid, attributes.gid)
            != (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
        {
            fchown(&file, Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))?;
        }
        fchmod(&file, Mode::from_bits_truncate(attributes.mode))?;
        if let Some(label) = label {
            file.set_xattr(SELINUX, label).map_err(errno)?;
        }
        file.write_all(bytes).map_err(errno)?;
        fsync(&file)
    }

    /// The SELinux label of a file that is there; a new file gets its directory's by policy.
    fn label(&self, walked: &Walked) -> Option<Vec<u8>> {
        let fd = walked.open(self, OFlag::O_RDONLY | OFlag::O_NONBLOCK).ok()?;
        std::fs::File::from(fd).get_xattr(SELINUX).ok().flatten()
    }

    /// Makes a directory with `mode`, and those above it that are missing with 0755; gives the
    /// ones that were made, top down.
    pub fn make_directory(&self, path: &HostPath, mode: u32) -> Result<Vec<HostPath>> {
        let mut made = Vec::new();
        for (prefix, mode) in prefixes(path, mode) {
            let walked = self.walk(&prefix, Last::Follow)?;
            match walked.kind() {
                Some(SFlag::S_IFDIR) => continue,
                Some(_) => {
                    return Err(HostError {
                        tried: "make the directory",
                        path: prefix.to_string(),
                        errno: Errno::ENOTDIR,
                    });
                }
                None => {}
            }
            let dir = walked.parent(self);
            let name = walked.name.as_slice();
            match mkdirat(dir, name, Mode::from_bits_truncate(mode)) {
                // Another csihost was faster: the lock itself lies in such a directory.
                Err(Errno::EEXIST) => continue,
                made => made.map_err(failed("make the directory", &prefix))?,
            }
            // mkdir's mode is cut by the umask.
            let fd =
                walked.open(self, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed("open", &prefix))?;
            fchmod(&fd, Mode::from_bits_truncate(mode)).map_err(failed("set the mode of", &prefix))?;
            sync_directory(dir).map_err(failed("sync the directory of", &prefix))?;
            made.push(walked.canonical());
        }
        Ok(made)
    }

    /// The directories of `path`, itself included, that are not there, top down.
    pub fn missing_directories(&self, path: &HostPath) -> Vec<HostPath> {
        prefixes(path, 0)
            .into_iter()
            .map(|(prefix, _)| prefix)
            .filter(|prefix| !self.exists(prefix))
            .collect()
    }

    /// Moves what is at `from` to `to`, where nothing may be, on the same file system.
    pub fn rename(&self, from: &HostPath, to: &HostPath) -> Result<()> {
        let (source, target) = (self.walk(from, Last::Keep)?, self.walk(to, Last::Keep)?);
        let (source_dir, target_dir) = (source.parent(self), target.parent(self));
        let flags = RenameFlags::RENAME_NOREPLACE;
        renameat2(source_dir, source.name.as_slice(), target_dir, target.name.as_slice(), flags)
            .map_err(failed("move", from))?;
        sync_directory(source_dir).map_err(failed("sync the directory of", from))?;
        sync_directory(target_dir).map_err(failed("sync the directory of", to))
    }

    /// Exchanges what is at two names of one directory, links not followed; at once, where the file
    /// system can (renameat2(2), RENAME_EXCHANGE).
    pub fn exchange(&self, one: &HostPath, other: &HostPath) -> Result<()> {
        let (walked, beside) = (self.walk(one, Last::Keep)?, self.walk(other, Last::Keep)?);
        let (dir, name, spare) = (walked.parent(self), walked.name.as_slice(), beside.name.as_slice());
        let exchanged = match renameat2(dir, name, beside.parent(self), spare, RenameFlags::RENAME_EXCHANGE) {
            // ZFS before 2.2.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                let third = [spare, b".1"].concat();
                renameat(dir, name, dir, third.as_slice())
                    .and_then(|()| renameat(dir, spare, dir, name))
                    .and_then(|()| renameat(dir, third.as_slice(), dir, spare))
            }
            exchanged => exchanged,
        };
        exchanged.map_err(failed("exchange", one))?;
        sync_directory(dir).map_err(failed("sync the directory of", one))
    }

    /// Moves what is at `from` to `to`, where nothing may be; a file also to another file system.
    pub fn move_to(&self, from: &HostPath, to: &HostPath) -> Result<()> {
        match self.rename(from, to) {
            Err(error) if error.errno == Errno::EXDEV => {}
            renamed => return renamed,
        }
        match (self.file(from), self.exists(to)) {
            (FileFact::File(file), false) => {
                self.write(to, &file.bytes, file.attributes)?;
                self.remove_file(from)
            }
            (_, there) => {
                let errno = if there { Errno::EEXIST } else { Errno::EXDEV };
                Err(HostError { tried: "move", path: from.to_string(), errno })
            }
        }
    }

    /// Removes a file or a link; nothing there is no error.
    pub fn remove_file(&self, path: &HostPath) -> Result<()> {
        self.remove(path, UnlinkatFlags::NoRemoveDir)
    }

    /// Removes an empty directory; nothing there is no error.
    pub fn remove_directory(&self, path: &HostPath) -> Result<()> {
        self.remove(path, UnlinkatFlags::RemoveDir)
    }

    fn remove(&self, path: &HostPath, flags: UnlinkatFlags) -> Result<()> {
        let walked = self.walk(path, Last::Keep)?;
        if walked.found.is_none() {
            return Ok(());
        }
        let dir = walked.parent(self);
        unlinkat(dir, walked.name.as_slice(), flags).map_err(failed("remove", path))?;
        sync_directory(dir).map_err(failed("sync the directory of", path))
    }

    /// Makes a symbolic link at `path`, whose directory exists.
    pub fn symlink(&self, target: &[u8], path: &HostPath) -> Result<()> {
        let walked = self.walk(path, Last::Keep)?;
        let dir = walked.parent(self);
        symlinkat(target, dir, walked.name.as_slice()).map_err(failed("make the link", path))?;
        sync_directory(dir).map_err(failed("sync the directory of", path))
    }

    /// Writes a file that needs to survive neither a crash nor a reader in the middle: atomic, not
    /// synced.
    pub fn write_volatile(&self, path: &HostPath, bytes: &[u8], mode: u32) -> Result<()> {
        let walked = self.walk(path, Last::Keep)?;
        let dir = walked.parent(self);
        let temporary = [b".", walked.name.as_slice(), b".csihost"].concat();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let create = || openat(dir, temporary.as_slice(), flags, Mode::from_bits_truncate(mode));
        let fd = match create() {
            // What a crash has left, or somebody else in a directory of theirs: never written into.
            Err(Errno::EEXIST) => {
                unlinkat(dir, temporary.as_slice(), UnlinkatFlags::NoRemoveDir).and_then(|()| create())
            }
            created => created,
        };
        let fd = fd.map_err(failed("write", path))?;
        // The mode that open(2) gives is cut by the umask.
        fchmod(&fd, Mode::from_bits_truncate(mode)).map_err(failed("set the mode of", path))?;
        std::fs::File::from(fd).write_all(bytes).map_err(io_failed("write", path))?;
        renameat(dir, temporary.as_slice(), dir, walked.name.as_slice()).map_err(failed("replace", path))
    }
}

/// Each directory on the way to `path` and its mode.
fn prefixes(path: &HostPath, mode: u32) -> Vec<(HostPath, u32)> {
    let mut all: Vec<(HostPath, u32)> = path
        .components()
        .scan(HostPath::root(), |prefix, part| {
            *prefix = prefix.join(part);
            Some((prefix.clone(), 0o755))
        })
        .collect();
    if let Some(last) = all.last_mut() {
        last.1 = mode;
    }
    all
}

fn sync_directory(dir: BorrowedFd<'_>) -> nix::Result<()> {
    // A handle that only names the directory (O_PATH) cannot be synced.
    let fd = openat(dir, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    match fsync(&fd) {
        // Some file systems of images and containers cannot sync a directory.
        Err(Errno::EINVAL) => Ok(()),
        synced => synced,
    }
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
