//! File systems that can stop to answer, by the mount table.

use crate::model::mount::{Mount, MountTable};
use crate::model::path::HostPath;
use crate::mounts::resolve::cover;
use std::time::Duration;

/// How long a file system that depends on a server or on another process may take for an access.
pub const REMOTE: Duration = Duration::from_secs(2);
/// How long a local one may take: a disk that is busy, or that spins up.
pub const LOCAL: Duration = Duration::from_secs(8);

/// How long systemd may take to mount what is behind an automount (systemd-system.conf(5), DefaultTimeoutStartSec=).
pub const ON_DEMAND: Duration = Duration::from_secs(90);

/// Directories with csihost's own files, and those of the system that it works with. A file system that one of them lies
/// on is needed, and waited for, as everything on the node waits for it.
const OWN: [&str; 5] = ["/etc", "/run", "/usr", "/var/lib/csihost", "/proc"];

/// File systems of this kernel alone: on a disk, in memory, or of the kernel's own data (filesystems(5)).
const OF_THE_KERNEL: [&str; 37] = [
    "exfat",
    "jfs",
    "nilfs2",
    "ntfs3",
    "overlay",
    "reiserfs",
    "ubifs",
    "udf",
    "zfs",
    "bcachefs",
    "binfmt_misc",
    "bpf",
    "btrfs",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "erofs",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "proc",
    "pstore",
    "ramfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "vfat",
    "xfs",
];

/// The mount that an access to `path` waits for, and how long it may; `None` where it is waited for without a limit.
///
/// `path` has no symbolic links, as far as they were followed when it began to wait.
pub fn waits_for<'t>(table: &'t MountTable, path: &HostPath) -> Option<(&'t Mount, Duration)> {
    let mount = cover(table, path.as_bytes())?;
    let is_needed =
        OWN.iter().any(|own| cover(table, own.as_bytes()).is_some_and(|under| under.id == mount.id));
    (!is_needed).then(|| (mount, deadline(mount)))
}

/// How long an access to a file system may take.
fn deadline(mount: &Mount) -> Duration {
    match std::str::from_utf8(&mount.fs_type) {
        Ok("autofs") => ON_DEMAND,
        Ok(fs_type) if OF_THE_KERNEL.contains(&fs_type) => LOCAL,
        _ => REMOTE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::mountinfo;

    #[test]
    fn servers_have_two_seconds_disks_eight_and_what_csihost_itself_lies_on_is_waited_for() {
        let table = mountinfo::parse(
            b"20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:5 / /proc rw - proc proc rw
22 20 0:6 / /run rw - tmpfs tmpfs rw
23 20 8:2 / /var rw - nfs4 server:/var rw
24 23 0:40 / /var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/inv rw - nfs4 gone:/inv rw
25 24 0:41 / /var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/inv/local rw - xfs /dev/sdb rw
26 20 0:42 / /srv/fuse rw - fuse.sshfs host: rw
27 20 0:43 / /srv/auto rw - autofs systemd-1 rw
",
        )
        .unwrap();
        let of = |path: &str| {
            let path = HostPath::parse(path.as_bytes()).unwrap();
            waits_for(&table, &path).map(|(mount, time)| (mount.id, time.as_secs()))
        };
        let volume = "/var/lib/kubelet/pods/1/volumes/kubernetes.io~nfs/inv";
        assert_eq!(of(volume), Some((24, 2)));
        assert_eq!(of(&format!("{volume}/a/b")), Some((24, 2)));
        assert_eq!(of(&format!("{volume}/local/b")), Some((25, 8)));
        assert_eq!((of("/srv/fuse/x"), of("/srv/auto")), (Some((26, 2)), Some((27, 90))));
        // On a network, too: without it there is no csihost.
        assert_eq!((of("/var/lib/kubelet/pods"), of("/etc/fstab"), of("/proc/1/root")), (None, None, None));
    }
}
