#![no_main]
//! os-profiles.

use csihost::profile::Profile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = Profile::parse("fuzz", "fuzz.toml", text);
});
