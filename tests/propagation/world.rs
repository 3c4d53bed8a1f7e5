//! Mount namespaces of this machine's kernel, each kept by a thread that lives in it.
//!
//! Each has a tmpfs for its root and nothing of this machine. When a thread ends, by whatever
//! reason, its namespace and all mounts in it are gone.

use csihost::model::mount::MountTable;
use csihost::mounts::mountinfo;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// One change of a tree of mounts. Namespaces are numbered, and the number taken modulo how many
/// there are; what the kernel refuses has no effect.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// An empty file system with directories in it.
    Tmpfs {
        ns: usize,
        at: String,
    },
    Bind {
        ns: usize,
        from: String,
        to: String,
        recursive: bool,
    },
    Move {
        ns: usize,
        from: String,
        to: String,
    },
    Make {
        ns: usize,
        at: String,
        kind: Kind,
        recursive: bool,
    },
    Unmount {
        ns: usize,
        at: String,
    },
    /// A new namespace, and what becomes of all its mounts, one after the other.
    Unshare {
        ns: usize,
        kinds: Vec<Kind>,
    },
    /// A namespace ends (not the first).
    End {
        ns: usize,
    },
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Shared,
    Slave,
    Private,
    Unbindable,
}

impl Kind {
    fn flag(self) -> MsFlags {
        match self {
            Self::Shared => MsFlags::MS_SHARED,
            Self::Slave => MsFlags::MS_SLAVE,
            Self::Private => MsFlags::MS_PRIVATE,
            Self::Unbindable => MsFlags::MS_UNBINDABLE,
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Namespace {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tid: i32,
}

impl Namespace {
    /// A thread that does `setup`, and then what it is told to.
    fn start(setup: impl FnOnce() -> nix::Result<()> + Send + 'static) -> nix::Result<Self> {
        let (jobs, todo): (Sender<Job>, Receiver<Job>) = channel();
        let (said, ready) = channel();
        let thread = std::thread::spawn(move || {
            let done = setup();
            let failed = done.is_err();
            said.send(done.map(|()| nix::unistd::gettid().as_raw())).unwrap();
            if !failed {
                todo.into_iter().for_each(|job| job());
            }
        });
        let tid = ready.recv().unwrap()?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), tid })
    }

    fn first() -> nix::Result<Self> {
        Self::start(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            propagation("/", MsFlags::MS_PRIVATE | MsFlags::MS_REC)?;
            tmpfs("/tmp")?;
            nix::unistd::chdir("/tmp")?;
            // pivot_root(2): with both the same, the old root is on top of the new one.
            nix::unistd::pivot_root(".", ".")?;
            umount2(".", MntFlags::MNT_DETACH)?;
            nix::unistd::chdir("/")?;
            directories("")
        })
    }

    /// Runs `job` in the namespace.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (said, answer) = channel();
        let job = Box::new(move || said.send(job()).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        answer.recv().unwrap()
    }

    pub(crate) fn table(&self) -> MountTable {
        let text = std::fs::read(format!("/proc/self/task/{}/mountinfo", self.tid)).unwrap();
        mountinfo::parse(&text).unwrap()
    }

    pub(crate) fn probe(&self, at: &str) -> nix::Result<()> {
        let at = at.to_owned();
        self.run(move || plain_tmpfs(&at))
    }

    pub(crate) fn unmount(&self, at: &str) {
        let at = at.to_owned();
        let _ = self.run(move || umount2(at.as_str(), MntFlags::MNT_DETACH));
    }

    /// The id of the mount on which a lookup of `path` ends.
    pub(crate) fn mount_at(&self, path: &str) -> Option<u64> {
        let path = path.to_owned();
        // Threads share their descriptors, not their /proc.
        let fd: OwnedFd = self.run(move || open(path.as_str(), OFlag::O_PATH, Mode::empty())).ok()?;
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
        Some(info.lines().find_map(|line| line.strip_prefix("mnt_id:")).unwrap().trim().parse().unwrap())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.thread.take().unwrap().join();
    }
}

pub(crate) struct World(pub(crate) Vec<Namespace>);

impl World {
    pub(crate) fn new() -> Self {
        Self(vec![Namespace::first().expect("a mount namespace with a tmpfs for its root")])
    }

    pub(crate) fn ns(&self, number: usize) -> &Namespace {
        &self.0[number % self.0.len()]
    }

    pub(crate) fn tables(&self) -> Vec<MountTable> {
        self.0.iter().map(Namespace::table).collect()
    }

    /// Does one act, or nothing where the kernel refuses it.
    pub(crate) fn act(&mut self, act: Act) {
        let _ = match act {
            Act::Tmpfs { ns, at } => self.ns(ns).run(move || tmpfs(&at)),
            Act::Bind { ns, from, to, recursive } => self.ns(ns).run(move || {
                let rec = if recursive { MsFlags::MS_REC } else { MsFlags::empty() };
                plain(&from, &to, MsFlags::MS_BIND | rec)
            }),
            Act::Move { ns, from, to } => self.ns(ns).run(move || plain(&from, &to, MsFlags::MS_MOVE)),
            Act::Make { ns, at, kind, recursive } => self.ns(ns).run(move || {
                let rec = if recursive { MsFlags::MS_REC } else { MsFlags::empty() };
                propagation(&at, kind.flag() | rec)
            }),
            Act::Unmount { ns, at } => {
                self.ns(ns).unmount(&at);
                Ok(())
            }
            Act::Unshare { ns, kinds } if self.0.len() < 5 => {
                // A new thread shares its root directory with the one that starts it, until it
                // unshares its namespace.
                let child = self.ns(ns).run(move || {
                    Namespace::start(move || {
                        unshare(CloneFlags::CLONE_NEWNS)?;
                        let flags = |kind: Kind| kind.flag() | MsFlags::MS_REC;
                        kinds.into_iter().try_for_each(|kind| propagation("/", flags(kind)))
                    })
                });
                child.map(|child| self.0.push(child))
            }
            Act::End { ns } if self.0.len() > 1 => {
                self.0.remove(1 + ns % (self.0.len() - 1));
                Ok(())
            }
            Act::Unshare { .. } | Act::End { .. } => Ok(()),
        };
    }
}

const NONE: Option<&str> = None;

fn plain(from: &str, to: &str, flags: MsFlags) -> nix::Result<()> {
    mount(Some(from), to, NONE, flags, NONE)
}

fn propagation(at: &str, flags: MsFlags) -> nix::Result<()> {
    mount(NONE, at, NONE, flags, NONE)
}

fn plain_tmpfs(at: &str) -> nix::Result<()> {
    mount(Some("t"), at, Some("tmpfs"), MsFlags::empty(), Some("size=64k"))
}

fn tmpfs(at: &str) -> nix::Result<()> {
    plain_tmpfs(at)?;
    directories(at.trim_end_matches('/'))
}

/// Three levels of `a` and `b`.
fn directories(below: &str) -> nix::Result<()> {
    let mut level = vec![below.to_owned()];
    for _ in 0..3 {
        level = level.iter().flat_map(|above| ["a", "b"].map(|name| format!("{above}/{name}"))).collect();
        for path in &level {
            match nix::unistd::mkdir(path.as_str(), Mode::S_IRWXU) {
                Ok(()) | Err(nix::Error::EEXIST) => (),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
