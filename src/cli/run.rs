//! `csihost run`: the agent.

use super::End;
use crate::engine;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost run --config /root/csihost.toml")]
pub(super) struct Run {
    /// Read the settings from FILE alone
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

pub(super) async fn run(args: &Run) -> Result<End> {
    let host = engine::Host::open_first()?;
    engine::run(host, args.config.as_deref()).await?;
    Ok(End::Done)
}
