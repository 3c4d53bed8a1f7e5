//! `csihost capture`: a scene of this node in an archive, secrets taken out.

use super::{Common, End, output};
use crate::engine;
use crate::report;
use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Example: csihost capture --output node.tar.zst")]
pub(super) struct Capture {
    #[command(flatten)]
    pub(super) common: Common,
    /// Write to FILE, which must not be there yet; `-` for standard output [default: csihost-<host>-<date>.tar.zst]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(args: &Capture) -> Result<End> {
    let (host, config) = args.common.open()?;
    let scene = engine::capture(args.common.root.as_deref(), &host, &config).await?;
    match args.output.as_deref() {
        Some(path) if path == Path::new("-") => output::bytes(&scene.archive)?,
        path => {
            let path = path.unwrap_or(Path::new(&scene.name));
            engine::save_new(path, &scene.archive).with_context(|| "no scene was written")?;
            let size = scene.archive.len().div_ceil(1024);
            output::print(&format!("{}: {} paths, {size} KiB\n", path.display(), scene.paths))?;
        }
    }
    // On standard error: standard output may be the archive.
    for unread in &scene.unread {
        report::stderr(&format!("csihost: could not be read: {}: {}", unread.path, unread.error));
    }
    Ok(End::Done)
}
