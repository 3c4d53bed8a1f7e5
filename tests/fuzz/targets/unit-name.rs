#![no_main]
//! Unit names: a path goes into one and comes out again.

use csihost::model::path::HostPath;
use csihost::model::unit::UnitName;
use csihost::mounts::unit_name::{mount_point, mount_unit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(unit) = UnitName::parse(text)
    {
        let _ = mount_point(&unit);
    }
    if let Ok(path) = HostPath::parse(bytes)
        && let Ok(unit) = mount_unit(&path)
    {
        assert_eq!(mount_point(&unit), Some(path));
    }
});
