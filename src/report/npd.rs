//! Edge: the protocol of node-problem-detector's custom plugins: an exit code, and one line.
//!
//! 0 is no problem, 1 a problem, anything else unknown; of standard output the first
//! `max_output_length` bytes (80) are kept, cut wherever that is (node-problem-detector,
//! docs/custom_plugin_monitor.md and pkg/custompluginmonitor/plugin/plugin.go).

use crate::model::bytes::is_unsafe;
use crate::model::finding::{CheckStatus, Finding};

/// What the detector makes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No problem.
    Ok,
    /// A problem.
    NonOk,
    /// Nobody knows.
    Unknown,
}

/// Bytes of a line that are shown whole.
const LONGEST: usize = 79;
/// What stands for the rest of a text that does not fit.
const CUT: &str = "...";

/// The verdict on a node, and the line for it, worst finding first.
pub fn verdict(findings: &[Finding]) -> (Verdict, String) {
    let with = |status| findings.iter().filter(move |finding| finding.status == status);
    let (failing, warning) = (with(CheckStatus::Fail).count(), with(CheckStatus::Warn).count());
    if let Some(worst) = with(CheckStatus::Fail).next() {
        return (Verdict::NonOk, line(&worst.id, &worst.summary, failing - 1, "more"));
    }
    if let Some(first) = with(CheckStatus::Warn).next() {
        let text = format!("ready; {}", first.id);
        return (Verdict::Ok, line(&text, &first.summary, warning - 1, "warnings"));
    }
    match with(CheckStatus::Pass).count() {
        0 => (Verdict::Unknown, "nothing could be checked".to_owned()),
        _ => (Verdict::Ok, "ready".to_owned()),
    }
}

/// The line for a node that could not be looked at.
pub fn failure(error: &str) -> String {
    line("csihost", error, 0, "")
}

/// `head: text (+2 more)`, of which the text is shortened where that is too long.
fn line(head: &str, text: &str, more: usize, what: &str) -> String {
    let end = if more > 0 { format!(" (+{more} {what})") } else { String::new() };
    let one_line = |c: char| if is_unsafe(c) { ' ' } else { c };
    let text: String = format!("{head}: {text}").chars().map(one_line).collect();
    let room = LONGEST.saturating_sub(end.len());
    if text.len() <= room {
        return text + &end;
    }
    let mut short = String::new();
    for c in text.chars() {
        if short.len() + c.len_utf8() + CUT.len() > room {
            break;
        }
        short.push(c);
    }
    format!("{}{CUT}{end}", short.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finding(id: &str, status: CheckStatus, summary: &str) -> Finding {
        Finding::new(id, status, summary)
    }

    #[test]
    fn the_worst_comes_first_and_the_others_are_counted() {
        use CheckStatus::{Fail, Pass, Skip, Warn};
        let all = [
            finding("kernel-version", Warn, "old"),
            finding("os-profile", Pass, "debian"),
            finding("iscsid-unit", Fail, "iscsid.socket is not enabled"),
            finding("bridge", Fail, "x"),
            finding("cpu", Skip, "x"),
            finding("path-contract", Fail, "x"),
        ];
        let line = "iscsid-unit: iscsid.socket is not enabled (+2 more)".to_owned();
        assert_eq!(verdict(&all), (Verdict::NonOk, line));
        let ready = "ready; kernel-version: old".to_owned();
        assert_eq!(verdict(&all[..2]), (Verdict::Ok, ready));
        assert_eq!(verdict(&all[1..2]), (Verdict::Ok, "ready".to_owned()));
        assert_eq!(verdict(&all[4..5]).0, Verdict::Unknown);
        assert_eq!(verdict(&[]).0, Verdict::Unknown);
        assert_eq!(failure("cannot open /x\nat all"), "csihost: cannot open /x at all");
    }

    proptest! {
        #[test]
        fn every_line_is_one_and_short(
            texts in proptest::collection::vec(("[a-z-]{1,30}", "\\PC{0,90}|[\n\t -~äöü]{0,90}", 0..4_u8), 0..20)
        ) {
            let statuses = [CheckStatus::Skip, CheckStatus::Pass, CheckStatus::Warn, CheckStatus::Fail];
            let findings: Vec<Finding> = texts
                .iter()
                .map(|(id, summary, status)| finding(id, statuses[usize::from(*status)], summary))
                .collect();
            let (verdict, line) = verdict(&findings);
            prop_assert!(line.len() < 80 && !line.is_empty(), "{} bytes: {line}", line.len());
            prop_assert!(!line.contains(char::is_control), "{line:?}");
            let fails = findings.iter().filter(|finding| finding.status == CheckStatus::Fail).count();
            prop_assert_eq!(verdict == Verdict::NonOk, fails > 0);
            if fails > 1 {
                let count = format!("(+{} more)", fails - 1);
                prop_assert!(line.ends_with(&count), "{line}");
            }
        }
    }
}
