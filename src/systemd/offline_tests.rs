//! Units of a host that does not run, compared with what `systemctl --root` makes of the same
//! files.

use super::offline::{Offline, UnitTree};
use super::{Fault, ManagerError, ServiceManager as _, StopMode};
use crate::model::path::HostPath;
use crate::model::unit::{ActiveState, FileState, LoadState, UnitName, UnitState};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree below a directory of this machine; links are resolved inside it.
struct Below<'a>(&'a Path);

impl Below<'_> {
    fn real(&self, path: &HostPath, links: usize) -> io::Result<PathBuf> {
        let mut real = HostPath::root();
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let next = real.join(part);
            let here = self.0.join(next.relative());
            let last = parts.peek().is_none();
            match std::fs::read_link(&here) {
                Ok(target) if links > 0 || !last => {
                    let target = target.into_os_string().into_vec();
                    let base = if target.starts_with(b"/") { HostPath::root() } else { real };
                    let rest: Vec<&[u8]> = parts.collect();
                    let path = base.join(&target).join(rest.join(&b'/'));
                    return self.real(&path, links.saturating_sub(1));
                }
                _ => real = next,
            }
        }
        Ok(self.0.join(real.relative()))
    }
}

impl UnitTree for Below<'_> {
    fn read(&self, path: &HostPath) -> io::Result<Vec<u8>> {
        std::fs::read(self.real(path, 40)?)
    }
    fn read_link(&self, path: &HostPath) -> io::Result<Vec<u8>> {
        std::fs::read_link(self.real(path, 0)?).map(|target| target.into_os_string().into_vec())
    }
    fn list(&self, path: &HostPath) -> io::Result<Vec<Vec<u8>>> {
        std::fs::read_dir(self.real(path, 40)?)?.map(|entry| Ok(entry?.file_name().into_vec())).collect()
    }
    fn symlink(&self, target: &[u8], path: &HostPath) -> io::Result<()> {
        let path = self.real(path, 0)?;
        std::fs::create_dir_all(path.parent().unwrap())?;
        std::os::unix::fs::symlink(OsStr::from_bytes(target), path)
    }
    fn remove(&self, path: &HostPath) -> io::Result<()> {
        std::fs::remove_file(self.real(path, 0)?)
    }
    fn remove_dir(&self, path: &HostPath) -> io::Result<()> {
        std::fs::remove_dir(self.real(path, 0)?)
    }
}

/// Futures of this room never wait when no systemd runs.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn unit(name: &str) -> UnitName {
    UnitName::parse(name).unwrap()
}

/// A host's files: a path and a text, or `-> ` and a link's target.
fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => std::fs::write(path, text).unwrap(),
        }
    }
    root
}

/// All links and directories below etc/systemd/system.
fn links(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(at: &Path, top: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(at).into_iter().flatten() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(top).unwrap().to_owned();
            if let Ok(target) = std::fs::read_link(&path) {
                found.insert(below, target.to_string_lossy().into_owned());
            } else if path.is_dir() {
                found.insert(below, "directory".to_owned());
                walk(&path, top, found);
            }
        }
    }
    let (top, mut found) = (root.join("etc/systemd/system"), BTreeMap::new());
    walk(&top, &top, &mut found);
    found
}

/// systemctl's exit code and words; `None` where this machine has no systemctl.
fn systemctl(root: &Path, verb: &str, names: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("systemctl").arg("--root").arg(root).arg(verb).args(names).output().ok()?;
    let words = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&words).trim().to_owned()))
}

fn run(root: &Path, verb: &str, name: &str) -> Result<(), ManagerError> {
    let mut manager = Offline::new(Below(root));
    match verb {
        "enable" => now(manager.enable(&unit(name))),
        _ => now(manager.disable(&unit(name))),
    }
}

fn state(root: &Path, name: &str) -> UnitState {
    let names = [unit(name)];
    now(Offline::new(Below(root)).units(&names)).unwrap().get(&names[0])
}

