//! Services of a host whose PID 1 is not systemd: OpenRC's, or the daemon's program itself.
//!
//! No bus is asked. What is started at boot is a link of a runlevel, and what runs is told by
//! `rc-service NAME status`, or by the program that a process runs.

use super::error::{Attempt, During as _, Fault, ManagerError};
use super::offline::{UnitTree, files};
use super::{ServiceManager, StopMode, Transient};
use crate::model::path::HostPath;
use crate::model::service;
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState, Units};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Where the scripts of services are (openrc(8)).
const INIT: &str = "/etc/init.d";
/// The runlevel that a host boots into (rc-update(8)), where csihost puts its links; a service of
/// one of the others is started at boot too.
const DEFAULT: &str = "/etc/runlevels/default";
const LEVELS: [&str; 3] = [DEFAULT, "/etc/runlevels/boot", "/etc/runlevels/sysinit"];
/// How often it is looked whether a command has ended, or a daemon come or gone.
const LOOK: Duration = Duration::from_millis(20);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; `None` where a signal killed it.
    pub status: Option<i32>,
    /// The last line that it printed.
    pub said: String,
}

/// A host without systemd: its files, its programs, its processes.
pub trait DirectHost: UnitTree {
    /// A command that was started. It goes on when this is dropped.
    type Child;

    /// Whether anything runs there.
    fn is_live(&self) -> bool;
    /// Whether there is a file.
    fn exists(&self, path: &HostPath) -> bool;
    /// Where the program of that name is, in a directory of the system's and changeable by root alone.
    fn program(&self, name: &str) -> io::Result<HostPath>;
    /// Starts a program, without the environment of csihost.
    fn start(
        &self,
        program: &HostPath,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> io::Result<Self::Child>;
    /// How it ended, if it has.
    fn ended(&self, child: &mut Self::Child) -> io::Result<Option<Ended>>;
    /// Whether a process of root's and the host's runs the program.
    fn runs(&self, program: &HostPath) -> io::Result<bool>;
    /// Asks all such processes to end (SIGTERM).
    fn terminate(&self, program: &HostPath) -> io::Result<()>;
}

/// What stands for a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// A service of OpenRC's, by its name.
    OpenRc(String),
    /// A daemon that goes to the background by itself. csihost starts it in the turn that it makes at
    /// every boot.
    Daemon(HostPath),
}

/// The services of a host whose PID 1 is not systemd.
#[derive(Debug)]
pub struct Direct<T> {
    host: T,
    services: BTreeMap<UnitName, Service>,
    patience: Duration,
}

impl<T: DirectHost> Direct<T> {
    /// Manages `services` of `host`, which are asked for by the names that they have as units; no
    /// others exist. `patience` is what one of them may take to start or stop.
    pub fn new(host: T, services: BTreeMap<UnitName, Service>, patience: Duration) -> Self {
        Self { host, services, patience }
    }

    async fn state(&self, unit: &UnitName) -> Result<UnitState, Fault> {
        let Some(service) = self.services.get(unit) else { return Ok(UnitState::ABSENT) };
        let (there, file) = match service {
            Service::OpenRc(name) => {
                let enabled = LEVELS.iter().any(|level| self.host.exists(&HostPath::from(*level).join(name)));
                let file = if enabled { FileState::Enabled } else { FileState::Disabled };
                (self.host.exists(&script(name)), file)
            }
            Service::Daemon(program) => (self.host.exists(program), FileState::Enabled),
        };
        if !there {
            return Ok(UnitState::ABSENT);
        }
        let active = match () {
            () if !self.host.is_live() => ActiveState::Unknown,
            () if self.is_active(service).await? => ActiveState::Active,
            () => ActiveState::Inactive,
        };
        Ok(UnitState { load: LoadState::Loaded, active, file })
    }

