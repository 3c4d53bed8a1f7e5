#![no_main]
//! multipath.conf: whatever is in it, each statement lies on a line that is there, and a file that
//! has nothing but csihost's section leaves Longhorn's disks alone.

use csihost::iscsi::multipath::ere::Ere;
use csihost::iscsi::multipath::rules::{Configuration, Verdict};
use csihost::iscsi::multipath::{CONF, SECTION, conf};
use csihost::model::path::HostPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.iter().filter(|&&b| b == b'\n').count() + 1;
    for statement in conf::statements(bytes) {
        assert!((1..=lines).contains(&statement.line));
    }
    if let Ok(ere) = Ere::parse(bytes) {
        let _ = ere.is_match(b"360000000000000000e00000000010001");
    }
    let mut read = Configuration::default();
    read.add(&HostPath::from(CONF), bytes);
    let (_, _) = (read.verdict(), read.find_multipaths());
    let mut ours = Configuration::default();
    ours.add(&HostPath::from(CONF), SECTION.as_bytes());
    assert!(matches!(ours.verdict(), Verdict::LeftAlone(_)));
});