/// systemctl's word for a unit's state, as csihost understands it.
fn understood(word: &str) -> FileState {
    match word {
        "enabled" => FileState::Enabled,
        "disabled" | "linked" => FileState::Disabled,
        "static" => FileState::Static,
        "masked" => FileState::Masked,
        _ => FileState::Other,
    }
}

const SOCKET: &str = "[Unit]\nDescription=Open-iSCSI iscsid Socket\n[Socket]\nListenStream=@ISCSIADM_ABSTRACT_NAMESPACE\n\
                      [Install]\nWantedBy=sockets.target\n";
const ISCSID: &str = "[Service]\nType=notify\nExecStart=/sbin/iscsid -f\n[Install]\nWantedBy=multi-user.target\nAlso=iscsid.socket\n";
const OPEN_ISCSI: &str = "[Service]\nType=oneshot\nExecStart=/sbin/iscsiadm\n[Install]\nWantedBy=sysinit.target\nAlias=iscsi.service\n";
const PLAIN: &str = "[Service]\nExecStart=/bin/true\n";
const MOUNT: &str = "[Mount]\nWhat=/a\nWhere=/var/lib/kubelet/pods\n[Install]\nWantedBy=local-fs.target k3s.service\nRequiredBy=x.target\n";

/// What a distribution, an administrator and csihost may have put there.
const HOST: [(&str, &str); 23] = [
    ("usr/lib/systemd/system/iscsid.socket", SOCKET),
    ("usr/lib/systemd/system/iscsid.service", ISCSID),
    ("usr/lib/systemd/system/open-iscsi.service", OPEN_ISCSI),
    ("usr/lib/systemd/system/static.service", PLAIN),
    ("usr/lib/systemd/system/only-also.service", "[Service]\nExecStart=/a\n[Install]\nAlso=iscsid.socket\n"),
    ("usr/lib/systemd/system/t@.service", "[Install]\nWantedBy=a@%i.target\nDefaultInstance=one\n"),
    ("usr/lib/systemd/system/bare@.service", "[Install]\nWantedBy=multi-user.target\n"),
    ("usr/lib/systemd/system/vendor-alias.service", "-> open-iscsi.service"),
    ("usr/lib/systemd/system/dropped.service", PLAIN),
    ("etc/systemd/system/dropped.service.d/10.conf", "[Install]\nWantedBy=multi-user.target\n"),
    ("etc/systemd/system/var-lib-kubelet-pods.mount", MOUNT),
    ("etc/systemd/system/masked.service", "-> /dev/null"),
    ("usr/lib/systemd/system/masked.service", ISCSID),
    ("usr/lib/systemd/system/empty.service", ""),
    ("usr/lib/systemd/system/wanted.service", "[Install]\nWantedBy=multi-user.target\n"),
    ("usr/lib/systemd/system/multi-user.target.wants/wanted.service", "-> ../wanted.service"),
    ("opt/linked.service", "[Install]\nWantedBy=multi-user.target\nAlias=other-linked.service\n"),
    ("etc/systemd/system/linked.service", "-> /opt/linked.service"),
    ("etc/systemd/system/multi-user.target.wants/gone.service", "-> /usr/lib/systemd/system/gone.service"),
    ("usr/lib/systemd/system/added.service", PLAIN),
    (
        "etc/systemd/system/sysinit.target.wants/added.service",
        "-> ../../../../usr/lib/systemd/system/added.service",
    ),
    ("usr/lib/systemd/system/my.service", ISCSID),
    ("etc/systemd/system/mine.service", "-> /usr/lib/systemd/system/my.service"),
];

