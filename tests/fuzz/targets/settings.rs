#![no_main]
//! Settings: a wrong one names its file.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = csihost::settings::parse([("/etc/csihost/csihost.toml", bytes)]) {
        assert!(error.to_string().contains("csihost.toml"));
    }
});
