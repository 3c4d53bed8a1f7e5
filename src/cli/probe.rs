//! `csihost probe`: the proof where `check` is the prediction.

use super::{Common, End, output};
use crate::engine;
use crate::model::bytes::shown;
use crate::model::probe::{Party, Proof, Role, Trial};
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// What `probe` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example: csihost probe && echo every volume that a plugin mounts arrives")]
pub(super) struct Probe {
    /// Read the settings from FILE alone
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON (schema 1)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    #[serde(flatten)]
    proof: &'a Proof,
}

pub(super) async fn run(args: &Probe) -> Result<End> {
    let (host, config) = Common { root: None, config: args.config.clone() }.open()?;
    let proof = engine::probe(&host, &config).await?;
    match args.json {
        true => output::json(&Json { schema: 1, proof: &proof })?,
        false => output::print(&text(&proof, stdout_colours()))?,
    }
    Ok(if proof.agrees && proof.holds { End::Done } else { End::Findings })
}

fn text(proof: &Proof, colours: bool) -> String {
    let mut out = String::new();
    for directory in &proof.removed {
        out.push_str(&format!("removed what an earlier probe had left in {directory}\n"));
    }
    out.push_str(&format!("A file was mounted in {}/pods, and looked for:\n\n", proof.kubelet_path));
    let head = ["", "mounted by", "looked for by", "foretold", "seen", "gone"];
    let mut rows = vec![head.map(|text| (text.to_owned(), Colour::Dim)).to_vec()];
    rows.extend(proof.trials.iter().map(row));
    out.push_str(&table::rows(&rows, colours));
    let (verdict, colour) = match (proof.holds, proof.agrees) {
        (true, true) => ("what plugins mount reaches the kubelet, as foretold", Colour::Green),
        (true, false) => {
            ("what plugins mount reaches the kubelet, but not all is as foretold", Colour::Yellow)
        }
        (false, true) => {
            ("what a plugin mounts does not reach the kubelet, as csihost check says", Colour::Red)
        }
        (false, false) => {
            ("what a plugin mounts does not reach the kubelet, and not all is as foretold", Colour::Red)
        }
    };
    out.push_str(&format!("\n{}\n", paint(verdict, colour, colours)));
    if !proof.holds {
        out.push_str("csihost check says why, and what to do; csihost map shows it.\n");
    }
    out
}

fn row(trial: &Trial) -> Vec<table::Cell> {
    let (mark, colour) = match (trial.agrees(), trial.seen == Some(true) || !trial.matters()) {
        (true, true) => ("ok", Colour::Green),
        (false, true) => ("ODD", Colour::Yellow),
        (_, false) => ("FAIL", Colour::Red),
    };
    let word = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let seen = match (&trial.note, trial.seen) {
        (_, Some(seen)) => word(seen),
        (note, None) => format!("not tried, {}", note.as_deref().unwrap_or_default()),
    };
    let mut row = vec![
        (mark.to_owned(), colour),
        table::plain(name(&trial.from)),
        table::plain(name(&trial.to)),
        table::plain(word(trial.expected)),
        table::plain(seen),
    ];
    row.extend(trial.gone.map(|gone| table::plain(word(gone))));
    row
}

fn name(party: &Party) -> String {
    match (party.role, &party.driver) {
        (Role::Kubelet, _) => "the kubelet".to_owned(),
        (Role::Host | Role::StandardPath, _) => format!("the host, at {}", party.path),
        (Role::Plugin, Some(driver)) => format!("{} (process {})", shown(driver), party.pid),
        (Role::Plugin, None) => format!("process {}", party.pid),
    }
}
