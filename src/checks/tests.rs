//! Pure: tests of every check, in each way in which it can end.

mod features;
mod iscsi;
mod registration;

use super::{Chosen, Facts, Finding, OsRelease, Settings, run};
use crate::model::digest::Digest;
use crate::model::facts::{Init, Mode, Module, NodeRecord};
use crate::model::file::{Attributes, DirFact, File, FileFact};
use crate::model::finding::CheckStatus;
use crate::model::finding::ready;
use crate::model::kubelet::{Distribution, Kubelet, KubeletRoot};
use crate::model::path::HostPath;
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState};
use crate::profile::{BUILTIN, Profile, of_facts};
use crate::settings::{Features, Multipath, Policy, StaleRecords};
use CheckStatus::{Fail, Skip, Warn};
use std::collections::BTreeSet;

/// A host, and what is wanted of it.
struct Host {
    facts: Facts,
    settings: Settings,
    os: &'static str,
    /// The drivers that are on it.
    drivers: BTreeSet<String>,
}

fn path(text: &str) -> HostPath {
    HostPath::parse(text.as_bytes()).unwrap()
}

impl Host {
    fn write(&mut self, at: &str, text: &str) {
        let attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
        let file = File { bytes: text.as_bytes().to_vec(), attributes, canonical: path(at) };
        self.facts.files.insert(path(at), FileFact::File(file));
    }

    fn unit(&mut self, name: &'static str, active: ActiveState) {
        let state = UnitState { load: LoadState::Loaded, active, file: FileState::Enabled };
        self.facts.units.insert(UnitName::from(name), state);
    }

    fn module(&mut self, name: &str, state: Module) {
        self.facts.modules.insert(name.to_owned(), state);
    }

    /// Adds a driver, with no feature in the settings.
    fn driver(&mut self, name: &str) {
        self.settings.features = Features::default();
        self.drivers.insert(name.to_owned());
    }

    /// A node with csi-driver-nfs alone, whose kernel has NFS so.
    fn nfs(&mut self, state: Module) {
        self.driver("nfs.csi.k8s.io");
        self.module("nfs", state);
    }

    /// A node of NetApp's Trident with multipath-tools, and multipathd so.
    fn array(&mut self, state: ActiveState) {
        self.driver("csi.trident.netapp.io");
        for program in ["multipath", "multipathd", "mkfs.ext4", "blkid"] {
            self.facts.programs.insert(path("/sbin").join(program));
        }
        self.unit("multipathd.service", state);
    }

    fn without(&mut self, program: &str) {
        self.facts.programs.remove(&path("/sbin").join(program));
    }

    fn record(&mut self, target: &str) {
        let target = target.as_bytes().to_vec();
        let path = path("/etc/iscsi/nodes").join(&target);
        self.facts.iscsi.records.push(NodeRecord { path, target, settled: true, damaged: Vec::new() });
    }

    fn kubelet(&mut self, distribution: Distribution, root: &str, version: &str) {
        let root = KubeletRoot::parse(root.as_bytes()).unwrap();
        let version = Some(version.to_owned());
        self.facts.detection.kubelet = Some(Kubelet { version, ..Kubelet::running(distribution, root) });
    }

    fn findings(&self) -> Vec<Finding> {
        let os = OsRelease::parse(self.os.as_bytes());
        let name = if os.id() == "debian" { "debian" } else { "ubuntu" };
        let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name).unwrap();
        let profile = Profile::parse(name, name, text).unwrap();
        let mut facts = self.facts.clone();
        facts.demand =
            of_facts(&self.settings, &self.facts, &profile.needs().unwrap().iscsi.daemon, &self.drivers);
        run(&facts, &self.settings, &Chosen { profile, exact: true }, &os)
    }

    /// The finding of a check; `None` where it is not listed.
    fn find(&self, id: &str) -> Option<Finding> {
        self.findings().into_iter().find(|finding| finding.id == id)
    }
}

