//! Check: programs, services and files of the host that the drivers of this node need.
//!
//! Input: the needs as `profile::demand` found them. Kernel modules, huge pages, the processor and iSCSI have checks of
//! their own.

use super::contract::few;
use super::programs;
use crate::iscsi::multipath::rules::FindMultipaths;
use crate::iscsi::multipath::{self, CONF, DIRECTORY};
use crate::model::asked::Interests;
use crate::model::demand::{Demand, DriverNeeds, IscsiDemand, ProtocolNeeds, Unprepared};
use crate::model::facts::{Facts, Init, Mode};
use crate::model::file::FileFact;
use crate::model::finding::{CheckStatus, Finding};
use crate::model::install::program_paths;
use crate::model::path::HostPath;
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName};
use crate::profile::Packages;
use crate::settings::Settings;

const ID: &str = "driver-needs";
const SERVICE: &str = ".service";

/// What the check has to know.
pub(super) fn interests(demand: &Demand) -> Interests {
    let mut interests = Interests::default();
    if matches!(demand.iscsi, IscsiDemand::ByDefault) {
        interests.modules.extend(demand.loadable().into_iter().map(str::to_owned));
        return interests;
    }
    let unprepared = demand.unprepared.iter().flat_map(|one| &one.protocols);
    for needs in demand.drivers.iter().map(|one| &one.needs).chain(unprepared) {
        let programs = needs.programs.iter().chain(&needs.recommended);
        interests.programs.extend(programs.flat_map(|program| program_paths(program)));
        interests.files.extend(needs.files.iter().cloned());
        interests.modules.extend(needs.loadable.iter().cloned());
        if needs.find_multipaths.is_some() {
            interests.files.push(HostPath::from(CONF));
            interests.dirs.push(HostPath::from(DIRECTORY));
        }
    }
    interests
}

/// What has to be known once directories are.
pub(super) fn late(facts: &Facts) -> Interests {
    let mut interests = Interests::default();
    if facts.demand.drivers.iter().any(|one| one.needs.find_multipaths.is_some()) {
        interests.files.extend(facts.conf_files(&HostPath::from(DIRECTORY)));
    }
    interests
}

/// The units whose state the check has to know.
pub(super) fn units(demand: &Demand) -> Vec<UnitName> {
    let services = demand.drivers.iter().flat_map(|one| &one.needs.services);
    services.filter_map(|name| UnitName::parse(name).ok()).collect()
}

/// One thing that the host lacks.
struct Lack {
    what: String,
    remedy: String,
    /// False for what the documentation of the driver asks for and no volume needs.
    needed: bool,
}

/// No finding on a node without a driver that needs something of this kind.
pub(super) fn check(facts: &Facts, settings: &Settings, packages: &Packages) -> Option<Finding> {
    let demand = &facts.demand;
    if matches!(demand.iscsi, IscsiDemand::ByDefault)
        || demand.drivers.is_empty() && demand.unprepared.is_empty()
    {
        return None;
    }
    let lacking: Vec<(&DriverNeeds, Vec<Lack>)> = demand
        .drivers
        .iter()
        .map(|one| (one, lacks(facts, settings, packages, &one.needs)))
        .filter(|(_, lacks)| !lacks.is_empty())
        .collect();
    if lacking.is_empty() && demand.unprepared.is_empty() {
        let all = few(demand.drivers.iter().map(named));
        let unknown = match demand.unknown.as_slice() {
            [] => String::new(),
            names => format!("; no driver profile is for {}", few(names.iter().cloned())),
        };
        return Some(Finding::new(
            ID,
            CheckStatus::Pass,
            format!("the host has what these need: {all}{unknown}"),
        ));
    }
    let fails = |(one, lacks): &(&DriverNeeds, Vec<Lack>)| {
        one.certain && one.present && lacks.iter().any(|lack| lack.needed)
    };
    let certain = lacking.iter().any(fails) || !demand.unprepared.is_empty();
    let status = if certain { CheckStatus::Fail } else { CheckStatus::Warn };
    let whats = |lacks: &[Lack]| lacks.iter().map(|lack| lack.what.clone()).collect::<Vec<_>>().join(", ");
    let lacks = lacking.iter().map(|(one, lacks)| format!("{}: {}", named(one), whats(lacks)));
    let unprepared =
        demand.unprepared.iter().map(|one| format!("{}: the host has none of its protocols", one.driver));
    let notes = lacking.iter().filter_map(|(one, _)| one.needs.note.clone());
    let remedies = lacking.iter().flat_map(|(_, lacks)| lacks.iter().map(|lack| lack.remedy.clone()));
    let remedies = remedies.chain(notes).chain(demand.unprepared.iter().map(prepare));
    let mut said: Vec<String> = Vec::new();
    for remedy in remedies {
        if !said.contains(&remedy) {
            said.push(remedy);
        }
    }
    Some(
        Finding::new(ID, status, few(lacks.chain(unprepared)))
            .detail(match certain {
                true => "volumes of these drivers cannot be attached or mounted on this node",
                false => "volumes of these drivers may not be attached or mounted on this node",
            })
            .remedy(said.join("; ")),
    )
}

