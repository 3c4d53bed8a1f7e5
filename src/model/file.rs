//! What is at a path: files, directories, and who may write there.

use super::mount::Device;
use super::path::HostPath;

/// What csihost keeps when it replaces a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits (`07777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Which file or directory something is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The file system.
    pub device: Device,
    /// The inode.
    pub inode: u64,
}

/// A file, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Its mode and owner.
    pub attributes: Attributes,
    /// Where it is once symbolic links on the way are followed.
    pub canonical: HostPath,
}

/// What was found where a file was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFact {
    /// Nothing.
    Absent,
    /// A regular file.
    File(File),
    /// A directory.
    Directory,
    /// A link to /dev/null, as systemd and csihost mask with.
    Masked,
    /// A device, socket or pipe.
    Special,
    /// It could not be read, with the reason (too large, no permission, a dangling link).
    Unreadable(String),
}

impl FileFact {
    /// The file, where there is one.
    pub fn file(&self) -> Option<&File> {
        match self {
            Self::File(file) => Some(file),
            _ => None,
        }
    }

    /// The file's bytes, where there is one.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.file().map(|file| file.bytes.as_slice())
    }
}

/// What was found where a directory was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirFact {
    /// Nothing there; `canonical` is where it would be made, symbolic links above it followed.
    Absent {
        /// Where it would be.
        canonical: HostPath,
    },
    /// A directory.
    Directory {
        /// Where it is once symbolic links are followed.
        canonical: HostPath,
        /// Names in it, at most [`DirFact::ENTRIES`].
        entries: Vec<Vec<u8>>,
    },
    /// Something else, or unreadable, with what it is.
    Other(String),
}

impl DirFact {
    /// How many names of a directory are kept.
    pub const ENTRIES: usize = 16;

    /// Where it is, or would be.
    pub fn canonical(&self) -> Option<&HostPath> {
        match self {
            Self::Absent { canonical } | Self::Directory { canonical, .. } => Some(canonical),
            Self::Other(_) => None,
        }
    }
}

/// What lies below a directory, looked at as far as is reasonable. Links are not followed, and
/// other file systems are not entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Sockets, and links that lead to one or to nothing, at most [`Survey::SOCKETS`].
    pub sockets: Vec<HostPath>,
    /// All else that is no directory, at most [`Survey::TOLD`]; nothing of a volume.
    pub others: Vec<HostPath>,
    /// What should be the mount points of CSI volumes, and are plain directories that hold
    /// something: data of a pod that landed on the node's own disk.
    pub volumes: Vec<HostPath>,
    /// Everything was looked at.
    pub complete: bool,
}

impl Survey {
    /// How many levels below the start are looked into. The kubelet's own trees have at most a dozen.
    pub const DEPTH: usize = 32;
    /// How many directories are looked into.
    pub const DIRECTORIES: usize = 10_000;
    /// How many names of each kind are kept.
    pub const TOLD: usize = 20;
    /// How many sockets are kept: each of them is looked at.
    pub const SOCKETS: usize = 1_000;

    /// Whether it is known that there are directories and nothing else.
    pub fn bare(&self) -> bool {
        self.complete && self.sockets.is_empty() && self.others.is_empty() && self.volumes.is_empty()
    }

    /// Whether `path` is where the kubelet has a CSI volume mounted for a pod:
    /// `POD/volumes/kubernetes.io~csi/NAME/mount` (kubernetes, pkg/volume/csi/csi_mounter.go).
    pub fn is_volume(path: &HostPath) -> bool {
        let mut up = path.components().rev();
        up.next() == Some(b"mount")
            && up.next().is_some()
            && up.next() == Some(b"kubernetes.io~csi")
            && up.next() == Some(b"volumes")
    }
}

/// Whether only root can change what a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Every directory on the way, and the last, can be written by root alone.
    Root,
    /// The last directory itself can be written by others, those above it cannot.
    WritableItself {
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody other than root can write to, or owns, a directory on the way.
    Untrusted {
        /// Which directory.
        path: HostPath,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        uid: u32,
    },
    /// It is not there, or cannot be walked to.
    Missing(String),
}
