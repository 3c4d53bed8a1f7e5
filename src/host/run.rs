//! Edge: starts programs of the host, and finds and ends the daemons that come of it.

use super::read::io_failed;
use super::walk::Last;
use super::{Host, HostError, Result, failed};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use nix::Error as Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode as Bits;
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// What the last command printed. A file and no pipe: a package manager must not be killed by a
/// pipe that broke because csihost ended.
const LOG: &str = "/run/csihost/command.log";
/// What systemd gives services (systemd.exec(5)), without /usr/local.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that was started. It goes on when this is dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    program: HostPath,
}

impl Host {
    /// The program that this process runs, by its path; one that was replaced since has none.
    pub fn own_program(&self) -> Option<HostPath> {
        let path = nix::fcntl::readlink("/proc/self/exe").ok()?;
        HostPath::parse(path.as_bytes()).ok().filter(|path| self.exists(path))
    }

    /// Starts `program` on the live host, with nothing of csihost's environment, and with what it
    /// prints in /run/csihost/command.log.
    pub fn spawn(
        &self,
        program: &HostPath,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<Started> {
        if self.mode() == Mode::Offline {
            return Err(HostError {
                tried: "run, in a tree of files,",
                path: program.to_string(),
                errno: Errno::ENOTSUP,
            });
        }
        let log = self.log()?;
        let errors = log.try_clone().map_err(io_failed("write", &HostPath::from(LOG)))?;
        let mut command = Command::new(program.as_path());
        command.args(arguments).env_clear().env("PATH", PATH).envs(environment.iter().cloned());
        // A group of its own: what is typed at csihost's terminal to end it is not for this.
        command.current_dir("/").process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().map_err(io_failed("run", program))?;
        Ok(Started { child, program: program.clone() })
    }

    /// Its exit status (`None`: a signal) and the last line that was printed, once it has ended.
    pub fn ended(&self, started: &mut Started) -> Result<Option<(Option<i32>, String)>> {
        let status = started.child.try_wait().map_err(io_failed("wait for", &started.program))?;
        Ok(status.map(|status| {
            let log = self.file(&HostPath::from(LOG));
            let last = log.bytes().unwrap_or_default().trim_ascii_end().rsplit(|&b| b == b'\n').next();
            (status.code(), crate::model::bytes::shown(last.unwrap_or_default()))
        }))
    }

    fn log(&self) -> Result<File> {
        let path = HostPath::from(LOG);
        self.make_directory(&HostPath::from("/run/csihost"), 0o755)?;
        let walked = self.walk(&path, Last::Keep)?;
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_APPEND
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let mode = Bits::from_bits_truncate(0o600);
        openat(walked.parent(self), walked.name.as_slice(), flags, mode)
            .map(File::from)
            .map_err(failed("write", &path))
    }

    /// The processes of root's, in the host's PID namespace, that run `program`.
    pub fn running(&self, program: &HostPath) -> Result<Vec<i32>> {
        let Some(proc) = self.proc()? else { return Ok(Vec::new()) };
        let Some(program) = self.canonical(program) else { return Ok(Vec::new()) };
        let here = proc.host_namespaces();
        let pids = proc.pids()?.into_iter().filter(|&pid| {
            let exe = proc.exe(pid).unwrap_or_default();
            // Of a program that was upgraded since the daemon was started.
            let exe = exe.strip_suffix(b" (deleted)").unwrap_or(&exe);
            exe == program.as_bytes()
                && proc.cmdline(pid).is_ok_and(|cmdline| {
                    proc.identity(pid, &cmdline).is_ok_and(|process| {
                        process.is_some_and(|process| process.uid == 0 && process.namespaces.pid == here.pid)
                    })
                })
        });
        Ok(pids.collect())
    }

    /// Asks the processes that run `program` to end (SIGTERM).
    pub fn terminate(&self, program: &HostPath) -> Result<()> {
        for pid in self.running(program)? {
            match kill(Pid::from_raw(pid), Signal::SIGTERM) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(failed("end", program)(errno)),
            }
        }
        Ok(())
    }
}
