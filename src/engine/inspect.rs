//! Engine: what `check` looks at beside a turn's facts.

use super::config::Config;
use super::kubelet::Said;
use super::observe::observe_with_version;
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
    let mut seen = look(host, config).await?;
    let running = seen.facts.detection.kubelet.as_mut().filter(|kubelet| kubelet.pid.is_some());
    if let Some(kubelet) = running {
        let said = Said { root_dir: config.settings.root_dir.clone(), ..Said::default() };
        let again = observe_with_version(host, &said)?.kubelet;
        // One that was started in between is another turn's.
        kubelet.version = again.filter(|again| again.pid == kubelet.pid).and_then(|again| again.version);
        seen.findings = checks::run(&seen.facts, &config.settings, &config.profile, &config.os_release);
    }
    let node = checks::node(&seen.facts, &config.profile.profile, &config.os_release);
    Ok(Inspection { seen, node })
}
