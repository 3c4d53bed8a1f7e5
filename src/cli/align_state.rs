//! `csihost align-state`: copies the kubelet's state files, for csihost-align.service.

use super::{End, output};
use crate::engine;
use anyhow::Result;

pub(super) fn run() -> Result<End> {
    let host = engine::Host::open(None)?;
    let copied = engine::copy_state(&host)?;
    for path in copied {
        output::print(&format!("copied {path}\n"))?;
    }
    Ok(End::Done)
}
