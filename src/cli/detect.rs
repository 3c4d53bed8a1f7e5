//! `csihost detect`: the answer first, then why, then what was rejected.

use super::{End, Reading, output};
use crate::engine;
use crate::model::kubelet::Detection;
use crate::report::style::{Colour, paint, stdout_colours};
use crate::report::table;
use anyhow::Result;
use serde::Serialize;

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    #[serde(flatten)]
    detection: &'a Detection,
}

pub(super) async fn run(args: &Reading) -> Result<End> {
    let (host, config) = args.common.open()?;
    let detection = engine::detect(&host, &config).await?;
    match args.json {
        true => output::json(&Json { schema: 1, detection: &detection })?,
        false => output::print(&text(&detection, stdout_colours())?)?,
    }
    Ok(if detection.kubelet.is_some() { End::Done } else { End::Findings })
}

/// The stable name that JSON has for a value of an enum.
fn name(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}

fn text(detection: &Detection, colours: bool) -> Result<String> {
    let mut out = String::new();
    match (&detection.kubelet, &detection.conflict) {
        (Some(kubelet), _) => {
            let root = paint(&kubelet.root_dir.to_string(), Colour::Bold, colours);
            let process = kubelet.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            let (confidence, distribution) = (name(&kubelet.confidence)?, name(&kubelet.distribution)?);
            out.push_str(&format!("{root}  ({confidence}, {distribution}{process})\n"));
            match &kubelet.host_dir {
                Some(dir) if dir == kubelet.root_dir.as_path() => {}
                Some(dir) => out.push_str(&format!("on the host it is {dir}\n")),
                None => out.push_str("it has no name on the host\n"),
            }
        }
        (None, Some(conflict)) => {
            out.push_str(&paint("the kubelet's root is not certain", Colour::Red, colours));
            out.push_str(&format!("\n{}\n", conflict.explanation));
        }
        (None, None) => out.push_str("no kubelet found\n"),
    }
    for warning in &detection.warnings {
        out.push_str(&paint(&format!("warning: {warning}\n"), Colour::Yellow, colours));
    }
    if !detection.evidence.is_empty() {
        out.push_str("\nevidence\n");
        let rows: Vec<_> = detection
            .evidence
            .iter()
            .map(|evidence| {
                let pid = evidence.pid.map_or_else(String::new, |pid| pid.to_string());
                let value = evidence.value.to_string();
                Ok(vec![
                    table::plain(format!("  {}", name(&evidence.source)?)),
                    table::plain(pid),
                    table::plain(value),
                ])
            })
            .collect::<Result<_>>()?;
        out.push_str(&table::rows(&rows, colours));
    }
    if !detection.rejected.is_empty() {
        out.push_str("\nrejected\n");
        let rows: Vec<_> = detection
            .rejected
            .iter()
            .map(|rejection| {
                let pid = rejection.pid.map_or_else(String::new, |pid| pid.to_string());
                Ok(vec![
                    table::plain(format!("  {}", name(&rejection.reason)?)),
                    table::plain(pid),
                    table::plain(&rejection.detail),
                ])
            })
            .collect::<Result<_>>()?;
        out.push_str(&table::rows(&rows, colours));
    }
    for unread in &detection.unread {
        out.push_str(&format!("\ncould not be read: {}: {}\n", unread.path, unread.error));
    }
    Ok(out)
}
