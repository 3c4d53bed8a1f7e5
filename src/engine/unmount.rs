//! Engine: unmounts what an earlier bridge, or a wrong cure, has left, where nothing uses it.

use super::receipt::Store;
use crate::host::Host;
use crate::model::bytes::shown;
use crate::model::mount::MountTable;
use crate::model::path::HostPath;
use crate::model::receipt::Changed;
use crate::model::unit::UnitName;
use crate::mounts::{mountinfo, resolve};
use crate::systemd::{ServiceManager, StopMode};
use anyhow::{Context, Result, bail};

/// Lets systemd stop a unit of csihost's, which refuses that to everybody else. In /run, and only
/// for the moment.
const DROP_IN: &str = "90-csihost-stop.conf";

/// Unmounts `path`, whose mount unit is `unit`, and nothing else: it fails where something is
/// mounted below, also what somebody mounts there in this moment, and where it is in use.
pub(super) async fn unmount<M: ServiceManager>(
    host: &Host,
    manager: &mut M,
    store: &mut Store<'_>,
    unit: &UnitName,
    path: &HostPath,
) -> Result<()> {
    let started = Changed::Started { unit: unit.clone() };
    let before = mounts(host)?;
    let Some(top) = resolve::top_at(&before, path.as_bytes()) else { return store.forget(&started) };
    let below = resolve::below(&before, path.as_bytes()).count();
    if below > 0 {
        bail!("{below} mounts are below {path} by now; it goes at the next reboot");
    }
    // A gate is a mount, too, and decisions look through it.
    let gate = before.gates().iter().find(|gate| gate.point.starts_with(path.as_bytes()));
    if let Some(gate) = gate {
        bail!("{} is below it, closed until the agent runs; systemctl start csihost", shown(&gate.point));
    }
    let directory = HostPath::from("/run/systemd/system").join(format!("{unit}.d"));
    let drop_in = directory.join(DROP_IN);
    host.make_directory(&directory, 0o755)?;
    host.write_volatile(&drop_in, b"[Unit]\nRefuseManualStop=no\n", 0o644)?;
    // It includes what the steps before have changed.
    let reloaded = manager.reload().await;
    let stopped = match &reloaded {
        Ok(()) => manager.stop(unit, StopMode::Alone).await,
        Err(_) => Ok(()),
    };
    host.remove_file(&drop_in)?;
    // Others may have drop-ins there.
    let _ = host.remove_directory(&directory);
    store.receipt.reload_pending = true;
    store.save()?;
    reloaded?;
    match resolve::top_at(&mounts(host)?, path.as_bytes()) {
        Some(still) if still.id == top.id => match stopped {
            Err(error) => Err(error)
                .with_context(|| format!("{path} is in use (fuser -vm {path}); it goes at the next reboot")),
            Ok(()) => bail!("{path} is still mounted; it goes at the next reboot"),
        },
        _ => store.forget(&started),
    }
}

/// PID 1's mounts.
pub(super) fn mounts(host: &Host) -> Result<MountTable> {
    let proc = host.proc()?.context("this host has no /proc")?;
    Ok(mountinfo::parse(&proc.mountinfo()?)?)
}
