//! Scene: capture.json, which says what a scene is and what it lacks.

use crate::model::kubelet::{Detection, Unread};
use serde::Serialize;

/// Where it is in a scene.
pub const PATH: &str = "/capture.json";

/// What a scene is.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    /// The format; keys may be added.
    pub schema: u32,
    /// The csihost that captured it.
    pub csihost: &'a str,
    /// When, in UTC (RFC 3339).
    pub time: &'a str,
    /// The node's name.
    pub hostname: &'a str,
    /// The running kernel's release.
    pub kernel: Option<&'a str>,
    /// What detection said on the node itself. In a scene it may know less: programs are not
    /// captured (versions), nor are sockets, and inode numbers of watches are another machine's.
    pub detection: &'a Detection,
    /// Processes that are in it, and as what.
    pub processes: &'a [Captured],
    /// What was left out on purpose, and why.
    pub left_out: &'a [LeftOut],
    /// What could not be read.
    pub unread: &'a [Unread],
}

/// A captured process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Captured {
    /// Its number.
    pub pid: i32,
    /// Why it is in the scene.
    #[serde(rename = "as")]
    pub role: super::processes::Role,
}

/// Something that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl LeftOut {
    /// Shorthand.
    pub fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }

    /// What every scene lacks.
    pub fn always() -> Vec<Self> {
        vec![
            Self::new("/proc/*/environ", "environments hold secrets"),
            Self::new("other processes", "only the kubelet, container runtimes and CSI plugins matter"),
            Self::new(
                "values",
                "of arguments, variables, options and configuration only known names keep theirs",
            ),
            Self::new("comments", "they may hold what was commented out"),
            Self::new(
                "contents of pods' directories",
                "names, modes and kinds only, without what volumes hold",
            ),
        ]
    }
}

/// Seconds since 1970 as a date and time in UTC: `2026-11-20T16:56:33Z`.
pub fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, for days after 1970.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_date_as_date_1_shows_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_795_193_793, "2026-11-20T16:56:33Z"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }
}
