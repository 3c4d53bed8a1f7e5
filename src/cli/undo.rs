//! `csihost undo`: puts back what csihost changed.

use super::{Common, End, output};
use crate::engine::{self, Fate};
use crate::model::facts::Mode;
use anyhow::Result;

pub(super) async fn run(args: &Common) -> Result<End> {
    let (host, config) = args.open()?;
    let undone = engine::undo(&host, &config).await?;
    if undone.is_empty() {
        output::print("Nothing to undo.\n")?;
        return Ok(End::Done);
    }
    // Each change was told as it was undone; this is the sum.
    let count = |wanted: fn(&Fate) -> bool| undone.iter().filter(|undone| wanted(&undone.fate)).count();
    let left = count(|fate| matches!(fate, Fate::Left(_)));
    let later = count(|fate| matches!(fate, Fate::AtBoot(_)));
    let done = undone.len() - left - later;
    let mut sum = format!("{done} changes undone");
    if later > 0 {
        sum.push_str(&format!(", {later} at the next reboot"));
    }
    if left > 0 {
        sum.push_str(&format!(", {left} left as they are"));
    }
    output::print(&format!("{sum}.\n"))?;
    if host.mode() == Mode::Live {
        let hint = "The next boot makes a new turn, unless you remove csihost or run: systemctl disable csihost-boot csihost\n";
        output::print(hint)?;
    }
    Ok(if left > 0 { End::Failed } else { End::Done })
}
