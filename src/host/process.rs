//! Edge: reads /proc, of the live host or of a scene.
//!
//! Files of a process are read by number, and a number can be given to another process in the
//! middle: the start time is read first and last, and a process that is not the same is not
//! there. Nothing is read of a process before it is known that it may be a kubelet.

use super::walk::Last;
use super::{Host, HostError, Result, failed, open_in};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use crate::model::process::{Namespaces, Process};
use nix::Error as Errno;
use nix::dir::Dir;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode as Bits;
use procfs::FromRead;
use procfs::process::{Stat, Status};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

/// 50,000 mounts are about 6 MiB; nothing that a process can blow up is read beyond this.
const LARGEST: u64 = 32 << 20;

/// The /proc of a host.
#[derive(Debug)]
pub struct Proc<'a> {
    host: &'a Host,
    dir: OwnedFd,
}

impl Host {
    /// This host's /proc; `None` where a scene has none.
    pub fn proc(&self) -> Result<Option<Proc<'_>>> {
        let path = HostPath::from("/proc");
        let walked = self.walk(&path, Last::Follow)?;
        if walked.found.is_none() {
            return Ok(None);
        }
        let dir = walked.open(self, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed("open", &path))?;
        Ok(Some(Proc { host: self, dir }))
    }
}

impl Proc<'_> {
    /// The numbers of all processes.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let failed = failed("list", &HostPath::from("/proc"));
        let list = || {
            let dir = open_in(&self.dir, b".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            let mut pids = Vec::new();
            for entry in Dir::from_fd(dir)?.iter() {
                let entry = entry?;
                if let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                    pids.push(pid);
                }
            }
            pids.sort_unstable();
            Ok(pids)
        };
        list().map_err(failed)
    }

    /// Reads /proc/`name` whole into `buffer`, which is emptied first.
    pub fn read(&self, name: &str, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        let failed = |errno| HostError { tried: "read", path: format!("/proc/{name}"), errno };
        let fd = match self.host.mode() {
            Mode::Live => openat(&self.dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Bits::empty()),
            Mode::Offline => {
                let walked = self.host.walk(&HostPath::from("/proc").join(name), Last::Follow)?;
                match walked.found {
                    None => Err(Errno::ENOENT),
                    Some(_) => walked.open(self.host, OFlag::O_RDONLY | OFlag::O_NONBLOCK),
                }
            }
        };
        let file = std::fs::File::from(fd.map_err(failed)?);
        let read = file.take(LARGEST).read_to_end(buffer);
        read.map(|_| ()).map_err(|error| failed(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))
    }

    /// Reads the arguments of a process into `buffer`: all that is read of most of them.
    pub fn read_cmdline(&self, pid: i32, buffer: &mut Vec<u8>) -> Result<()> {
        self.read(&format!("{pid}/cmdline"), buffer)
    }

    fn read_new(&self, name: &str) -> Result<Vec<u8>> {
        let mut buffer = Vec::new();
        self.read(name, &mut buffer).map(|()| buffer)
    }

    fn link(&self, name: &str) -> Result<Vec<u8>> {
        match self.host.mode() {
            Mode::Live => readlinkat(&self.dir, name)
                .map(|target| target.as_bytes().to_vec())
                .map_err(|errno| HostError { tried: "read the link", path: format!("/proc/{name}"), errno }),
            Mode::Offline => self.host.link(&HostPath::from("/proc").join(name)),
        }
    }

    /// PID 1's mount table, as text.
    pub fn mountinfo(&self) -> Result<Vec<u8>> {
        self.read_new("1/mountinfo")
    }

    /// The namespaces of the host itself: PID 1's; live, where they cannot be read (a virtual
    /// machine whose init has more capabilities), csihost's own.
    pub fn host_namespaces(&self) -> Namespaces {
        let first = self.namespaces("1");
        match self.host.mode() {
            Mode::Live if first.pid.is_none() || first.user.is_none() => self.namespaces("self"),
            _ => first,
        }
    }

    fn namespaces(&self, pid: &str) -> Namespaces {
        let read = |kind: &str| {
            let target = self.link(&format!("{pid}/ns/{kind}")).ok()?;
            inode_of(&target, format!("{kind}:[").as_bytes())
        };
        Namespaces { pid: read("pid"), user: read("user"), mnt: read("mnt") }
    }

    /// Who a process is; `None` if it is gone, or a zombie.
    pub fn identity(&self, pid: i32, cmdline: &[u8]) -> Result<Option<Process>> {
        let Some(start) = self.start(pid) else { return Ok(None) };
        let status = self.read_new(&format!("{pid}/status"));
        let Ok(status) = status else { return Ok(None) };
        // The name in it need not be UTF-8, which procfs asks for; nothing else is its choice.
        let status = Status::from_read(String::from_utf8_lossy(&status).as_bytes()).map_err(|_| {
            HostError { tried: "understand", path: format!("/proc/{pid}/status"), errno: Errno::EINVAL }
        })?;
        let process = Process {
            pid,
            comm: self
                .read_new(&format!("{pid}/comm"))
                .map(|comm| comm.trim_ascii_end().to_vec())
                .unwrap_or_default(),
            args: arguments(cmdline),
            exe: self.link(&format!("{pid}/exe")).ok(),
            uid: status.ruid,
            namespaces: self.namespaces(&pid.to_string()),
            ..Process::default()
        };
        Ok((!status.state.starts_with('Z') && self.start(pid) == Some(start)).then_some(process))
    }

    /// Reads what a process that may be a kubelet holds open. `false` if it is no longer the one
    /// that was identified.
    pub fn holdings(&self, process: &mut Process) -> Result<bool> {
        let pid = process.pid;
        let Some(start) = self.start(pid) else { return Ok(false) };
        process.sockets = self.sockets(pid)?;
        process.net_unix = self.read_new(&format!("{pid}/net/unix"))?;
        process.cgroup = self.read_new(&format!("{pid}/cgroup")).unwrap_or_default();
        Ok(self.start(pid) == Some(start))
    }

    /// The mount table of a process, as text.
    pub fn mountinfo_of(&self, pid: i32) -> Result<Vec<u8>> {
        self.read_new(&format!("{pid}/mountinfo"))
    }

    fn sockets(&self, pid: i32) -> Result<Vec<u64>> {
        let path = format!("{pid}/fd");
        let names = match self.host.mode() {
            Mode::Offline => self.host.list(&HostPath::from("/proc").join(&path))?,
            Mode::Live => {
                let list = || -> nix::Result<Vec<Vec<u8>>> {
                    let dir = openat(
                        &self.dir,
                        path.as_str(),
                        OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
                        Bits::empty(),
                    )?;
                    let mut dir = Dir::from_fd(dir)?;
                    dir.iter().map(|entry| Ok(entry?.file_name().to_bytes().to_vec())).collect()
                };
                list().map_err(|errno| HostError { tried: "list", path: format!("/proc/{path}"), errno })?
            }
        };
        let sockets = names.iter().filter_map(|name| {
            let name =
                std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))?;
            inode_of(&self.link(&format!("{path}/{name}")).ok()?, b"socket:[")
        });
        Ok(sockets.collect())
    }

    /// When a process started, in clock ticks since boot; a capture may lack it.
    fn start(&self, pid: i32) -> Option<u64> {
        match self.read_new(&format!("{pid}/stat")) {
            Ok(text) => start_time(&text),
            Err(error) if self.host.mode() == Mode::Offline && error.errno == Errno::ENOENT => Some(0),
            Err(_) => None,
        }
    }
}

