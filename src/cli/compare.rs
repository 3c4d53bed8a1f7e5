//! `csihost compare`: what differs between nodes, from their reports.

use super::{End, output};
use crate::engine::{self, Comparison, Difference, Level};
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost compare a.json b.json c.json")]
pub(super) struct Compare {
    /// What csihost check --json printed on each node
    #[arg(value_name = "FILE", num_args = 2.., required = true)]
    files: Vec<PathBuf>,
    /// Print JSON (schema 1)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

pub(super) fn run(args: &Compare) -> Result<End> {
    let comparison = engine::compare(&args.files)?;
    match args.json {
        true => output::json(&Json { schema: 1, comparison: &comparison })?,
        false => output::print(&text(&comparison, stdout_colours()))?,
    }
    Ok(if comparison.ready { End::Done } else { End::Findings })
}

fn text(comparison: &Comparison, colours: bool) -> String {
    let rows: Vec<Vec<table::Cell>> = comparison
        .findings
        .iter()
        .map(|finding| {
            let (mark, colour) = match finding.status {
                Level::Fail => ("FAIL", Colour::Red),
                Level::Warn => ("WARN", Colour::Yellow),
                Level::Info => ("info", Colour::Dim),
            };
            vec![(mark.to_owned(), colour), table::plain(&finding.id), table::plain(&finding.summary)]
        })
        .collect();
    let mut out = String::new();
    for (row, finding) in table::rows(&rows, colours).lines().zip(&comparison.findings) {
        out.push_str(row);
        out.push('\n');
        out.push_str(&who(finding));
        for (head, text) in [("why", &finding.detail), ("do ", &finding.remedy)] {
            if !text.is_empty() {
                out.push_str(&format!("      {} {text}\n", paint(head, Colour::Dim, colours)));
            }
        }
    }
    let (verdict, colour) = match comparison.ready {
        true => ("alike where they have to be", Colour::Green),
        false => ("not fit for one cluster as they are", Colour::Red),
    };
    let gap = if out.is_empty() { "" } else { "\n" };
    let verdict = paint(verdict, colour, colours);
    out + &format!("{gap}{} nodes: {verdict}\n", comparison.nodes.len())
}

/// As many nodes of a group are named; `--json` has all.
const NAMED: usize = 6;

fn who(finding: &Difference) -> String {
    let rows: Vec<Vec<table::Cell>> = finding
        .groups
        .iter()
        .map(|group| {
            let named: Vec<&str> = group.nodes.iter().take(NAMED).map(String::as_str).collect();
            let more = match group.nodes.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            // What they share is in the summary.
            let value = match finding.groups.len() {
                1 => String::new(),
                _ => group.value.clone().unwrap_or_else(|| "(not known)".to_owned()),
            };
            vec![table::plain(format!("      {value}")), table::plain(format!("{}{more}", named.join(", ")))]
        })
        .collect();
    let aligned = table::rows(&rows, false);
    let lines = aligned.lines().map(|line| format!("      {}\n", line.trim_start()));
    match finding.groups.len() {
        1 => lines.collect(),
        _ => aligned,
    }
}
