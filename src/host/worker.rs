//! A second process of csihost that does the work, and the supervision of its accesses.
//!
//! An access that nobody answers cannot be interrupted in all cases: a thread that waits for a FUSE server ignores
//! even SIGKILL once the server has read the request. So all work is done in a process that can be left behind.

pub(super) mod layout;

use super::process::Proc;
use crate::model::unanswered::{Access, ProcessId, Unanswered};
use layout::{HEADER, Header, SLOT, SLOTS};
use nix::Error as Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The hidden option that tells a process its record.
pub const OPTION: &str = "--supervised";
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// How long the end of a process that was killed is waited for.
const LAST: Duration = Duration::from_millis(500);
/// As much of the time between two looks counts.
const LONGEST_LOOK: Duration = Duration::from_millis(400);
/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// System calls that csihost accesses files with.
const ACCESSES: [libc::c_long; 13] = [
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_chdir,
    libc::SYS_fchdir,
];

/// System calls that csihost sends messages with.
const SENDS: [libc::c_long; 2] = [libc::SYS_sendto, libc::SYS_sendmsg];

/// A process of csihost that does the work.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    record: File,
    wake: tokio::net::UnixStream,
    /// The count of each entry, and for how long it is the same and its thread waits.
    waits: Vec<Option<(u64, Duration)>>,
    /// When the record was read last.
    looked: Instant,
    /// The same of its main thread, which sends a message.
    sends: Option<(u64, Duration)>,
}

/// An access without an answer so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The accessed object.
    pub access: Access,
    /// For how long at least.
    pub elapsed: Duration,
}

/// How long an access, known by its count, has waited; `since` adds up the time between looks.
fn waited(since: &mut Option<(u64, Duration)>, now: Option<(u64, Access)>, passed: Duration) -> Option<Wait> {
    let Some((count, access)) = now else {
        *since = None;
        return None;
    };
    let elapsed = match *since {
        Some((earlier, elapsed)) if earlier == count => elapsed + passed,
        _ => Duration::ZERO,
    };
    *since = Some((count, elapsed));
    Some(Wait { access, elapsed })
}

/// Ends this process when its parent ends.
///
/// # Errors
/// The parent has ended already.
pub(super) fn end_with_parent() -> io::Result<i32> {
    let parent = getppid().ok_or_else(|| io::Error::other("no supervisor"))?;
    set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    match getppid() == Some(parent) {
        true => Ok(parent.as_raw_nonzero().get()),
        false => Err(io::Error::other("the supervisor has ended")),
    }
}

