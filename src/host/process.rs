//! Edge: reads /proc, of the live host or of a scene.
//!
//! Files of a process are read by number, and a number can be given to another process in the
//! middle, or the process can become another program: start time and arguments are read first and
//! last, and a process that is not the same is not there. Nothing is read of a process before it
//! is known that it may be a kubelet.

use super::diag::Diag;
use super::proc_text::{arguments, inode_of, start_time, status, uptime, watches};
use super::read::io_failed;
use super::walk::Last;
use super::{Host, HostError, Result, access, failed, open_in};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use crate::model::process::{Namespaces, Process};
use nix::Error as Errno;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode as Bits, fstatat};
use nix::unistd::read;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;
use std::time::Duration;

/// 50,000 mounts are about 6 MiB; nothing that a process can blow up is read beyond this.
pub(super) const LARGEST: u64 = 32 << 20;

/// As many bytes of the arguments of one process are read: what execve(2) takes with a stack of the usual size. A process
/// can show far more, which it has not been given.
const LONGEST: u64 = 2 << 20;
/// As many arguments may be in them: each costs far more than its bytes.
const MOST: usize = 1 << 16;

/// As many watches are kept: a kubelet has one for each control group of each container.
const WATCHES: usize = 1 << 16;

/// The /proc of a host.
#[derive(Debug)]
pub struct Proc<'a> {
    host: &'a Host,
    dir: OwnedFd,
    /// Processes that show more arguments than are read.
    too_long: Mutex<BTreeSet<i32>>,
}

/// What else came of reading what a process holds.
#[derive(Debug, Default)]
pub struct Held {
    /// Its own view of the file system; `None` where that could not be opened, and in a scene.
    pub view: Option<Host>,
    /// What could not be read: where, and why.
    pub unread: Vec<HostError>,
}

/// Reads the beginnings of the arguments of many processes, without an allocation for each.
#[derive(Debug)]
pub struct Heads<'a> {
    proc: &'a Proc<'a>,
    name: String,
    buffer: Vec<u8>,
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
        Ok(Some(Proc { host: self, dir, too_long: Mutex::default() }))
    }
}

impl Heads<'_> {
    /// How much is read of each: the page that the kernel copies at a time.
    const SIZE: usize = 4096;

    /// The beginning of the arguments of `pid`; `None` if there is no such process any more.
    pub fn read(&mut self, pid: i32) -> Option<&[u8]> {
        self.proc.accesses(pid).ok()?;
        self.name.clear();
        write!(self.name, "{pid}/cmdline").ok()?;
        match self.proc.host.mode() {
            Mode::Live => {
                let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                let fd = openat(&self.proc.dir, self.name.as_str(), flags, Bits::empty()).ok()?;
                self.buffer.resize(Self::SIZE, 0);
                let length = read(&fd, &mut self.buffer).ok()?;
                self.buffer.get(..length)
            }
            Mode::Offline => {
                self.proc.read(&self.name, &mut self.buffer).ok()?;
                self.buffer.get(..self.buffer.len().min(Self::SIZE))
            }
        }
    }
}

