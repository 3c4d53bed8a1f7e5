//! Edge: binds directories of a container to where the kubelet says that they are, inside of it.
//!
//! The container's files are its own: whoever runs in it may put links in the way and swap what is
//! there. So each path is walked by handles that follow no link, and what is mounted and where are
//! handles too (open_tree(2) and move_mount(2), Linux 5.2): one step, before which nothing is mounted
//! and after which all is.

use super::door::Door;
use super::{HostError, Result, open_in};
use crate::model::graft::Bind;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, fstat, mkdirat};
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use std::os::fd::{AsFd, OwnedFd};

/// As many entries are looked at below a directory that would be hidden.
const MOST: usize = 4096;

impl Door {
    /// Binds each directory where it is to be seen as well, with all that is mounted below and in the
    /// same peer group. One that is there already is left. Where one cannot be bound, none is.
    pub fn graft(&self, binds: &[Bind]) -> Result<()> {
        self.within(|| {
            let prepared = binds.iter().map(prepare).collect::<Result<Vec<Option<Prepared>>>>()?;
            prepared.into_iter().flatten().try_for_each(Prepared::done)
        })
    }

    /// Takes grafts away again that carry nothing; those that stay.
    pub fn ungraft(&self, binds: &[Bind]) -> Result<Vec<HostPath>> {
        let ungraft = |bind: &Bind| match is_grafted(bind) {
            // Not lazily: what is mounted below would be unmounted everywhere.
            Ok(true) => umount2(bind.to.as_path(), MntFlags::UMOUNT_NOFOLLOW).is_err(),
            _ => false,
        };
        self.within(|| {
            Ok(binds.iter().rev().filter(|bind| ungraft(bind)).map(|bind| bind.to.clone()).collect())
        })
    }
}

/// A bind that only has to be done.
struct Prepared {
    tree: OwnedFd,
    target: OwnedFd,
    to: HostPath,
}

fn tried(tried: &'static str, path: &HostPath) -> impl FnOnce(Errno) -> HostError + use<> {
    let path = format!("{path} in the container");
    move |errno| HostError { tried, path, errno }
}

/// Makes all of a bind but the mount; `None` where it is there already.
fn prepare(bind: &Bind) -> Result<Option<Prepared>> {
    if is_grafted(bind).map_err(tried("look at", &bind.to))? {
        return Ok(None);
    }
    let source = directory(&bind.from, false).map_err(tried("open", &bind.from))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree =
        open_tree(&source, "", flags).map_err(errno).map_err(tried("copy the mounts of", &bind.from))?;
    let target = directory(&bind.to, true).map_err(tried("make", &bind.to))?;
    is_free(&target).map_err(tried("cover", &bind.to))?;
    Ok(Some(Prepared { tree, target, to: bind.to.clone() }))
}

impl Prepared {
    fn done(self) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.tree, "", &self.target, "", flags)
            .map_err(errno)
            .map_err(tried("mount at", &self.to))
    }
}

/// Whether both names lead to one directory already.
fn is_grafted(bind: &Bind) -> nix::Result<bool> {
    let target = match directory(&bind.to, false) {
        Err(Errno::ENOENT) => return Ok(false),
        target => fstat(&target?)?,
    };
    let source = fstat(&directory(&bind.from, false)?)?;
    Ok((source.st_dev, source.st_ino) == (target.st_dev, target.st_ino))
}

/// A handle on a directory, to which no link leads; made where it is missing.
fn directory(path: &HostPath, make: bool) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let root = nix::fcntl::open("/", flags | OFlag::O_CLOEXEC, Mode::empty())?;
    path.components().try_fold(root, |above, name| match open_in(&above, name, flags) {
        Err(Errno::ENOENT) if make => {
            mkdirat(&above, name, Mode::from_bits_truncate(0o755))?;
            open_in(&above, name, flags)
        }
        opened => opened,
    })
}

/// Whether a directory lies on the container's own root file system, and covering it hides no file.
fn is_free(directory: &OwnedFd) -> nix::Result<()> {
    let root = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let mount = |of: &OwnedFd| {
        let stat = statx(of, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(errno)?;
        // Before Linux 5.8 the device has to do.
        Ok::<_, Errno>((fstat(of)?.st_dev, stat.stx_mask & StatxFlags::MNT_ID.bits(), stat.stx_mnt_id))
    };
    if mount(directory)? != mount(&root)? {
        return Err(Errno::EXDEV);
    }
    let mut left = MOST;
    match holds_file(directory, &mut left)? {
        true => Err(Errno::ENOTEMPTY),
        false => Ok(()),
    }
}

/// Whether there is anything below that is no directory, or too much.
fn holds_file(directory: &OwnedFd, left: &mut usize) -> nix::Result<bool> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    for entry in Dir::from_fd(open_in(directory.as_fd(), b".", flags)?)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        *left = left.saturating_sub(1);
        if *left == 0 || entry.file_type() != Some(Type::Directory) {
            return Ok(true);
        }
        if holds_file(&open_in(directory, name, OFlag::O_PATH | OFlag::O_DIRECTORY)?, left)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn errno(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}
