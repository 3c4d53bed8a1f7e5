//! iSCSI: whether multipathd takes the disks that Longhorn brings.
//!
//! Longhorn's disks say vendor IET, product VIRTUAL-DISK (tgt's). multipathd claims each new disk
//! that its rules let it have, and the volume is then busy when the kubelet wants to format it.
//! A list of device names (`devnode "^sd"`), as often advised, takes real storage networks from
//! multipathd too: only the devices themselves may be listed.

use crate::model::facts::Facts;
use crate::model::path::HostPath;
use crate::model::unit::{ActiveState, UnitName};

/// The service of multipathd on every distribution.
pub const SERVICE: &str = "multipathd.service";
/// Its configuration (multipath.conf(5)).
pub const CONF: &str = "/etc/multipath.conf";
/// A directory of more of it, in the order of names, `*.conf` alone.
pub const DIRECTORY: &str = "/etc/multipath/conf.d";
/// What csihost adds.
pub const DROP_IN: &str = "/etc/multipath/conf.d/csihost.conf";

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

/// Whether multipathd would take Longhorn's disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It does not run, and nothing has it started.
    NotRunning,
    /// Its configuration leaves them alone; which file says so.
    LeftAlone(HostPath),
    /// Nothing keeps it from them.
    Takes,
}

/// Judges the host with these facts.
pub fn claim(facts: &Facts) -> Claim {
    if facts.units.get(&UnitName::from(SERVICE)).active != ActiveState::Active {
        return Claim::NotRunning;
    }
    let files = facts.files.iter().filter(|(path, _)| is_conf(path));
    for (path, file) in files {
        if file.bytes().is_some_and(leaves_alone) {
            return Claim::LeftAlone(path.clone());
        }
    }
    Claim::Takes
}

/// Whether a path is a file that multipathd reads.
fn is_conf(path: &HostPath) -> bool {
    let below = path.parent().is_some_and(|parent| parent == HostPath::from(DIRECTORY));
    *path == HostPath::from(CONF) || (below && path.file_name().ends_with(b".conf"))
}

/// Whether a configuration has a blacklist that covers Longhorn's disks: the devices by vendor,
/// or all disks by their names in the kernel.
///
/// The values are regular expressions. Those in use are words, with or without `.*`; one that is
/// not understood counts as none, so that the worst that can come of it is a needless drop-in.
fn leaves_alone(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut sections: Vec<String> = Vec::new();
    let (mut vendor, mut product) = (None, None);
    for line in text.lines() {
        let line = line.split(['#', '!']).next().unwrap_or_default().trim();
        let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let value = value.trim().trim_matches('"');
        let inside = |name: &str| sections.first().is_some_and(|first| first == name);
        match key {
            _ if line.ends_with('{') => {
                sections.push(line.trim_end_matches('{').trim().to_owned());
                (vendor, product) = (None, None);
            }
            "}" => {
                let device = sections.pop().is_some_and(|name| name == "device");
                let blacklisted = sections.first().is_some_and(|first| first == "blacklist");
                if device
                    && blacklisted
                    && matches(vendor.as_deref(), "IET")
                    && matches_or_any(product.as_deref())
                {
                    return true;
                }
            }
            "vendor" => vendor = Some(value.to_owned()),
            "product" => product = Some(value.to_owned()),
            "devnode" if inside("blacklist") && covers_all_disks(value) => return true,
            _ => {}
        }
    }
    false
}

fn matches(pattern: Option<&str>, word: &str) -> bool {
    pattern.is_some_and(|pattern| {
        let plain = pattern.trim_start_matches('^').trim_end_matches('$');
        plain == word || plain == ".*" || plain == "*"
    })
}

/// A device without a product is all of a vendor's.
fn matches_or_any(product: Option<&str>) -> bool {
    product.is_none() || matches(product, "VIRTUAL-DISK") || product == Some("VIRTUAL-DISK*")
}

/// What Longhorn's own documents advise, and its usual forms.
fn covers_all_disks(pattern: &str) -> bool {
    matches!(pattern, "^sd[a-z0-9]+" | "^sd[a-z]+" | "^sd[a-z]" | "^sd" | "sd.*" | ".*" | "*" | "^(sd)[a-z]")
        || pattern.starts_with("^sd[a-z]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_csihost_adds_is_what_it_looks_for() {
        assert!(leaves_alone(SECTION.as_bytes()));
    }

    #[test]
    fn other_sections_and_other_vendors_do_not_count() {
        for (text, alone) in [
            ("", false),
            ("defaults {\n find_multipaths yes\n}\n", false),
            ("blacklist {\n device {\n vendor \"IBM\"\n product \".*\"\n }\n}\n", false),
            ("blacklist_exceptions {\n device {\n vendor \"IET\"\n product \"VIRTUAL-DISK\"\n }\n}\n", false),
            ("blacklist {\n device {\n vendor IET\n product VIRTUAL-DISK\n }\n}\n", true),
            ("blacklist{\n\tdevice{\n\tvendor\t\"IET\"\n\t}\n}\n", true),
            ("blacklist {\n  devnode \"^sd[a-z0-9]+\"\n}\n", true),
            ("# blacklist {\n# devnode \"^sd[a-z0-9]+\"\n# }\n", false),
            ("devices {\n device {\n vendor \"IET\"\n product \"VIRTUAL-DISK\"\n }\n}\n", false),
            ("}\n}\nblacklist {\n", false),
        ] {
            assert_eq!(leaves_alone(text.as_bytes()), alone, "{text:?}");
        }
    }
}