const NAMES: [&str; 22] = [
    "iscsid.socket",
    "iscsid.service",
    "open-iscsi.service",
    "iscsi.service",
    "static.service",
    "only-also.service",
    "t@.service",
    "t@two.service",
    "bare@.service",
    "bare@x.service",
    "vendor-alias.service",
    "dropped.service",
    "var-lib-kubelet-pods.mount",
    "masked.service",
    "empty.service",
    "nowhere.service",
    "wanted.service",
    "linked.service",
    "gone.service",
    "added.service",
    "my.service",
    "mine.service",
];

/// Does the same to two equal hosts, one with systemctl, and compares after each step.
fn same_as_systemctl(steps: &[(bool, &str)]) {
    let (ours, theirs) = (host(&HOST), host(&HOST));
    for (enable, name) in steps {
        let verb = if *enable { "enable" } else { "disable" };
        let before = links(ours.path());
        let result = run(ours.path(), verb, name);
        let Some((worked, words)) = systemctl(theirs.path(), verb, &[name]) else {
            return;
        };
        let told = format!("{verb} {name}: {result:?}, systemctl: {worked} {words}, in {steps:?}");
        assert_eq!(links(ours.path()), links(theirs.path()), "{told}");
        match result {
            // systemctl is content when there was nothing to do; csihost says so.
            Err(error) if error.fault == Fault::NoInstall => assert_eq!(before, links(ours.path()), "{told}"),
            Err(_) => assert!(!worked && before == links(ours.path()), "{told}"),
            // Links to a unit that is gone may be removed; systemctl also complains.
            Ok(()) => assert!(worked || *name == "nowhere.service", "{told}"),
        }
        let (there, absent): (Vec<&str>, Vec<&str>) =
            NAMES.iter().partition(|name| state(ours.path(), name).load != LoadState::NotFound);
        let (_, words) = systemctl(theirs.path(), "is-enabled", &there).unwrap();
        assert_eq!(words.lines().count(), there.len(), "{there:?}: {words}, after {told}");
        // By the unit's own name, an alias shows its unit's state.
        for (name, word) in there.iter().zip(words.lines()).filter(|(_, word)| *word != "alias") {
            assert_eq!(state(ours.path(), name).file, understood(word), "{name} is {word}, after {told}");
        }
        for name in absent {
            let (known, words) = systemctl(theirs.path(), "is-enabled", &[name]).unwrap();
            assert!(!known && words.contains("Failed to get"), "{name}: {words}, after {told}");
        }
    }
}

