//! Edge: follows a path below the host's root, one component at a time, by directory handles.
//!
//! This is path_resolution(7) with the root handle in place of `/`: absolute links start there
//! again and `..` never leads above it. openat2(2) with RESOLVE_IN_ROOT does the same, but is
//! missing before Linux 5.6 (RancherOS 1.5 has 4.14), and tells neither the resolved path nor
//! who may write on the way.

use super::{Host, Result, access, failed, open_in, stat_in};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// As many links as the kernel follows (MAXSYMLINKS).
const LINKS: usize = 40;

/// Whether a link in the last place is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It is, as open(2) does.
    Follow,
    /// It is not, as lstat(2) does.
    Keep,
}

/// A directory that was stepped into.
#[derive(Debug)]
pub(super) struct Step {
    fd: OwnedFd,
    /// Its name in the directory above; empty for the root.
    name: Vec<u8>,
    pub(super) stat: FileStat,
}

/// Where a walk ended.
#[derive(Debug)]
pub(super) struct Walked {
    /// The directories from the root to the one that holds `name`.
    pub(super) dirs: Vec<Step>,
    /// The last component; empty if the walk ended at the root itself.
    pub(super) name: Vec<u8>,
    /// What is there; `None` if nothing is.
    pub(super) found: Option<FileStat>,
    /// Components after `name`, where a directory on the way is missing.
    pub(super) missing: Vec<Vec<u8>>,
    /// Directories that were passed and left again by a link or `..`: who may write there decides
    /// too what the path names.
    pub(super) left: Vec<(HostPath, FileStat)>,
}

impl Walked {
    /// The path without symbolic links.
    pub(super) fn canonical(&self) -> HostPath {
        let names = self.dirs.iter().map(|dir| &dir.name).chain([&self.name]).chain(&self.missing);
        names.fold(HostPath::root(), |path, name| path.join(name))
    }

    /// The path of the directory at `index` of [`Walked::dirs`].
    pub(super) fn path_of(&self, index: usize) -> HostPath {
        path_of(&self.dirs, index)
    }

    /// The directory that holds the last component.
    pub(super) fn parent<'a>(&'a self, host: &'a Host) -> BorrowedFd<'a> {
        self.dirs.last().map_or(host.root(), |step| step.fd.as_fd())
    }

    /// Opens what was found.
    pub(super) fn open(&self, host: &Host, flags: OFlag) -> nix::Result<OwnedFd> {
        match self.name.is_empty() {
            true => open_in(self.parent(host), b".", flags),
            false => open_in(self.parent(host), &self.name, flags),
        }
    }

    /// What kind of thing was found.
    pub(super) fn kind(&self) -> Option<SFlag> {
        self.found.as_ref().map(kind)
    }
}

/// The file type of `stat`.
pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

impl Host {
    /// Walks to `path`. A missing component is no error; anything else in the way is.
    pub(super) fn walk(&self, path: &HostPath, last: Last) -> Result<Walked> {
        self.note(path);
        self.walk_below(path, last).map_err(failed("walk to", path))
    }

    /// The same, not noted as asked for.
    pub(super) fn walk_below(&self, path: &HostPath, last: Last) -> nix::Result<Walked> {
        self.accesses(path.as_bytes())?;
        let compares = self.mode == Mode::Live && self.of.is_none() && access::mounts_are_left_out();
        let mut todo: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut dirs = vec![self.start()?];
        let (mut links, mut left) = (0, Vec::new());
        while let Some(name) = todo.pop_front() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    let up = dirs.len().saturating_sub(1).max(1);
                    leave(&mut dirs, up, &mut left);
                    continue;
                }
                _ => {}
            }
            if compares && access::is_left_out(&named(&dirs, &name)) {
                return Err(Errno::ETIMEDOUT);
            }
            let dir = dirs.last().map_or(self.root(), |step| step.fd.as_fd());
            let stat = match stat_in(dir, &name) {
                Ok(stat) => stat,
                Err(Errno::ENOENT) => {
                    return Ok(Walked { dirs, name, found: None, missing: todo.into(), left });
                }
                Err(errno) => return Err(errno),
            };
            let at_end = todo.iter().all(|rest| rest.is_empty() || rest == b".");
            match kind(&stat) {
                SFlag::S_IFLNK if !(at_end && last == Last::Keep) => {
                    links += 1;
                    if links > LINKS {
                        return Err(Errno::ELOOP);
                    }
                    let target = readlinkat(dir, name.as_slice())?;
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        leave(&mut dirs, 1, &mut left);
                    }
                    for part in target.split(|&b| b == b'/').rev() {
                        todo.push_front(part.to_vec());
                    }
                    self.accesses(
                        todo.iter().fold(path_of(&dirs, dirs.len()), |path, name| path.join(name)).as_bytes(),
                    )?;
                }
                _ if at_end => {
                    return Ok(Walked { dirs, name, found: Some(stat), missing: Vec::new(), left });
                }
                SFlag::S_IFDIR => {
                    // It may have been swapped since the stat: what was opened counts.
                    let fd = open_in(dir, &name, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
                    let stat = fstat(&fd)?;
                    dirs.push(Step { fd, name, stat });
                }
                _ => return Err(Errno::ENOTDIR),
            }
        }
        // The path ended in `.`, `..` or a link to `/`: the last directory itself was meant.
        let Some(step) = dirs.pop_if(|step| !step.name.is_empty()) else {
            let found = dirs.first().map(|root| root.stat);
            return Ok(Walked { dirs, name: Vec::new(), found, missing: Vec::new(), left });
        };
        Ok(Walked { dirs, name: step.name, found: Some(step.stat), missing: Vec::new(), left })
    }

    /// Records the access to `path`.
    ///
    /// # Errors
    /// `ETIMEDOUT`: it is of a process that is left out.
    fn accesses(&self, path: &[u8]) -> nix::Result<()> {
        match (self.mode, self.of, process_in(path)) {
            (Mode::Offline, ..) => {}
            (Mode::Live, Some(pid), _) => access::below(pid),
            (Mode::Live, None, Some(pid)) => {
                access::process(pid, |pid| self.proc().ok()??.process_id(pid))?;
            }
            (Mode::Live, None, None) => access::path(path),
        }
        Ok(())
    }

    fn start(&self) -> nix::Result<Step> {
        let fd = self
            .root()
            .try_clone_to_owned()
            .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        let stat = fstat(&fd)?;
        Ok(Step { fd, name: Vec::new(), stat })
    }
}

/// The process whose address space or root directory a path in /proc leads to.
fn process_in(path: &[u8]) -> Option<i32> {
    let rest = path.strip_prefix(b"/proc/")?;
    let mut parts = rest.splitn(3, |&b| b == b'/');
    let pid = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    matches!(parts.next()?, b"cmdline" | b"environ" | b"root" | b"maps").then_some(pid)
}

/// The path of `name` in the last of `dirs`.
fn named(dirs: &[Step], name: &[u8]) -> HostPath {
    path_of(dirs, dirs.len()).join(name)
}

fn path_of(dirs: &[Step], index: usize) -> HostPath {
    dirs.iter().take(index + 1).fold(HostPath::root(), |path, dir| path.join(&dir.name))
}

/// Goes back up to the first `keep` of `dirs`.
fn leave(dirs: &mut Vec<Step>, keep: usize, left: &mut Vec<(HostPath, FileStat)>) {
    for (index, step) in dirs.iter().enumerate().skip(keep) {
        left.push((path_of(dirs, index), step.stat));
    }
    dirs.truncate(keep);
}
