//! Pure: programs that a feature calls, and the packages that have them here.

use crate::model::facts::{Facts, Mode};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::profile::Packages;
use crate::settings::{Policy, Settings};

/// What mounts a volume that many pods write to.
pub(super) const NFS: &str = "mount.nfs";
/// What opens an encrypted volume.
pub(super) const CRYPTSETUP: &str = "cryptsetup";
/// What Longhorn's FlexVolume driver calls, a shell script (longhorn-manager, deploy/).
pub(super) const FLEXVOLUME: [&str; 5] = ["curl", "findmnt", "grep", "awk", "blkid"];

/// Directories in which a distribution has programs.
const DIRECTORIES: [&str; 5] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin"];

/// Where a program may be.
pub(super) fn places(program: &str) -> impl Iterator<Item = HostPath> {
    DIRECTORIES.into_iter().map(move |directory| HostPath::from(directory).join(program))
}

fn is_there(facts: &Facts, program: &str) -> bool {
    places(program).any(|place| facts.programs.contains(&place))
}

/// Whether nobody is to be told about packages that are missing.
pub(super) fn ignored(settings: &Settings, packages: &Packages) -> bool {
    match settings.packages {
        Some(policy) => policy == Policy::Ignore,
        None => packages.policy == Policy::Ignore,
    }
}

pub(super) fn check(facts: &Facts, settings: &Settings, packages: &Packages) -> Vec<Finding> {
    let mut findings = Vec::new();
    if ignored(settings, packages) {
        return findings;
    }
    let features = &settings.features;
    if features.rwx {
        let why =
            "volumes that many pods write to are mounted over NFS; their pods stay in ContainerCreating";
        findings.push(one(facts, settings, packages, ("nfs-client", NFS, &packages.nfs), why));
    }
    if features.encryption {
        let why = "encrypted volumes cannot be opened";
        findings.push(one(facts, settings, packages, ("cryptsetup", CRYPTSETUP, &packages.cryptsetup), why));
    }
    if features.flexvolume {
        findings.push(flexvolume(facts, packages));
    }
    findings
}

/// What is to be done about packages that are missing: by csihost itself, where the policy says so.
pub(super) fn remedy(facts: &Facts, settings: &Settings, packages: &Packages, names: &[String]) -> String {
    if !names.is_empty() && names.iter().all(|name| facts.at_reboot.contains(name)) {
        return format!("reboot this node: {} is installed, and there after that", names.join(" "));
    }
    let installs = settings.packages.unwrap_or(packages.policy) == Policy::Install;
    match packages.manager.install_command(names) {
        Some(_) if installs && facts.mode == Mode::Live => {
            format!("run csihost apply: it installs {}", names.join(" "))
        }
        _ => packages.remedy(names),
    }
}

fn one(
    facts: &Facts,
    settings: &Settings,
    packages: &Packages,
    (id, program, from): (&str, &str, &[String]),
    why: &str,
) -> Finding {
    if is_there(facts, program) {
        return Finding::new(id, CheckStatus::Pass, format!("{program} is there"));
    }
    Finding::new(id, CheckStatus::Fail, format!("{program} is not there"))
        .detail(why)
        .remedy(remedy(facts, settings, packages, from))
}

fn flexvolume(facts: &Facts, packages: &Packages) -> Finding {
    const ID: &str = "flexvolume-tools";
    let missing: Vec<&str> = FLEXVOLUME.into_iter().filter(|program| !is_there(facts, program)).collect();
    if missing.is_empty() {
        return Finding::new(ID, CheckStatus::Pass, format!("{} are there", FLEXVOLUME.join(", ")));
    }
    let mut names: Vec<String> = missing.iter().flat_map(|program| packages.with_program(program)).collect();
    names.dedup();
    names.sort();
    names.dedup();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    Finding::new(ID, CheckStatus::Fail, format!("{} {verb} not there", missing.join(", ")))
        .detail("FlexVolume drivers are scripts that call them; attaching and mounting fail")
        .remedy(packages.remedy(&names))
}
