//! Engine: this program as a command that systemd runs, with rights that this process does not have.

use crate::host::Host;
use crate::model::file::Trust;
use crate::model::path::HostPath;
use anyhow::{Context, Result, bail};

/// The path of this program.
///
/// # Errors
/// The path is not known, or others than root can change the program.
pub(super) fn program(host: &Host) -> Result<HostPath> {
    let own = host.own_program().context("csihost does not find its own program")?;
    if host.trust(&own) != Trust::Root {
        bail!("{own}, this program, is not run as root: others than root can change it, or it was replaced");
    }
    Ok(own)
}
