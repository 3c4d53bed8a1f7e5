//! Checks: directories of iSCSI records that SELinux keeps iscsiadm out of.
//!
//! open-iscsi before 2.1.5 makes them with mode 0600. root passes a directory without the search bit by CAP_DAC_OVERRIDE or
//! CAP_DAC_READ_SEARCH alone, and a policy may deny these to the domain of a container, from which a driver calls iscsiadm
//! on the host.

use super::newer::Place;
use super::quoted;
use crate::model::asked::Interests;
use crate::model::facts::{Facts, Mode};
use crate::model::finding::{CheckStatus, Finding};
use crate::model::path::HostPath;
use crate::profile::PackageManager;

const ID: &str = "iscsi-record-modes";
/// `1` where SELinux denies what the policy does not allow (selinuxfs).
const ENFORCE: &str = "/sys/fs/selinux/enforce";
/// selinux_config(5): the mode from the next boot on.
const CONFIG: &str = "/etc/selinux/config";
/// As many directories are named in a command.
const NAMED: usize = 8;

pub(super) fn interests(interests: &mut Interests) {
    interests.files.extend([ENFORCE, CONFIG].map(HostPath::from));
}

/// Nothing where SELinux is not enforcing, or each directory can be searched.
pub(super) fn check(facts: &Facts, place: &Place<'_>) -> Option<Finding> {
    let closed = &facts.iscsi.unsearchable;
    if closed.is_empty() || !is_enforcing(facts) {
        return None;
    }
    let named: Vec<String> = closed.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match closed.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let upgrade = match place.packages.manager {
        PackageManager::Dnf => "run dnf upgrade iscsi-initiator-utils",
        PackageManager::Yum => "run yum upgrade iscsi-initiator-utils",
        _ => "upgrade open-iscsi",
    };
    Some(
        Finding::new(
            ID,
            CheckStatus::Warn,
            format!("SELinux is enforcing, and directories of iSCSI records have no search bit: {}{more}", named.join(", ")),
        )
        .detail(
            "iscsiadm, called from a container's domain, may not pass them (dac_override is denied): attaching a volume fails \
             with an error of the database",
        )
        .remedy(format!(
            "run {}; then {upgrade}: before 2.1.5 open-iscsi makes each new record so. If the newest one does too, allow the domain \
             dac_override by a policy module (audit2allow)",
            command(closed)
        )),
    )
}

/// The command that gives the directories the search bit, those above first.
fn command(closed: &[HostPath]) -> String {
    let paths: Vec<String> = closed.iter().map(quoted).collect();
    if paths.len() <= NAMED {
        return format!("chmod u+x {}", paths.join(" "));
    }
    // The directories below which they lie: /var/lib/iscsi/nodes and the like.
    let mut above: Vec<String> = closed.iter().map(|path| quoted(&root_of(path))).collect();
    above.sort();
    above.dedup();
    format!("find {} -type d ! -perm -u=x -exec chmod u+x '{{}}' +", above.join(" "))
}

/// The database that a directory of records belongs to, up to and with `iscsi`.
fn root_of(path: &HostPath) -> HostPath {
    let mut at = path.clone();
    while let Some(parent) = at.parent() {
        if parent.file_name() == b"iscsi" {
            return at;
        }
        at = parent;
    }
    path.clone()
}

fn is_enforcing(facts: &Facts) -> bool {
    if let Some(now) = facts.file(&HostPath::from(ENFORCE)).bytes() {
        return now.trim_ascii() == b"1";
    }
    if facts.mode == Mode::Live {
        return false;
    }
    let config = HostPath::from(CONFIG);
    let lines = facts.file(&config).bytes().unwrap_or_default().split(|&b| b == b'\n');
    let mode = lines.filter_map(|line| line.trim_ascii_start().strip_prefix(b"SELINUX=")).next();
    mode.is_some_and(|mode| mode.trim_ascii().eq_ignore_ascii_case(b"enforcing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Init;
    use crate::model::file::{Attributes, File, FileFact};
    use crate::profile::{OsRelease, Packages};
    use crate::settings::Policy;

    fn facts(mode: Mode, closed: &[&str], files: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::new(mode, Init::Systemd);
        let path = |text: &str| HostPath::parse(text.as_bytes()).unwrap();
        facts.iscsi.unsearchable = closed.iter().map(|text| path(text)).collect();
        for (at, text) in files {
            let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
            let file = File { bytes: text.as_bytes().to_vec(), attributes, canonical: path(at) };
            facts.files.insert(path(at), FileFact::File(file));
        }
        facts
    }

    fn found(facts: &Facts) -> Option<Finding> {
        let packages = Packages {
            manager: PackageManager::Dnf,
            policy: Policy::Require,
            iscsi: vec![],
            nfs: vec![],
            cryptsetup: vec![],
            note: None,
        };
        check(facts, &Place { os: &OsRelease::parse(b"ID=rocky"), packages: &packages })
    }

    #[test]
    fn directories_without_the_search_bit_matter_where_selinux_is_enforcing() {
        let closed = ["/var/lib/iscsi/nodes/iqn.a:b"];
        let told = |mode, files: &[(&str, &str)]| found(&facts(mode, &closed, files)).is_some();
        assert!(told(Mode::Live, &[(ENFORCE, "1")]));
        assert!(!told(Mode::Live, &[(ENFORCE, "0"), (CONFIG, "SELINUX=enforcing\n")]));
        assert!(!told(Mode::Live, &[(CONFIG, "SELINUX=enforcing\n")]));
        assert!(told(Mode::Offline, &[(CONFIG, "# SELINUX=disabled\n SELINUX=Enforcing \n")]));
        assert!(!told(Mode::Offline, &[(CONFIG, "SELINUX=permissive\nSELINUXTYPE=targeted\n")]));
        assert!(!told(Mode::Offline, &[]));
        assert_eq!(found(&facts(Mode::Live, &[], &[(ENFORCE, "1")])), None);
    }

    #[test]
    fn the_command_names_exactly_these_directories_or_what_they_lie_in() {
        let few = facts(Mode::Live, &["/var/lib/iscsi/nodes/iqn.a:b"], &[(ENFORCE, "1")]);
        let remedy = found(&few).unwrap().remedy;
        assert!(
            remedy.starts_with("run chmod u+x '/var/lib/iscsi/nodes/iqn.a:b'; then run dnf upgrade iscsi"),
            "{remedy}"
        );
        let many: Vec<String> =
            (0..20).map(|n| format!("/var/lib/iscsi/nodes/iqn.a:{n}/10.0.0.1,3260,1")).collect();
        let mut all: Vec<&str> = many.iter().map(String::as_str).collect();
        all.push("/var/lib/iscsi/send_targets/10.0.0.1,3260");
        let finding = found(&facts(Mode::Live, &all, &[(ENFORCE, "1\n")])).unwrap();
        assert!(finding.summary.ends_with("and 13 more"), "{}", finding.summary);
        assert!(
            finding.remedy.starts_with(
                "run find '/var/lib/iscsi/nodes' '/var/lib/iscsi/send_targets' -type d ! -perm -u=x -exec chmod u+x '{}' +;"
            ),
            "{}",
            finding.remedy
        );
    }
}
