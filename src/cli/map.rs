//! `csihost map`: the node as a picture.

use super::{Common, End, output};
use crate::engine;
use crate::model::picture::Picture;
use crate::report::{map, style};
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;

/// What `map` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example: csihost map --format svg >node.svg")]
pub(super) struct Map {
    #[command(flatten)]
    pub(super) common: Common,
    /// How it is drawn: for a terminal, for graphviz, for a browser
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// Print JSON (schema 1)
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

// Without words to each: with them, the help of the verb is longer than a screen.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Dot,
    Svg,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    #[serde(flatten)]
    picture: &'a Picture,
}

pub(super) async fn run(args: &Map) -> Result<End> {
    let (host, config) = args.common.open()?;
    let picture = engine::picture(&host, &config).await?;
    if args.json {
        output::json(&Json { schema: 1, picture: &picture })?;
        return Ok(End::Done);
    }
    output::print(&match args.format {
        Format::Text => map::text(&picture, style::stdout_width(), style::stdout_colours()),
        Format::Dot => map::dot(&picture),
        Format::Svg => map::svg(&picture),
    })?;
    Ok(End::Done)
}
