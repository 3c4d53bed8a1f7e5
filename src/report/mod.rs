//! Edge: tells people and programs what happened: the journal, the terminal, tables.

pub mod journal;
mod limit;
pub mod map;
pub mod messages;
pub mod notify;
pub mod npd;
pub mod style;
pub mod table;
pub mod textfile;

use std::io::Write;

/// Writes a line to standard error. Nobody may read it any more, or the disk that it goes to may be full: what csihost
/// does is not ended by that.
pub fn stderr(line: &str) {
    if journal::is_silent() {
        return;
    }
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
