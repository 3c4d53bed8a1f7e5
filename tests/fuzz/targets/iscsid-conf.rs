#![no_main]
//! iscsid.conf: no byte is lost, a repair is undone to the byte, and needs no second one.

use csihost::iscsi::conf::Conf;
use csihost::iscsi::startup::{Known, StartupAdvice, Wanted, advise};
use csihost::model::edit::{apply, reverse};
use csihost::model::path::HostPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let conf = Conf::new(bytes);
    let whole: Vec<u8> = conf.lines().flat_map(|line| line.bytes.to_vec()).collect();
    assert_eq!(whole, bytes);
    let systemctl = HostPath::from("/bin/systemctl");
    let wanted = Wanted::Systemd { systemctl: &systemctl, unit: "iscsid.socket" };
    let known = Known {
        program_exists: &|path| path.as_bytes() == b"/bin/systemctl",
        unit_exists: &|name| name == "iscsid.socket",
        iscsid_enabled: bytes.len() % 2 == 0,
    };
    if let StartupAdvice::Repair { splices: edit, .. } = advise(&conf, wanted, &known) {
        let repaired = apply(bytes, &edit).expect("an edit of this file applies to it");
        assert_eq!(apply(&repaired, &reverse(&edit)).as_deref(), Some(bytes));
        let again = advise(&Conf::new(&repaired), wanted, &known);
        assert!(!matches!(again, StartupAdvice::Repair { .. }), "a second repair: {again:?}");
    }
    let shown = csihost::scene::presentable(&HostPath::from("/etc/iscsi/iscsid.conf"), bytes);
    let lines = |text: &[u8]| text.iter().filter(|&&b| b == b'\n').count();
    assert_eq!(lines(&shown), lines(bytes));
});
