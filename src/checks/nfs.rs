//! Pure: whether volumes that many pods write to can be mounted: Longhorn serves them over
//! NFS 4.1 or 4.2 (longhorn.io, deploy/install, "Installing NFSv4 client").

use crate::model::asked::Interests;
use crate::model::bytes::shown;
use crate::model::facts::{Facts, Machine, Module};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::settings::Settings;

/// Options of all NFS mounts (nfsmount.conf(5)).
const CONF: &str = "/etc/nfsmount.conf";
/// More of them, since nfs-utils 2.5: `*.conf` alone.
const DIRECTORY: &str = "/etc/nfsmount.conf.d";
/// The module of version 4.
const MODULE: &str = "nfsv4";

pub(super) fn interests(machine: &Machine, interests: &mut Interests) {
    interests.files.push(HostPath::from(CONF));
    interests.dirs.push(HostPath::from(DIRECTORY));
    interests.modules.push(MODULE.to_owned());
    interests.files.extend(machine.kernel.iter().flat_map(|release| kernel_configs(release)));
}

pub(super) fn late(facts: &Facts) -> Interests {
    Interests { files: facts.conf_files(&HostPath::from(DIRECTORY)), ..Interests::default() }
}

/// How a kernel was built: Debian's place, Fedora's and SUSE's.
fn kernel_configs(release: &str) -> [HostPath; 2] {
    [
        HostPath::from("/boot").join(format!("config-{release}")),
        HostPath::from("/lib/modules").join(release).join("config"),
    ]
}

pub(super) fn check(facts: &Facts, settings: &Settings, missing: &str) -> Option<Finding> {
    const ID: &str = "nfs-version";
    if !settings.features.rwx {
        return None;
    }
    let found = |status, summary: String| Finding::new(ID, status, summary);
    let why = "Longhorn serves volumes that many pods write to over NFS 4.1 or 4.2";
    if facts.module(MODULE) == Module::Missing {
        let summary = "the running kernel has no NFS 4".to_owned();
        return Some(found(CheckStatus::Fail, summary).detail(why).remedy(missing));
    }
    if let Some(option) = not_built(facts) {
        let summary = format!("the running kernel was built without {option}");
        return Some(found(CheckStatus::Warn, summary).detail(why).remedy("boot a kernel that has it"));
    }
    if let Some((path, key, value)) = old_default(facts) {
        let summary = format!("{path} makes {} {} the version of all mounts", shown(&key), shown(&value));
        let remedy = format!(
            "set Defaultvers=4 in {path}, or name the version in the StorageClass (nfsOptions: vers=4.1)"
        );
        return Some(found(CheckStatus::Warn, summary).detail(why).remedy(remedy));
    }
    Some(match facts.module(MODULE) {
        Module::Unknown => found(CheckStatus::Skip, "which kernel will run is not known offline".to_owned()),
        _ => found(CheckStatus::Pass, "NFS 4 is there, and no older one is the default".to_owned()),
    })
}

/// An option that Longhorn asks for and the running kernel was built without.
fn not_built(facts: &Facts) -> Option<&'static str> {
    const OPTIONS: [(&str, &[u8]); 2] = [
        ("CONFIG_NFS_V4_1", b"# CONFIG_NFS_V4_1 is not set"),
        ("CONFIG_NFS_V4_2", b"# CONFIG_NFS_V4_2 is not set"),
    ];
    let release = facts.machine.kernel.as_deref()?;
    kernel_configs(release).iter().find_map(|path| {
        let bytes = facts.file(path).bytes()?;
        let lines = || bytes.split(|&b| b == b'\n');
        OPTIONS.iter().find_map(|(option, unset)| lines().any(|line| line == *unset).then_some(*option))
    })
}

/// The file, the key and the value that make a version before 4 the one of all mounts.
fn old_default(facts: &Facts) -> Option<(HostPath, Vec<u8>, Vec<u8>)> {
    let ours =
        |path: &HostPath| *path == HostPath::from(CONF) || path.parent() == Some(HostPath::from(DIRECTORY));
    let mut files = facts.files.iter().filter(|(path, _)| ours(path));
    files.find_map(|(path, file)| {
        let (key, value) = version_of_all(file.bytes()?)?;
        let old = matches!(value.first(), Some(b'2' | b'3'));
        old.then(|| (path.clone(), key, value))
    })
}

/// The last version that a file sets for all mounts. Names of sections and keys are compared
/// without regard to case (nfs-utils, support/nfs/conffile.c).
fn version_of_all(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut all = false;
    let mut found = None;
    for line in bytes.split(|&b| b == b'\n').map(<[u8]>::trim_ascii) {
        if let Some(section) = line.strip_prefix(b"[") {
            let name = section.split(|&b| b == b']').next().unwrap_or_default().trim_ascii();
            all = name.eq_ignore_ascii_case(b"NFSMount_Global_Options");
            continue;
        }
        let comment = matches!(line.first(), None | Some(b'#' | b';'));
        let Some(at) = line.iter().position(|&b| b == b'=').filter(|_| all && !comment) else { continue };
        let (key, value) = line.split_at(at);
        let key = key.trim_ascii();
        let names: [&[u8]; 3] = [b"Defaultvers", b"Nfsvers", b"Vers"];
        if names.iter().any(|name| key.eq_ignore_ascii_case(name)) {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            found = Some((key.to_vec(), value.to_vec()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_all_mounts_is_read_as_mount_nfs_reads_it() {
        let value = |text: &str| version_of_all(text.as_bytes()).map(|(_, value)| shown(&value));
        for (text, expected) in [
            ("", None),
            ("Defaultvers=3\n", None),
            ("[ NFSMount_Global_Options ]\n# Defaultvers=3\n", None),
            ("[ NFSMount_Global_Options ]\nDefaultvers=3\n", Some("3")),
            ("[nfsmount_global_options]\n  nfsvers = 3 \n", Some("3")),
            ("[ NFSMount_Global_Options ]\nVers=3\nDefaultvers=4.2\n", Some("4.2")),
            ("[ Server \"old\" ]\nNfsvers=3\n", None),
            ("[ NFSMount_Global_Options ]\nSoft=True\n[ MountPoint \"/x\" ]\nVers=3\n", None),
        ] {
            assert_eq!(value(text).as_deref(), expected, "{text:?}");
        }
    }
}
