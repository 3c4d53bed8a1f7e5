//! Engine: proves what the contracts foretell: mounts a file below the kubelet's `pods`, in the
//! kubelet's mount namespace and in that of each plugin, and looks where it is seen.

use super::config::Config;
use super::lock::lock;
use super::plugins::Tables;
use super::turn::look;
use crate::host::probe::{Held, Pair, UNDER};
use crate::host::process::Proc;
use crate::host::{Door, Host};
use crate::model::contract::{Contract, Plugin, Propagation, Publisher, Seen};
use crate::model::facts::{Facts, Mode};
use crate::model::file::{FileFact, Trust};
use crate::model::path::HostPath;
use crate::model::probe::{Party, ProbeRecord, Proof, Role, Trial};
use crate::mounts::bridge::STANDARD_PATH;
use crate::mounts::registration::{Registration, registrations};
use crate::mounts::travel::Groups;
use crate::report::journal;
use anyhow::{Context, Result, bail};

fn record() -> HostPath {
    HostPath::from("/run/csihost/probe.json")
}

/// Mounts, looks, unmounts.
pub async fn probe(host: &Host, config: &Config) -> Result<Proof> {
    if host.mode() == Mode::Offline {
        bail!("a probe mounts: it is for the running host alone");
    }
    let _lock = lock(host).await?;
    let proc = host.proc()?.context("there is no /proc here")?;
    let host_door = host_door(&proc)?;
    let mut removed: Vec<HostPath> = clean_with(host, &host_door)?.into_iter().collect();
    // What is foretold takes the groups of all mounts.
    let config = Config { tables: Tables::Whole, ..config.clone() };
    let facts = look(host, &config).await?.facts;
    let (publisher, pid, directory) = target(host, &facts)?;
    // What was left where no record says so: /run is new at each boot, and pods is not.
    if host.remove_probe(&host_door, &directory)? {
        removed.push(directory.clone());
    }
    let kubelet =
        Party { role: Role::Kubelet, driver: None, pod: None, pid, path: publisher.view.pods.path.clone() };
    let held = Held::new();
    let note = ProbeRecord { directory: directory.clone() };
    host.write_volatile(&record(), &serde_json::to_vec(&note)?, 0o600)?;
    let trials = match host.make_probe(&directory) {
        Ok(pair) => Prober { proc: &proc, held: &held, pair, facts: &facts }
            .all(host, &directory, publisher, &kubelet),
        Err(error) => Err(error.into()),
    };
    let cleaned = clean_with(host, &host_door);
    // The kubelet's pods come first: a probe that failed to go away is worse than one that failed.
    cleaned?;
    Ok(Proof::new(publisher.root.clone(), trials?, removed))
}

/// Removes what a probe that was killed has left. The lock must be held.
pub(super) fn clean(host: &Host) {
    if host.mode() == Mode::Offline || !host.exists(&record()) {
        return;
    }
    let cleaned = || -> Result<Option<HostPath>> {
        let proc = host.proc()?.context("there is no /proc here")?;
        clean_with(host, &host_door(&proc)?)
    };
    match cleaned() {
        Ok(directory) => {
            if let Some(directory) = directory {
                journal::undone("probe", &directory.to_string());
            }
        }
        Err(error) => journal::left("probe", &record().to_string(), &format!("{error:#}")),
    }
}

/// The way into the host's mount namespace, in which csihost must be: only there does removing a
/// file take the mounts of all others away.
fn host_door(proc: &Proc<'_>) -> Result<Door> {
    let own = proc.own_mount_namespace();
    if own.is_none() || own != proc.mount_namespace(1) {
        bail!(
            "csihost is not in the host's mount namespace, or may not know it: run as root nsenter --target 1 --mount csihost probe"
        );
    }
    let door = proc.door(1, proc.started(1))?;
    door.context("process 1 is gone")
}

