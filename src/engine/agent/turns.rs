//! Engine: one turn of the agent: that of `apply`, with a connection that is kept, without what is
//! left alone, and with nothing told that was told before.

use super::fight::{Fights, Pause};
use crate::engine::config::Config;
use crate::engine::gate;
use crate::engine::manager::{Manager, manager};
use crate::engine::observe::other_init;
use crate::engine::receipt;
use crate::engine::status;
use crate::engine::turn::{Seen, conclude, look_with, turn, undo_status};
use crate::engine::undo::{self, Continued, Fate, Undoing};
use crate::host::{Host, Lock};
use crate::model::facts::Init;
use crate::model::path::HostPath;
use crate::model::plan::Plan;
use crate::model::status::{Outcome, Status, StepStatus, TurnResult};
use crate::plan;
use crate::report::journal;
use crate::settings::Settings;
use crate::systemd::Systemd;
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::time::Instant;

/// What lasts from one turn of the agent to the next.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The connection to systemd.
    systemd: Option<Systemd>,
    /// What is left alone.
    pub(super) fights: Fights,
    /// The settings of the last turn.
    settings: Option<Settings>,
    /// The gates of plugins that violated their contract when the last reconciliation ended.
    violated: BTreeSet<HostPath>,
    /// A gate could not be opened or closed.
    pub(super) gate_failed: bool,
    /// How far an undo is that waits in the receipt.
    pub(super) undoing: Undo,
    told: Told,
}

/// The connection to the container runtime during a reconciliation.
pub(super) struct Connection<'a> {
    /// True if it has lasted since the reconciliation before.
    pub(super) kept: bool,
    /// Returns true while it lasts, since this reconciliation began.
    pub(super) lives: &'a dyn Fn() -> bool,
}

/// An undo that the agent continues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Undo {
    /// There is none.
    #[default]
    None,
    /// An undo waits in the receipt, for an event.
    Waits,
    /// An undo waits for volumes, or to try again: no event comes.
    WaitsUnseen,
    /// The undo is complete, and the agent ends.
    Complete,
}

impl Undo {
    /// Returns true if an undo waits in the receipt.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Waits | Self::WaitsUnseen)
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    verdict: Option<(TurnResult, BTreeSet<String>, Option<String>)>,
    refused: BTreeSet<(String, String)>,
    later: BTreeSet<(String, String)>,
    away: bool,
    undo: Option<String>,
}

impl Turns {
    /// Takes note of the settings: new ones end all back-off, and may have other deadlines.
    pub(super) fn heed(&mut self, config: &Config) {
        if self.settings.as_ref() != Some(&config.settings) {
            self.fights.clear();
            self.systemd = None;
            self.settings = Some(config.settings.clone());
        }
    }

    /// Closes the gates where the connection did not last: a reconciliation, and the wait for the lock, take
    /// their time.
    pub(super) async fn close_gates(&mut self, host: &Host, config: &Config, connection: &Connection<'_>) {
        match &mut self.systemd {
            _ if connection.kept => {}
            Some(systemd) => gate::close_open_ones(host, systemd).await,
            None => gate::close_without_connection(host, config).await,
        }
    }

    /// Makes a turn under the host's lock, which began at `started`. It may be dropped while it waits for systemd: the
    /// receipt then is as after a crash, which the next turn settles.
    ///
    /// Gates are open only while `connection` lives.
    pub(super) async fn make(
        &mut self,
        host: &Host,
        config: &Config,
        connection: &Connection<'_>,
        _lock: &Lock,
        started: Instant,
    ) -> Result<(Seen, Status)> {
        if receipt::load(host)?.undo_pending {
            return self.go_on(host, config, connection, started).await;
        }
        self.undoing = Undo::None;
        let kept = self.systemd.is_some();
        let mut result = self.once(host, config).await;
        if result.is_err() {
            // Whatever it was, the connection may be the cause: the bus was restarted, say.
            self.systemd = None;
            if kept {
                result = self.once(host, config).await;
            }
        }
        let (mut seen, steps, settled) = result?;
        if self.move_gates(host, config, &seen, connection).await
            && let Some(systemd) = &mut self.systemd
        {
            seen = look_with(host, config, Ok(systemd)).await?;
        }
        let now = Instant::now();
        for step in steps.iter().filter(|step| step.outcome == Outcome::Failed) {
            self.fights.failed(&step.kind, &step.target, now);
        }
        let status = conclude(&seen, steps, settled, started);
        self.told.tell(&seen, &status);
        let status = status::record(host, &config.settings, &seen.facts.generated, &seen.findings, status)?;
        Ok((seen, status))
    }

    /// Opens and closes gates as a reconciliation ended; true where one was moved.
    async fn move_gates(
        &mut self,
        host: &Host,
        config: &Config,
        seen: &Seen,
        connection: &Connection<'_>,
    ) -> bool {
        let connected = (connection.lives)();
        self.gate_failed = false;
        let Some(systemd) = &mut self.systemd else { return false };
        let settings = plan::in_effect(&config.settings, seen.facts.align.as_ref());
        let changes = plan::gate::changes(&seen.facts, &settings, connected, &self.violated);
        let moved = gate::settle(host, systemd, &changes, connected).await;
        // It may have been lost since it was asked for, and the gates opened after they were to be closed.
        if connected && !(connection.lives)() {
            gate::close_open_ones(host, systemd).await;
        }
        self.violated = changes.violated;
        self.gate_failed = moved.is_none();
        moved.unwrap_or_default()
    }

