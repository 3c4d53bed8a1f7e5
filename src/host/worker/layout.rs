//! Layout of the record that a supervised process and its supervisor share: a header, the objects that are left out,
//! and one entry a thread.

use crate::model::path::HostPath;
use crate::model::unanswered::{Access, Unanswered};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes before the first entry.
pub(in crate::host) const HEADER: usize = 64 << 10;
/// Bytes of an entry. A longer path is cut at a component: the mount that it lies below can be told from the rest.
pub(in crate::host) const SLOT: usize = 1 << 10;
/// Threads that are recorded at once; csihost has fewer.
pub(in crate::host) const SLOTS: usize = 32;
/// Offset of the left-out objects: their length, then JSON.
const LEFT_OUT: usize = 64;
/// Bytes of an entry before its path: count, thread, kind, process, length.
const FIXED: usize = 8 + 4 + 4 + 4 + 4;

const PATH: u32 = 1;
const PROCESS: u32 = 2;

/// Flags of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Header {
    /// The main thread of the supervised process waits for events.
    Parked = 0,
    /// The supervisor looks at the record again only when it is woken.
    Asleep = 8,
}

/// Sets a flag. One that cannot be set stays as it is: the supervisor then looks more often than it needs to.
pub(in crate::host) fn set(record: &File, header: Header, value: bool) {
    let _ = record.write_all_at(&[u8::from(value)], header as u64);
}

/// Returns a flag; false if it cannot be read.
pub(in crate::host) fn get(record: &File, header: Header) -> bool {
    let mut value = [0];
    record.read_exact_at(&mut value, header as u64).is_ok() && value == [1]
}

/// Writes the objects that the supervised process leaves out.
pub(super) fn set_left_out(record: &File, left_out: &[Unanswered]) -> io::Result<()> {
    let json = serde_json::to_vec(left_out)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    if LEFT_OUT + 4 + json.len() > HEADER {
        return Err(io::Error::other("too many objects are left out"));
    }
    record.write_all_at(&length.to_ne_bytes(), LEFT_OUT as u64)?;
    record.write_all_at(&json, LEFT_OUT as u64 + 4)
}

/// Reads them.
pub(in crate::host) fn left_out(record: &File) -> io::Result<Vec<Unanswered>> {
    let mut length = [0; 4];
    record.read_exact_at(&mut length, LEFT_OUT as u64)?;
    let length = usize::try_from(u32::from_ne_bytes(length)).map_err(io::Error::other)?;
    let mut json = vec![0; length.min(HEADER)];
    record.read_exact_at(&mut json, LEFT_OUT as u64 + 4)?;
    Ok(serde_json::from_slice(&json)?)
}

/// An entry in the making.
#[derive(Debug)]
pub(in crate::host) struct Entry {
    bytes: [u8; SLOT],
    length: usize,
}

impl Entry {
    /// An entry of this thread; `count` tells it from the one before.
    pub(in crate::host) fn new(count: u64) -> Self {
        let mut entry = Self { bytes: [0; SLOT], length: 0 };
        entry.push(&count.to_ne_bytes());
        entry.push(&rustix::thread::gettid().as_raw_nonzero().get().to_ne_bytes());
        entry
    }

    fn push(&mut self, part: &[u8]) {
        if let Some(to) = self.bytes.get_mut(self.length..self.length + part.len()) {
            to.copy_from_slice(part);
            self.length += part.len();
        }
    }

    pub(in crate::host) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Completes an entry of a path.
pub(in crate::host) fn path(path: &[u8], entry: &mut Entry) {
    let most = SLOT - FIXED;
    let kept = match path.get(..most) {
        Some(cut) if path.len() > most => cut.rsplitn(2, |&b| b == b'/').nth(1).unwrap_or_default(),
        _ => path,
    };
    complete(PATH, 0, kept, entry);
}

/// Completes an entry of a process.
pub(in crate::host) fn process(pid: i32, entry: &mut Entry) {
    complete(PROCESS, pid, b"", entry);
}

fn complete(kind: u32, pid: i32, path: &[u8], entry: &mut Entry) {
    entry.push(&kind.to_ne_bytes());
    entry.push(&pid.to_ne_bytes());
    entry.push(&u32::try_from(path.len()).unwrap_or_default().to_ne_bytes());
    entry.push(path);
}

/// An entry as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) count: u64,
    pub(super) thread: i32,
    pub(super) access: Access,
}

/// Reads an entry; `None` for a thread that accesses nothing, and for one that is written at this moment.
pub(super) fn read(slot: &[u8]) -> Option<Read> {
    let number = |at: usize| slot.get(at..at + 4)?.try_into().ok();
    let count = u64::from_ne_bytes(slot.get(..8)?.try_into().ok()?);
    if count == 0 {
        return None;
    }
    let length = usize::try_from(u32::from_ne_bytes(number(20)?)).ok()?;
    let access = match u32::from_ne_bytes(number(12)?) {
        PATH => Access::Path(HostPath::parse(slot.get(FIXED..FIXED.checked_add(length)?)?).ok()?),
        PROCESS => Access::Process(i32::from_ne_bytes(number(16)?)),
        _ => return None,
    };
    Some(Read { count, thread: i32::from_ne_bytes(number(8)?), access })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written_and_a_long_path_is_cut_at_a_component() {
        let read = |fill: &dyn Fn(&mut Entry)| {
            let mut entry = Entry::new(7);
            fill(&mut entry);
            super::read(entry.as_bytes())
        };
        let path_of = |text: &[u8]| read(&|entry| path(text, entry)).map(|read| read.access);
        let short = read(&|entry| path(b"/var/lib/\xff", entry)).unwrap();
        assert_eq!(
            (short.count, short.access),
            (7, Access::Path(HostPath::parse(b"/var/lib/\xff").unwrap()))
        );
        assert_eq!(read(&|entry| process(42, entry)).unwrap().access, Access::Process(42));
        let long = format!("/srv/{}/{}", "a".repeat(900), "b".repeat(900));
        assert_eq!(
            path_of(long.as_bytes()),
            Some(Access::Path(HostPath::parse(format!("/srv/{}", "a".repeat(900)).as_bytes()).unwrap()))
        );
        assert_eq!(super::read(&[0; SLOT]), None);
        assert_eq!(super::read(&[1; 10]), None);
    }
}
