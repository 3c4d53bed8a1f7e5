//! `csihost check`: every check, with the remedy beside the fault.

use super::{End, Reading, apply_command, output};
use crate::engine;
use crate::model::contract::Contract;
use crate::model::finding::{CheckStatus, Finding, ready};
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use serde::Serialize;

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    ready: bool,
    profile: &'a str,
    checks: &'a [Finding],
    contracts: &'a [Contract],
}

pub(super) async fn run(args: &Reading) -> Result<End> {
    let (host, config) = args.common.open()?;
    let seen = engine::look(&host, &config).await?;
    let ready = ready(&seen.findings);
    if args.json {
        let profile = &config.profile.profile.name;
        let (checks, contracts) = (&seen.findings, &seen.facts.contracts);
        output::json(&Json { schema: 1, ready, profile, checks, contracts })?;
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
