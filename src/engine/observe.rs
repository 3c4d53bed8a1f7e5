//! Engine: reads the facts of a turn. It changes nothing.

use super::config::Config;
use super::receipt;
use crate::detect::{self, Observed, World};
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::bytes::shown;
use crate::model::facts::{Facts, Init, Mode};
use crate::model::file::Trust;
use crate::model::kubelet::{Detection, KubeletRoot, Unread};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::process::Process;
use crate::model::unit::{FileState, LoadState, UnitName, UnitState, Units};
use crate::mounts::{mountinfo, resolve};
use crate::plan::UNITS;
use crate::plan::interests::{self, Interests};
use crate::systemd::ServiceManager;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// The kubelet's root, from /proc alone.
pub fn observe_kubelet(host: &Host, settings_root: Option<&KubeletRoot>) -> Result<(Detection, MountTable)> {
    let proc = host.proc()?;
    kubelet(host, proc.as_ref(), settings_root)
}

fn kubelet(
    host: &Host,
    proc: Option<&Proc<'_>>,
    settings_root: Option<&KubeletRoot>,
) -> Result<(Detection, MountTable)> {
    let mut observed = Observed { settings: settings_root.cloned(), ..Observed::default() };
    let Some(proc) = proc else {
        let world = HostWorld { host, mounts: &MountTable::default() };
        return Ok((detect::detect(observed, &world), MountTable::default()));
    };
    let mut unread = |path: String, error: String| observed.unread.push(Unread { path, error });
    let mounts = match proc.mountinfo().map_err(|e| e.to_string()).and_then(|text| parse(&text)) {
        Ok(mounts) => mounts,
        // A scene without any is what it is; a live host's is needed.
        Err(error) if host.mode() == Mode::Live => {
            unread("/proc/1/mountinfo".to_owned(), error);
            MountTable::default()
        }
        Err(_) => MountTable::default(),
    };
    let here = proc.host_namespaces();
    let mut cmdline = Vec::new();
    for pid in proc.pids()? {
        // A process that is gone by now is none of the answer.
        if proc.read_cmdline(pid, &mut cmdline).is_err() || !detect::may_be_kubelet(&cmdline) {
            continue;
        }
        let mut process = match proc.identity(pid, &cmdline) {
            Ok(Some(process)) => process,
            Ok(None) => continue,
            Err(error) => {
                observed.unread.push(Unread { path: format!("/proc/{pid}"), error: error.to_string() });
                continue;
            }
        };
        if let Some(rejection) = detect::refuse(&process, &here) {
            observed.rejected.push(rejection);
            continue;
        }
        match proc.holdings(&mut process) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                observed.unread.push(Unread { path: format!("/proc/{pid}"), error: error.to_string() })
            }
        }
        if process.namespaces.mnt != here.mnt {
            match proc.mountinfo_of(pid).map_err(|e| e.to_string()).and_then(|text| parse(&text)) {
                Ok(table) => process.mounts = Some(table),
                Err(error) => observed.unread.push(Unread { path: format!("/proc/{pid}/mountinfo"), error }),
            }
        }
        observed.processes.push(process);
    }
    let detection = detect::detect(observed, &HostWorld { host, mounts: &mounts });
    Ok((detection, mounts))
}

fn parse(text: &[u8]) -> std::result::Result<MountTable, String> {
    mountinfo::parse(text).map_err(|error| error.to_string())
}

/// What detection asks the host.
struct HostWorld<'a> {
    host: &'a Host,
    mounts: &'a MountTable,
}

impl World for HostWorld<'_> {
    fn host_dir(&self, process: &Process, root: &KubeletRoot) -> Option<HostPath> {
        let Some(theirs) = &process.mounts else { return Some(root.as_path().clone()) };
        let inside = resolve::place(theirs, root.as_bytes())?;
        let names = resolve::names_of(self.mounts, inside.mount.device, &inside.inside);
        // The same string, if it is one of them: what a person expects to read.
        let same = names.iter().find(|name| name.as_slice() == root.as_bytes());
        HostPath::parse(same.or(names.first())?).ok()
    }

    fn trust(&self, path: &HostPath) -> Trust {
        self.host.trust(path)
    }

    fn is_socket(&self, path: &HostPath) -> Option<bool> {
        (self.host.mode() == Mode::Live).then(|| self.host.is_socket(path))
    }
}

