//! `csihost apply`: one turn.

use super::{Common, End};
use crate::engine;
use crate::model::status::TurnResult;
use anyhow::Result;
use clap::Args;
use std::time::Duration;

/// So long the start of a kubelet, and of all that runs in its process, may take.
const LONGEST_START: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost apply --root /mnt/image")]
pub(super) struct Apply {
    #[command(flatten)]
    pub(super) common: Common,
    /// The turn of the boot unit: what needs a network is left to a later apply
    #[arg(long)]
    boot: bool,
    /// Restart the kubelet where a setting of csihost's waits for that (contract.repair = "align")
    #[arg(long, conflicts_with_all = ["boot", "root"])]
    restart_kubelet: bool,
}

pub(super) async fn run(args: &Apply) -> Result<End> {
    let (host, mut config) = args.common.open()?;
    config.boot = args.boot;
    config.restart_kubelet = args.restart_kubelet;
    if args.restart_kubelet {
        // k3s is ready only with its datastore and its API server.
        config.settings.job_timeout = config.settings.job_timeout.max(LONGEST_START);
    }
    let report = engine::apply(&host, &config).await?;
    Ok(match report.status.result {
        // Done is done; what the node lacks besides is for `check` to say.
        TurnResult::Ready | TurnResult::NotReady => End::Done,
        TurnResult::Failed => End::Failed,
    })
}
