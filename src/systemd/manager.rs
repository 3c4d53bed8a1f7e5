//! A running systemd, asked over the system bus: org.freedesktop.systemd1(5).

use super::bus::{Bus, CALL_DEADLINE, read};
use super::error::{Attempt, During as _, Fault, ManagerError};
use super::service::object_path;
use super::transient::Transient;
use super::{ServiceManager, StopMode};
use crate::model::service::Service;
use crate::model::unit::{ActiveState, FileState, LoadState, Order, UnitName, UnitState, Units};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;
use zbus::OwnedObjectPath;

/// How long systemd may take to read all its unit files again: what `systemctl` itself waits.
const RELOAD_DEADLINE: Duration = Duration::from_secs(90);
/// How long to wait before a reload that was refused is asked for again.
const RELOAD_PAUSE: Duration = Duration::from_millis(500);
/// So many reloads that systemd leaves without an answer are called again.
const RELOAD_LOST: u32 = 4;

/// `UNIT_FILE_…` flags of EnableUnitFilesWithFlags: neither runtime nor force, so that the links
/// last and no link of anybody else is replaced.
const NO_FLAGS: u64 = 0;

/// One link that systemd made or removed: what, where, to what.
type Links = Vec<(String, String, String)>;

/// A unit as `ListUnitsByNames` shows it: name, description, load state, active state, sub state,
/// followed unit, path, job, job type, job path.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// A unit that systemd knows of.
#[derive(Debug)]
pub(super) struct Listed {
    /// Its own name, which differs from the one that was asked for if that is an alias.
    pub(super) id: String,
    /// Whether its file can be read.
    pub(super) load: LoadState,
    /// What it is doing, in systemd's word.
    pub(super) active: String,
    /// Its object.
    pub(super) path: String,
}

/// The running systemd.
#[derive(Debug)]
pub struct Systemd {
    pub(super) bus: Bus,
    pub(super) job_deadline: Duration,
    pub(super) subscribed: bool,
}

impl Systemd {
    /// Connects to systemd over the system bus, at `$DBUS_SYSTEM_BUS_ADDRESS` or
    /// /run/dbus/system_bus_socket. `job_deadline` is what one job may take.
    ///
    /// The private socket of systemd is not used: it is systemctl's alone, and messages on it
    /// lack what a bus adds.
    pub async fn connect(job_deadline: Duration) -> Result<Self, ManagerError> {
        let bus = Bus::connect().await.during(|| Attempt::Connect)?;
        Ok(Self::over(bus, job_deadline))
    }

    pub(super) fn over(bus: Bus, job_deadline: Duration) -> Self {
        Self { bus, job_deadline, subscribed: false }
    }

    /// What systemd knows of `names`, in their order.
    pub(super) async fn list(&self, names: &[&str]) -> Result<Vec<Listed>, Fault> {
        let rows: Vec<Row> = match self.bus.manager("ListUnitsByNames", &(names,)).await {
            Ok(reply) => read(&reply)?,
            Err(fault) if fault.is_unknown_method() => return self.list_one_by_one(names).await,
            Err(fault) => return Err(fault),
        };
        // One row for each valid name, in order: an alias is answered under its unit's own name.
        if rows.len() != names.len() {
            return Err(Fault::Garbled {
                why: format!("{} units asked for, {} answered", names.len(), rows.len()),
            });
        }
        Ok(rows
            .into_iter()
            .map(|(id, _, load, active, _, _, path, ..)| Listed {
                id,
                load: load_state(&load),
                active,
                path: path.as_str().to_owned(),
            })
            .collect())
    }

    /// For systemd before 230, which has no ListUnitsByNames.
    async fn list_one_by_one(&self, names: &[&str]) -> Result<Vec<Listed>, Fault> {
        join_all(names.iter().map(async |name| {
            let path: OwnedObjectPath = read(&self.bus.manager("LoadUnit", &(name,)).await?)?;
            let path = path.as_str().to_owned();
            Ok(Listed {
                id: self.text(&path, UNIT, "Id").await?,
                load: load_state(&self.text(&path, UNIT, "LoadState").await?),
                active: self.text(&path, UNIT, "ActiveState").await?,
                path,
            })
        }))
        .await
        .into_iter()
        .collect()
    }

    /// A property that is a string.
    pub(super) async fn text(&self, path: &str, interface: &str, name: &str) -> Result<String, Fault> {
        let reply = self.bus.property(path, interface, name).await?;
        let value: zbus::OwnedVariant = read(&reply)?;
        String::try_from(value).map_err(|error| Fault::Garbled { why: format!("{name}: {error}") })
    }

