//! Pure: which profile is for this host.

use super::{InitKind, Match, OsRelease, Profile};
use crate::model::path::HostPath;
use std::cmp::Ordering;

/// The profile of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The profile.
    pub profile: Profile,
    /// Whether it was made for this system, or is only the nearest.
    pub exact: bool,
}

/// What else than os-release tells systems apart.
#[derive(Clone, Copy)]
pub struct Traits<'a> {
    /// The word in /run/console-done: the console of RancherOS.
    pub console: Option<&'a str>,
    /// Whether systemd is PID 1, or would be.
    pub systemd: bool,
    /// Whether a program is there.
    pub programs: &'a dyn Fn(&HostPath) -> bool,
}

/// Picks the profile for `release`: one that names its `ID` before one that names a word of
/// `ID_LIKE`, and among those the most particular; then a fallback, the most particular first and
/// else by name. `None` where not even a general one is there.
pub fn choose(profiles: &[Profile], release: &OsRelease, traits: &Traits) -> Option<Chosen> {
    let like = release.get("ID_LIKE").unwrap_or_default();
    let words = std::iter::once(release.id()).chain(like.split_ascii_whitespace());
    for (index, word) in words.enumerate() {
        let best = profiles
            .iter()
            .flat_map(|profile| profile.matches.iter().map(move |rule| (profile, rule)))
            .filter(|(_, rule)| fits(rule, word, index == 0, release, traits))
            // Of equals the first by name, as with fallbacks.
            .rev()
            .max_by_key(|(_, rule)| particular(rule));
        if let Some((profile, _)) = best {
            return Some(Chosen { profile: profile.clone(), exact: index == 0 });
        }
    }
    let stands_in = |profile: &&Profile| {
        profile.fallback.as_ref().is_some_and(|fallback| {
            let init = fallback.init.is_none_or(|init| (init == InitKind::Systemd) == traits.systemd);
            init && any(&fallback.programs, traits)
        })
    };
    let general = profiles.iter().filter(stands_in).rev().max_by_key(|profile| {
        let fallback = profile.fallback.as_ref();
        fallback.map(|fallback| (!fallback.programs.is_empty(), fallback.init.is_some()))
    })?;
    Some(Chosen { profile: general.clone(), exact: false })
}

fn any(programs: &[HostPath], traits: &Traits) -> bool {
    programs.is_empty() || programs.iter().any(traits.programs)
}

fn fits(rule: &Match, word: &str, own_id: bool, release: &OsRelease, traits: &Traits) -> bool {
    let version = release.get("VERSION_ID");
    // The version of a derivative says nothing of the system that it is like.
    let version_fits = !own_id || {
        let from = |limit: &String| version.is_none_or(|v| compare(v, limit) != Ordering::Less);
        let below = |limit: &String| version.is_some_and(|v| compare(v, limit) == Ordering::Less);
        rule.version_from.as_ref().is_none_or(from) && rule.version_below.as_ref().is_none_or(below)
    };
    let newest = own_id || rule.version_below.is_none();
    let variant = rule
        .variant
        .as_deref()
        .is_none_or(|variant| ["VARIANT_ID", "VARIANT"].iter().any(|key| release.get(key) == Some(variant)));
    let console = rule.console.as_deref().is_none_or(|console| traits.console == Some(console));
    rule.id == word && variant && version_fits && newest && console && any(&rule.programs, traits)
}

/// How much a rule asks for. What says which system it is comes before its version.
fn particular(rule: &Match) -> (bool, bool, bool, bool) {
    (
        rule.console.is_some(),
        rule.variant.is_some(),
        !rule.programs.is_empty(),
        rule.version_from.is_some() || rule.version_below.is_some(),
    )
}

/// Compares versions number by number: `9` is older than `10.1`, `v1.4.2` is `1.4.2`.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let numbers = |version: &str| -> Vec<u64> {
        let parts = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or(u64::MAX)).collect()
    };
    numbers(a).cmp(&numbers(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::BUILTIN;

    fn chosen(release: &str) -> (String, bool) {
        let profiles: Vec<_> =
            BUILTIN.iter().map(|(name, text)| Profile::parse(name, name, text).unwrap()).collect();
        let traits = Traits { console: None, systemd: true, programs: &|_| false };
        let chosen = choose(&profiles, &OsRelease::parse(release.as_bytes()), &traits).unwrap();
        (chosen.profile.name, chosen.exact)
    }

    #[test]
    fn each_system_gets_its_profile_and_a_stranger_the_nearest() {
        for (release, name, exact) in [
            ("ID=debian\nVERSION_ID=\"12\"\n", "debian", true),
            ("ID=debian\nVERSION_ID=11\n", "debian-11", true),
            // sid has no version and is the newest.
            ("ID=debian\n", "debian", true),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"18.04\"\n", "ubuntu", true),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"9\"\n", "ubuntu", false),
            ("ID=raspbian\nID_LIKE=debian\nVERSION_ID=\"11\"\n", "debian", false),
            ("ID=plan9\n", "generic", false),
            ("", "generic", false),
        ] {
            assert_eq!(chosen(release), (name.to_owned(), exact), "{release}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(compare("9", "10"), Ordering::Less);
        assert_eq!(compare("v1.4.2", "1.4.2"), Ordering::Equal);
        assert_eq!(compare("15.3", "15"), Ordering::Greater);
    }
}
