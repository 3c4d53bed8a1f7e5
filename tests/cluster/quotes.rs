//! Quotations of a real cluster in the documents: a comment `<!-- cluster: NAME -->` in docs/ stands before a block, and the
//! test that runs `quote NAME COMMAND` (words.sh) makes its content.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, fs, io};

/// Has the blocks written instead of compared.
const WRITE: &str = "CSIHOST_WRITE_QUOTES";

/// Compares what was quoted into the files of `directory` with the documents, and removes the files.
///
/// # Errors
/// A quotation that is in no document, or is another one there.
pub(crate) fn compare(directory: &Path) -> Result<(), String> {
    let mut wrong = Vec::new();
    for file in files(directory).unwrap_or_default() {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        fs::remove_file(&file).map_err(|error| error.to_string())?;
        if let Err(why) = quoted(&name, is.trim_end()) {
            wrong.push(format!("cluster: {name}: {why}"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\nrun: {WRITE}=1 make cluster", wrong.join("\n"))),
    }
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    all.sort();
    Ok(all)
}

/// Looks for the block, or writes it.
fn quoted(name: &str, is: &str) -> Result<(), String> {
    // Two nodes may quote into one document at once.
    static DOCUMENTS: Mutex<()> = Mutex::new(());
    let _one = DOCUMENTS.lock().map_err(|error| error.to_string())?;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut found = false;
    for file in files(&docs).map_err(|error| error.to_string())? {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let Some((before, block, after)) = split(&text, name) else { continue };
        found = true;
        if block != is && env::var_os(WRITE).is_some() {
            fs::write(&file, format!("{before}{is}{after}")).map_err(|error| error.to_string())?;
        } else if block != is {
            return Err(format!("{} has\n{block}\nand it is\n{is}", file.display()));
        }
    }
    if found { Ok(()) } else { Err(format!("no document quotes\n{is}")) }
}

/// The text before the block of this name, the block without its fences, and the text after it.
fn split<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let comment = text.find(&format!("<!-- cluster: {name} -->\n"))?;
    let fence = comment + text.get(comment..)?.find("```")?;
    let start = fence + text.get(fence..)?.find('\n')? + 1;
    let end = start + text.get(start..)?.find("\n```")?;
    Some((text.get(..start)?, text.get(start..end)?, text.get(end..)?))
}
