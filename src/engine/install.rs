//! Engine: installs packages with the system's own package manager.

use super::apply::Writer;
use crate::host::Host;
use crate::model::file::Trust;
use crate::model::install::{Installation, program_paths};
use crate::model::path::HostPath;
use crate::model::receipt::{Changed, PendingReboot};
use crate::model::unit::UnitName;
use crate::report::{journal, notify};
use crate::systemd::{Patience, ServiceManager, Transient};
use anyhow::{Context, Result, bail};
use std::time::Duration;

/// The service that the package manager runs as: one name, so that never two run at once.
const UNIT: &str = "csihost-install.service";
/// How long it may take over a slow line before csihost no longer waits; it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// How long it may go on, before systemd ends it. A package that is configured may wait for a disk.
const LIMIT: Duration = Duration::from_secs(60 * 60);

impl<M: ServiceManager> Writer<'_, M> {
    /// Installs packages, and notes that it was csihost.
    pub(super) async fn install(&mut self, install: &Installation) -> Result<()> {
        let packages = install.packages.join(" ");
        let mut commands = Vec::new();
        for words in &install.commands {
            let [name, arguments @ ..] = words.as_slice() else { continue };
            commands.push((program(self.host, name)?, arguments.to_vec()));
        }
        let what = Transient {
            description: format!("Install {packages} for csihost"),
            commands,
            environment: install.environment.clone(),
            patience: Patience::GoesOn(PATIENCE, LIMIT),
            rights: None,
        };
        let changed = Changed::Installed { packages: install.packages.clone() };
        self.store.intend(&changed)?;
        journal::installing(&packages, &install.command());
        if let Err(error) = patiently(self.manager.run(&UnitName::from(UNIT), &what)).await {
            self.store.forget(&changed)?;
            let context = format!(
                "cannot install {packages}; is the package archive reachable, and its index up to date?"
            );
            return Err(error).context(context);
        }
        if install.at_reboot {
            let packages = install.packages.clone();
            self.store.receipt.at_reboot.push(PendingReboot { packages, boot: self.host.boot_id() });
        }
        self.store.done(&changed)
    }
}

/// Waits for what has a deadline of its own, which is longer than any other part of a turn may be: as
/// long as it lasts that is progress, for the watchdog too.
async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_secs(60)) => notify::progressed(),
        }
    }
}

/// Where the program `name` is: in a directory of the system's, and changeable by root alone.
pub(super) fn program(host: &Host, name: &str) -> Result<HostPath> {
    let there: Vec<HostPath> = program_paths(name).into_iter().filter(|path| host.is_program(path)).collect();
    if there.is_empty() {
        bail!("{name} is not there: neither in /usr/sbin nor /usr/bin, /sbin or /bin");
    }
    let trusted = there.iter().find(|path| host.trust(path) == Trust::Root);
    trusted.cloned().with_context(|| {
        let names = there.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{names} is not run: others than root can change it")
    })
}