impl Proc<'_> {
    /// The directory itself.
    pub(super) fn handle(&self) -> std::os::fd::BorrowedFd<'_> {
        self.dir.as_fd()
    }

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

    /// For reading a little of every process.
    pub fn heads(&self) -> Heads<'_> {
        Heads { proc: self, name: String::new(), buffer: Vec::new() }
    }

    /// Reads /proc/`name` whole into `buffer`, which is emptied first.
    pub fn read(&self, name: &str, buffer: &mut Vec<u8>) -> Result<()> {
        self.read_at_most(name, buffer, LARGEST)
    }

    fn read_at_most(&self, name: &str, buffer: &mut Vec<u8>, most: u64) -> Result<()> {
        buffer.clear();
        let read = self.open_file(name)?.take(most).read_to_end(buffer);
        read.map(|_| ()).map_err(|error| io_failed("read", &HostPath::from("/proc").join(name))(error))
    }

    /// Opens /proc/`name` for reading.
    pub(super) fn open_file(&self, name: &str) -> Result<std::fs::File> {
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
        fd.map(std::fs::File::from).map_err(failed)
    }

    /// The arguments of a process, as the kernel shows them.
    ///
    /// # Errors
    /// `E2BIG`: there are more of them than are read.
    pub fn cmdline(&self, pid: i32) -> Result<Vec<u8>> {
        let name = format!("{pid}/cmdline");
        self.accesses(pid).map_err(failed("read", &HostPath::from("/proc").join(&name)))?;
        let mut text = Vec::new();
        self.read_at_most(&name, &mut text, LONGEST + 1)?;
        let count = text.iter().filter(|&&byte| byte == 0).count();
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > LONGEST || count > MOST {
            if let Ok(mut too_long) = self.too_long.lock() {
                too_long.insert(pid);
            }
            return Err(HostError { tried: "read", path: format!("/proc/{name}"), errno: Errno::E2BIG });
        }
        Ok(text)
    }

    /// The processes whose arguments were asked for, and are too long to be read.
    pub fn too_long(&self) -> BTreeSet<i32> {
        self.too_long.lock().map(|too_long| too_long.clone()).unwrap_or_default()
    }

    /// Records that the arguments or the root directory of a process are accessed.
    ///
    /// # Errors
    /// `ETIMEDOUT`: it is left out.
    pub(super) fn accesses(&self, pid: i32) -> nix::Result<()> {
        match self.host.mode() {
            Mode::Live => access::process(pid, |pid| self.process_id(pid)),
            Mode::Offline => Ok(()),
        }
    }

    /// True if the process is left out: itself, with all of its container, or with all tenants.
    pub fn is_left_out(&self, pid: i32) -> bool {
        self.host.mode() == Mode::Live && access::is_process_left_out(pid, |pid| self.process_id(pid))
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

    /// The text of /proc/locks.
    pub(super) fn locks(&self) -> Option<Vec<u8>> {
        self.read_new("locks").ok()
    }

    /// The host's mount table, as text.
    pub fn mountinfo(&self) -> Result<Vec<u8>> {
        self.read_new(&format!("{}/mountinfo", self.mounter()))
    }

    /// The process whose mounts are the host's: PID 1, for csihost may be in a sandbox. Where systemd
    /// is not PID 1 nobody puts it in one, and PID 1 may not see what everything else runs in: on
    /// RancherOS the console is a container, and docker runs inside it (rancher/os,
    /// cmd/control/user_docker.go).
    fn mounter(&self) -> &'static str {
        match self.host.mode() {
            Mode::Live if !self.host.systemd_booted() => "self",
            _ => "1",
        }
    }

    /// The file that the process `pid` runs, as the kernel shows it.
    pub(super) fn exe(&self, pid: i32) -> Option<Vec<u8>> {
        self.link(&format!("{pid}/exe")).ok()
    }

    /// The mount namespace of csihost itself; whose mounts it would see is not asked of it.
    pub fn own_mount_namespace(&self) -> Option<u64> {
        self.namespaces("self").mnt
    }

    /// The namespaces of the host itself: PID 1's; live, where they cannot be read (a virtual
    /// machine whose init has more capabilities), csihost's own.
    pub fn host_namespaces(&self) -> Namespaces {
        let first = self.namespaces("1");
        match self.host.mode() {
            Mode::Live if first.pid.is_none() || first.user.is_none() => self.namespaces("self"),
            _ => Namespaces { mnt: self.namespaces(self.mounter()).mnt, ..first },
        }
    }

    fn namespaces(&self, pid: &str) -> Namespaces {
        let read = |kind: &str| {
            let target = self.link(&format!("{pid}/ns/{kind}")).ok()?;
            inode_of(&target, format!("{kind}:[").as_bytes())
        };
        Namespaces { pid: read("pid"), user: read("user"), mnt: read("mnt"), net: read("net") }
    }

    /// Who a process is; `None` if it is gone, a zombie, or no longer what `cmdline` says.
    pub fn identity(&self, pid: i32, cmdline: &[u8]) -> Result<Option<Process>> {
        let Some(start) = self.start(pid) else { return Ok(None) };
        let text = match self.read_new(&format!("{pid}/status")) {
            Ok(text) => text,
            Err(error) if self.host.mode() == Mode::Live && error.errno != Errno::EACCES => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(status) = status(&text) else {
            let path = format!("/proc/{pid}/status");
            return Err(HostError { tried: "understand", path, errno: Errno::EINVAL });
        };
        let process = Process {
            pid,
            start,
            comm: self.comm(pid),
            args: arguments(cmdline),
            exe: self.link(&format!("{pid}/exe")).ok(),
            uid: status.uid,
            namespaces: self.namespaces(&pid.to_string()),
            nested: status.nested,
            ..Process::default()
        };
        Ok((!status.zombie && self.same(&process, cmdline)).then_some(process))
    }

    /// Reads what a process that may be a kubelet holds open, and where it is. `None` if it is no
    /// longer the one that was identified.
    pub fn holdings(&self, process: &mut Process, cmdline: &[u8]) -> Option<Held> {
        let pid = process.pid;
        let mut held = Held::default();
        process.root = self.link(&format!("{pid}/root")).unwrap_or_default();
        process.cgroup = self.read_new(&format!("{pid}/cgroup")).unwrap_or_default();
        if self.host.mode() == Mode::Live {
            held.view = self.view(pid).ok();
        }
        self.files(process, &mut held);
        self.listeners(process, &mut held);
        self.same(process, cmdline).then_some(held)
    }

    /// The arguments of a process; `None` if it is gone.
    pub fn arguments_of(&self, pid: i32) -> Option<Vec<Vec<u8>>> {
        self.cmdline(pid).ok().map(|text| arguments(&text))
    }

    /// The name of a process, as the kernel shows it; empty if it is gone.
    pub fn comm(&self, pid: i32) -> Vec<u8> {
        let comm = self.read_new(&format!("{pid}/comm")).unwrap_or_default();
        comm.strip_suffix(b"\n").unwrap_or(&comm).to_vec()
    }

    /// The text of /proc/PID/cgroup; empty if it is gone.
    pub fn cgroup(&self, pid: i32) -> Vec<u8> {
        self.read_new(&format!("{pid}/cgroup")).unwrap_or_default()
    }

    /// The namespaces of a process, as far as they can be read.
    pub fn namespaces_of(&self, pid: i32) -> Namespaces {
        self.namespaces(&pid.to_string())
    }

    /// The mount namespace of a process.
    pub fn mount_namespace(&self, pid: i32) -> Option<u64> {
        inode_of(&self.link(&format!("{pid}/ns/mnt")).ok()?, b"mnt:[")
    }

    /// True if a process is in the PID namespace of the host.
    pub fn has_hosts_pid_namespace(&self, pid: i32) -> bool {
        self.namespaces(&pid.to_string()).pid == self.host_namespaces().pid
    }

    /// The user namespace of a process.
    pub fn user_namespace(&self, pid: i32) -> Option<u64> {
        inode_of(&self.link(&format!("{pid}/ns/user")).ok()?, b"user:[")
    }

    /// The real user of a process.
    pub fn user(&self, pid: i32) -> Option<u32> {
        Some(status(&self.read_new(&format!("{pid}/status")).ok()?)?.uid)
    }

    /// When a process started, where that is known; to know it again.
    pub fn started(&self, pid: i32) -> Option<u64> {
        self.start(pid)
    }

    /// How long a process has run, where that is known; never of a scene's.
    pub fn has_run_for(&self, pid: i32) -> Option<Duration> {
        (self.host.mode() == Mode::Live).then_some(())?;
        // Both count from the boot (proc(5)); ticks are hundredths of a second on every architecture.
        let started = Duration::from_millis(self.start(pid)?.checked_mul(10)?);
        self.uptime()?.checked_sub(started)
    }

    /// Time since the boot (proc(5), /proc/uptime), where that is known.
    pub fn uptime(&self) -> Option<Duration> {
        uptime(&self.read_new("uptime").ok()?)
    }

    /// Which directory is the root of a process; `None` where that cannot be asked, and in a scene.
    pub fn root_id(&self, pid: i32) -> Option<(u64, u64)> {
        (self.host.mode() == Mode::Live).then_some(())?;
        self.accesses(pid).ok()?;
        let stat = fstatat(&self.dir, format!("{pid}/root").as_str(), AtFlags::empty()).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }

    /// The file system as a process sees it; `None` if it is gone, and in a scene.
    pub fn view_of(&self, pid: i32) -> Option<Host> {
        (self.host.mode() == Mode::Live).then(|| self.view(pid).ok()).flatten()
    }

    /// The mount table of a process, as text.
    pub fn mountinfo_of(&self, pid: i32) -> Result<Vec<u8>> {
        self.read_new(&format!("{pid}/mountinfo"))
    }

    /// The file system as a process sees it: its root directory, in its mount namespace.
    fn view(&self, pid: i32) -> nix::Result<Host> {
        self.accesses(pid)?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = openat(&self.dir, format!("{pid}/root").as_str(), flags, Bits::empty())?;
        Ok(Host {
            root,
            mode: Mode::Live,
            owner: self.host.owner,
            asked: None,
            of: (!self.sees_the_host(pid)).then_some(pid),
        })
    }

    /// True if the paths of a process are the host's: same mount namespace, same root directory.
    fn sees_the_host(&self, pid: i32) -> bool {
        let of = |pid: &str| self.link(&format!("{pid}/ns/mnt")).ok();
        let hosts = of(self.mounter());
        hosts.is_some()
            && of(&pid.to_string()) == hosts
            && self.link(&format!("{pid}/root")).is_ok_and(|root| root == b"/")
    }

    /// Opens the program of a process.
    pub(super) fn open_exe(&self, pid: i32) -> nix::Result<std::fs::File> {
        self.accesses(pid)?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        openat(&self.dir, format!("{pid}/exe").as_str(), flags, Bits::empty()).map(std::fs::File::from)
    }

    /// The sockets and watches among the open files of a process.
    fn files(&self, process: &mut Process, held: &mut Held) {
        let pid = process.pid;
        let names = match self.fds(pid) {
            Ok(names) => names,
            Err(error) => {
                held.unread.push(error);
                return;
            }
        };
        for name in names {
            let Ok(target) = self.link(&format!("{pid}/fd/{name}")) else { continue };
            if let Some(inode) = inode_of(&target, b"socket:[") {
                process.sockets.push(inode);
            } else if target == b"anon_inode:inotify" || target == b"inotify" {
                match self.read_new(&format!("{pid}/fdinfo/{name}")) {
                    Ok(text) => {
                        process.watches.extend(watches(&text).take(WATCHES - process.watches.len()));
                    }
                    // A file can be closed at any time, and a capture may lack it.
                    Err(error) if error.errno == Errno::ENOENT => {}
                    Err(error) => held.unread.push(error),
                }
            }
        }
    }

    fn fds(&self, pid: i32) -> Result<Vec<String>> {
        let path = format!("{pid}/fd");
        let names = match self.host.mode() {
            Mode::Offline => self.host.list(&HostPath::from("/proc").join(&path))?,
            Mode::Live => {
                let list = || -> nix::Result<Vec<Vec<u8>>> {
                    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                    let mut dir = Dir::from_fd(openat(&self.dir, path.as_str(), flags, Bits::empty())?)?;
                    dir.iter().map(|entry| Ok(entry?.file_name().to_bytes().to_vec())).collect()
                };
                list().map_err(|errno| HostError { tried: "list", path: format!("/proc/{path}"), errno })?
            }
        };
        let digits = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
        Ok(names.into_iter().filter_map(|name| String::from_utf8(name).ok()).filter(digits).collect())
    }

    /// The sockets on which a process listens: from the kernel where it can be asked about this
    /// network namespace, else as the text of /proc/PID/net/unix.
    fn listeners(&self, process: &mut Process, held: &mut Held) {
        let here = || inode_of(&self.link("self/ns/net").ok()?, b"net:[");
        if self.host.mode() == Mode::Live
            && process.namespaces.net.is_some_and(|net| Some(net) == here())
            && let Some(diag) = Diag::open()
        {
            process.listeners =
                Some(process.sockets.iter().filter_map(|&inode| diag.listener(inode)).collect());
            return;
        }
        match self.read_new(&format!("{}/net/unix", process.pid)) {
            Ok(text) => process.net_unix = text,
            Err(error) => held.unread.push(error),
        }
    }

    /// Whether `process` is still the one that was identified, and still runs the same program.
    fn same(&self, process: &Process, cmdline: &[u8]) -> bool {
        self.start(process.pid) == Some(process.start)
            && self.cmdline(process.pid).is_ok_and(|now| now == cmdline)
    }

    /// When a process started, in clock ticks since boot; a capture may lack it.
    pub(super) fn start(&self, pid: i32) -> Option<u64> {
        match self.read_new(&format!("{pid}/stat")) {
            // A scene may hold anything, and nothing in it can be replaced meanwhile.
            Ok(text) => start_time(&text).or((self.host.mode() == Mode::Offline).then_some(0)),
            Err(error) if self.host.mode() == Mode::Offline && error.errno == Errno::ENOENT => Some(0),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn arguments_that_no_program_was_given_are_not_read_and_the_process_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let show = |pid: i32, text: &[u8]| {
            fs::create_dir_all(dir.path().join(format!("proc/{pid}"))).unwrap();
            fs::write(dir.path().join(format!("proc/{pid}/cmdline")), text).unwrap();
        };
        show(10, b"kubelet\0--v=2\0");
        show(11, &b"csi\0".repeat(1 << 20));
        show(12, &b"a\0".repeat(MOST + 1));
        show(13, &[&b"kubelet\0"[..], &[b'x'; 1 << 20]].concat());
        let host = Host::open(Some(dir.path())).unwrap();
        let proc = host.proc().unwrap().unwrap();
        assert_eq!(proc.cmdline(10).unwrap(), b"kubelet\0--v=2\0");
        assert!(proc.cmdline(13).is_ok());
        for pid in [11, 12] {
            assert_eq!(proc.cmdline(pid).unwrap_err().errno, Errno::E2BIG);
        }
        assert_eq!(proc.too_long(), BTreeSet::from([11, 12]));
    }
}
