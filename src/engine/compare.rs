//! Engine: compares nodes by their reports.

use crate::checks::compare::{Comparison, InputError, Report, compare as compared};
use crate::host::read_report;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Reads and compares the reports in `files`.
pub fn compare(files: &[PathBuf]) -> Result<Comparison, InputError> {
    let mut seen = BTreeMap::new();
    let mut reports = Vec::with_capacity(files.len());
    for path in files {
        let file = path.display().to_string();
        let wrong = |message: String| InputError { file: file.clone(), at: None, message };
        let (bytes, id) = read_report(path).map_err(|error| wrong(error.to_string()))?;
        if let Some(earlier) = seen.insert(id, file.clone()) {
            return Err(wrong(format!("the same file as {earlier}: name each node's report once")));
        }
        reports.push(Report::parse(&file, &bytes)?);
    }
    Ok(compared(&reports))
}
