//! Engine: unmounts a volume where it is published to a pod that is gone, in a process of its own, because the agent has no right to
//! mount and to unmount.
//!
//! The process proves once more that the pod is gone (`engine::leftovers`), and unmounts nothing else. `--config` does not
//! reach it: the kubelet's root is found from the receipt and from the running kubelet.

use super::config::load;
use super::own;
use super::turn::look_with;
use super::unmount::mounts;
use crate::host::Host;
use crate::model::facts::Init;
use crate::model::unit::UnitName;
use crate::mounts::resolve;
use crate::systemd::{Patience, Rights, ServiceManager, Systemd, Transient};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// The verb of that process; it is not for people.
const VERB: &str = "unmount-volume";
/// The variable that names pod and volume.
const ORDER: &str = "CSIHOST_VOLUME";
/// A file system writes what it has not written yet.
const LIMIT: Duration = Duration::from_secs(60);
/// As many mounts over each other are unmounted at one point.
const LAYERS: usize = 16;
/// umount(2) takes CAP_SYS_ADMIN; all processes are looked at, as the agent does.
const RIGHTS: Rights = Rights { capabilities: &["sys_admin", "sys_ptrace", "dac_override"] };

/// Has the volume unmounted at each of its mount points.
pub(super) async fn unmount_volume<M: ServiceManager>(
    host: &Host,
    manager: &mut M,
    pod: &str,
    volume: &str,
) -> Result<()> {
    let what = Transient {
        description: format!("Unmount volume {volume} of a pod that is gone for csihost"),
        commands: vec![(own::program(host)?, vec![VERB.to_owned()])],
        environment: vec![(ORDER.to_owned(), serde_json::to_string(&(pod, volume))?)],
        patience: Patience::Limit(LIMIT),
        rights: Some(RIGHTS),
    };
    let unit = UnitName::from("csihost-unmount-volume.service");
    Ok(manager.run(&unit, &what).await?)
}

/// The work of the process that [`VERB`] starts.
///
/// # Errors
/// The pod is not proved to be gone any more, or a mount is in use.
pub async fn unmount_ordered_volume() -> Result<()> {
    let order = std::env::var(ORDER).context("csihost itself runs this, and names pod and volume")?;
    let (pod, volume): (String, String) =
        serde_json::from_str(&order).with_context(|| format!("{ORDER} names no volume"))?;
    let host = Host::open(None)?;
    let config = load(&host, None)?;
    let unasked = Init::Unreachable("not asked".to_owned());
    let facts = look_with::<Systemd>(&host, &config, Err(unasked)).await?.facts;
    let left = facts.leftovers.into_iter().find(|left| left.pod == pod && left.volume == volume);
    let left = left.with_context(|| format!("{volume} of pod {pod} is in use again, or gone"))?;
    let mut failed = Vec::new();
    // Not where it is staged: another pod may be about to get the volume from there.
    for point in &left.published {
        // A driver that was called again may have mounted it again. The copy in the other tree of a bridge
        // goes with the first one.
        for _ in 0..LAYERS {
            if resolve::top_at(&mounts(&host)?, point.as_bytes()).is_none() {
                break;
            }
            if let Err(error) = host.unmount(point) {
                failed.push(format!("{error} (fuser -vm {point})"));
                break;
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("{}", failed.join("; ")),
    }
}
