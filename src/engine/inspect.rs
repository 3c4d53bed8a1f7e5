//! Engine: what `check` looks at beside a turn's facts.

use super::config::Config;
use super::turn::{Seen, look};
use crate::checks;
use crate::host::Host;
use crate::model::node::Node;
use anyhow::Result;

/// A node, looked at closely.
#[derive(Debug)]
pub struct Inspection {
    /// What was seen and decided.
    pub seen: Seen,
    /// What the node says of itself to others.
    pub node: Node,
}

/// Observes, decides, and learns the kubelet's version too, which may take long and which no turn
/// needs.
pub async fn inspect(host: &Host, config: &Config) -> Result<Inspection> {
    let config = Config { version: true, ..config.clone() };
    let seen = look(host, &config).await?;
    let node = checks::node(&seen.facts, &config.profile.profile, &config.os_release);
    Ok(Inspection { seen, node })
}
