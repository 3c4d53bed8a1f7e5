//! Pure: the step that installs packages, where the settings or the os-profile leave that to csihost.

use crate::model::asked::Interests;
use crate::model::demand::Demand;
use crate::model::facts::{Facts, Mode};
use crate::model::file::DirFact;
use crate::model::install::{Installation, program_paths};
use crate::model::path::HostPath;
use crate::model::plan::{Action, Later, Plan, Refusal};
use crate::profile::{Needs, PackageManager};
use crate::settings::{Policy, Settings};
use std::borrow::Cow;

/// Where apt keeps what the archives say that they have (apt.conf(5), `Dir::State::Lists`).
const APT_LISTS: &str = "/var/lib/apt/lists";
/// What is there before the first `apt-get update`.
const APT_EMPTY: [&[u8]; 3] = [b"auxfiles", b"lock", b"partial"];
/// Seconds that apt waits for another one to end: unattended-upgrades runs at any time. Versions
/// before 1.9.11 do not know it, and fail at once.
const APT_LOCK: [&str; 2] = ["-o", "DPkg::Lock::Timeout=120"];

/// The check of what drivers need.
const DRIVER_NEEDS: &str = "driver-needs";

/// A program that has to be there, and the packages that bring it.
struct Program<'a> {
    /// The stable name of its check.
    id: &'static str,
    /// Where it may be.
    paths: Vec<HostPath>,
    packages: Cow<'a, [String]>,
    why: String,
}

/// The programs that stand for what the settings ask for.
fn programs<'a>(settings: &Settings, needs: &'a Needs, demand: &Demand) -> Vec<Program<'a>> {
    let (iscsi, packages, features) = (&needs.iscsi, &needs.packages, &settings.features);
    let mut all = Vec::new();
    if demand.iscsi.is_needed() {
        let why = "no volume can be attached over iSCSI without it".to_owned();
        let paths = iscsi.daemon.clone();
        all.push(Program { id: "iscsi-package", paths, packages: Cow::Borrowed(&packages.iscsi), why });
    }
    if features.rwx {
        let why = "volumes that many pods write to are mounted over NFS".to_owned();
        let paths = program_paths("mount.nfs");
        all.push(Program { id: "nfs-client", paths, packages: Cow::Borrowed(&packages.nfs), why });
    }
    if features.encryption {
        let why = "encrypted volumes are opened with it".to_owned();
        let paths = program_paths("cryptsetup");
        all.push(Program { id: "cryptsetup", paths, packages: Cow::Borrowed(&packages.cryptsetup), why });
    }
    for one in demand.drivers.iter().filter(|one| one.certain) {
        for program in &one.needs.programs {
            let paths = program_paths(program);
            if all.iter().any(|known| known.paths == paths) {
                continue;
            }
            let why = format!("{} runs {program} on the host", one.driver);
            let packages = Cow::Owned(packages.with_program(program));
            all.push(Program { id: DRIVER_NEEDS, paths, packages, why });
        }
    }
    all
}

fn policy(settings: &Settings, needs: &Needs) -> Policy {
    settings.packages.unwrap_or(needs.packages.policy)
}

pub(super) fn interests(settings: &Settings, needs: &Needs, demand: &Demand, interests: &mut Interests) {
    interests
        .programs
        .extend(programs(settings, needs, demand).into_iter().flat_map(|program| program.paths));
    if policy(settings, needs) == Policy::Install && needs.packages.manager == PackageManager::Apt {
        interests.dirs.push(HostPath::from(APT_LISTS));
    }
}

