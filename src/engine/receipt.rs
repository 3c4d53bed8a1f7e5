//! Engine: keeps the receipt on disk, right after every step.

use super::link::vacant;
use super::recover::recovered;
use crate::host::Host;
use crate::model::digest::Digest;
use crate::model::file::{Attributes, FileFact};
use crate::model::path::HostPath;
use crate::model::receipt::{Changed, Receipt};
use crate::report::journal;
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

/// Reads the receipt; where there is none, or it is damaged, what csihost's files show, and why.
///
/// # Errors
/// The receipt cannot be read, or a newer csihost wrote it.
pub(super) fn look(host: &Host) -> Result<(Receipt, Option<String>)> {
    match read(host)? {
        Found::Receipt(receipt) => Ok((*receipt, None)),
        Found::None => {
            let receipt = recovered(host);
            let why = receipt.recovered.then(|| format!("{} is not there", path()));
            Ok((receipt, why))
        }
        Found::Damaged(why) => Ok((recovered(host), Some(why))),
    }
}

/// Reads the receipt, or what csihost's files show in its place.
pub(super) fn load(host: &Host) -> Result<Receipt> {
    look(host).map(|(receipt, _)| receipt)
}

enum Found {
    Receipt(Box<Receipt>),
    None,
    /// Not a receipt, with the reason.
    Damaged(String),
}

fn read(host: &Host) -> Result<Found> {
    let path = path();
    let bytes = match host.file(&path) {
        FileFact::Absent => return Ok(Found::None),
        FileFact::File(file) => file.bytes,
        FileFact::Unreadable(why) => bail!("{why}"),
        _ => bail!("{path} is not a file; move it away, then run csihost apply"),
    };
    let json = serde_json::from_slice::<serde_json::Value>(&bytes);
    let Some(version) = json.ok().and_then(|json| json.get("version")?.as_u64()) else {
        return Ok(Found::Damaged(format!("{path} is not a receipt")));
    };
    if version != u64::from(Receipt::VERSION) {
        bail!("{path} has version {version}; this csihost knows {}: install a newer one", Receipt::VERSION);
    }
    Ok(match serde_json::from_slice(&bytes) {
        Ok(receipt) => Found::Receipt(receipt),
        Err(error) => Found::Damaged(format!("{path} is damaged: {error}")),
    })
}

impl<'a> Store<'a> {
    /// Reads the receipt, and settles what a crash left open. The lock must be held.
    pub(super) fn open(host: &'a Host) -> Result<Self> {
        let receipt = match read(host)? {
            Found::Receipt(receipt) => *receipt,
            Found::None => recovered(host),
            Found::Damaged(why) => {
                // It may help whoever wants to know what was changed.
                let aside = vacant(host, &HostPath::from(DIRECTORY).join("receipt.damaged"));
                host.rename(&path(), &aside)?;
                journal::receipt_lost(&why, &aside.to_string());
                recovered(host)
            }
        };
        let mut store = Self { host, receipt };
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