fn named(one: &DriverNeeds) -> String {
    let remembered = if one.present { "" } else { ", not registered now" };
    format!("{} ({}{remembered})", one.driver, one.needs.name)
}

/// What the host lacks of the needs of one protocol.
fn lacks(facts: &Facts, settings: &Settings, packages: &Packages, needs: &ProtocolNeeds) -> Vec<Lack> {
    let stopped: Vec<Lack> =
        needs.services.iter().filter_map(|service| stopped(facts, packages, service)).collect();
    let mut lacks = Vec::new();
    if !programs::ignored(settings, packages) {
        let there = |program: &str| program_paths(program).iter().any(|path| facts.programs.contains(path));
        // A tree of files may be a capture, which has no programs but those that were asked for.
        let recommended: &[String] = if facts.mode == Mode::Live { &needs.recommended } else { &[] };
        let all = needs.programs.iter().map(|program| (program, true));
        let all = all.chain(recommended.iter().map(|program| (program, false)));
        for (program, needed) in all.filter(|(program, _)| !there(program)) {
            let names = packages.with_program(program);
            let remedy = programs::remedy(facts, settings, packages, &names);
            // It comes with the package of a service that is not there either.
            if !names.is_empty()
                && stopped.iter().any(|lack| lack.remedy.starts_with(&format!("{remedy}, then ")))
            {
                continue;
            }
            lacks.push(Lack { what: format!("{program} is not installed"), remedy, needed });
        }
    }
    lacks.extend(stopped);
    lacks.extend(needs.find_multipaths.as_deref().and_then(|wanted| find_multipaths(facts, wanted)));
    for path in &needs.files {
        if matches!(facts.file(path), FileFact::Absent) {
            let what = format!("{path} does not exist");
            let remedy = format!("make {path} as the documentation of the driver says");
            lacks.push(Lack { what, remedy, needed: true });
        }
    }
    lacks
}

/// A service that does not run, or will not after the next boot.
fn stopped(facts: &Facts, packages: &Packages, service: &str) -> Option<Lack> {
    if !facts.has_units() {
        return None;
    }
    let unit = UnitName::parse(service).ok()?;
    let state = facts.units.get(&unit);
    let enable = match facts.mode {
        Mode::Live => format!("systemctl enable --now {unit}"),
        Mode::Offline => format!("systemctl enable {unit}"),
    };
    let runs = facts.init == Init::Offline || state.active == ActiveState::Active;
    let lasts = matches!(state.file, FileState::Enabled | FileState::Static);
    let lack = |what: String, remedy: String| Some(Lack { what, remedy, needed: true });
    match state.load {
        LoadState::NotFound => {
            let program = service.strip_suffix(SERVICE).unwrap_or(service);
            let install = packages.remedy(&packages.with_program(program));
            lack(format!("{unit} is not installed"), format!("{install}, then run {enable}"))
        }
        LoadState::Masked => {
            lack(format!("{unit} is masked"), format!("run systemctl unmask {unit} and {enable}"))
        }
        _ if !runs => lack(format!("{unit} does not run"), format!("run {enable}")),
        _ if !lasts => lack(format!("{unit} is not enabled"), format!("run {enable}")),
        _ => None,
    }
}

/// Another value of find_multipaths than the driver asks for; where multipathd is not installed yet, before it takes a disk.
fn find_multipaths(facts: &Facts, wanted: &str) -> Option<Lack> {
    let is = match multipath::find_multipaths(facts) {
        FindMultipaths::Set(mode, _) if mode.name() == wanted => return None,
        FindMultipaths::Set(mode, place) => format!("find_multipaths is {} ({place})", mode.name()),
        FindMultipaths::Unset => "find_multipaths is not set".to_owned(),
        FindMultipaths::Unknown(doubt) => format!("find_multipaths is not known ({doubt})"),
    };
    Some(Lack {
        what: format!("{is}, and {wanted} is wanted"),
        remedy: format!(
            "run mkdir -p {DIRECTORY} && printf 'defaults {{\\n    find_multipaths {wanted}\\n}}\\n' >{DIRECTORY}/zz-csi.conf && \
             systemctl try-reload-or-restart {}",
            multipath::SERVICE
        ),
        needed: false,
    })
}

/// How the host is prepared for a driver with several protocols.
fn prepare(one: &Unprepared) -> String {
    let names = one.protocols.iter().map(|needs| {
        let iscsi = needs.iscsi.then_some("iSCSI").into_iter().map(str::to_owned);
        let all: Vec<String> =
            iscsi.chain(needs.programs.iter().cloned()).chain(needs.services.clone()).collect();
        format!("{} ({})", needs.name, all.join(", "))
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let first = one.protocols.first().map(|needs| needs.name.as_str()).unwrap_or_default();
    format!(
        "install what one of its protocols needs: {names}; or name it, drivers.expected = [\"{}/{first}\"] in \
         /etc/csihost/csihost.toml, and run csihost apply",
        one.driver
    )
}
