//! Pure: the last turn in Prometheus' text format, for node_exporter's textfile collector
//! (prometheus.io, "Exposition formats"; names by "Metric and label naming").

use crate::model::finding::{CheckStatus, Finding};
use crate::model::status::{Status, TurnResult};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// What a driver is called that has no name.
const NAMELESS: &str = "unknown";

/// The last turn, and what the checks found in it.
pub fn metrics(status: &Status, findings: &[Finding]) -> String {
    // A check may find several things: the worst is its series.
    let mut checks: BTreeMap<&str, u8> = BTreeMap::new();
    for (id, value) in findings.iter().filter_map(check) {
        let worst = checks.entry(id).or_default();
        *worst = (*worst).max(value);
    }
    // Several pods of one driver are one series: all of them have to hold.
    let mut drivers: BTreeMap<&str, u8> = BTreeMap::new();
    for contract in &status.contracts {
        let holds = drivers.entry(contract.driver.as_deref().unwrap_or(NAMELESS)).or_insert(1);
        *holds = (*holds).min(u8::from(contract.holds));
    }
    let turns = &status.turns;
    let results = [("ready", turns.ready), ("not-ready", turns.not_ready), ("failed", turns.failed)];

    let mut text = Text::default();
    text.gauge(
        "ready",
        "Whether the host is ready for CSI storage.",
        &u8::from(status.result == TurnResult::Ready),
    );
    text.gauge(
        "result_since_timestamp_seconds",
        "Since when turns end as the last one did, for the same reasons.",
        &status.since,
    );
    let help = "Checks: 0 passes, 1 warns, 2 fails; skipped ones are left out.";
    text.family("check_status", "gauge", help, checks.iter().map(|(id, value)| (label("id", id), value)));
    let help = "Whether what the driver's plugin mounts reaches the kubelet.";
    let holds = drivers.iter().map(|(driver, holds)| (label("driver", driver), holds));
    text.family("contract_holds", "gauge", help, holds);
    text.gauge("refused", "Changes that the last turn refused to make.", &status.refused.len());
    let help = "Turns since the host started, by how they ended.";
    let results = results.iter().map(|(result, count)| (label("result", result), count));
    text.family("turns_total", "counter", help, results);
    let took = [(String::new(), seconds(turns.took_ms))];
    text.family("turns_duration_seconds_total", "counter", "What all these turns took.", took);
    text.gauge("last_turn_duration_seconds", "What the last turn took.", &seconds(status.took_ms));
    text.gauge("last_turn_timestamp_seconds", "When the last turn ended.", &status.at);
    let version = [(label("version", env!("CARGO_PKG_VERSION")), 1)];
    text.family("build_info", "gauge", "The version of csihost, as a label.", version);
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// One sample without labels.
    fn gauge(&mut self, name: &str, help: &str, value: &dyn Display) {
        self.family(name, "gauge", help, [(String::new(), value)]);
    }

    /// All samples of one name, each with its labels; nothing where there are none.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let mut head = format!("# HELP csihost_{name} {help}\n# TYPE csihost_{name} {kind}\n");
        for (labels, value) in samples {
            self.0.push_str(&std::mem::take(&mut head));
            // Writing into a string does not fail.
            let _ = writeln!(self.0, "csihost_{name}{labels} {value}");
        }
    }
}

fn check(finding: &Finding) -> Option<(&str, u8)> {
    let value = match finding.status {
        CheckStatus::Skip => return None,
        CheckStatus::Pass => 0,
        CheckStatus::Warn => 1,
        CheckStatus::Fail => 2,
    };
    Some((&finding.id, value))
}

fn label(name: &str, value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    format!("{{{name}=\"{escaped}\"}}")
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::status::{ContractStatus, Turns};

    fn status() -> Status {
        let contract = |driver: Option<&str>, holds| ContractStatus {
            driver: driver.map(str::to_owned),
            pod: None,
            pid: 7,
            holds,
            remedy: None,
        };
        Status {
            schema: 1,
            at: 1_764_000_000,
            since: 1_763_999_000,
            took_ms: 12,
            turns: Turns { ready: 5, not_ready: 1, failed: 0, took_ms: 1234 },
            result: TurnResult::NotReady,
            verdict: String::new(),
            root_dir: None,
            steps: Vec::new(),
            refused: Vec::new(),
            later: Vec::new(),
            failing: Vec::new(),
            last_failure: None,
            contracts: vec![
                contract(Some("driver.longhorn.io"), true),
                contract(Some("driver.longhorn.io"), false),
                contract(Some("odd\"\\name"), true),
                contract(None, true),
            ],
        }
    }

    #[test]
    fn a_turn_is_told_in_prometheus_words() {
        let findings = [
            Finding::new("iscsid", CheckStatus::Pass, ""),
            Finding::new("multipathd", CheckStatus::Warn, ""),
            Finding::new("path-contract", CheckStatus::Fail, ""),
            Finding::new("bridge", CheckStatus::Skip, ""),
            Finding::new("path-contract", CheckStatus::Pass, ""),
        ];
        let text = metrics(&status(), &findings);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "csihost_ready 0",
                "csihost_result_since_timestamp_seconds 1763999000",
                "csihost_check_status{id=\"iscsid\"} 0",
                "csihost_check_status{id=\"multipathd\"} 1",
                "csihost_check_status{id=\"path-contract\"} 2",
                "csihost_contract_holds{driver=\"driver.longhorn.io\"} 0",
                "csihost_contract_holds{driver=\"odd\\\"\\\\name\"} 1",
                "csihost_contract_holds{driver=\"unknown\"} 1",
                "csihost_refused 0",
                "csihost_turns_total{result=\"ready\"} 5",
                "csihost_turns_total{result=\"not-ready\"} 1",
                "csihost_turns_total{result=\"failed\"} 0",
                "csihost_turns_duration_seconds_total 1.234",
                "csihost_last_turn_duration_seconds 0.012",
                "csihost_last_turn_timestamp_seconds 1764000000",
                concat!("csihost_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            ]
        );
        // Every family has its words, and none is empty.
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, text.lines().filter(|line| line.starts_with("# HELP")).count());
    }

    #[test]
    fn a_family_without_samples_is_left_out() {
        let text = metrics(&Status { contracts: Vec::new(), ..status() }, &[]);
        assert!(!text.contains("contract_holds") && !text.contains("check_status"), "{text}");
    }
}
