//! Edge: who may have written a file: its owner, how long ago, and who has it open to write.
//!
//! Linux does not keep who wrote a file. What can be told is best effort, and said so.

use super::Host;
use super::walk::Last;
use crate::model::bytes::shown;
use crate::model::path::HostPath;
use nix::fcntl::{AtFlags, readlink};
use nix::sys::stat::fstatat;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// As many writers are named.
const MOST: usize = 3;

impl Host {
    /// What can be said of who wrote `path`; `None` if nothing is there.
    pub fn last_written(&self, path: &HostPath) -> Option<String> {
        let stat = self.walk_below(path, Last::Follow).ok()?.found?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let ago = now.saturating_sub(u64::try_from(stat.st_mtime).unwrap_or(0));
        let writers = self.open_writers((stat.st_dev, stat.st_ino));
        let open = match writers.is_empty() {
            true => "no process has it open now".to_owned(),
            false => format!("open for writing by {}", writers.join(", ")),
        };
        Some(format!("it belongs to user {} and was written {ago} s ago; {open}", stat.st_uid))
    }

    /// Processes that have the file open for writing: "NAME (PID)".
    fn open_writers(&self, file: (u64, u64)) -> Vec<String> {
        let Ok(Some(proc)) = self.proc() else { return Vec::new() };
        let own = i32::try_from(std::process::id()).ok();
        let mut found = Vec::new();
        for pid in proc.pids().unwrap_or_default() {
            if Some(pid) != own && self.writes(pid, file) {
                let mut comm = Vec::new();
                let _ = proc.read(&format!("{pid}/comm"), &mut comm);
                found.push(format!("{} ({pid})", shown(comm.trim_ascii_end())));
            }
            if found.len() == MOST {
                break;
            }
        }
        found
    }

    fn writes(&self, pid: i32, (dev, ino): (u64, u64)) -> bool {
        let directory = HostPath::from("/proc").join(format!("{pid}/fd"));
        let Ok(names) = self.entries(&directory, 4096) else { return false };
        names.iter().any(|(name, _)| {
            let name = String::from_utf8_lossy(name);
            let fd = format!("/proc/{pid}/fd/{name}");
            // Files only: what is no path cannot be the file, and its stat may take long.
            let is_path = readlink(fd.as_str()).is_ok_and(|target| target.as_bytes().starts_with(b"/"));
            let at = nix::fcntl::AT_FDCWD;
            let same = is_path
                && fstatat(at, fd.as_str(), AtFlags::empty())
                    .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (dev, ino));
            same && self.proc().ok().flatten().is_some_and(|proc| {
                let mut info = Vec::new();
                proc.read(&format!("{pid}/fdinfo/{name}"), &mut info).is_ok() && opened_to_write(&info)
            })
        })
    }
}

/// Whether /proc/PID/fdinfo/N says that the file is open for writing: `flags:` is octal, and its
/// last two bits are the access mode (proc(5), open(2)).
fn opened_to_write(info: &[u8]) -> bool {
    let flags = info.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"flags:"));
    let text = flags.and_then(|flags| std::str::from_utf8(flags.trim_ascii()).ok());
    text.and_then(|text| u32::from_str_radix(text, 8).ok()).is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_writer_that_has_the_file_open_is_told_from_a_reader() {
        assert!(opened_to_write(b"pos:\t0\nflags:\t0100001\nmnt_id:\t29\n"));
        assert!(opened_to_write(b"pos:\t0\nflags:\t02100002\n"));
        assert!(!opened_to_write(b"pos:\t0\nflags:\t0100000\n"));
        assert!(!opened_to_write(b""));
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), b"x").unwrap();
        let host = Host::open(Some(Path::new(root.path()))).unwrap();
        let said = host.last_written(&HostPath::from("/file")).unwrap();
        assert!(said.ends_with("no process has it open now"), "{said}");
        assert_eq!(host.last_written(&HostPath::from("/absent")), None);
    }
}