/// Removes what the record speaks of, then the record; gives the directory if anything was there.
fn clean_with(host: &Host, door: &Door) -> Result<Option<HostPath>> {
    let bytes = match host.file(&record()) {
        FileFact::Absent => return Ok(None),
        FileFact::File(file) => file.bytes,
        _ => bail!("{} is not a file: remove it", record()),
    };
    // Written before anything else was done: a half of it speaks of nothing.
    let note: Option<ProbeRecord> = serde_json::from_slice(&bytes).ok();
    let mut found = None;
    if let Some(note) = note
        && host.remove_probe(door, &note.directory).with_context(|| {
            format!("the probe in {} could not be removed: run csihost probe again", note.directory)
        })?
    {
        found = Some(note.directory);
    }
    host.remove_file(&record())?;
    Ok(found)
}

/// The kubelet, its process, and its pods as the host names them.
fn target<'a>(host: &Host, facts: &'a Facts) -> Result<(&'a Publisher, i32, HostPath)> {
    let kubelet = facts.detection.kubelet.as_ref();
    let Some((publisher, pid)) = facts.plugins.kubelet.as_ref().zip(kubelet.and_then(|kubelet| kubelet.pid))
    else {
        bail!("no kubelet runs here, or its mounts cannot be read: csihost detect says more");
    };
    let Some(directory) = facts.detection.host_dir().map(|root| root.join("pods")) else {
        bail!("the kubelet's root {} has no name on the host: nothing can be made there", publisher.root);
    };
    // In a directory of others a file could be exchanged for a link before it is mounted on.
    match host.trust(&directory) {
        Trust::Root => Ok((publisher, pid, host.canonical(&directory).unwrap_or(directory))),
        Trust::Missing(why) => bail!("nothing can be tried in {directory}: {why}"),
        Trust::WritableItself { mode } => {
            bail!("others than root can write to {directory} (mode {mode:04o}): chmod it")
        }
        Trust::Untrusted { path, .. } => {
            bail!("others than root can change {path}: nothing is mounted below it")
        }
    }
}

struct Prober<'a> {
    proc: &'a Proc<'a>,
    held: &'a Held,
    pair: Pair,
    facts: &'a Facts,
}

