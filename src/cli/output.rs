//! How verbs write to stdout.

use crate::model::finding::CheckStatus;
use crate::report::style::Colour;
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;

/// Prints `text`; a reader who went away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    bytes(text.as_bytes())
}

/// The same for bytes that are no text.
pub(super) fn bytes(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// Prints `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    text.push('\n');
    print(&text)
}

/// How a check's result is shown.
pub(super) fn mark(status: CheckStatus) -> (&'static str, Colour) {
    match status {
        CheckStatus::Pass => ("pass", Colour::Green),
        CheckStatus::Warn => ("WARN", Colour::Yellow),
        CheckStatus::Fail => ("FAIL", Colour::Red),
        CheckStatus::Skip => ("skip", Colour::Dim),
    }
}
