#![no_main]
//! Unit files: assignments, services, and what of them goes into a scene.

use csihost::model::path::HostPath;
use csihost::model::service::Service;
use csihost::model::unit::UnitName;
use csihost::model::unit_file::assignments;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = assignments(bytes);
    let path = HostPath::from("/etc/systemd/system/k3s.service");
    let _ = Service::read(UnitName::from("k3s.service"), [(path.clone(), bytes)]);
    let shown = csihost::scene::presentable(&path, bytes);
    let lines = |text: &[u8]| text.iter().filter(|&&b| b == b'\n').count();
    assert_eq!(lines(&shown), lines(bytes));
});
