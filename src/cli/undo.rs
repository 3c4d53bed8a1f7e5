//! `csihost undo`: puts back what csihost changed.

use super::{Common, End, output};
use crate::engine::{self, Fate};
use crate::report::style::{Colour, stdout_colours};
use crate::report::table;
use anyhow::Result;

pub(super) async fn run(args: &Common) -> Result<End> {
    let (host, config) = args.open()?;
    let undone = engine::undo(&host, &config).await?;
    if undone.is_empty() {
        output::print("Nothing to undo.\n")?;
        return Ok(End::Done);
    }
    let rows: Vec<_> = undone
        .iter()
        .map(|undone| {
            let (mark, colour, why) = match &undone.fate {
                Fate::Restored => ("undone", Colour::Green, ""),
                Fate::Kept(why) => ("kept", Colour::Plain, why.as_str()),
                Fate::AtBoot(why) => ("at reboot", Colour::Yellow, why.as_str()),
                Fate::Left(why) => ("LEFT", Colour::Red, why.as_str()),
            };
            let target = match why {
                "" => undone.target.clone(),
                why => format!("{}: {why}", undone.target),
            };
            vec![(mark.to_owned(), colour), table::plain(undone.what), table::plain(target)]
        })
        .collect();
    output::print(&table::rows(&rows, stdout_colours()))?;
    match undone.iter().any(|undone| matches!(undone.fate, Fate::Left(_))) {
        true => Ok(End::Failed),
        false => Ok(End::Done),
    }
}