impl Worker {
    /// Starts this program once more with the same `arguments`, to leave out `left_out`. What is for the service manager
    /// it tells `notify`.
    pub fn start(arguments: &[OsString], left_out: &[Unanswered], notify: Option<&Path>) -> io::Result<Self> {
        let record = File::from(memfd_create("csihost", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        record.set_len((HEADER + SLOTS * SLOT) as u64)?;
        layout::set_left_out(&record, left_out)?;
        let (wake, theirs) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let wake = tokio::net::UnixStream::from_std(wake)?;
        // By its path the process has the program's name; after an upgrade only the link leads to this program.
        let program = std::env::current_exe().ok().filter(|path| path.exists());
        let mut command = Command::new(program.unwrap_or_else(|| PathBuf::from("/proc/self/exe")));
        command
            .arg(format!("{OPTION}={}", record.as_raw_fd()))
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        if let Some(notify) = notify {
            command.env(NOTIFY_SOCKET, notify);
        }
        // The watchdog of this process is for the one that does the work to feed (sd_watchdog_enabled(3)).
        if std::env::var(WATCHDOG_PID).is_ok_and(|pid| pid == std::process::id().to_string()) {
            command.env_remove(WATCHDOG_PID);
        }
        let child = command.spawn()?;
        Ok(Self { child, record, wake, waits: vec![None; SLOTS], looked: Instant::now(), sends: None })
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        if let Ok(signal) = Signal::try_from(signal) {
            // It may have ended.
            let _ = kill(Pid::from_raw(self.pid()), signal);
        }
    }

    /// The accesses of threads that wait, each with the time that it was seen to.
    pub fn waits(&mut self, proc: &Proc<'_>) -> io::Result<Vec<Wait>> {
        let mut slots = vec![0; SLOTS * SLOT];
        self.record.read_exact_at(&mut slots, HEADER as u64)?;
        // Where this process has not run for a while (stopped at a terminal, a machine that was paused), nor has the other.
        let passed = self.looked.elapsed().min(LONGEST_LOOK);
        self.looked = Instant::now();
        let mut waits = Vec::new();
        for (slot, since) in slots.chunks_exact(SLOT).zip(&mut self.waits) {
            // A thread that computes has its answer.
            let waits_for = |read: &layout::Read| proc.waits_in(self.child.id(), read.thread, &ACCESSES);
            let read = layout::read(slot).filter(waits_for);
            waits.extend(waited(since, read.map(|read| (read.count, read.access)), passed));
        }
        let main = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        // The bus and the service manager are written to without waiting, and so is the journal, unless its queue fills between
        // the question and the message.
        let sends = proc.waits_in(self.child.id(), main, &SENDS).then_some((0, Access::Journal));
        waits.extend(waited(&mut self.sends, sends, passed));
        Ok(waits)
    }

    /// True if it waits for events and accesses nothing; it then wakes this process before it goes on.
    pub fn sleeps(&self) -> bool {
        layout::set(&self.record, Header::Asleep, true);
        let sleeps = layout::get(&self.record, Header::Parked) && self.waits.iter().all(Option::is_none);
        layout::set(&self.record, Header::Asleep, sleeps);
        sleeps
    }

    /// Waits until it goes on.
    pub async fn woken(&self) {
        let mut bytes = [0; 64];
        loop {
            if self.wake.readable().await.is_err() {
                return std::future::pending().await;
            }
            match self.wake.try_read(&mut bytes) {
                // It has closed its end: it is ending.
                Ok(0) => return std::future::pending().await,
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return std::future::pending().await,
            }
        }
        layout::set(&self.record, Header::Asleep, false);
    }

    /// Its number.
    pub fn pid(&self) -> i32 {
        // Numbers of processes are at most 2^22 (proc(5)).
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// Kills it. False if it has not ended, because what it waits for cannot be interrupted: it is left behind, and does
    /// nothing any more.
    pub fn kill(&mut self) -> bool {
        // It may have ended.
        let _ = self.child.kill();
        let end = Instant::now() + LAST;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }
}

impl Proc<'_> {
    /// True if a thread waits in one of the system calls; false if it runs, waits for something else, or is
    /// gone (proc_pid_syscall(5)).
    fn waits_in(&self, pid: u32, thread: i32, calls: &[libc::c_long]) -> bool {
        let mut text = Vec::new();
        if let Err(error) = self.read(&format!("{pid}/task/{thread}/syscall"), &mut text) {
            // Nobody may trace (Yama's ptrace_scope=3): a thread that nothing interrupts waits for a file system.
            return matches!(error.errno, Errno::EACCES | Errno::EPERM)
                && self.is_uninterruptible(pid, thread);
        }
        let number = text
            .split(|&b| b == b' ')
            .next()
            .and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
        number.is_some_and(|number| calls.contains(&number))
    }

    /// True if a thread waits uninterruptibly (proc_pid_stat(5), state D).
    fn is_uninterruptible(&self, pid: u32, thread: i32) -> bool {
        let mut stat = Vec::new();
        let state = |stat: &[u8]| stat.rsplitn(2, |&b| b == b')').next()?.get(1).copied();
        self.read(&format!("{pid}/task/{thread}/stat"), &mut stat).is_ok() && state(&stat) == Some(b'D')
    }

    /// The process that has the number now, read from files that never wait.
    pub fn process_id(&self, pid: i32) -> Option<ProcessId> {
        let namespace = self.mount_namespace(pid);
        let is_hosts = namespace == self.host_namespaces().mnt;
        let is_root = self.user(pid) == Some(0);
        Some(ProcessId {
            pid,
            start: self.started(pid)?,
            namespace: namespace.filter(|_| !is_hosts),
            is_root,
        })
    }
}