    /// A property that is a list of strings.
    pub(super) async fn texts(&self, path: &str, interface: &str, name: &str) -> Result<Vec<String>, Fault> {
        let reply = self.bus.property(path, interface, name).await?;
        let value: zbus::OwnedVariant = read(&reply)?;
        Vec::try_from(value).map_err(|error| Fault::Garbled { why: format!("{name}: {error}") })
    }

    async fn file_state(&self, name: &str) -> Result<FileState, Fault> {
        match self.bus.manager("GetUnitFileState", &(name,)).await {
            Ok(reply) => Ok(file_state(&read::<String>(&reply)?)),
            // A unit without a file (a mount that was made by hand), or one whose file is gone.
            Err(Fault::NotFound) => Ok(FileState::Other),
            Err(Fault::Rejected { name, .. }) if name == FILE_NOT_FOUND => Ok(FileState::Other),
            Err(fault) => Err(fault),
        }
    }

    async fn states(&self, names: &[UnitName], files: bool) -> Result<Units, Fault> {
        // A template cannot be loaded, and one in the list would spoil the answer for all.
        let (templates, names): (Vec<&UnitName>, Vec<&UnitName>) =
            names.iter().partition(|name| name.as_str().contains("@."));
        let asked: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let listed = match asked.as_slice() {
            [] => Vec::new(),
            asked => self.list(asked).await?,
        };
        let loaded = join_all(names.into_iter().zip(listed).map(async |(name, unit)| {
            let file = match unit.load {
                LoadState::NotFound => FileState::Other,
                LoadState::Masked => FileState::Masked,
                _ if !files => FileState::Other,
                // By its own name: that of an alias would say "alias".
                LoadState::Loaded | LoadState::Broken => self.file_state(&unit.id).await?,
            };
            Ok((name.clone(), UnitState { load: unit.load, active: active_state(&unit.active), file }))
        }));
        let of_templates = join_all(templates.into_iter().map(async |name| {
            let file = self.file_state(name.as_str()).await?;
            let load = match file {
                FileState::Other => LoadState::NotFound,
                FileState::Masked => LoadState::Masked,
                _ => LoadState::Loaded,
            };
            Ok((name.clone(), UnitState { load, active: ActiveState::Inactive, file }))
        }));
        let (loaded, of_templates) = futures_util::future::join(loaded, of_templates).await;
        loaded.into_iter().chain(of_templates).collect()
    }

    async fn enable_file(&self, unit: &UnitName) -> Result<(), Fault> {
        let names = [unit.as_str()];
        let reply = match self.bus.manager("EnableUnitFilesWithFlags", &(&names[..], NO_FLAGS)).await {
            // systemd before 247: (files, runtime, force).
            Err(fault) if fault.is_unknown_method() => {
                self.bus.manager("EnableUnitFiles", &(&names[..], false, false)).await
            }
            reply => reply,
        };
        let (installable, _): (bool, Links) = read(&reply.map_err(absent)?)?;
        // systemd answers "nothing to do" to a unit that cannot be enabled, as if that were well.
        if !installable {
            return Err(Fault::NoInstall);
        }
        self.expect(unit, |file| file == FileState::Enabled).await
    }

    async fn disable_file(&self, unit: &UnitName) -> Result<(), Fault> {
        let names = [unit.as_str()];
        self.bus.manager("DisableUnitFiles", &(&names[..], false)).await.map_err(absent)?;
        self.expect(unit, |file| file != FileState::Enabled).await
    }

    /// Sees that what systemd was told to do with links came out as it should.
    async fn expect(&self, unit: &UnitName, wanted: impl Fn(FileState) -> bool) -> Result<(), Fault> {
        let id = match unit.as_str().contains("@.") {
            true => unit.as_str().to_owned(),
            false => self.list(&[unit.as_str()]).await?.pop().map_or_else(String::new, |unit| unit.id),
        };
        let file = self.file_state(&id).await?;
        match wanted(file) {
            true => Ok(()),
            false => Err(Fault::WrongState {
                state: format!("{file:?}").to_lowercase(),
                because: Some("other links to its file decide".into()),
            }),
        }
    }

    async fn reload_files(&self) -> Result<(), Fault> {
        let end = Instant::now() + RELOAD_DEADLINE;
        let mut lost = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // The reply comes when all is read: it is the completion.
            match self.bus.manager_within(left, "Reload", &()).await {
                Err(Fault::Busy { .. }) if left > RELOAD_PAUSE => tokio::time::sleep(RELOAD_PAUSE).await,
                // A systemd that executes itself again (an upgrade of its package) answers nothing and reads
                // all files. A reload changes nothing else: another one is safe.
                Err(Fault::Lost { .. } | Fault::NoSystemd { .. }) if lost < RELOAD_LOST => {
                    lost += 1;
                    tokio::time::sleep(RELOAD_PAUSE).await;
                }
                Err(Fault::Silent { .. }) => return Err(Fault::Silent { after: RELOAD_DEADLINE }),
                reply => return reply.map(|_| ()),
            }
        }
    }
}

