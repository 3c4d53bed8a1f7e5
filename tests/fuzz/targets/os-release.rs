#![no_main]
//! os-release, and the profile that it chooses.

use csihost::profile::{BUILTIN, OsRelease, Profile, choose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let release = OsRelease::parse(bytes);
    let (_, _) = (release.id().len(), release.pretty_name().len());
    let profiles: Vec<_> =
        BUILTIN.iter().filter_map(|(name, text)| Profile::parse(name, "built in", text).ok()).collect();
    assert!(choose(&profiles, &release).is_some(), "generic is for all");
});
