#![no_main]
//! os-profiles and os-release: a profile that is read can be used as it is, and every system gets one.

use csihost::profile::{BUILTIN, OsRelease, Profile, Traits, choose};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let read =
        |(name, text): (&str, &str)| Profile::parse(name, name, text).expect("built-in profiles are good");
    BUILTIN.into_iter().map(read).collect()
});

fuzz_target!(|text: &str| {
    if let Ok(profile) = Profile::parse("fuzz", "fuzz.toml", text) {
        assert!(!profile.matches.is_empty() || profile.fallback.is_some());
        if let Some(needs) = profile.needs() {
            assert!(!needs.iscsi.daemon.is_empty());
            assert!(needs.iscsi.systemd.as_ref().is_none_or(|systemd| !systemd.units.is_empty()));
            // No package is an option of its manager, or two words of a shell.
            for name in &needs.packages.iscsi {
                assert!(!name.starts_with('-') && !name.contains([' ', '\'', '"', '$', ';', '\n']));
            }
        }
    }
    let release = OsRelease::parse(text.as_bytes());
    let traits = Traits {
        console: text.lines().next(),
        systemd: true,
        ostree: text.len() % 2 == 0,
        programs: &|_| false,
    };
    assert!(choose(&PROFILES, &release, &traits).is_some());
});