    /// Continues an undo. A connection that fails is made anew at the next attempt.
    async fn go_on(
        &mut self,
        host: &Host,
        config: &Config,
        connection: &Connection<'_>,
        started: Instant,
    ) -> Result<(Seen, Status)> {
        let before = std::mem::replace(&mut self.undoing, Undo::WaitsUnseen);
        let continued = match (host.systemd_booted(), self.systemd.take()) {
            (true, kept) => {
                let mut systemd = match kept {
                    Some(systemd) => systemd,
                    None => Systemd::connect(config.settings.job_timeout).await?,
                };
                // After an error it is made anew: it may be the cause.
                let continued = undo::go_on(host, config, &mut systemd).await?;
                self.systemd = Some(systemd);
                continued
            }
            (false, _) => match &mut manager(host, config).await {
                Manager::Direct(manager) => undo::go_on(host, config, manager).await?,
                _ => bail!("the undo waits for systemd, which cannot be reached"),
            },
        };
        let Undoing { hold, undone, pending, .. } = &continued.undoing;
        let ends = !pending;
        let has_failed = undone.iter().any(|undone| matches!(undone.fate, Fate::Left(_)));
        if !hold.has_volumes() && !has_failed {
            self.undoing = Undo::Waits;
        }
        // Volumes that are still to be unmounted are reached by the driver that is grafted.
        self.move_gates(host, config, &continued.seen, connection).await;
        let status = undo_status(&continued, started);
        let Continued { seen, .. } = continued;
        let text = Some(status.verdict.clone());
        if before == Undo::None || self.told.undo != text {
            journal::new_verdict(&status);
        }
        self.told.undo = text;
        if ends {
            self.undoing = Undo::Complete;
            journal::undo_ended("the undo is complete; the agent ends");
        }
        let status = status::record(host, &config.settings, &seen.facts.generated, &seen.findings, status)?;
        Ok((seen, status))
    }

    /// Has systemd stop this very process: it starts an agent anew that ends by itself.
    pub(super) async fn stop_for_good(&mut self, host: &Host, config: &Config) {
        if let Manager::Systemd(manager) = &mut manager(host, config).await {
            undo::stop_agent_for_good(manager.as_mut()).await;
        }
    }

    /// Forgets the connection to systemd.
    pub(super) fn disconnect(&mut self) {
        self.systemd = None;
    }

    async fn once(&mut self, host: &Host, config: &Config) -> Result<(Seen, Vec<StepStatus>, bool)> {
        let init = match (&self.systemd, host.systemd_booted()) {
            (Some(_), true) => None,
            (None, true) => match Systemd::connect(config.settings.job_timeout).await {
                Ok(systemd) => {
                    self.systemd = Some(systemd);
                    None
                }
                Err(error) => Some(Init::Unreachable(error.to_string())),
            },
            (_, false) => Some(other_init(host)),
        };
        let fights = &mut self.fights;
        let mut first = true;
        let mut restrain = |plan: &mut Plan| {
            let now = Instant::now();
            // The second plan of a turn shows what is left, and is not done.
            match std::mem::take(&mut first) {
                true => fights.admit(plan, now).iter().for_each(|pause| tell_pause(host, pause)),
                false => fights.withhold(plan, now),
            }
        };
        let init = match (&mut self.systemd, init) {
            (Some(systemd), None) => return turn(host, config, systemd, &mut restrain).await,
            (_, Some(Init::Other(name))) => match manager(host, config).await {
                Manager::Direct(mut direct) => return turn(host, config, &mut direct, &mut restrain).await,
                _ => Init::Other(name),
            },
            (_, init) => init.unwrap_or_else(|| Init::Unreachable("not connected".to_owned())),
        };
        let seen = look_with::<Systemd>(host, config, Err(init)).await?;
        Ok((seen, Vec::new(), true))
    }
}

fn tell_pause(host: &Host, pause: &Pause) {
    let (kind, target) = &pause.key;
    // Of a unit nobody can tell who stopped it; of a file a little can be seen.
    let who = match HostPath::parse(target.as_bytes()) {
        Ok(path) => host.last_written(&path).unwrap_or_else(|| "nothing is there now".to_owned()),
        Err(_) => format!("systemd does not keep who asked for it; see journalctl -u {target}"),
    };
    let text = format!(
        "somebody undid it again and again; left alone for {} min ({who})",
        pause.length.as_secs().div_ceil(60)
    );
    journal::backing_off(kind, target, &text);
}

impl Told {
    fn tell(&mut self, seen: &Seen, status: &Status) {
        let refused: BTreeSet<(String, String)> =
            seen.plan.refused.iter().map(|refusal| (refusal.id.to_owned(), refusal.target.clone())).collect();
        for refusal in &seen.plan.refused {
            let is_new = !self.refused.contains(&(refusal.id.to_owned(), refusal.target.clone()));
            match refusal.id {
                // Told when the pause began, or as a failure.
                "backing-off" => {}
                "systemd-unreachable" if !self.away => {
                    self.away = true;
                    journal::systemd_away(&refusal.reason);
                }
                "systemd-unreachable" => {}
                _ if is_new => journal::refused(refusal),
                _ => {}
            }
        }
        for later in &seen.plan.later {
            if !self.later.contains(&(later.target.clone(), later.reason.clone())) {
                journal::later(later);
            }
        }
        let later = seen.plan.later.iter().map(|later| (later.target.clone(), later.reason.clone()));
        self.later = later.collect();
        if self.away && !refused.iter().any(|(id, _)| id == "systemd-unreachable") {
            self.away = false;
            journal::systemd_back();
        }
        self.refused = refused;
        let names = status.refused.iter().chain(&status.failing).map(|note| note.id.clone()).collect();
        let verdict = Some((status.result, names, status.root_dir.clone()));
        if self.verdict != verdict || !status.steps.is_empty() {
            journal::new_verdict(status);
        }
        self.verdict = verdict;
    }
}
