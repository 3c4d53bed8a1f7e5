//! Engine: loads the settings and the profile of a host.

use super::layered::{self, Source};
use super::plugins::Tables;
use super::profiles;
use crate::host::{self, Host};
use crate::model::facts::Mode;
use crate::model::path::HostPath;
use crate::model::runtime::Runtime;
use crate::profile::{Chosen, DriverProfiles, OsRelease, Traits};
use crate::settings::{self, ConfigError, Settings};
use std::path::Path;

/// What a turn goes by.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the administrator asked for.
    pub settings: Settings,
    /// What this distribution needs.
    pub profile: Chosen,
    /// What CSI drivers need.
    pub drivers: DriverProfiles,
    /// What this distribution is.
    pub os_release: OsRelease,
    /// Whether the system is booting: what needs a network waits.
    pub boot: bool,
    /// Whether the kubelet's version is asked for, which may take long and which no turn needs.
    pub version: bool,
    /// Whether the kubelet may be restarted, where a setting waits for that.
    pub restart_kubelet: bool,
    /// How much is read of the mount tables of plugins.
    pub tables: Tables,
    /// The agent's connection to the container runtime, where it has one.
    pub runtime: Runtime,
}

/// Loads the settings (from `file` alone, if one is given) and picks the profile.
pub fn load(host: &Host, file: Option<&Path>) -> Result<Config, ConfigError> {
    let settings = settings(host, file)?;
    let os_release = os_release(host)?;
    let profile = profiles::chosen(host, &profiles::profiles(host)?, &os_release)?;
    let drivers = profiles::drivers_in_effect(host, &settings)?;
    Ok(Config {
        settings,
        drivers,
        profile,
        os_release,
        boot: false,
        version: false,
        restart_kubelet: false,
        tables: Tables::Needed,
        runtime: Runtime::NoRuntime,
    })
}

fn settings(host: &Host, file: Option<&Path>) -> Result<Settings, ConfigError> {
    let mut sources = Vec::new();
    match file {
        // Named by a person, relative to where they are: not a path of the host at --root.
        Some(path) => {
            let bytes = host::read_argument(path).map_err(|error| ConfigError {
                file: path.display().to_string(),
                line: None,
                message: error.to_string(),
            })?;
            sources.push(Source { path: path.display().to_string(), bytes });
        }
        None => {
            let below = |name: &str| settings::PLACES.map(|place| HostPath::from(place).join(name));
            sources.extend(layered::last(host, &below("csihost.toml"))?);
            sources.extend(layered::directories(host, &below("csihost.toml.d"))?.into_values().flatten());
        }
    }
    settings::parse(sources.iter().map(|source| (source.path.as_str(), source.bytes.as_slice())))
}

pub(super) fn os_release(host: &Host) -> Result<OsRelease, ConfigError> {
    // os-release(5): /etc before /usr/lib.
    let paths = ["/usr/lib/os-release", "/etc/os-release"].map(HostPath::from);
    let source = layered::last(host, &paths)?;
    Ok(source.map(|source| OsRelease::parse(&source.bytes)).unwrap_or_default())
}

/// What tells systems apart beside os-release, for `ask`.
pub(super) fn traits<T>(host: &Host, ask: impl FnOnce(&Traits) -> T) -> Result<T, ConfigError> {
    let console = console(host)?;
    Ok(ask(&Traits {
        console: console.as_deref(),
        systemd: has_systemd(host),
        ostree: is_ostree(host),
        programs: &|path| host.is_program(path),
    }))
}

/// The console that RancherOS has started: the word in /run/console-done (rancher/os,
/// cmd/control/console_init.go).
fn console(host: &Host) -> Result<Option<String>, ConfigError> {
    let source = layered::file(host, &HostPath::from("/run/console-done"))?;
    Ok(source.map(|source| String::from_utf8_lossy(&source.bytes).trim().to_owned()))
}

/// Whether systemd is PID 1, or, in a tree, is there to be.
fn has_systemd(host: &Host) -> bool {
    let programs = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].map(HostPath::from);
    // In a scene, /run is that of the host that was captured.
    host.systemd_booted() || host.mode() == Mode::Offline && programs.iter().any(|path| host.is_program(path))
}

/// Whether the system was booted by ostree(1), or, in a tree, holds its repository.
fn is_ostree(host: &Host) -> bool {
    let booted = host.exists(&HostPath::from("/run/ostree-booted"));
    booted || host.mode() == Mode::Offline && host.exists(&HostPath::from("/ostree/repo"))
}
