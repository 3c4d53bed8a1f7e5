//! Record of the accesses in progress, for the process that supervises this one.
//!
//! A thread writes what it accesses into shared memory before the system call. It does not remove the entry
//! afterwards: the next access replaces it, and [`rest`] removes it before a wait that is meant to last.
//! `host::worker` reads the record, ends a process whose access has no answer, and starts another one that leaves the
//! object out. A process without a supervisor records nothing.

use super::worker::layout::{self, HEADER, Header, SLOT, SLOTS};
use crate::model::path::HostPath;
use crate::model::unanswered::{ProcessId, Unanswered};
use nix::Error as Errno;
use rustix::fs::fcntl_get_seals;
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock};

static SUPERVISED: OnceLock<Supervised> = OnceLock::new();

/// The side of a process that is supervised.
#[derive(Debug)]
struct Supervised {
    record: File,
    wake: UnixStream,
    left_out: Vec<Unanswered>,
    free: Mutex<Vec<usize>>,
}

/// The place of a thread in the record; free again when the thread ends.
#[derive(Debug)]
struct Slot {
    index: usize,
    count: std::cell::Cell<u64>,
}

thread_local! {
    static SLOT_OF_THREAD: OnceCell<Option<Slot>> = const { OnceCell::new() };
}

/// Begins to record, as the process that [`Worker::start`](super::worker::Worker::start) made: its standard input is
/// the connection to the supervisor, whose file `number` is the record.
///
/// # Errors
/// There is no such connection or record: somebody else passed the option.
pub fn begin(number: u32) -> io::Result<()> {
    let supervisor = super::worker::end_with_parent()?;
    super::signals::release()?;
    let record = File::options().read(true).write(true).open(format!("/proc/{supervisor}/fd/{number}"))?;
    // Nothing but a memory file has seals: no other file is ever written to.
    fcntl_get_seals(&record)?;
    let wake = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    wake.set_nonblocking(true)?;
    // What this process starts inherits neither.
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    let left_out = layout::left_out(&record)?;
    let free = Mutex::new((0..SLOTS).rev().collect());
    SUPERVISED
        .set(Supervised { record, wake, left_out, free })
        .map_err(|_| io::Error::other("accesses are recorded already"))
}

/// The objects that are left out.
pub fn left_out() -> &'static [Unanswered] {
    SUPERVISED.get().map(|supervised| supervised.left_out.as_slice()).unwrap_or_default()
}

/// True if nothing is to be sent to systemd-journald.
pub fn is_journal_left_out() -> bool {
    left_out().contains(&Unanswered::Journal)
}

/// Removes this thread's entry: what it waits for next is no access.
pub fn rest() {
    if let Some(supervised) = SUPERVISED.get() {
        supervised.with_slot(|slot| {
            let _ = supervised.record.write_all_at(&0_u64.to_ne_bytes(), slot.at());
        });
    }
}

/// The main thread waits for events.
pub fn park() {
    rest();
    if let Some(supervised) = SUPERVISED.get() {
        supervised.set(Header::Parked, true);
    }
}

/// The main thread goes on.
pub fn unpark() {
    if let Some(supervised) = SUPERVISED.get() {
        supervised.set(Header::Parked, false);
        if layout::get(&supervised.record, Header::Asleep) {
            let _ = (&supervised.wake).write(b"!");
        }
    }
}

/// Records that this thread accesses the path, which is absolute.
pub(super) fn path(path: &[u8]) {
    write(|entry| layout::path(path, entry));
}

/// Records that this thread accesses a path below the root directory of the process.
pub(super) fn below(pid: i32) {
    write(|entry| layout::process(pid, entry));
}

/// Records that this thread accesses the arguments or the root directory of the process.
///
/// # Errors
/// `ETIMEDOUT`: it is left out.
pub(super) fn process(pid: i32, of: impl Fn(i32) -> Option<ProcessId>) -> nix::Result<()> {
    if is_process_left_out(pid, of) {
        return Err(Errno::ETIMEDOUT);
    }
    below(pid);
    Ok(())
}

/// True if the process is left out: itself, with all of its container, or with all tenants.
pub(super) fn is_process_left_out(pid: i32, of: impl Fn(i32) -> Option<ProcessId>) -> bool {
    left_out().iter().any(|one| match one {
        Unanswered::Process(left) => {
            (left.pid == pid || left.namespace.is_some())
                && of(pid).is_some_and(|now| {
                    now == *left || now.namespace.is_some() && now.namespace == left.namespace
                })
        }
        Unanswered::Tenants => of(pid).is_some_and(|now| now.namespace.is_some() || !now.is_root),
        Unanswered::Mount { .. } | Unanswered::Journal => false,
    })
}

/// True if mounts are left out at all: then each step of a path is compared with them.
pub(super) fn mounts_are_left_out() -> bool {
    left_out().iter().any(|one| matches!(one, Unanswered::Mount { .. }))
}

/// True if the mount at `path` is left out.
pub(super) fn is_left_out(path: &HostPath) -> bool {
    left_out().iter().any(|one| matches!(one, Unanswered::Mount { point, .. } if point == path))
}

fn write(entry: impl FnOnce(&mut layout::Entry)) {
    let Some(supervised) = SUPERVISED.get() else { return };
    supervised.with_slot(|slot| {
        let count = slot.count.get() + 1;
        slot.count.set(count);
        let mut bytes = layout::Entry::new(count);
        entry(&mut bytes);
        // A record that cannot be written is as none: this process then has no deadline, as before.
        let _ = supervised.record.write_all_at(bytes.as_bytes(), slot.at());
    });
}

impl Supervised {
    fn with_slot(&self, act: impl FnOnce(&Slot)) {
        let slot = |cell: &OnceCell<Option<Slot>>| {
            let slot = cell.get_or_init(|| {
                let index = self.free.lock().ok()?.pop()?;
                Some(Slot { index, count: std::cell::Cell::new(0) })
            });
            if let Some(slot) = slot {
                act(slot);
            }
        };
        // A thread that ends has given its place back.
        let _ = SLOT_OF_THREAD.try_with(slot);
    }

    fn set(&self, header: Header, value: bool) {
        layout::set(&self.record, header, value);
    }
}

impl Slot {
    fn at(&self) -> u64 {
        // At most 32 slots of 1 KiB.
        u64::try_from(HEADER + self.index * SLOT).unwrap_or(u64::MAX)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(supervised) = SUPERVISED.get() {
            let _ = supervised.record.write_all_at(&0_u64.to_ne_bytes(), self.at());
            if let Ok(mut free) = supervised.free.lock() {
                free.push(self.index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_supervisor_nothing_is_recorded_and_nothing_is_left_out() {
        path(b"/var/lib/kubelet");
        assert_eq!(process(1, |_| None), Ok(()));
        rest();
        assert!(left_out().is_empty() && !mounts_are_left_out());
    }
}