impl Prober<'_> {
    /// All trials: those of the kubelet's mount, then those of each plugin's.
    fn all(
        &self,
        host: &Host,
        directory: &HostPath,
        publisher: &Publisher,
        kubelet: &Party,
    ) -> Result<Vec<Trial>> {
        let plugins: Vec<(Party, &Plugin, &Contract)> = self
            .facts
            .plugins
            .found
            .iter()
            .zip(&self.facts.contracts)
            .map(|(plugin, contract)| (party(plugin), plugin, contract))
            .collect();
        let mut lookers: Vec<(Party, bool)> = self.of_host(host, directory, publisher);
        // Where only what is staged differs, nothing is foretold of pods.
        let staged = |plugin: &Plugin, contract: &Contract| {
            let theirs = &publisher.view.pods.found;
            contract.seen == Seen::Different
                && matches!(theirs, Some(Some(_)))
                && plugin.view.pods.found == *theirs
        };
        let foretold = plugins.iter().filter(|(_, plugin, contract)| !staged(plugin, contract));
        lookers.extend(foretold.map(|(party, _, contract)| {
            let arrives = matches!(contract.propagation, Propagation::Bidirectional | Propagation::ToPlugin);
            (party.clone(), arrives)
        }));
        let mut trials = self.try_from(kubelet, &lookers)?;
        let registered = registrations(&self.facts.plugins, &self.facts.mounts);
        for (at, (party, plugin, contract)) in plugins.iter().enumerate() {
            let to = [(kubelet.clone(), contract.holds)];
            // That a mount arrives proves nothing for a driver that the kubelet does not call.
            if registered.get(at).is_some_and(Registration::is_missing) {
                let to = [(kubelet.clone(), false)];
                trials.push(untried(party, &to, "unregistered: the kubelet does not call this driver"));
                continue;
            }
            match contract.seen {
                // What is not there is not made: it would be in the container's own file system.
                Seen::Absent => {
                    trials.push(untried(party, &to, "absent: the plugin does not have the directory"))
                }
                Seen::Different if staged(plugin, contract) => trials.push(untried(
                    party,
                    &to,
                    "different: volumes are staged in another directory than the kubelet's",
                )),
                Seen::Different => {
                    trials.push(untried(party, &to, "different: the plugin has another directory there"))
                }
                Seen::Same => trials.extend(self.try_from(party, &to)?),
            }
        }
        Ok(trials)
    }

    /// The places of the host where a mount of the kubelet's can arrive.
    fn of_host(&self, host: &Host, directory: &HostPath, publisher: &Publisher) -> Vec<(Party, bool)> {
        let contained = publisher.mounts.is_some();
        let standard = host.canonical(&HostPath::from(STANDARD_PATH).join("pods"));
        let standard = standard.filter(|path| path != directory && host.exists(path));
        let places = contained.then(|| (Role::Host, directory.clone())).into_iter();
        let places = places.chain(standard.map(|path| (Role::StandardPath, path)));
        let tables = [publisher.mounts.as_ref().unwrap_or(&self.facts.mounts), &self.facts.mounts];
        let groups = Groups::new(tables.into_iter().skip(usize::from(!contained)));
        let point = publisher.view.pods.path.join(UNDER);
        let appears = groups.appearances(0, point.as_bytes()).unwrap_or_default();
        places
            .map(|(role, path)| {
                let wanted = path.join(UNDER);
                let expected = appears.iter().any(|one| {
                    one.table == usize::from(contained) && one.visible && one.point == wanted.as_bytes()
                });
                (Party { role, driver: None, pod: None, pid: 1, path }, expected)
            })
            .collect()
    }

    /// Mounts in one namespace, looks in others, and unmounts.
    fn try_from(&self, from: &Party, to: &[(Party, bool)]) -> Result<Vec<Trial>> {
        if self.held.waits() {
            bail!("interrupted; what was mounted is unmounted");
        }
        let Some(door) = self.proc.door(from.pid, self.proc.started(from.pid))? else {
            return Ok(to
                .iter()
                .map(|to| untried(from, std::slice::from_ref(to), "its process is gone"))
                .collect());
        };
        let Some(mounted) = door.mount(&from.path, self.pair)? else {
            let why = "it has other files there than the host has";
            return Ok(to.iter().map(|to| untried(from, std::slice::from_ref(to), why)).collect());
        };
        let seen: Vec<bool> = to.iter().map(|(to, _)| self.sees(to)).collect();
        door.unmount(&from.path, &mounted)?;
        let trial = |((to, expected), seen): (&(Party, bool), bool)| Trial {
            from: from.clone(),
            to: to.clone(),
            expected: *expected,
            seen: Some(seen),
            gone: seen.then(|| !self.sees(to)),
            note: None,
        };
        Ok(to.iter().zip(seen).map(trial).collect())
    }

    /// Whether a lookup of the lower file leads to the upper one.
    fn sees(&self, party: &Party) -> bool {
        let view = self.proc.view_of(party.pid);
        view.and_then(|view| view.file_id(&party.path.join(UNDER))) == Some(self.pair.over)
    }
}

fn party(plugin: &Plugin) -> Party {
    Party {
        role: Role::Plugin,
        driver: plugin.driver.clone(),
        pod: plugin.seat.owner.pod.clone(),
        pid: plugin.seat.pid,
        path: plugin.view.pods.path.clone(),
    }
}

fn untried(from: &Party, to: &[(Party, bool)], why: &str) -> Trial {
    let (to, expected) = match to {
        [(to, expected), ..] => (to.clone(), *expected),
        [] => (from.clone(), false),
    };
    Trial { from: from.clone(), to, expected, seen: None, gone: None, note: Some(why.to_owned()) }
}