impl ServiceManager for Systemd {
    async fn units(&mut self, names: &[UnitName]) -> Result<Units, ManagerError> {
        self.states(names, true).await.during(|| Attempt::Ask)
    }

    async fn activity(&mut self, names: &[UnitName]) -> Result<Units, ManagerError> {
        self.states(names, false).await.during(|| Attempt::Ask)
    }

    async fn service(&mut self, unit: &UnitName) -> Result<Option<Service>, ManagerError> {
        self.command_of(unit).await.during(|| Attempt::Ask)
    }

    async fn order(&mut self, unit: &UnitName) -> Result<Option<Order>, ManagerError> {
        let names: Vec<String> =
            self.texts(&object_path(unit.as_str()), UNIT, "After").await.during(|| Attempt::Ask)?;
        let after = names.iter().filter_map(|name| UnitName::parse(name).ok()).collect();
        Ok(Some(Order { after, mounts: Vec::new() }))
    }

    async fn enable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.enable_file(unit).await.during(|| Attempt::Enable(unit.clone()))
    }

    async fn disable(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.disable_file(unit).await.during(|| Attempt::Disable(unit.clone()))
    }

    async fn reload(&mut self) -> Result<(), ManagerError> {
        self.reload_files().await.during(|| Attempt::Reload)
    }

    async fn start(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.bring_up("StartUnit", unit).await.during(|| Attempt::Start(unit.clone()))
    }

    async fn restart(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.bring_up("RestartUnit", unit).await.during(|| Attempt::Restart(unit.clone()))
    }

    async fn reload_unit(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        self.bring_up("ReloadUnit", unit).await.during(|| Attempt::ReloadUnit(unit.clone()))
    }

    async fn reset_failed(&mut self, unit: &UnitName) -> Result<(), ManagerError> {
        let reply = self.bus.manager("ResetFailedUnit", &(unit.as_str(),)).await;
        reply.map(|_| ()).during(|| Attempt::ResetFailed(unit.clone()))
    }

    async fn run(&mut self, unit: &UnitName, what: &Transient) -> Result<(), ManagerError> {
        let attempt = || Attempt::Run { unit: unit.clone(), command: what.command() };
        self.run_transient(unit, what).await.during(attempt)
    }

    async fn stop(&mut self, unit: &UnitName, mode: StopMode) -> Result<(), ManagerError> {
        self.take_down(unit, mode).await.during(|| Attempt::Stop(unit.clone()))
    }
}

/// The interface that every unit has.
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
/// What older systemd answers for a unit file that is not there.
const FILE_NOT_FOUND: &str = "org.freedesktop.DBus.Error.FileNotFound";

/// A unit file that is not there has had two names over the years.
fn absent(fault: Fault) -> Fault {
    match fault {
        Fault::Rejected { name, .. } if name == FILE_NOT_FOUND => Fault::NotFound,
        fault => fault,
    }
}

/// `LoadState` of org.freedesktop.systemd1(5).
fn load_state(word: &str) -> LoadState {
    match word {
        "loaded" => LoadState::Loaded,
        "not-found" => LoadState::NotFound,
        "masked" => LoadState::Masked,
        // bad-setting, error, and what only shows in between (stub, merged).
        _ => LoadState::Broken,
    }
}

/// `ActiveState` of org.freedesktop.systemd1(5).
fn active_state(word: &str) -> ActiveState {
    match word {
        "active" => ActiveState::Active,
        "inactive" | "maintenance" => ActiveState::Inactive,
        "failed" => ActiveState::Failed,
        "deactivating" => ActiveState::Deactivating,
        "activating" | "reloading" | "refreshing" => ActiveState::Activating,
        _ => ActiveState::Unknown,
    }
}

/// The states of systemctl(1), `is-enabled`.
fn file_state(word: &str) -> FileState {
    match word {
        "enabled" => FileState::Enabled,
        // Enabled until the next boot only is not enabled at boot.
        "disabled" | "enabled-runtime" | "linked" | "linked-runtime" => FileState::Disabled,
        "static" => FileState::Static,
        "masked" | "masked-runtime" => FileState::Masked,
        // alias, indirect, generated, transient, bad.
        _ => FileState::Other,
    }
}

const _: () = assert!(CALL_DEADLINE.as_secs() < RELOAD_DEADLINE.as_secs());
