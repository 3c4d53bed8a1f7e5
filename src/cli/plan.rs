//! `csihost plan`: what apply would do.

use super::{End, Reading, output};
use crate::engine;
use crate::model::plan::{Later, Plan, Refusal};
use crate::report::style::{Colour, paint, stdout_colours};
use anyhow::Result;
use serde::Serialize;

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    steps: Vec<JsonStep<'a>>,
    refused: &'a [Refusal],
    later: &'a [Later],
}

#[derive(Serialize)]
struct JsonStep<'a> {
    kind: &'static str,
    target: String,
    reason: &'a str,
    diff: Option<&'a str>,
}

pub(super) async fn run(args: &Reading) -> Result<End> {
    let (host, config) = args.common.open()?;
    let seen = engine::look(&host, &config).await?;
    match args.json {
        true => output::json(&json(&seen.plan))?,
        false => {
            let mut out = text(&seen.plan, stdout_colours());
            if let Some(why) = config.profile.profile.unsupported() {
                out.push_str(&format!(
                    "csihost changes nothing here: {}.\nInstead: {}.\n",
                    why.reason, why.remedy
                ));
            }
            output::print(&out)?;
        }
    }
    match seen.plan.is_empty() && seen.plan.refused.is_empty() {
        true => Ok(End::Done),
        false => Ok(End::Findings),
    }
}

fn json(plan: &Plan) -> Json<'_> {
    let steps = plan.steps().map(|(_, step)| JsonStep {
        kind: step.action.kind(),
        target: step.action.target(),
        reason: &step.reason,
        diff: step.action.diff(),
    });
    Json { schema: 1, steps: steps.collect(), refused: &plan.refused, later: &plan.later }
}

fn text(plan: &Plan, colours: bool) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    for (_, step) in plan.steps() {
        let head = format!("{} {}", step.action.kind(), step.action.target());
        line(&format!("{}  ({})", paint(&head, Colour::Bold, colours), step.reason));
        for diff in step.action.diff().into_iter().flat_map(str::lines) {
            let colour = match diff.as_bytes().first() {
                Some(b'+') => Colour::Green,
                Some(b'-') => Colour::Red,
                Some(b'@') => Colour::Dim,
                _ => Colour::Plain,
            };
            line(&format!("    {}", paint(diff, colour, colours)));
        }
    }
    for refusal in &plan.refused {
        let head = format!("refused {}", refusal.target);
        line(&format!("{}: {}", paint(&head, Colour::Yellow, colours), refusal.reason));
        line(&format!("    {}", refusal.remedy));
    }
    for later in &plan.later {
        line(&format!(
            "{}: {}",
            paint(&format!("later {}", later.target), Colour::Dim, colours),
            later.reason
        ));
    }
    if plan.is_empty() {
        line("Nothing to do.");
    }
    out
}
