//! Edge: the program that a process runs: reads pieces of its file, and as a last resort asks a
//! program of the host for its version.

use super::process::Proc;
use super::walk::Last;
use super::{Host, Result, failed};
use crate::model::facts::Mode;
use crate::model::file::{FileId, Trust};
use crate::model::mount::Device;
use crate::model::path::HostPath;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat, major, minor};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to tell its version; a cold kubelet takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// An open program.
#[derive(Debug)]
pub struct Program {
    file: File,
    /// Which file it is.
    pub id: FileId,
}

impl Program {
    /// Up to `length` bytes at `offset`; fewer at the end, and where it cannot be read.
    pub fn read_at(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match self.file.read_at(rest, at) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

impl Proc<'_> {
    /// The program that the process `pid` runs, wherever its file is, and be it deleted; `None` if
    /// the process is not the one that started at `start`. In a scene the file itself, where it was
    /// captured.
    pub fn program(&self, host: &Host, pid: i32, start: u64) -> Result<Option<Program>> {
        let path = HostPath::root().join(format!("proc/{pid}/exe"));
        let file = match host.mode() {
            Mode::Live => self.open_exe(pid).map_err(failed("open", &path))?,
            Mode::Offline => {
                let walked = host.walk(&path, Last::Follow)?;
                if walked.kind() != Some(SFlag::S_IFREG) {
                    return Ok(None);
                }
                File::from(walked.open(host, OFlag::O_RDONLY).map_err(failed("open", &path))?)
            }
        };
        let stat = fstat(&file).map_err(failed("stat", &path))?;
        let part = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let device = Device { major: part(major(stat.st_dev)), minor: part(minor(stat.st_dev)) };
        let program = Program { file, id: FileId { device, inode: stat.st_ino } };
        Ok((self.start(pid) == Some(start)).then_some(program))
    }
}

impl Host {
    /// What the program at `path` prints for `--version`. Only a program that root alone can
    /// change, on the live host, and only if it is the same file as `running`.
    pub fn program_version(&self, path: &HostPath, running: FileId) -> Option<Vec<u8>> {
        let trusted = self.mode() == Mode::Live && self.trust(path) == Trust::Root;
        if !trusted || self.file_id(path)? != running {
            return None;
        }
        let mut child = Command::new(path.as_path())
            .arg("--version")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let deadline = Instant::now() + PATIENCE;
        let mut stdout = child.stdout.take()?;
        let mut output = Vec::new();
        // One line is waited for, and no longer than it may take.
        while !output.contains(&b'\n') && output.len() < 4096 {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut waits = [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)];
            let mut piece = [0; 512];
            match poll(&mut waits, timeout) {
                Ok(1..) => match stdout.read(&mut piece) {
                    Ok(read @ 1..) => output.extend(piece.iter().take(read)),
                    _ => break,
                },
                _ => break,
            }
        }
        // It has said what was asked, or has had its time.
        let _ = child.kill();
        let _ = child.wait();
        Some(output)
    }
}
