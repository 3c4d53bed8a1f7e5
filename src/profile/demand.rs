//! What the drivers of a node, and the settings, need of the host.
//!
//! In: settings, driver profiles, the drivers that are on the node and what the host has. Out: a [`Demand`], which plan and
//! checks read. `engine::observe` calls it, once for each observation.

use super::driver::{DriverProfile, DriverProfiles, Protocol};
use crate::model::asked::Interests;
use crate::model::demand::{Demand, DriverNeeds, IscsiDemand, ProtocolNeeds, Unprepared};
#[cfg(test)]
use crate::model::facts::Facts;
use crate::model::install::program_paths;
use crate::model::path::HostPath;
use crate::settings::{ConfigError, LONGHORN, Settings};
use std::collections::BTreeSet;

/// The protocol of Longhorn's second engine in its driver profile.
const V2_ENGINE: &str = "v2";

/// What is known of a node before its needs are.
pub struct OnNode<'a> {
    /// The drivers that are, or were lately, on this node.
    pub drivers: &'a BTreeSet<String>,
    /// The drivers that are on it now; `None` where that is not known.
    pub present: Option<&'a BTreeSet<String>>,
    /// True for a program that the host has.
    pub has_program: &'a dyn Fn(&HostPath) -> bool,
    /// True for a directory that the host has.
    pub has_directory: &'a dyn Fn(&HostPath) -> bool,
    /// Where iscsid may be on this distribution.
    pub iscsid: &'a [HostPath],
}

/// Checks that the protocols which settings choose are in the driver profiles.
///
/// # Errors
///
/// Names the file and line of the setting, and the protocols that there are.
pub fn check_expected(settings: &Settings, profiles: &DriverProfiles) -> Result<(), ConfigError> {
    let Some(expected) = &settings.expected_drivers else { return Ok(()) };
    let profiles = profiles.of(expected.iter().map(|one| one.driver.as_str()));
    for one in expected {
        let Some(protocol) = &one.protocol else { continue };
        let protocols = profile_of(&profiles, &one.driver).map(|profile| &profile.protocols);
        let names: Vec<&str> =
            protocols.into_iter().flatten().map(|known| known.needs.name.as_str()).collect();
        if names.contains(&protocol.as_str()) {
            continue;
        }
        let there = match names.is_empty() {
            true => "no driver profile is for this driver; csihost driver list shows them".to_owned(),
            false => format!("expected one of {}", names.join(", ")),
        };
        return Err(ConfigError {
            file: one.file.clone(),
            line: Some(one.line),
            message: format!("drivers.expected: {}/{protocol}: {there}", one.driver),
        });
    }
    Ok(())
}

/// The profile of a driver: one that has the name itself, before one that has it by a pattern.
fn profile_of<'a>(profiles: &'a [DriverProfile], driver: &str) -> Option<&'a DriverProfile> {
    let exact = |profile: &&DriverProfile| profile.drivers.iter().any(|p| p.exact() == Some(driver));
    profiles.iter().find(exact).or_else(|| profiles.iter().find(|profile| profile.is_of(driver)))
}

/// The profiles of the drivers of a node: of those that are on it, that are expected, and of Longhorn, the default.
pub fn relevant(
    settings: &Settings,
    profiles: &DriverProfiles,
    drivers: &BTreeSet<String>,
) -> Vec<DriverProfile> {
    let expected = settings.expected_drivers.iter().flatten().map(|one| one.driver.as_str());
    profiles.of(drivers.iter().map(String::as_str).chain(expected).chain([LONGHORN]))
}

/// What has to be observed for [`demand`].
pub fn interests(
    settings: &Settings,
    profiles: &[DriverProfile],
    drivers: &BTreeSet<String>,
    iscsid: &[HostPath],
) -> Interests {
    let mut interests = Interests { programs: iscsid.to_vec(), ..Interests::default() };
    if settings.expected_drivers.is_none() {
        interests.dirs.extend(profiles.iter().flat_map(|profile| profile.traces.iter().cloned()));
    }
    let expected = settings.expected_drivers.iter().flatten().map(|one| &one.driver);
    let drivers: BTreeSet<&String> = drivers.iter().chain(expected).collect();
    let is_here = |profile: &&DriverProfile| drivers.iter().any(|driver| profile.is_of(driver));
    let several = profiles.iter().filter(is_here).filter(|profile| profile.protocols.len() > 1);
    let programs =
        several.flat_map(|profile| &profile.protocols).flat_map(|protocol| &protocol.needs.programs);
    interests.programs.extend(programs.flat_map(|program| program_paths(program)));
    interests
}