/// The start time in the text of /proc/PID/stat.
fn start_time(text: &[u8]) -> Option<u64> {
    // procfs takes the shape for granted, and a scene may hold anything.
    let text = text.trim_ascii();
    let name_ends = text.iter().rposition(|&b| b == b')')?;
    let name_starts = text.iter().position(|&b| b == b'(')?;
    if name_starts == 0 || name_ends < name_starts || text.get(name_ends + 1) != Some(&b' ') {
        return None;
    }
    Stat::from_read(text).ok().map(|stat| stat.starttime)
}

/// The number in a link such as `socket:[4026]`.
fn inode_of(target: &[u8], prefix: &[u8]) -> Option<u64> {
    let digits = target.strip_prefix(prefix)?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The arguments in the text of /proc/PID/cmdline. A process that wrote its own title (k3s)
/// leaves words and NULs behind; empty arguments at the end are those.
fn arguments(cmdline: &[u8]) -> Vec<Vec<u8>> {
    let end = cmdline.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    match cmdline.get(..end) {
        None | Some([]) => Vec::new(),
        Some(text) => text.split(|&b| b == 0).map(<[u8]>::to_vec).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_start_time_nor_break_its_reader() {
        let fields = "S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 4711 1 1 18446744073709551615 1 1 1 1 1 0 0 0 0 0 0 0 17 0 0 0 0 0 0";
        for name in ["kubelet", "a) S 1 1", "(", ") ", "\u{fffd}"] {
            assert_eq!(start_time(format!("42 ({name}) {fields}").as_bytes()), Some(4711), "{name}");
        }
        for text in ["", "42", "(", ")", "42 (a)", "42 (a) ", "(a) S", "42 )a( S"] {
            assert_eq!(start_time(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn arguments_end_where_the_process_wiped_them() {
        assert_eq!(arguments(b"kubelet\0--root-dir\0/a b\0"), [&b"kubelet"[..], b"--root-dir", b"/a b"]);
        assert_eq!(arguments(b"/usr/local/bin/k3s server\0\0\0"), [b"/usr/local/bin/k3s server"]);
        assert_eq!(arguments(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert!(arguments(b"").is_empty());
        assert!(arguments(b"\0\0").is_empty());
    }
}
