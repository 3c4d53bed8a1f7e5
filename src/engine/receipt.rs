//! Engine: keeps the receipt on disk, right after every step.

use crate::host::Host;
use crate::model::digest::Digest;
use crate::model::file::{Attributes, FileFact};
use crate::model::path::HostPath;
use crate::model::receipt::{Changed, Receipt};
use anyhow::{Context, Result, bail};

/// The directory of csihost's state.
const DIRECTORY: &str = "/var/lib/csihost";

/// The receipt of a host.
#[derive(Debug)]
pub(super) struct Store<'a> {
    pub(super) host: &'a Host,
    /// What it says.
    pub(super) receipt: Receipt,
}

fn path() -> HostPath {
    HostPath::from(DIRECTORY).join("receipt.json")
}

/// Reads the receipt; an empty one where there is none.
pub(super) fn load(host: &Host) -> Result<Receipt> {
    let path = path();
    let bytes = match host.file(&path) {
        FileFact::Absent => return Ok(Receipt::new()),
        FileFact::File(file) => file.bytes,
        FileFact::Unreadable(why) => bail!("{why}"),
        _ => bail!("{path} is not a file; move it away, then run csihost apply"),
    };
    let remedy = "it is needed for undo and was not changed; move it away to start with an empty one";
    let version = serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .and_then(|json| json.get("version")?.as_u64())
        .with_context(|| format!("{path} is not a receipt: {remedy}"))?;
    if version != u64::from(Receipt::VERSION) {
        bail!("{path} has version {version}; this csihost knows {}: install a newer one", Receipt::VERSION);
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{path} is damaged: {remedy}"))
}

impl<'a> Store<'a> {
    /// Reads the receipt, and settles what a crash left open. The lock must be held.
    pub(super) fn open(host: &'a Host) -> Result<Self> {
        let mut store = Self { host, receipt: load(host)? };
        let open: Vec<Changed> = store
            .receipt
            .changes
            .iter()
            .filter(|change| !change.done)
            .map(|change| change.what.clone())
            .collect();
        for what in open {
            match happened(host, &what) {
                Some(true) => store.receipt.done(&what),
                Some(false) => store.receipt.forget(&what),
                // Undo looks for itself.
                None => {}
            }
        }
        Ok(store)
    }

    /// Writes that `what` is about to be changed.
    pub(super) fn intend(&mut self, what: &Changed) -> Result<()> {
        self.receipt.intend(what.clone());
        self.save()
    }

    /// Writes that `what` has been changed.
    pub(super) fn done(&mut self, what: &Changed) -> Result<()> {
        self.receipt.done(what);
        self.save()
    }

    /// Writes that `what` did not happen, or is undone.
    pub(super) fn forget(&mut self, what: &Changed) -> Result<()> {
        self.receipt.forget(what);
        self.save()
    }

    /// Writes the receipt.
    pub(super) fn save(&self) -> Result<()> {
        self.host.make_directory(&HostPath::from(DIRECTORY), 0o700)?;
        let mut bytes =
            serde_json::to_vec_pretty(&self.receipt).context("cannot write the receipt as JSON")?;
        bytes.push(b'\n');
        self.host.write(&path(), &bytes, Attributes { mode: 0o600, uid: 0, gid: 0 })?;
        Ok(())
    }

    /// Removes the receipt and its directory, once nothing is left in it.
    pub(super) fn remove(&self) -> Result<()> {
        self.host.remove_file(&path())?;
        // Something else may be kept there; then the directory stays.
        let _ = self.host.remove_directory(&HostPath::from(DIRECTORY));
        Ok(())
    }
}

/// Whether a change that was begun took place; `None` where only somebody else can tell.
fn happened(host: &Host, what: &Changed) -> Option<bool> {
    match what {
        Changed::Generated { path } => Some(host.exists(path)),
        Changed::Directory { path } => Some(host.exists(path)),
        Changed::Patched { path, after, .. } | Changed::Created { path, after } => {
            Some(host.file(path).bytes().is_some_and(|bytes| Digest::of(bytes) == *after))
        }
        Changed::Replaced { path, .. } => Some(host.link(path).is_err()),
        Changed::Moved { path, to } => Some(host.exists(to) && !host.exists(path)),
        Changed::Installed { .. }
        | Changed::Grafted { .. }
        | Changed::Mounted { .. }
        | Changed::Enabled { .. }
        | Changed::Disabled { .. }
        | Changed::Started { .. } => None,
    }
}