    async fn is_active(&self, service: &Service) -> Result<bool, Fault> {
        match service {
            Service::OpenRc(name) => {
                // 0: started; 3: stopped; others in between (openrc-run(8), RC_SVC status).
                let program = self.named("rc-service")?;
                let ended = self.run_one(&program, &[name, "status"], &[], self.patience).await?;
                Ok(ended.status == Some(0))
            }
            Service::Daemon(program) => self.host.runs(program).map_err(|error| files(program, &error)),
        }
    }

    fn service_of(&self, unit: &UnitName) -> Result<&Service, Fault> {
        if !self.host.is_live() {
            return Err(Fault::NotOffline);
        }
        self.services.get(unit).ok_or(Fault::NotFound)
    }

    fn named(&self, name: &str) -> Result<HostPath, Fault> {
        let command = name.to_owned();
        self.host
            .program(name)
            .map_err(|error| Fault::Command { command, why: format!("cannot be run: {error}") })
    }

    /// Runs a command, and gives how it ended.
    async fn run_one(
        &self,
        program: &HostPath,
        arguments: &[&str],
        environment: &[(String, String)],
        patience: Duration,
    ) -> Result<Ended, Fault> {
        let command = || [&[program.to_string().as_str()], arguments].concat().join(" ");
        let failed = |error: io::Error| Fault::Command { command: command(), why: error.to_string() };
        let end = Instant::now() + patience;
        let mut child = self.host.start(program, arguments, environment).map_err(failed)?;
        loop {
            if let Some(ended) = self.host.ended(&mut child).map_err(failed)? {
                return Ok(ended);
            }
            if Instant::now() >= end {
                let why = format!("has not ended after {} s, and goes on", patience.as_secs());
                return Err(Fault::Command { command: command(), why });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Runs a command that has to end well.
    async fn run_well(
        &self,
        program: &HostPath,
        arguments: &[&str],
        environment: &[(String, String)],
        patience: Duration,
    ) -> Result<(), Fault> {
        let ended = self.run_one(program, arguments, environment, patience).await?;
        let status = match ended.status {
            Some(0) => return Ok(()),
            Some(status) => format!("ended with exit status {status}"),
            None => "was killed by a signal".to_owned(),
        };
        let why = if ended.said.is_empty() { status } else { format!("{status}: {}", ended.said) };
        let command = [&[program.to_string().as_str()], arguments].concat().join(" ");
        Err(Fault::Command { command, why })
    }

    async fn rc(&self, name: &str, word: &str) -> Result<(), Fault> {
        self.run_well(&self.named("rc-service")?, &[name, word], &[], self.patience).await
    }

    async fn bring_up(&self, service: &Service) -> Result<(), Fault> {
        match service {
            Service::OpenRc(name) => self.rc(name, "start").await?,
            Service::Daemon(program) => {
                if self.is_active(service).await? {
                    return Ok(());
                }
                self.run_well(program, &[], &[], self.patience).await?;
            }
        }
        self.expect(service, true).await
    }

    async fn take_down(&self, service: &Service) -> Result<(), Fault> {
        match service {
            Service::OpenRc(name) => self.rc(name, "stop").await?,
            Service::Daemon(program) => {
                self.host.terminate(program).map_err(|error| files(program, &error))?;
            }
        }
        self.expect(service, false).await
    }

    /// Waits until the service runs, or no longer does.
    async fn expect(&self, service: &Service, active: bool) -> Result<(), Fault> {
        let end = Instant::now() + self.patience;
        while self.is_active(service).await? != active {
            if Instant::now() >= end {
                let command = match service {
                    Service::OpenRc(name) => format!("rc-service {name}"),
                    Service::Daemon(program) => program.to_string(),
                };
                let why = if active { "ended well, and nothing runs" } else { "does not end" };
                return Err(Fault::Command { command, why: why.to_owned() });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What `rc-update add NAME default` does, which works in a tree of files too.
    fn link(&self, unit: &UnitName) -> Result<(), Fault> {
        let name = match self.services.get(unit) {
            Some(Service::OpenRc(name)) if self.host.exists(&script(name)) => name,
            Some(Service::Daemon(_)) => return Ok(()),
            _ => return Err(Fault::NotFound),
        };
        let link = HostPath::from(DEFAULT).join(name);
        if self.host.exists(&link) {
            return Ok(());
        }
        self.host.symlink(script(name).as_bytes(), &link).map_err(|error| files(&link, &error))
    }

    fn unlink(&self, unit: &UnitName) -> Result<(), Fault> {
        let Some(Service::OpenRc(name)) = self.services.get(unit) else { return Ok(()) };
        let link = HostPath::from(DEFAULT).join(name);
        match self.host.exists(&link) {
            true => self.host.remove(&link).map_err(|error| files(&link, &error)),
            false => Ok(()),
        }
    }
}

fn script(name: &str) -> HostPath {
    HostPath::from(INIT).join(name)
}

impl<T: DirectHost> ServiceManager for Direct<T> {
    async fn units(&mut self, names: &[UnitName]) -> Result<Units, ManagerError> {
        let mut units = Vec::new();
        for name in names {
            units.push((name.clone(), self.state(name).await.during(|| Attempt::Ask)?));
        }
        Ok(units.into_iter().collect())
    }

    async fn service(&mut self, _: &UnitName) -> Result<Option<service::Service>, ManagerError> {
        // What an init script runs is known to nobody but its shell.
        Ok(None)
    }

    async fn enable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.link(unit).during(|| Attempt::Enable(unit.clone()))
    }

    async fn disable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.unlink(unit).during(|| Attempt::Disable(unit.clone()))
    }

    async fn reload(&mut self) -> Result<(), ManagerError> {
        // Scripts are read whenever they run.
        Ok(())
    }

    async fn start(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        let started = async { self.bring_up(self.service_of(unit)?).await };
        started.await.during(|| Attempt::Start(unit.clone()))
    }

    async fn restart(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        let restarted = async {
            let service = self.service_of(unit)?;
            self.take_down(service).await?;
            self.bring_up(service).await
        };
        restarted.await.during(|| Attempt::Restart(unit.clone()))
    }

    async fn reset_failed(&mut self, _: &UnitName) -> Result<(), ManagerError> {
        // Nobody counts here how often a service was started in vain.
        Ok(())
    }

    async fn reload_unit(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        let reloaded = async {
            match self.service_of(unit)? {
                Service::OpenRc(name) => self.rc(name, "reload").await,
                Service::Daemon(_) => Err(Fault::NotFound),
            }
        };
        reloaded.await.during(|| Attempt::ReloadUnit(unit.clone()))
    }

    async fn load_module(&mut self, module: &str) -> Result<(), ManagerError> {
        let loaded = async {
            if !self.host.is_live() {
                return Err(Fault::NotOffline);
            }
            self.run_well(&self.named("modprobe")?, &[module], &[], self.patience).await
        };
        loaded.await.during(|| Attempt::LoadModule(module.to_owned()))
    }

    async fn run(&mut self, unit: &UnitName, what: &Transient) -> Result<(), ManagerError> {
        let attempt = || Attempt::Run { unit: unit.clone(), command: what.command() };
        let end = Instant::now() + what.patience.wait();
        for (program, arguments) in &what.commands {
            if !self.host.is_live() {
                return Err(Fault::NotOffline).during(attempt);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let left = end.saturating_duration_since(Instant::now());
            // What was tried names the command already.
            let ran = self.run_well(program, &arguments, &what.environment, left).await;
            let ran = ran.map_err(|fault| match fault {
                Fault::Command { why, .. } => Fault::Command { command: "it".to_owned(), why },
                fault => fault,
            });
            ran.during(attempt)?;
        }
        Ok(())
    }

    async fn stop(&mut self, unit: &UnitName, _: StopMode) -> Result<(), ManagerError> {
        let stopped = async { self.take_down(self.service_of(unit)?).await };
        stopped.await.during(|| Attempt::Stop(unit.clone()))
    }
}