/// Reads everything that the plan for this host depends on.
pub(super) async fn observe<M: ServiceManager>(
    host: &Host,
    config: &Config,
    manager: std::result::Result<&mut M, Init>,
) -> Result<Facts> {
    let (settings, profile) = (&config.settings, &config.profile.profile);
    let proc = host.proc()?;
    let (detection, mounts) = kubelet(host, proc.as_ref(), settings.root_dir.as_ref())?;
    let receipt = receipt::load(host)?;
    let mut facts = Facts {
        mode: host.mode(),
        init: match (&manager, host.mode()) {
            (Err(init), _) => init.clone(),
            (Ok(_), Mode::Live) => Init::Systemd,
            (Ok(_), Mode::Offline) => Init::Offline,
        },
        detection,
        mounts,
        dirs: BTreeMap::new(),
        files: BTreeMap::new(),
        programs: BTreeSet::new(),
        units: Units::default(),
        modules: BTreeMap::new(),
        generated: receipt.generated().cloned().collect(),
        bridge: receipt.bridge.clone(),
    };
    let early = interests::early(&facts.detection, facts.bridge.as_ref(), settings, profile);
    facts.modules.extend(host.modules(proc.as_ref(), &early.modules)?);
    fetch(host, &mut facts, &early);

    let units = interests::units(&facts, settings, profile);
    fetch(host, &mut facts, &units);
    if let Ok(manager) = manager {
        facts.units = unit_states(host, manager, &units).await?;
    }
    let late = interests::late(&facts, settings);
    fetch(host, &mut facts, &late);
    Ok(facts)
}

/// Targets that the units of a profile, and csihost's own, are wanted by.
const WANTED_BY: [&str; 4] = ["sockets.target", "local-fs.target", "multi-user.target", "sysinit.target"];

/// The states of units. Whether one is started at boot is read from its links, where it has one
/// in a usual place: that is what systemd would do, unit by unit at a millisecond each. It is
/// asked about all others.
async fn unit_states<M: ServiceManager>(host: &Host, manager: &mut M, asked: &Interests) -> Result<Units> {
    let mut states = manager.activity(&asked.units).await?;
    let wanted = |unit: &UnitName| {
        let wants = |target: &&str| HostPath::from(UNITS).join(format!("{target}.wants")).join(unit.as_str());
        WANTED_BY.iter().any(|target| host.exists(&wants(target)))
    };
    let there = asked.enablement.iter().filter(|unit| states.get(unit).load == LoadState::Loaded);
    let (sure, doubtful): (Vec<UnitName>, Vec<UnitName>) = there.cloned().partition(wanted);
    for unit in sure {
        let state = states.get(&unit);
        states.insert(unit, UnitState { file: FileState::Enabled, ..state });
    }
    if !doubtful.is_empty() {
        for (unit, state) in manager.units(&doubtful).await?.iter() {
            states.insert(unit.clone(), *state);
        }
    }
    Ok(states)
}

fn fetch(host: &Host, facts: &mut Facts, interests: &Interests) {
    for path in &interests.dirs {
        facts.dirs.entry(path.clone()).or_insert_with(|| host.directory(path));
    }
    for path in &interests.files {
        facts.files.entry(path.clone()).or_insert_with(|| host.file(path));
    }
    for path in &interests.programs {
        if host.is_program(path) {
            facts.programs.insert(path.clone());
        }
    }
}

/// The name of PID 1, where it is not systemd.
pub(super) fn other_init(host: &Host) -> Init {
    let mut comm = Vec::new();
    let name = match host.proc() {
        Ok(Some(proc)) if proc.read("1/comm", &mut comm).is_ok() => shown(comm.trim_ascii_end()),
        _ => "something other than systemd".to_owned(),
    };
    Init::Other(name)
}