/// Adds what is missing to `plan`: as a step, as what waits, or as what a person has to do.
pub(super) fn plan(facts: &Facts, settings: &Settings, needs: &Needs, plan: &mut Plan) {
    let policy = policy(settings, needs);
    let there = |program: &Program| program.paths.iter().any(|path| facts.programs.contains(path));
    let missing: Vec<Program> =
        programs(settings, needs, &facts.demand).into_iter().filter(|program| !there(program)).collect();
    if policy == Policy::Ignore || missing.is_empty() {
        return;
    }
    let manager = needs.packages.manager;
    // Where nothing can be installed, or it is not known what, a person has to look.
    let (able, unable): (Vec<Program>, Vec<Program>) = missing.into_iter().partition(|program| {
        policy == Policy::Install && manager.install_command(&program.packages).is_some()
    });
    plan.refused.extend(unable.iter().map(|program| required(program, needs)));
    if able.is_empty() {
        return;
    }
    // A driver's package may be in no archive of this system, and one that is not found fails the whole command.
    let (of_drivers, rest): (Vec<Program>, Vec<Program>) =
        able.into_iter().partition(|program| program.id == DRIVER_NEEDS);
    for programs in [rest, of_drivers].iter().filter(|programs| !programs.is_empty()) {
        install(facts, manager, programs, plan);
    }
}

/// Has one command install the packages of `programs`.
fn install(facts: &Facts, manager: PackageManager, programs: &[Program<'_>], plan: &mut Plan) {
    let mut packages: Vec<String> = Vec::new();
    for name in programs.iter().flat_map(|program| program.packages.iter()) {
        if !packages.contains(name) {
            packages.push(name.clone());
        }
    }
    let wait = match () {
        () if facts.mode == Mode::Offline => {
            Some("nothing is installed into a tree of files: csihost apply does it on the host")
        }
        () if packages.iter().all(|name| facts.at_reboot.contains(name)) => {
            Some("installed; it is there once the node is rebooted")
        }
        () if facts.boot => {
            Some("nothing is installed while the system boots: a later csihost apply does it")
        }
        () => None,
    };
    if let Some(reason) = wait {
        plan.later.push(Later { target: packages.join(" "), reason: reason.to_owned() });
        return;
    }
    let why = programs.iter().map(|program| program.why.as_str()).collect::<Vec<_>>().join("; ");
    if let Some(install) = installation(facts, manager, packages) {
        plan.push(Action::InstallPackages(install), why, &[]);
    }
}

fn installation(facts: &Facts, manager: PackageManager, packages: Vec<String>) -> Option<Installation> {
    let mut command = manager.install_command(&packages)?;
    let mut commands = Vec::new();
    if manager == PackageManager::Apt {
        // apt knows no package before it has read the archives' lists once; to read them anew is
        // left to the system, and changes nothing that is installed.
        if !has_lists(facts) {
            commands.push(vec!["apt-get".to_owned(), "update".to_owned()]);
        }
        command.argv.splice(1..1, APT_LOCK.map(str::to_owned));
    }
    commands.push(command.argv);
    let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Some(Installation {
        packages,
        commands,
        environment: command.environment.iter().map(variable).collect(),
        at_reboot: manager.needs_reboot(),
    })
}

fn has_lists(facts: &Facts) -> bool {
    match facts.dirs.get(&HostPath::from(APT_LISTS)) {
        Some(DirFact::Directory { entries, .. }) => {
            entries.iter().any(|name| !APT_EMPTY.contains(&name.as_slice()))
        }
        _ => false,
    }
}

fn required(program: &Program, needs: &Needs) -> Refusal {
    let packages = &needs.packages;
    let names = match (program.packages.as_ref(), program.id) {
        ([], "iscsi-package") => packages.iscsi_name(),
        ([], id) => id.to_owned(),
        (names, _) => names.join(" "),
    };
    let path = program.paths.first().map(ToString::to_string).unwrap_or_default();
    Refusal {
        id: program.id,
        reason: format!("{path} is not there: {names} is not installed"),
        target: names,
        remedy: format!("{}, then csihost apply", packages.remedy(&program.packages)),
    }
}

#[cfg(test)]
#[path = "packages_tests.rs"]
mod tests;
