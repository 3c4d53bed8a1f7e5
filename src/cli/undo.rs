//! `csihost undo`: puts back what csihost changed.

use super::{Common, End, output};
use crate::engine::{self, Fate, Undoing};
use crate::model::facts::Mode;
use anyhow::Result;

pub(super) async fn run(args: &Common) -> Result<End> {
    let (host, config) = args.open()?;
    let undoing = engine::undo(&host, &config).await?;
    if undoing.undone.is_empty() {
        output::print("Nothing to undo.\n")?;
        return Ok(End::Done);
    }
    let count =
        |wanted: fn(&Fate) -> bool| undoing.undone.iter().filter(|undone| wanted(&undone.fate)).count();
    let left = count(|fate| matches!(fate, Fate::Left(_)));
    let later = count(|fate| matches!(fate, Fate::AtBoot(_)));
    let kept = count(|fate| matches!(fate, Fate::Waits));
    // Each change was told as it was undone; this is the sum.
    let done = undoing.undone.len() - left - later - kept;
    let mut sum = format!("{done} changes undone");
    if kept > 0 {
        sum.push_str(&format!(", {kept} kept while they are in use"));
    }
    if later > 0 {
        sum.push_str(&format!(", {later} at the next reboot"));
    }
    if left > 0 {
        sum.push_str(&format!(", {left} left as they are"));
    }
    output::print(&format!("{sum}.\n{}", users(&undoing)))?;
    if host.mode() == Mode::Live && !undoing.pending {
        let hint = "The next boot makes a new turn, unless you remove csihost or run: systemctl disable csihost-boot csihost\n";
        output::print(hint)?;
    }
    Ok(match (left, kept) {
        (1.., _) => End::Failed,
        (0, 1..) => End::Findings,
        (0, 0) => End::Done,
    })
}

/// What is in use, by whom, and what ends the wait.
fn users(undoing: &Undoing) -> String {
    let Undoing { hold, pending, agent, .. } = undoing;
    let mut text = String::new();
    if !hold.is_empty() {
        let lines = hold.lines();
        text.push_str("The bridge, grafts and the kubelet's root setting stay: they are in use by\n");
        lines.iter().take(LISTED).for_each(|line| text.push_str(&format!("  {line}\n")));
        if lines.len() > LISTED {
            text.push_str(&format!("  and {} more\n", lines.len() - LISTED));
        }
        text.push_str(&format!("To end this: {}.\n", hold.remedy()));
    }
    match (pending, agent) {
        (false, _) => {}
        (true, true) => text.push_str(
            "csihost.service completes the undo by itself, and is then disabled with csihost-boot.service. \
             csihost apply cancels the undo.\n",
        ),
        (true, false) => text.push_str(
            "csihost.service does not run: run csihost undo again then, or reboot with csihost-boot.service enabled, \
             which completes the undo. csihost apply cancels the undo.\n",
        ),
    }
    text
}

/// As many users are listed.
const LISTED: usize = 20;
