//! `csihost apply`: one turn.

use super::{Common, End};
use crate::engine;
use crate::model::status::TurnResult;
use anyhow::Result;

pub(super) async fn run(args: &Common) -> Result<End> {
    let (host, config) = args.open()?;
    let report = engine::apply(&host, &config).await?;
    Ok(match report.status.result {
        // Done is done; what the node lacks besides is for `check` to say.
        TurnResult::Ready | TurnResult::NotReady => End::Done,
        TurnResult::Failed => End::Failed,
    })
}
