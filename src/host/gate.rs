//! Mounts that cover a directory, and their removal, by handles alone.
//!
//! An empty, read-only tmpfs is made apart from all directories and moved into its place in one step
//! (fsopen(2), fsmount(2), move_mount(2), Linux 5.2): there is never one that can be written, and what
//! propagates to other mount namespaces cannot be written either. The engine decides what is covered.

use super::graft::errno;
use super::mount::fd_path;
use super::{Host, Result, failed};
use crate::model::gate::{GATE_SOURCE, GATE_TYPE};
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use std::os::fd::{AsRawFd, OwnedFd};

impl Host {
    /// Covers a directory to which no link leads.
    pub fn close_gate(&self, directory: &HostPath) -> Result<()> {
        let target = self.gate_handle(directory)?;
        let cover = cover().map_err(errno).map_err(failed("make what covers", directory))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&cover, "", &target, "", flags).map_err(errno).map_err(failed("mount at", directory))
    }

    /// Makes the mount `id` at a directory unbindable (mount_namespaces(7)): a container that is created with
    /// this directory fails to start, and the kubelet starts it again later. Without this it would keep the
    /// empty directory for as long as it runs. A shared mount takes no unbindable one, so this follows. Linux 6.18 does
    /// not keep it in a new mount namespace, where runtimes bind: `checks::gate` finds what was created there.
    ///
    /// Does nothing where another mount, or none, is there.
    pub fn hold_back(&self, directory: &HostPath, id: u64) -> Result<()> {
        let gate = self.gate_handle(directory)?;
        if mount_of(&gate).map_err(failed("look at the mount of", directory))? != id {
            return Ok(());
        }
        let none: Option<&str> = None;
        mount(none, fd_path(&gate).as_str(), none, MsFlags::MS_UNBINDABLE, none)
            .map_err(failed("make unbindable", directory))
    }

    /// Unmounts the mount `id` at a directory; false where another mount, or none, is there.
    ///
    /// Lazily, because the handle keeps it busy, as does a shell that works in it, and by the handle, so
    /// that no other mount is meant. It is empty: who has it open has nothing of it.
    pub fn open_gate(&self, directory: &HostPath, id: u64) -> Result<bool> {
        let gate = self.gate_handle(directory)?;
        if mount_of(&gate).map_err(failed("look at the mount of", directory))? != id {
            return Ok(false);
        }
        umount2(fd_path(&gate).as_str(), MntFlags::MNT_DETACH).map_err(failed("unmount", directory))?;
        Ok(true)
    }

    /// The mount on which a directory lies to which no link leads; `None` if there is no such directory.
    pub fn gate_mount(&self, directory: &HostPath) -> Result<Option<u64>> {
        match self.gate_handle(directory) {
            Err(error) if error.errno == Errno::ENOENT => Ok(None),
            gate => mount_of(&gate?).map(Some).map_err(failed("look at the mount of", directory)),
        }
    }

    fn gate_handle(&self, directory: &HostPath) -> Result<OwnedFd> {
        let walked = self.direct(directory)?;
        walked.open(self, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(failed("open", directory))
    }
}

/// An empty file system that cannot be written, mounted nowhere yet.
fn cover() -> rustix::io::Result<OwnedFd> {
    let context = fsopen(GATE_TYPE, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", GATE_SOURCE)?;
    fsconfig_set_string(&context, "mode", "0755")?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The id of the mount that a handle is on (proc(5), /proc/PID/fdinfo); statx(2) has it since Linux 5.8.
fn mount_of(handle: &OwnedFd) -> nix::Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", handle.as_raw_fd());
    let text = std::fs::read_to_string(path).map_err(|_| Errno::EIO)?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or(Errno::EIO)
}
