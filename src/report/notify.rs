//! Edge: tells the service manager how csihost is (sd_notify(3)).
//!
//! The protocol is one datagram; the crate `sd-notify` (0.5) cannot reach an abstract socket, which
//! is what older managers and containers give.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::Interest;

/// How far the work has come.
static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// A part of a long work is done: who watches that work may wait on.
pub fn progressed() {
    PROGRESS.fetch_add(1, Ordering::Relaxed);
}

/// How often something was done; other than before, if work goes on.
pub fn progress() -> u64 {
    PROGRESS.load(Ordering::Relaxed)
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State<'a> {
    /// The start, or the reading of settings, is complete.
    Ready,
    /// Settings are read again, since this time of the monotonic clock in microseconds.
    Reloading(i64),
    /// It ends.
    Stopping,
    /// It is alive.
    Watchdog,
    /// What it does, in one line.
    Status(&'a str),
}

/// The way to the service manager, where there is one.
#[derive(Debug)]
pub struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// True if a service manager started this process, and starts it anew when it ends.
    pub fn has_manager() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    /// As $NOTIFY_SOCKET and $WATCHDOG_USEC say.
    pub fn from_env() -> io::Result<Self> {
        let variable = |name| std::env::var_os(name);
        let pid = std::process::id();
        Self::new(
            variable("NOTIFY_SOCKET").as_deref(),
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            pid,
        )
    }

    fn new(
        socket: Option<&OsStr>,
        usec: Option<&OsStr>,
        watched: Option<&OsStr>,
        pid: u32,
    ) -> io::Result<Self> {
        let to = match socket {
            None => None,
            Some(name) => {
                let address = match name.as_bytes().strip_prefix(b"@") {
                    Some(name) => SocketAddr::from_abstract_name(name)?,
                    None => SocketAddr::from_pathname(name)?,
                };
                let socket = UnixDatagram::unbound()?;
                // The manager may be busy, but never may csihost wait for it.
                socket.set_nonblocking(true)?;
                Some((socket, address))
            }
        };
        let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
        // sd_watchdog_enabled(3): the variables of another process are not for this one.
        let ours = watched.is_none_or(|watched| number(watched) == Some(u64::from(pid)));
        let watchdog = usec.and_then(number).filter(|&usec| ours && usec > 0).map(Duration::from_micros);
        Ok(Self { to, watchdog })
    }

    /// Within what time the manager wants to hear [`State::Watchdog`].
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells `states` at once. Where nobody listens nothing is told, and where telling fails there
    /// is nobody to tell that.
    pub fn tell(&self, states: &[State<'_>]) {
        let Some((socket, address)) = &self.to else { return };
        let _ = socket.send_to_addr(text(states).as_bytes(), address);
    }
}

/// Passes on to the service manager what another process of csihost tells: the manager hears the main process alone.
#[derive(Debug)]
pub struct Relay {
    from: UnixDatagram,
    /// The same, for waiting.
    ready: tokio::net::UnixDatagram,
    path: PathBuf,
    to: Notify,
}

/// No message of csihost is longer, but for a status, which is cut.
const LONGEST: usize = 4096;

impl Relay {
    /// A socket at `path`, where there is a service manager.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn new(path: &Path) -> io::Result<Option<Self>> {
        match Notify::has_manager() {
            true => Self::between(path, Notify::from_env()?).map(Some),
            false => Ok(None),
        }
    }

    fn between(path: &Path, to: Notify) -> io::Result<Self> {
        // Of one that was killed.
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let from = UnixDatagram::bind(path)?;
        from.set_nonblocking(true)?;
        let ready = tokio::net::UnixDatagram::from_std(from.try_clone()?)?;
        Ok(Self { from, ready, path: path.to_owned(), to })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes on what comes, until it is dropped.
    pub async fn pass(&self) {
        loop {
            if self.ready.readable().await.is_err() {
                return std::future::pending().await;
            }
            // Ends with an error, that nothing is there, which makes the next wait one.
            let _: io::Result<()> = self.ready.try_io(Interest::READABLE, || self.pass_all());
        }
    }

    /// Passes on what has come, also where the runtime has not noticed it yet.
    pub fn pass_what_is_there(&self) {
        let _ = self.pass_all();
    }

    /// Passes on what has come, until nothing is there, which is an error.
    fn pass_all(&self) -> io::Result<()> {
        let mut message = [0; LONGEST];
        loop {
            let length = self.from.recv(&mut message)?;
            if let (Some((socket, address)), Some(message)) = (&self.to.to, message.get(..length)) {
                let _ = socket.send_to_addr(message, address);
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // One that stays is replaced by the next.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn text(states: &[State<'_>]) -> String {
    let mut text = String::new();
    for state in states {
        let _ = match state {
            State::Ready => writeln!(text, "READY=1"),
            State::Reloading(usec) => writeln!(text, "RELOADING=1\nMONOTONIC_USEC={usec}"),
            State::Stopping => writeln!(text, "STOPPING=1"),
            State::Watchdog => writeln!(text, "WATCHDOG=1"),
            // A newline would begin another assignment.
            State::Status(status) => writeln!(text, "STATUS={}", status.replace('\n', " ")),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_whatever_it_holds() {
        assert_eq!(text(&[State::Ready, State::Status("a\nREADY=0")]), "READY=1\nSTATUS=a READY=0\n");
        assert_eq!(text(&[State::Reloading(7)]), "RELOADING=1\nMONOTONIC_USEC=7\n");
    }

    #[test]
    fn it_is_told_through_paths_and_abstract_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("csihost-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (manager, socket) in [(by_path, path.into_os_string()), (by_name, format!("@{name}").into())] {
            Notify::new(Some(&socket), None, None, 1).unwrap().tell(&[State::Watchdog]);
            let mut buffer = [0; 64];
            let length = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
        }
    }

    #[tokio::test]
    async fn what_another_process_tells_is_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let [manager, relay] = ["manager", "relay"].map(|name| directory.path().join(name));
        let heard = UnixDatagram::bind(&manager).unwrap();
        heard.set_nonblocking(true).unwrap();
        let to = Notify::new(Some(manager.as_os_str()), None, None, 1).unwrap();
        let passing = Relay::between(&relay, to).unwrap();
        let teller = Notify::new(Some(relay.as_os_str()), None, None, 1).unwrap();
        let mut buffer = [0; 64];
        for _ in 0..2 {
            teller.tell(&[State::Ready]);
            let passed = tokio::time::timeout(Duration::from_millis(100), passing.pass()).await;
            let length = heard.recv(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], passed.is_err()), (&b"READY=1\n"[..], true));
        }
        // The last message of a process that has ended.
        teller.tell(&[State::Stopping]);
        passing.pass_what_is_there();
        assert_eq!(heard.recv(&mut buffer).unwrap(), b"STOPPING=1\n".len());
        drop(passing);
        assert!(!relay.exists());
    }

    #[test]
    fn the_watchdog_of_another_process_is_not_ours() {
        let of = |usec: Option<&str>, pid: Option<&str>| {
            Notify::new(None, usec.map(OsStr::new), pid.map(OsStr::new), 7).unwrap().watchdog()
        };
        assert_eq!(of(Some("600000000"), None), Some(Duration::from_secs(600)));
        assert_eq!(of(Some("600000000"), Some("7")), Some(Duration::from_secs(600)));
        assert_eq!(of(Some("600000000"), Some("8")), None);
        assert_eq!(of(Some("0"), None), None);
        assert_eq!(of(None, None), None);
    }
}
