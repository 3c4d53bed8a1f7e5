//! iSCSI: whether multipathd takes the disks that Longhorn brings.
//!
//! Longhorn's disks say vendor IET, product VIRTUAL-DISK (tgt's). multipathd claims each new disk
//! that its rules let it have, and the volume is then busy when the kubelet wants to format it.
//! A list of device names (`devnode "^sd"`), as often advised, takes real storage networks from
//! multipathd too: only the devices themselves may be listed.

pub mod conf;
pub mod ere;
pub mod rules;

use crate::model::facts::Facts;
use crate::model::file::{DirFact, FileFact};
use crate::model::path::HostPath;
use rules::{Configuration, FindMultipaths, Verdict};

/// The service of multipathd on every distribution.
pub const SERVICE: &str = "multipathd.service";
/// Its configuration (multipath.conf(5)).
pub const CONF: &str = "/etc/multipath.conf";
/// A directory of more of it, in the order of names, `*.conf` alone.
pub const DIRECTORY: &str = "/etc/multipath/conf.d";
/// What csihost adds.
pub const DROP_IN: &str = "/etc/multipath/conf.d/csihost.conf";

/// A file of more bytes is not judged: each of its expressions is matched with all that a disk can be called.
const LARGEST: usize = 32 << 10;

/// The narrowest section that leaves Longhorn's disks alone.
pub const SECTION: &str = "\
# Disks that Longhorn brings over iSCSI are single paths, and not multipathd's to take.
blacklist {
    device {
        vendor \"IET\"
        product \"VIRTUAL-DISK\"
    }
}
";

/// The configuration, as far as it was read of the host with these facts.
pub fn configuration(facts: &Facts) -> Configuration {
    let mut configuration = Configuration::default();
    let main = HostPath::from(CONF);
    add(&mut configuration, facts, &main);
    let directory = HostPath::from(DIRECTORY);
    match facts.dirs.get(&directory) {
        Some(DirFact::Absent { .. }) => {}
        Some(DirFact::Directory { entries, .. }) => {
            // The order of alphasort(3) in the C locale.
            let mut files = facts.conf_files(&directory);
            files.sort();
            for file in files {
                add(&mut configuration, facts, &file);
            }
            if entries.len() >= DirFact::ENTRIES {
                configuration.add_unread(&directory, "too many files to read them all");
            }
        }
        Some(DirFact::Other(why)) => configuration.add_unread(&directory, why.clone()),
        None => configuration.add_unread(&directory, "not read"),
    }
    configuration
}

fn add(configuration: &mut Configuration, facts: &Facts, path: &HostPath) {
    match facts.files.get(path) {
        // A directory is opened as a file, and has no lines.
        Some(FileFact::Absent | FileFact::Masked | FileFact::Directory) => {}
        Some(FileFact::File(file)) if file.bytes.len() > LARGEST => {
            configuration.add_unread(path, format!("larger than {LARGEST} bytes"));
        }
        Some(FileFact::File(file)) => configuration.add(path, &file.bytes),
        Some(FileFact::Special) => configuration.add_unread(path, "not a regular file"),
        Some(FileFact::Unreadable(why)) => configuration.add_unread(path, why.clone()),
        None => configuration.add_unread(path, "not read"),
    }
}

/// What the host's configuration says of Longhorn's disks, whether or not multipathd runs.
pub fn verdict(facts: &Facts) -> Verdict {
    configuration(facts).verdict()
}

/// What the verdict would be with csihost's drop-in.
pub fn verdict_with_drop_in(facts: &Facts) -> Verdict {
    let mut configuration = configuration(facts);
    configuration.add(&HostPath::from(DROP_IN), SECTION.as_bytes());
    configuration.verdict()
}

/// The effective value of `find_multipaths` on the host with these facts, which have to hold
/// [`CONF`], [`DIRECTORY`] and the files in it.
pub fn find_multipaths(facts: &Facts) -> FindMultipaths {
    configuration(facts).find_multipaths()
}

#[cfg(test)]
mod tests;