/// A healthy Ubuntu node on which everything was asked for and is there.
fn healthy() -> Host {
    let mut facts = Facts::new(Mode::Live, Init::Systemd);
    facts.machine.kernel = Some("6.8.0-31-generic".to_owned());
    facts.machine.hostname = "node-1".to_owned();
    facts.machine.id = Some(Digest::of(b"this"));
    facts.machine.huge_pages = Some(1024);
    let modules = path("/lib/modules/6.8.0-31-generic");
    facts.dirs.insert(
        modules.clone(),
        DirFact::Directory { canonical: modules, entries: vec![b"kernel".to_vec()] },
    );
    for module in ["iscsi_tcp", "dm_crypt", "nfs", "nfsv4", "nvme_tcp", "vfio_pci", "uio_pci_generic"] {
        facts.modules.insert(module.to_owned(), Module::Loaded);
    }
    let multipath = path("/etc/multipath/conf.d");
    facts.dirs.insert(multipath.clone(), DirFact::Absent { canonical: multipath });
    facts.files.insert(path("/etc/multipath.conf"), FileFact::Absent);
    facts.iscsi.control = Some(true);
    facts.iscsi.listening = Some(true);
    for program in
        ["mount.nfs", "cryptsetup", "curl", "findmnt", "grep", "awk", "blkid", "iscsid", "iscsiadm"]
    {
        facts.programs.insert(path("/sbin").join(program));
    }
    facts.programs.insert(path("/bin/systemctl"));
    for place in ["/usr/libexec/kubernetes/kubelet-plugins/volume/exec", "/var/lib/kubelet/plugins"] {
        facts.detection.on_host.insert(path(place), Some(path(place)));
    }
    let features = Features { encryption: true, rwx: true, v2_engine: true, flexvolume: true };
    let mut host = Host {
        facts,
        settings: Settings { features, ..Settings::default() },
        os: "ID=ubuntu\nVERSION_ID=\"24.04\"",
        drivers: BTreeSet::new(),
    };
    host.kubelet(Distribution::Kubelet, "/var/lib/kubelet", "v1.31.2");
    host.unit("iscsid.socket", ActiveState::Active);
    host.unit("iscsid.service", ActiveState::Inactive);
    host.write("/etc/iscsi/iscsid.conf", "iscsid.startup = /bin/systemctl start iscsid.socket\n");
    host.write("/etc/iscsi/initiatorname.iscsi", "InitiatorName=iqn.1993-08.org.debian:01:ab\n");
    host.write("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu sse4_2 avx\n");
    host
}

#[test]
fn what_is_not_installed_and_not_to_be_looked_at_is_not_configured_either() {
    let mut host = healthy();
    host.settings.packages = Some(Policy::Ignore);
    host.without("iscsid");
    host.write("/etc/iscsi/initiatorname.iscsi", "");
    for id in ["iscsi-package", "iscsid-conf", "initiator-name", "iscsid-unit"] {
        assert!(host.find(id).is_none(), "{id}");
    }
    assert!(host.find("iscsid-reachable").is_some());
}

/// What a change to a healthy host makes of one check: how it ends, what its summary says, and
/// what its remedy.
type Case = (&'static str, fn(&mut Host), CheckStatus, &'static str, &'static str);

fn cases() -> impl Iterator<Item = &'static Case> {
    iscsi::CASES.iter().chain(features::CASES)
}

#[test]
fn each_check_ends_as_it_should_and_says_what_to_do() {
    for (index, (id, change, status, summary, remedy)) in cases().enumerate() {
        let mut host = healthy();
        change(&mut host);
        let Some(finding) = host.find(id) else { panic!("case {index}: {id} is not listed") };
        assert_eq!(finding.status, *status, "case {index}: {finding:?}");
        assert!(finding.summary.contains(summary), "case {index}: {finding:?}");
        assert!(finding.remedy.contains(remedy), "case {index}: {finding:?}");
        let complete = !finding.detail.is_empty() && !finding.remedy.is_empty();
        assert!(complete || !matches!(status, Fail), "case {index}: {finding:?}");
    }
}

