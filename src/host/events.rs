//! Edge: wakes when something changes at paths that somebody has read (inotify(7)).
//!
//! Directories are watched, not files: a file that is replaced is another inode, and one that is
//! missing has none. The nearest directory that exists stands for one that does not.

use super::ready::register;
use super::walk::{Last, kind};
use super::{Host, HostError, Result};
use crate::model::path::HostPath;
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use nix::Error as Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::SFlag;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// As many directories are watched: the user's limit may be 8192, shared with all of root's.
const MOST: usize = 512;

/// Below these nothing is watched: the kernel tells nothing there, or it is csihost's own.
const NOT_THERE: [&str; 5] = ["/proc", "/sys", "/dev", "/run/csihost", "/var/lib/csihost"];

/// What is to be watched.
#[derive(Debug, Default)]
pub struct Watched<'a> {
    /// Paths that were read.
    pub paths: BTreeSet<&'a HostPath>,
    /// Directories of which every name matters.
    pub listed: BTreeSet<&'a HostPath>,
    /// Those among them that hold csihost's own configuration.
    pub configuration: BTreeSet<&'a HostPath>,
}

/// What was touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touched {
    /// Something that was read.
    pub any: bool,
    /// csihost's own configuration.
    pub configuration: bool,
}

/// Which names of a directory matter, and whether they are configuration.
#[derive(Debug, Default)]
struct Names {
    all: Option<bool>,
    these: BTreeMap<Vec<u8>, bool>,
}

/// Wakes when something that was read changes.
#[derive(Debug)]
pub struct Events {
    inotify: AsyncFd<Inotify>,
    watches: HashMap<WatchDescriptor, Names>,
}

fn failed(error: std::io::Error) -> HostError {
    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    HostError { tried: "watch", path: "directories".to_owned(), errno }
}

impl Events {
    /// Watches nothing yet.
    pub fn new() -> Result<Self> {
        let inotify = Inotify::init().map_err(failed)?;
        let inotify = register(inotify, Interest::READABLE).map_err(failed)?;
        Ok(Self { inotify, watches: HashMap::new() })
    }

    /// Watches what is in `watched` and nothing else; how many directories could not be watched.
    pub fn watch(&mut self, host: &Host, watched: &Watched<'_>) -> usize {
        let mut next = Next { events: self, watches: HashMap::new(), refused: 0 };
        for path in watched.paths.iter().copied().filter(|path| !is_left_out(path)) {
            next.name(host, path, watched.configuration.contains(path));
        }
        for path in watched.listed.iter().copied().filter(|path| !is_left_out(path)) {
            next.directory(host, path, watched.configuration.contains(path));
        }
        let Next { watches, refused, .. } = next;
        self.keep(watches);
        refused
    }

    /// Watches these in place of those of before.
    fn keep(&mut self, watches: HashMap<WatchDescriptor, Names>) {
        for old in self.watches.keys().filter(|old| !watches.contains_key(old)) {
            // It may be gone with its directory.
            let _ = self.inotify.get_ref().watches().remove(old.clone());
        }
        self.watches = watches;
    }

    /// Waits until something that is watched changes.
    pub async fn touched(&mut self) -> Touched {
        loop {
            let Ok(mut ready) = self.inotify.readable_mut().await else {
                return std::future::pending().await;
            };
            let touched = read(ready.get_inner_mut(), &self.watches);
            match touched {
                Some(touched) if touched.any => return touched,
                Some(_) => {}
                None => ready.clear_ready(),
            }
        }
    }
}

/// Reads a bufferful of events; `None` if there is none.
fn read(inotify: &mut Inotify, watches: &HashMap<WatchDescriptor, Names>) -> Option<Touched> {
    let mut buffer = [0; 4096];
    // An error other than "nothing there" would come again at once: it ends the loop too.
    let events = inotify.read_events(&mut buffer).ok()?;
    let mut touched = Touched::default();
    for event in events {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            touched = Touched { any: true, configuration: true };
            continue;
        }
        // What follows the end of a watch: csihost's own doing, or told by an event before.
        if event.mask.contains(EventMask::IGNORED) {
            continue;
        }
        let Some(names) = watches.get(&event.wd) else { continue };
        let matters = match event.name {
            Some(name) => names.these.get(name.as_bytes()).copied().or(names.all),
            // The directory itself: renamed, deleted, unmounted, its mode changed.
            None => Some(names.all == Some(true) || names.these.values().any(|&configuration| configuration)),
        };
        if let Some(configuration) = matters {
            touched.any = true;
            touched.configuration |= configuration;
        }
    }
    Some(touched)
}

fn is_left_out(path: &HostPath) -> bool {
    NOT_THERE.iter().any(|out| path.starts_with(&HostPath::from(*out)))
}

/// The watches to be.
struct Next<'a> {
    events: &'a Events,
    watches: HashMap<WatchDescriptor, Names>,
    refused: usize,
}

impl Next<'_> {
    /// Watches for the name of `path`, or of the directory on the way that is missing.
    fn name(&mut self, host: &Host, path: &HostPath, configuration: bool) {
        // What cannot be walked to (a loop of links) cannot be watched either.
        let Ok(walked) = host.walk_below(path, Last::Keep) else { return };
        self.add(walked.parent(host), Some(&walked.name), configuration);
        if walked.kind() == Some(SFlag::S_IFLNK)
            && let Ok(behind) = host.walk_below(path, Last::Follow)
        {
            self.add(behind.parent(host), Some(&behind.name), configuration);
        }
    }

    /// Watches for all names in the directory at `path`.
    fn directory(&mut self, host: &Host, path: &HostPath, configuration: bool) {
        let Ok(walked) = host.walk_below(path, Last::Follow) else { return };
        if walked.found.as_ref().is_some_and(|stat| kind(stat) == SFlag::S_IFDIR)
            && let Ok(fd) = walked.open(host, OFlag::O_PATH | OFlag::O_DIRECTORY)
        {
            self.add(fd.as_fd(), None, configuration);
        }
    }

    fn add(&mut self, directory: BorrowedFd<'_>, name: Option<&[u8]>, configuration: bool) {
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        // By the handle, and not by the path: it cannot have been swapped, and it may lie in
        // another mount namespace.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let added = match self.watches.len() < MOST {
            true => self.events.inotify.get_ref().watches().add(path, mask),
            false => Err(std::io::ErrorKind::StorageFull.into()),
        };
        let Ok(watch) = added else {
            self.refused += 1;
            return;
        };
        let names = self.watches.entry(watch).or_default();
        match name {
            Some(name) => *names.these.entry(name.to_vec()).or_default() |= configuration,
            None => names.all = Some(names.all == Some(true) || configuration),
        }
    }
}