/// The needs of a node.
pub fn demand(settings: &Settings, profiles: &[DriverProfile], node: &OnNode<'_>) -> Demand {
    let mut names = node.drivers.clone();
    match &settings.expected_drivers {
        Some(expected) => names.extend(expected.iter().map(|one| one.driver.clone())),
        None => names.extend(profiles.iter().filter_map(|profile| traced(profile, node))),
    }
    let default = names.is_empty() && settings.expected_drivers.is_none();
    if default || settings.features.v2_engine {
        names.insert(LONGHORN.to_owned());
    }
    let mut demand = Demand::default();
    let known = names.iter().cloned().collect();
    for name in names {
        match profile_of(profiles, &name) {
            Some(profile) => add(&mut demand, &name, profile, settings, node),
            None => demand.unknown.push(name),
        }
    }
    demand.iscsi = iscsi(settings, &demand, default, known);
    demand
}

/// The name of a driver that is about to come to this node.
fn traced(profile: &DriverProfile, node: &OnNode<'_>) -> Option<String> {
    let name = profile.drivers.iter().find_map(|pattern| pattern.exact())?;
    profile.traces.iter().any(node.has_directory).then(|| name.to_owned())
}

fn add(demand: &mut Demand, name: &str, profile: &DriverProfile, settings: &Settings, node: &OnNode<'_>) {
    let expected = settings.expected_drivers.iter().flatten().any(|one| one.driver == name);
    let present = expected || node.present.is_none_or(|present| present.contains(name));
    let mut push = |needs: &ProtocolNeeds, certain| {
        demand.drivers.push(DriverNeeds { driver: name.to_owned(), needs: needs.clone(), certain, present });
    };
    let chosen: Vec<&str> = settings
        .expected_drivers
        .iter()
        .flatten()
        .filter(|one| one.driver == name)
        .filter_map(|one| one.protocol.as_deref())
        .collect();
    let v2 = name == LONGHORN && settings.features.v2_engine;
    let asked = |protocol: &&Protocol| {
        chosen.contains(&protocol.needs.name.as_str()) || v2 && protocol.needs.name == V2_ENGINE
    };
    let requested = profile.protocols.iter().filter(asked);
    requested.for_each(|protocol| push(&protocol.needs, true));
    if !chosen.is_empty() {
        return;
    }
    let usual: Vec<&Protocol> =
        profile.protocols.iter().filter(|protocol| !protocol.only_on_request).collect();
    if let [only] = usual.as_slice() {
        return push(&only.needs, true);
    }
    // A deployment that chooses its own name often says there what it is for.
    let named = |protocol: &&&Protocol| profile.has_chosen_name(name) && name.contains(&protocol.needs.name);
    if let Some(protocol) = usual.iter().find(named) {
        return push(&protocol.needs, false);
    }
    let (mut possible, mut in_use) = (false, false);
    for protocol in &usual {
        match trace(&protocol.needs, node) {
            Some(true) => {
                in_use = true;
                push(&protocol.needs, false);
            }
            Some(false) => continue,
            None => {}
        }
        possible = true;
    }
    if possible && !in_use && usual.iter().any(|protocol| protocol.needs.iscsi) {
        demand.undecided.push(name.to_owned());
    }
    if !possible {
        let protocols = usual.iter().map(|protocol| protocol.needs.clone()).collect();
        demand.unprepared.push(Unprepared { driver: name.to_owned(), protocols });
    }
}

/// Whether the host has what a protocol is known by: iscsid, or the first of its programs. `None` for a protocol that needs
/// neither: any host has what it is known by.
fn trace(needs: &ProtocolNeeds, node: &OnNode<'_>) -> Option<bool> {
    match (needs.iscsi, needs.programs.first()) {
        (true, _) => Some(node.iscsid.iter().any(node.has_program)),
        (false, Some(program)) => Some(program_paths(program).iter().any(node.has_program)),
        (false, None) => None,
    }
}

fn iscsi(settings: &Settings, demand: &Demand, default: bool, known: Vec<String>) -> IscsiDemand {
    let users = demand.drivers.iter().filter(|driver| driver.needs.iscsi).map(|driver| driver.driver.clone());
    let users: Vec<String> = users.collect();
    match settings.iscsi {
        Some(true) => IscsiDemand::BySetting,
        Some(false) => IscsiDemand::Disabled,
        None if default => IscsiDemand::ByDefault,
        None if !users.is_empty() => IscsiDemand::ByDrivers(users),
        None if !demand.unknown.is_empty() => IscsiDemand::ByUnknown(demand.unknown.clone()),
        None if !demand.undecided.is_empty() => IscsiDemand::ByPossible(demand.undecided.clone()),
        None => IscsiDemand::NotNeeded(known),
    }
}

/// The demand of a host with these facts and `drivers`, by the driver profiles that are built in.
#[cfg(test)]
pub(crate) fn of_facts(
    settings: &Settings,
    facts: &Facts,
    iscsid: &[HostPath],
    drivers: &BTreeSet<String>,
) -> Demand {
    let profiles = super::DRIVERS.map(|(name, text)| DriverProfile::parse(name, name, text).unwrap());
    let node = OnNode {
        drivers,
        present: None,
        has_program: &|path| facts.programs.contains(path),
        has_directory: &|_| false,
        iscsid,
    };
    demand(settings, &profiles, &node)
}

#[cfg(test)]
mod tests;