#[test]
fn each_unit_is_enabled_and_disabled_as_by_systemctl() {
    for name in NAMES {
        same_as_systemctl(&[(true, name), (true, name), (false, name), (false, name)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_sequence_leaves_the_links_that_systemctl_leaves(
        steps in proptest::collection::vec((any::<bool>(), proptest::sample::select(&NAMES[..])), 1..6),
    ) {
        same_as_systemctl(&steps);
    }
}

#[test]
fn the_links_are_those_that_systemd_reads() {
    let root = host(&HOST);
    let before = links(root.path());
    for name in ["iscsid.service", "open-iscsi.service", "var-lib-kubelet-pods.mount", "t@.service"] {
        run(root.path(), "enable", name).unwrap();
    }
    let links: Vec<String> = links(root.path())
        .into_iter()
        .filter(|(path, to)| to != "directory" && !before.contains_key(path))
        .map(|(path, to)| format!("{} -> {to}", path.display()))
        .collect();
    assert_eq!(
        links,
        [
            "a@one.target.wants/t@one.service -> /usr/lib/systemd/system/t@.service",
            "iscsi.service -> /usr/lib/systemd/system/open-iscsi.service",
            "k3s.service.wants/var-lib-kubelet-pods.mount -> /etc/systemd/system/var-lib-kubelet-pods.mount",
            "local-fs.target.wants/var-lib-kubelet-pods.mount -> /etc/systemd/system/var-lib-kubelet-pods.mount",
            "multi-user.target.wants/iscsid.service -> /usr/lib/systemd/system/iscsid.service",
            "sockets.target.wants/iscsid.socket -> /usr/lib/systemd/system/iscsid.socket",
            "sysinit.target.wants/open-iscsi.service -> /usr/lib/systemd/system/open-iscsi.service",
            "x.target.requires/var-lib-kubelet-pods.mount -> /etc/systemd/system/var-lib-kubelet-pods.mount",
        ]
    );
}

#[test]
fn states_are_told_without_a_systemd() {
    let root = host(&HOST);
    for (name, load, file) in [
        ("iscsid.socket", LoadState::Loaded, FileState::Disabled),
        ("static.service", LoadState::Loaded, FileState::Static),
        ("masked.service", LoadState::Masked, FileState::Masked),
        ("empty.service", LoadState::Masked, FileState::Masked),
        ("nowhere.service", LoadState::NotFound, FileState::Other),
    ] {
        assert_eq!(
            state(root.path(), name),
            UnitState { load, active: ActiveState::Unknown, file },
            "{name}"
        );
    }
}

#[test]
fn an_alias_shows_the_state_of_its_unit() {
    let root = host(&HOST);
    run(root.path(), "enable", "open-iscsi.service").unwrap();
    for name in ["iscsi.service", "vendor-alias.service"] {
        assert_eq!(state(root.path(), name).file, FileState::Enabled, "{name}");
    }
}

#[test]
fn a_link_through_lib_is_one_through_usr_lib() {
    // Debian 12 links to /lib, Debian 13 to /usr/lib; both are one directory.
    let link = "etc/systemd/system/sockets.target.wants/iscsid.socket";
    let root = host(&[HOST[0], ("lib", "-> usr/lib"), (link, "-> /lib/systemd/system/iscsid.socket")]);
    let before = links(root.path());
    assert_eq!(state(root.path(), "iscsid.socket").file, FileState::Enabled);
    run(root.path(), "enable", "iscsid.socket").unwrap();
    assert_eq!(links(root.path()), before);
    run(root.path(), "disable", "iscsid.socket").unwrap();
    assert!(links(root.path()).is_empty());
}

#[test]
fn what_cannot_be_enabled_says_why_and_what_to_do() {
    let root = host(&HOST);
    for (name, fault) in [
        ("static.service", Fault::NoInstall),
        ("masked.service", Fault::Masked),
        ("empty.service", Fault::Masked),
        ("nowhere.service", Fault::NotFound),
    ] {
        assert_eq!(run(root.path(), "enable", name).unwrap_err().fault, fault);
    }
    let alias = host(&[HOST[2], ("etc/systemd/system/iscsi.service", "a file of the administrator's")]);
    let error = run(alias.path(), "enable", "open-iscsi.service").unwrap_err();
    assert!(error.to_string().contains("/etc/systemd/system/iscsi.service: is there already"), "{error}");
}

#[test]
fn nothing_is_started_where_nothing_runs() {
    let root = host(&[]);
    let (mut manager, name) = (Offline::new(Below(root.path())), unit("a.service"));
    for result in
        [now(manager.start(&name)), now(manager.restart(&name)), now(manager.stop(&name, StopMode::Replace))]
    {
        assert_eq!(result.unwrap_err().fault, Fault::NotOffline);
    }
}

#[test]
fn links_that_lead_in_a_circle_or_out_of_the_host_do_no_harm() {
    let root = host(&[
        ("etc/systemd/system/a.service", "-> b.service"),
        ("etc/systemd/system/b.service", "-> a.service"),
        ("etc/systemd/system/c.service", "-> ../../../../../../../etc/passwd"),
        ("etc/systemd/system/d.service", "-> /nowhere/d.service"),
    ]);
    let error = now(Offline::new(Below(root.path())).units(&[unit("a.service")])).unwrap_err();
    assert!(matches!(error.fault, Fault::Broken { .. }));
    for name in ["c.service", "d.service"] {
        assert_eq!(state(root.path(), name).load, LoadState::NotFound, "{name}");
    }
}