#[test]
fn a_healthy_host_has_no_finding_at_all() {
    let findings = healthy().findings();
    let bad: Vec<_> = findings.iter().filter(|f| matches!(f.status, Fail | Warn)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(findings.len() > 20);
}

#[test]
fn what_was_not_asked_for_is_not_listed_and_cannot_fail() {
    let mut host = healthy();
    host.settings.features = Features::default();
    host.facts.programs.retain(|program| ["/sbin/iscsid", "/bin/systemctl"].map(path).contains(program));
    host.facts.modules.retain(|name, _| name == "iscsi_tcp");
    host.facts.machine.huge_pages = None;
    let findings = host.findings();
    assert!(ready(&findings), "{findings:?}");
    for id in [
        "nfs-client",
        "nfs-version",
        "cryptsetup",
        "hugepages",
        "cpu",
        "flexvolume-tools",
        "flexvolume-dir",
        "kernel-module-dm_crypt",
    ] {
        assert_eq!(host.find(id), None);
    }
    host.settings.iscsi = Some(false);
    for id in ["iscsi-package", "iscsi-kernel", "iscsid-reachable", "multipathd", "kernel-module-iscsi_tcp"] {
        assert_eq!(host.find(id), None);
    }
}

#[test]
fn nobody_is_told_of_packages_that_are_to_be_ignored() {
    let mut host = healthy();
    host.settings.packages = Some(Policy::Ignore);
    host.facts.programs.clear();
    for id in ["iscsi-package", "nfs-client", "cryptsetup", "flexvolume-tools"] {
        assert_eq!(host.find(id), None);
    }
    assert!(host.find("iscsid-reachable").is_some(), "what is no package is still checked");
    host.settings.multipath = Multipath::Ignore;
    assert_eq!(host.find("multipathd"), None);
    host.settings.stale_records = StaleRecords::Ignore;
    assert_eq!(host.find("stale-iscsi-records"), None);
}

#[test]
fn an_ignored_check_is_listed_and_does_not_count() {
    let mut host = healthy();
    host.facts.iscsi.listening = Some(false);
    assert!(!ready(&host.findings()));
    host.settings.ignored.insert("iscsid-reachable".to_owned());
    assert!(ready(&host.findings()));
    let finding = host.find("iscsid-reachable").unwrap();
    assert_eq!((finding.status, finding.summary.as_str()), (Skip, "ignored by the settings"));
    assert_eq!(finding.detail, "it fails: nobody listens where iscsiadm looks for iscsid");
}

#[test]
fn remedies_are_those_of_the_distribution() {
    let mut host = healthy();
    host.os = "ID=debian\nVERSION_CODENAME=bullseye";
    host.facts.machine.kernel = Some("5.10.0-28-cloud-amd64".to_owned());
    host.facts.modules.insert("dm_crypt".to_owned(), Module::Missing);
    assert!(host.find("kernel-module-dm_crypt").unwrap().remedy.contains("install linux-image-amd64"));
    assert!(host.find("kernel-version").unwrap().remedy.contains("bullseye-backports"));
}

#[test]
fn every_distribution_says_how_open_iscsi_is_had_there() {
    let host = healthy();
    for (name, text) in BUILTIN {
        let profile = Profile::parse(name, name, text).unwrap();
        let Some(packages) = profile.needs().map(|needs| needs.packages.clone()) else { continue };
        let mut facts = host.facts.clone();
        facts.programs.clear();
        let settings = Settings { packages: Some(Policy::Require), ..Settings::default() };
        let findings = run(&facts, &settings, &Chosen { profile, exact: true }, &OsRelease::parse(b"ID=x"));
        let finding = findings.iter().find(|finding| finding.id == "iscsi-package").unwrap();
        let command = packages.manager.install_command(&packages.iscsi);
        let named =
            command.map_or_else(|| packages.note.clone().unwrap_or("install".into()), |c| c.to_string());
        assert!(finding.remedy.contains(&named), "{name}: {finding:?}");
    }
}

#[test]
fn every_finding_has_a_name_that_is_known() {
    for (id, change, ..) in cases() {
        let mut host = healthy();
        change(&mut host);
        for finding in host.findings() {
            assert!(crate::model::checks::is_check(&finding.id), "{id}: {}", finding.id);
        }
    }
}
