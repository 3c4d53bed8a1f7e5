//! Engine: copies the state files of a kubelet whose root becomes another one, while it is stopped.
//!
//! The lock is not taken: a turn that restarts the kubelet holds it, and waits for this.

use super::kubelet::Said;
use super::link::vacant;
use super::observe::observe_kubelet;
use super::receipt;
use super::unmount::mounts;
use crate::host::Host;
use crate::model::align::AlignRecord;
use crate::model::facts::Mode;
use crate::model::file::{Attributes, FileFact, Trust};
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::mounts::bridge::{STANDARD_PATH, STATE_DIRECTORY, STATE_FILES};
use crate::mounts::resolve::top_at;
use crate::report::journal;
use anyhow::{Result, bail};

/// What a kubelet keeps of itself since Kubernetes 1.33, beside the others.
const NEWER: &str = "actuated_pods_state";
/// Where it keeps its checkpoints, each in a file.
const CHECKPOINTS: &str = "checkpoints";

/// Says from which root the state was copied: once, because somebody may delete a file on purpose.
const COPIED: &str = "/var/lib/csihost/state-copied";

/// Where what a kubelet left at the standard path is kept, once it has its old root again.
const ASIDE: &str = "csihost-undone";

/// Moves aside what a kubelet kept of itself at the standard path, once it no longer uses that: it
/// would be taken for another kubelet's. There was none of it before csihost had it go there.
pub(super) fn put_aside(host: &Host, record: &AlignRecord) -> Result<()> {
    if !record.moves() {
        return Ok(());
    }
    host.remove_file(&HostPath::from(COPIED))?;
    let standard = HostPath::from(STANDARD_PATH);
    let mounts = match host.mode() {
        Mode::Live => mounts(host)?,
        Mode::Offline => MountTable::default(),
    };
    let names = STATE_FILES.iter().chain([&NEWER, &CHECKPOINTS, &STATE_DIRECTORY]);
    let there: Vec<&str> = names
        .copied()
        .filter(|name| {
            let path = standard.join(name);
            host.exists(&path) && top_at(&mounts, path.as_bytes()).is_none()
        })
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let aside = vacant(host, &standard.join(ASIDE));
    host.make_directory(&aside, 0o700)?;
    for name in there {
        host.rename(&standard.join(name), &aside.join(name))?;
    }
    journal::undone("move-aside", &aside.to_string());
    Ok(())
}

/// Copies what a kubelet keeps of itself in its root, and the bridge does not bring, to the standard
/// path; gives what was copied. Nothing that is there is replaced, and nothing is done a second time.
pub fn copy_state(host: &Host) -> Result<Vec<HostPath>> {
    let Some(record) = receipt::load(host)?.align.filter(|record| !record.ends && record.moves()) else {
        return Ok(Vec::new());
    };
    let (from, to) = (record.root, HostPath::from(STANDARD_PATH));
    let mark = HostPath::from(COPIED);
    if host.file(&mark).bytes() == Some(from.as_bytes()) {
        return Ok(Vec::new());
    }
    if let Some(pid) = observe_kubelet(host, &Said::default())?.kubelet.and_then(|kubelet| kubelet.pid) {
        bail!("a kubelet runs (process {pid}): its state is copied only while it is stopped");
    }
    for path in [&from, &to] {
        if host.canonical(path).as_ref() != Some(path) {
            bail!("{path} is not there, or is named by a link");
        }
        match host.trust(path) {
            Trust::Root => {}
            other => bail!("{path} can be changed by others than root: {other:?}"),
        }
    }
    let mut names: Vec<HostPath> = STATE_FILES.iter().chain([&NEWER]).map(|name| from.join(name)).collect();
    let checkpoints = from.join(CHECKPOINTS);
    if host.canonical(&checkpoints).as_ref() == Some(&checkpoints) {
        names.extend(host.list(&checkpoints)?.iter().map(|name| checkpoints.join(name)));
        host.make_directory(&to.join(CHECKPOINTS), 0o700)?;
    }
    let (mut copied, mut failed) = (Vec::new(), Vec::new());
    for path in names {
        let Some(below) = path.below(&from) else { continue };
        let target = to.join(below);
        match host.file(&path) {
            FileFact::Absent => {}
            FileFact::File(file) if file.canonical == path => {
                if host.exists(&target) {
                    continue;
                }
                match host.write(&target, &file.bytes, file.attributes) {
                    Ok(()) => copied.push(target),
                    Err(error) => failed.push(error.to_string()),
                }
            }
            FileFact::Unreadable(why) => failed.push(why),
            _ => failed.push(format!("{path} is a link, or no file: it is not copied")),
        }
    }
    match failed.as_slice() {
        [] => {
            host.write(&mark, from.as_bytes(), Attributes { mode: 0o600, uid: 0, gid: 0 })?;
            Ok(copied)
        }
        failed => bail!("{}", failed.join("; ")),
    }
}
