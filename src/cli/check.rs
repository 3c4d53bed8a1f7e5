//! `csihost check`: every check, with the remedy beside the fault.

use super::{Common, End, apply_command, output};
use crate::engine;
use crate::model::contract::Contract;
use crate::model::finding::{CheckStatus, Finding, ready};
use crate::model::node::Node;
use crate::report;
use crate::report::npd::{self, Verdict};
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost check --json >node.json")]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) common: Common,
    /// Print JSON (schema 1)
    #[arg(long)]
    json: bool,
    /// Speak to node-problem-detector: one line, and exit with 0 (no problem), 1 (a problem) or 2 (not known)
    #[arg(long, conflicts_with = "json")]
    npd: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    ready: bool,
    profile: &'a str,
    checks: &'a [Finding],
    contracts: &'a [Contract],
    node: &'a Node,
}

pub(super) async fn run(args: &Check) -> Result<End> {
    if args.npd {
        return npd(args).await;
    }
    let (host, config) = args.common.open()?;
    let engine::Inspection { seen, node } = engine::inspect(&host, &config).await?;
    let ready = ready(&seen.findings);
    if args.json {
        let profile = &config.profile.profile.name;
        output::json(&Json {
            schema: 1,
            ready,
            profile,
            checks: &seen.findings,
            contracts: &seen.facts.contracts,
            node: &node,
        })?;
    } else {
        let mut out = text(&seen.findings, stdout_colours());
        if !seen.plan.is_empty() {
            let steps = seen.plan.len();
            let s = if steps == 1 { "" } else { "s" };
            out.push_str(&format!(
                "\n{} would make {steps} change{s}; csihost plan shows them.\n",
                apply_command(host.mode())
            ));
        }
        output::print(&out)?;
    }
    Ok(if ready { End::Done } else { End::Findings })
}

/// One line for node-problem-detector. An error of csihost's own is none of the node's.
async fn npd(args: &Check) -> Result<End> {
    let looked = match args.common.open() {
        Ok((host, config)) => engine::inspect(&host, &config).await,
        Err(error) => Err(error),
    };
    let (verdict, line) = match looked {
        Ok(inspection) => npd::verdict(&inspection.seen.findings),
        Err(error) => {
            report::stderr(&format!("csihost: {error:#}"));
            (Verdict::Unknown, npd::failure(&format!("{error:#}")))
        }
    };
    // What could not be told is not known: an error would end with the code of a problem.
    Ok(match output::print(&format!("{line}\n")).map_or(Verdict::Unknown, |()| verdict) {
        Verdict::Ok => End::Done,
        Verdict::NonOk => End::Failed,
        Verdict::Unknown => End::Unknown,
    })
}

fn text(findings: &[Finding], colours: bool) -> String {
    let rows: Vec<Vec<table::Cell>> = findings
        .iter()
        .map(|finding| {
            let (mark, colour) = output::mark(finding.status);
            vec![(mark.to_owned(), colour), table::plain(&finding.id), table::plain(&finding.summary)]
        })
        .collect();
    let mut out = String::new();
    for (row, finding) in table::rows(&rows, colours).lines().zip(findings) {
        out.push_str(row);
        out.push('\n');
        if matches!(finding.status, CheckStatus::Fail | CheckStatus::Warn) {
            for (head, text) in [("why", &finding.detail), ("do ", &finding.remedy)] {
                if !text.is_empty() {
                    out.push_str(&format!("      {} {text}\n", paint(head, Colour::Dim, colours)));
                }
            }
        }
    }
    let (verdict, colour) = match ready(findings) {
        true => ("ready", Colour::Green),
        false => ("not ready", Colour::Red),
    };
    out.push_str(&format!("\n{}\n", paint(verdict, colour, colours)));
    out
}
