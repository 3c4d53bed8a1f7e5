//! Edge: reads the mount table of a process, as much of it as is wanted.
//!
//! The kernel writes /proc/PID/mountinfo as it is read, a page at a time, and the writing is what
//! costs: some 0.6 microseconds a row. Whoever needs only the first rows need not pay for the others.

use super::Result;
use super::process::{LARGEST, Proc};
use super::read::io_failed;
use crate::model::path::HostPath;
use std::fs::File;
use std::io::Read;

/// The kernel hands out no more at once (fs/seq_file.c).
const PAGE: usize = 4096;

/// A mount table that is being read.
#[derive(Debug)]
pub struct MountRows {
    file: File,
    name: String,
    text: Vec<u8>,
    whole: bool,
}

impl Proc<'_> {
    /// The mount table of a process, nothing of it read yet.
    pub fn mount_rows(&self, pid: i32) -> Result<MountRows> {
        let name = format!("{pid}/mountinfo");
        let file = self.open_file(&name)?;
        Ok(MountRows { file, name, text: Vec::new(), whole: false })
    }
}

impl MountRows {
    /// Reads until `enough` says so of the rows that came last, or until the end. Whether that is
    /// reached is told by [`MountRows::is_whole`].
    pub fn read_until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let mut seen = self.rows().len();
        while !self.whole {
            let length = self.text.len();
            self.text.resize(length + PAGE, 0);
            let read = self.file.read(self.text.get_mut(length..).unwrap_or_default());
            self.text.truncate(length + *read.as_ref().unwrap_or(&0));
            match read {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(io_failed("read", &HostPath::from("/proc").join(&self.name))(error));
                }
                Ok(0) => self.whole = true,
                Ok(_) if self.text.len() as u64 > LARGEST => self.whole = true,
                Ok(_) => {}
            }
            let rows = self.rows();
            let new = rows.get(seen..).unwrap_or_default();
            seen = rows.len();
            if enough(new) {
                break;
            }
        }
        Ok(())
    }

    /// Whether all of it is read.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is read, in whole rows; at the end also what the kernel cut off.
    pub fn rows(&self) -> &[u8] {
        if self.whole {
            return &self.text;
        }
        let end = self.text.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
        self.text.get(..end).unwrap_or_default()
    }

    /// All of it, as text: what is left is read.
    pub fn whole(mut self) -> Result<Vec<u8>> {
        self.read_until(|_| false)?;
        Ok(self.text)
    }
}
