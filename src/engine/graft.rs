//! Engine: grafts, in two processes. The one that decides has no right to mount, and asks the service
//! manager to run this same program with the rights that it takes; that one grafts, and ends.

use super::apply::Writer;
use super::own;
use crate::host::Host;
use crate::host::process::Proc;
use crate::model::graft::{Bind, Graft};
use crate::model::path::HostPath;
use crate::model::receipt::Changed;
use crate::model::unit::UnitName;
use crate::mounts::{mountinfo, resolve};
use crate::systemd::{Patience, Rights, ServiceManager, Transient};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// The verb of the process that grafts; it is not for people.
const VERB: &str = "graft-into";
/// The variable in which it is told what to do.
const ORDER: &str = "CSIHOST_GRAFT";

/// Entering a namespace and two mounts are milliseconds; a container under load may be slow.
const LIMIT: Duration = Duration::from_secs(20);

/// setns(2) and open_tree(2) take CAP_SYS_ADMIN, chroot(2) CAP_SYS_CHROOT, and /proc/PID of a process
/// with more rights than these CAP_SYS_PTRACE; directories of the container may be anybody's.
const RIGHTS: Rights = Rights { capabilities: &["sys_admin", "sys_chroot", "sys_ptrace", "dac_override"] };

impl<M: ServiceManager> Writer<'_, M> {
    /// Grafts, and notes it.
    pub(super) async fn graft(&mut self, graft: &Graft) -> Result<()> {
        let what = Changed::Grafted { graft: graft.clone() };
        self.store.intend(&what)?;
        let done = run(self.host, self.manager, graft, false).await;
        if done.is_err() {
            // What was begun is found by the next turn, in the container itself.
            self.store.forget(&what)?;
        }
        done.with_context(|| format!("cannot graft the kubelet's root into {}", graft.name))?;
        self.store.done(&what)
    }
}

/// Has a graft made, or taken away, by a process of its own.
async fn run<M: ServiceManager>(host: &Host, manager: &mut M, graft: &Graft, undo: bool) -> Result<()> {
    let own = own::program(host)?;
    let mut arguments = vec![VERB.to_owned()];
    arguments.extend(undo.then(|| "--undo".to_owned()));
    let what = Transient {
        description: format!("Graft the kubelet's root into {} for csihost", graft.name),
        commands: vec![(own, arguments)],
        // Not an argument: those are in errors.
        environment: vec![(ORDER.to_owned(), serde_json::to_string(graft)?)],
        patience: Patience::Limit(LIMIT),
        rights: Some(RIGHTS),
    };
    // One for each process: of several plugins none waits for another.
    let unit =
        UnitName::parse(&format!("csihost-graft-{}.service", graft.pid)).map_err(anyhow::Error::msg)?;
    Ok(manager.run(&unit, &what).await?)
}

/// Takes a graft away; what is said where it stays.
pub(super) async fn undo<M: ServiceManager>(host: &Host, manager: &mut M, graft: &Graft) -> Option<String> {
    let table = || mountinfo::parse(&host.proc().ok()??.mountinfo_of(graft.pid).ok()?).ok();
    let table = table()?;
    let below = |bind: &Bind| resolve::below(&table, bind.to.as_bytes()).count();
    match graft.binds.iter().map(below).sum::<usize>() {
        // Whatever it is, the container will end one day, and takes it along.
        0 => run(host, manager, graft, true).await.err().map(|error| format!("{error:#}")),
        below => Some(format!("it carries {below} mounts, and goes with its container")),
    }
}

/// What the process does that [`VERB`] starts.
pub fn graft_into(undo: bool) -> Result<()> {
    let order = std::env::var(ORDER).context("it is csihost that runs this, and says what is grafted")?;
    let graft: Graft =
        serde_json::from_str(&order).context("the graft that was ordered is not understood")?;
    let host = Host::open(None)?;
    let proc = host.proc()?.context("there is no /proc here")?;
    let gone = || format!("process {} of {} is gone", graft.pid, graft.name);
    let door = proc.door(graft.pid, Some(graft.started))?.with_context(gone)?;
    // What is entered is what was looked at, and nothing that came by its number since.
    if door.namespace()? != graft.namespace {
        bail!("process {} has another mount namespace by now", graft.pid);
    }
    // Who may not mount on the host has nothing to graft, whatever it calls itself.
    let user = proc.user(graft.pid).with_context(gone)?;
    if user != 0 {
        bail!("process {} of {} runs as user {user}, and not as root", graft.pid, graft.name);
    }
    if undo {
        let left = door.ungraft(&graft.binds)?;
        if !left.is_empty() {
            let left = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!("{left} of {} carries volumes, and goes with its container", graft.name);
        }
        return Ok(());
    }
    hides_nothing(&proc, &graft)?;
    door.graft(&graft.binds).with_context(|| {
        format!(
            "the container of {} cannot take them; delete this pod if directories were left there, or mount the \
             kubelet's root into it at the same path",
            graft.name
        )
    })?;
    // A container that ended meanwhile took it along; nobody else's namespace was entered.
    if proc.started(graft.pid) != Some(graft.started) {
        bail!("{}", gone());
    }
    if proc.mount_namespace(graft.pid) != Some(graft.namespace) {
        bail!("process {} went to another mount namespace meanwhile", graft.pid);
    }
    Ok(())
}

/// The turn left the volumes of pods out of the container's mounts: now they count.
fn hides_nothing(proc: &Proc<'_>, graft: &Graft) -> Result<()> {
    let table = mountinfo::parse(&proc.mountinfo_of(graft.pid)?)?;
    for bind in &graft.binds {
        let place = |path: &HostPath| resolve::place(&table, path.as_bytes());
        let done = place(&bind.from)
            .zip(place(&bind.to))
            .is_some_and(|(from, to)| resolve::same_directory(&from, &to));
        let below = resolve::below(&table, bind.to.as_bytes()).count();
        if !done && below > 0 {
            bail!(
                "{below} mounts are below {} in its container, and would be hidden; delete this pod, so that its \
                 containers are made anew",
                bind.to
            );
        }
    }
    Ok(())
}
