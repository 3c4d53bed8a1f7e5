//! `csihost status`: how the last turn went.

use super::{Common, End, output};
use crate::engine;
use crate::model::status::{Outcome, Status as Turn, TurnResult};
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost status --watch")]
pub(super) struct Status {
    #[command(flatten)]
    common: Common,
    /// Print JSON (schema 1)
    #[arg(long)]
    json: bool,
    /// Go on, and show each turn as it ends
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(args: &Status) -> Result<End> {
    let host = engine::Host::open(args.common.root.as_deref())?;
    let mut watch = match args.watch {
        true => Some(engine::watch_status(&host)?),
        false => None,
    };
    loop {
        let turn = engine::last_turn(&host)?;
        match (&turn, args.json) {
            (Some(turn), true) => output::json(turn)?,
            (Some(turn), false) => output::print(&text(turn, stdout_colours()))?,
            (None, true) => output::print("null\n")?,
            (None, false) => output::print("No turn since this node started; run csihost apply.\n")?,
        }
        match &mut watch {
            Some(watch) => watch.wait()?,
            None => {
                return Ok(match turn.map(|turn| turn.result) {
                    Some(TurnResult::Ready) => End::Done,
                    _ => End::Findings,
                });
            }
        }
    }
}

fn text(turn: &Turn, colours: bool) -> String {
    let colour = match turn.result {
        TurnResult::Ready => Colour::Green,
        TurnResult::NotReady => Colour::Yellow,
        TurnResult::Failed => Colour::Red,
    };
    let ago = engine::seconds_since(turn.at);
    let mut out = format!(
        "{}\n{}\n",
        paint(&turn.verdict, colour, colours),
        paint(
            &format!("{} ago, in {} ms{}", duration(ago), turn.took_ms, lasting(turn)),
            Colour::Dim,
            colours
        )
    );
    // Of the last turn the verdict says it.
    if let Some(failure) = turn.last_failure.as_ref().filter(|failure| failure.at != turn.at) {
        let ago = duration(engine::seconds_since(failure.at));
        out.push_str(&format!("last failed reconciliation: {ago} ago: {}\n", failure.reason));
    }
    let rows: Vec<_> = turn
        .steps
        .iter()
        .map(|step| {
            let (mark, colour) = match step.outcome {
                Outcome::Done => ("done", Colour::Green),
                Outcome::Failed => ("FAILED", Colour::Red),
                Outcome::Skipped => ("skipped", Colour::Yellow),
            };
            let error = step.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            vec![
                (format!("  {mark}"), colour),
                table::plain(&step.kind),
                table::plain(format!("{}{error}", step.target)),
            ]
        })
        .collect();
    out.push_str(&table::rows(&rows, colours));
    let rows: Vec<_> = turn
        .contracts
        .iter()
        .map(|contract| {
            let (mark, colour) = match contract.holds {
                true => ("reaches the kubelet", Colour::Green),
                false => ("BROKEN", Colour::Red),
            };
            let driver =
                contract.driver.as_deref().map_or_else(|| format!("process {}", contract.pid), str::to_owned);
            let remedy = contract.remedy.as_deref().unwrap_or_default();
            vec![table::plain(format!("  {driver}")), (mark.to_owned(), colour), table::plain(remedy)]
        })
        .collect();
    out.push_str(&table::rows(&rows, colours));
    for later in &turn.later {
        out.push_str(&format!("  later {}: {}\n", later.target, later.reason));
    }
    for (head, notes) in [("refused", &turn.refused), ("failing", &turn.failing)] {
        for note in notes {
            out.push_str(&format!("  {head} {}: {}\n      {}\n", note.id, note.reason, note.remedy));
        }
    }
    out
}

/// How long turns have ended as this one did.
fn lasting(turn: &Turn) -> String {
    match turn.at.saturating_sub(turn.since) {
        0 => String::new(),
        long => format!("; so for {}", duration(long + engine::seconds_since(turn.at))),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
