#![no_main]
//! Reports of nodes: what can be read is compared, and a node twice shares all that it has.

use csihost::checks::compare::{Level, Report, compare};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Report::parse("a.json", bytes) {
        Ok(report) => {
            let twice = compare(&[report.clone(), report]);
            let only = ["initiator-name", "machine-id", "hostname"];
            assert!(twice.findings.iter().all(|f| f.status == Level::Fail && only.contains(&f.id.as_str())));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
});
