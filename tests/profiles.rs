//! os-profiles as a host meets them: which one it gets, what becomes of its iscsid.conf, and what
//! `csihost profile` says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

use csihost::engine::{self, Host};
use csihost::model::finding::{CheckStatus, Finding};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A host as a tree of files.
struct Tree(tempfile::TempDir);

const CONF: &str = "etc/iscsi/iscsid.conf";
const DROPPED: &str = "etc/csihost/os-profiles.d";

impl Tree {
    fn new(os_release: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(tree.path("etc/systemd/system")).unwrap();
        fs::create_dir_all(tree.path("var/lib")).unwrap();
        tree.with("etc/os-release", os_release)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn with(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
        self
    }

    fn program(self, path: &str) -> Self {
        let tree = self.with(path, "\x7fELF");
        fs::set_permissions(tree.path(path), fs::Permissions::from_mode(0o755)).unwrap();
        tree
    }

    fn systemd(self) -> Self {
        self.program("usr/lib/systemd/systemd").program("bin/systemctl")
    }

    /// The units of open-iscsi as packages install them: enabled by preset or by us.
    fn units(mut self, names: &[&str]) -> Self {
        for name in names {
            let target = if name.ends_with(".socket") { "sockets.target" } else { "multi-user.target" };
            let text = format!("[Unit]\nDescription={name}\n[Install]\nWantedBy={target}\n");
            self = self.with(&format!("usr/lib/systemd/system/{name}"), text);
        }
        self
    }

    /// Adds what a host of the profile has: systemd and the units, or not, and the daemon.
    fn as_profiled(self) -> Self {
        let (host, config) = self.load();
        drop(host);
        let Some(needs) = config.profile.profile.needs() else { return self };
        let daemon = needs.iscsi.daemon[0].to_string();
        let tree = self.program(daemon.trim_start_matches('/'));
        match &needs.iscsi.systemd {
            None => tree,
            Some(systemd) => {
                let names = systemd.units.iter().chain([&systemd.service]).map(|unit| unit.as_str());
                let names: Vec<&str> = names.chain(["iscsiuio.socket"]).collect();
                tree.systemd().units(&names)
            }
        }
    }

    fn load(&self) -> (Host, engine::Config) {
        let host = Host::open(Some(self.0.path())).unwrap();
        let config = engine::load(&host, None).unwrap();
        (host, config)
    }

    fn profile(&self) -> (String, bool) {
        let (_, config) = self.load();
        (config.profile.profile.name, config.profile.exact)
    }

    fn look(&self) -> engine::Seen {
        let (host, config) = self.load();
        runtime().block_on(engine::look(&host, &config)).unwrap()
    }

    fn finding(&self) -> Finding {
        let seen = self.look();
        seen.findings.into_iter().find(|finding| finding.id == "os-profile").unwrap()
    }

    /// Applies; what iscsid.conf is then. Nothing may be refused, and a second turn has nothing to do.
    fn applied(&self) -> Vec<u8> {
        let (host, config) = self.load();
        let report = runtime().block_on(engine::apply(&host, &config)).unwrap();
        let refused: Vec<_> = report.status.refused.iter().map(|note| &note.reason).collect();
        assert!(refused.is_empty(), "{refused:?}");
        assert!(self.look().plan.is_empty());
        fs::read(self.path(CONF)).unwrap()
    }

    fn csihost(&self, args: &[&str]) -> (String, String, i32) {
        csihost(&[args, &["--root", self.0.path().to_str().unwrap()]].concat())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn csihost(args: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_csihost")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

const RANCHEROS: &str = "NAME=\"RancherOS\"\nVERSION=v1.5.5\nID=rancheros\nVERSION_ID=v1.5.5\n";
const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian twelve\"\n";
const NIXOS: &str = "ID=nixos\nVERSION_ID=\"25.05\"\nPRETTY_NAME=\"NixOS 25.05\"\n";

#[test]
fn the_ubuntu_console_of_rancheros_gets_a_line_that_needs_no_systemd() {
    for (conf, repaired) in [
        (
            "# a\niscsid.startup = /bin/systemctl start iscsid.socket\n# iscsid.startup = /sbin/iscsid\nnode.startup = manual\n",
            "# a\n# iscsid.startup = /bin/systemctl start iscsid.socket\niscsid.startup = /sbin/iscsid\nnode.startup = manual\n",
        ),
        (
            "iscsid.startup = /bin/systemctl start iscsid.socket\nnode.startup = manual\n",
            "# iscsid.startup = /bin/systemctl start iscsid.socket\niscsid.startup = /sbin/iscsid\nnode.startup = manual\n",
        ),
        ("node.startup = manual\n", "node.startup = manual\niscsid.startup = /sbin/iscsid\n"),
        ("iscsid.startup = /sbin/iscsid\n", "iscsid.startup = /sbin/iscsid\n"),
    ] {
        // Ubuntu's package brings units and systemctl, which is of no use without systemd.
        let tree = Tree::new(RANCHEROS).with("run/console-done", "ubuntu\n").with(CONF, conf);
        let tree = tree.program("sbin/iscsid").systemd().units(&["iscsid.socket", "iscsid.service"]);
        assert_eq!(tree.profile(), ("rancheros".to_owned(), true));
        assert_eq!(String::from_utf8(tree.applied()).unwrap(), repaired);
        assert!(!tree.path("etc/systemd/system/sockets.target.wants").exists());
    }
}

#[test]
fn every_other_console_of_rancheros_is_told_to_switch() {
    for console in [None, Some("default\n"), Some("alpine")] {
        let tree = Tree::new(RANCHEROS);
        let tree = match console {
            Some(console) => tree.with("run/console-done", console),
            None => tree,
        };
        let finding = tree.finding();
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.remedy.contains("ros console switch ubuntu"), "{}", finding.remedy);
    }
}

#[test]
fn a_healthy_file_is_left_and_a_broken_line_is_repaired_on_each_family() {
    let socket = "iscsid.startup = /bin/systemctl start iscsid.socket\n";
    let both = "iscsid.startup = /bin/systemctl start iscsid.socket iscsiuio.socket\n";
    let none = "# iscsid.startup = /bin/systemctl start iscsid.socket\nnode.startup = automatic\n";
    let gone = "iscsid.startup = /etc/rc.d/init.d/iscsid force-start\n";
    let repaired = format!("# {gone}{socket}");
    for (release, conf, after) in [
        ("ID=ubuntu\nVERSION_ID=\"18.04\"\n", socket, socket),
        (DEBIAN, none, none),
        (DEBIAN, gone, &repaired),
        ("ID=rocky\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"\n", both, both),
        ("ID=centos\nVERSION_ID=\"7\"\n", "#iscsid.startup = /x\n", "#iscsid.startup = /x\n"),
        ("ID=\"sles\"\nVERSION_ID=\"15.3\"\n", both, both),
        ("ID=\"sles\"\nVERSION_ID=\"15.3\"\n", none, none),
        ("ID=photon\nVERSION_ID=5.0\n", none, none),
        ("ID=flatcar\nID_LIKE=coreos\nVERSION_ID=4459.0.0\n", none, none),
        (
            "ID=coreos\nVERSION_ID=2512.3.0\n",
            "iscsid.startup = /usr/sbin/iscsid\n",
            "iscsid.startup = /usr/sbin/iscsid\n",
        ),
        ("ID=arch\n", gone, &repaired),
        ("ID=alpine\nVERSION_ID=3.22.1\n", socket, &format!("# {socket}iscsid.startup = /usr/sbin/iscsid\n")),
        (
            "ID=k3os\nID_LIKE=alpine\n",
            "iscsid.startup = /usr/sbin/iscsid\n",
            "iscsid.startup = /usr/sbin/iscsid\n",
        ),
    ] {
        let tree = Tree::new(release).with(CONF, conf).as_profiled();
        assert_eq!(String::from_utf8(tree.applied()).unwrap(), after, "{release}");
    }
}

/// The directories of CSIHOST_SAMPLES are os-release and iscsid.conf of real distributions.
#[test]
fn real_distributions_get_their_profile_and_keep_a_healthy_file() {
    let Some(samples) = std::env::var_os("CSIHOST_SAMPLES").map(PathBuf::from).filter(|path| path.is_dir())
    else {
        eprintln!("SKIPPED: no sample files (CSIHOST_SAMPLES names no directory)");
        return;
    };
    let profile_of = |name: &str| match name {
        "alpine-3.22" => "alpine",
        "amazon-2023" => "amazon-linux",
        "arch" => "arch",
        "coreos-container-linux" => "coreos-container-linux",
        "debian-11" => "debian-11",
        "debian-12" | "debian-13" => "debian",
        "fedora-43" => "fedora",
        "fedora-coreos" => "fedora-coreos",
        "flatcar" => "flatcar",
        "k3os" => "k3os",
        "nixos-25.05" => "nixos",
        "opensuse-tumbleweed" | "sles-15.3" => "suse",
        "photon-5" => "photon",
        "rancheros-1.4-ubuntu-console" => "rancheros",
        "rhcos-rhel9" => "rhcos",
        "rocky-9" => "rhel",
        "suse-microos-5.1" => "suse-transactional",
        "talos" => "talos",
        "ubuntu-18.04" | "ubuntu-22.04" | "ubuntu-24.04" => "ubuntu",
        other => panic!("a sample that this test does not know: {other}"),
    };
    let mut confs = 0;
    for entry in fs::read_dir(samples).unwrap() {
        let directory = entry.unwrap();
        let name = directory.file_name().into_string().unwrap();
        let release = fs::read_to_string(directory.path().join("os-release")).unwrap();
        let mut tree = Tree::new(&release);
        if name.starts_with("rancheros") {
            tree = tree.with("run/console-done", "ubuntu\n");
        }
        if name.starts_with("rhcos") {
            // os-release of the lower layer, which is RHEL's.
            fs::create_dir_all(tree.path("ostree/repo")).unwrap();
        }
        assert_eq!(tree.profile(), (profile_of(&name).to_owned(), true), "{name}");

        let Ok(conf) = fs::read(directory.path().join("iscsid.conf")) else { continue };
        confs += 1;
        let after = tree.with(CONF, &conf).as_profiled().applied();
        if !name.starts_with("rancheros") {
            assert!(after == conf, "{name}: a healthy file was changed");
            continue;
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (conf, after) = (text(&conf), text(&after));
        let changed: Vec<_> = conf.lines().zip(after.lines()).filter(|(old, new)| old != new).collect();
        let expected = [
            (
                "iscsid.startup = /bin/systemctl start iscsid.socket",
                "# iscsid.startup = /bin/systemctl start iscsid.socket",
            ),
            ("# iscsid.startup = /sbin/iscsid", "iscsid.startup = /sbin/iscsid"),
        ];
        assert_eq!(changed, expected);
        assert_eq!(conf.lines().count(), after.lines().count());
    }
    assert!(confs > 0, "no iscsid.conf below CSIHOST_SAMPLES");
    eprintln!("{confs} files");
}

#[test]
fn where_an_agent_cannot_help_nothing_is_planned_and_one_check_says_what_to_do() {
    for (release, remedy) in [
        (NIXOS, "services.openiscsi"),
        ("ID=talos\nVERSION_ID=v1.9.0\n", "siderolabs/iscsi-tools"),
        ("ID=bottlerocket\nVARIANT_ID=aws-k8s-1.31\n", "nodes of another system"),
        ("ID=ubuntu-core\nVERSION_ID=\"24\"\n", "Ubuntu Server"),
    ] {
        let broken = "iscsid.startup = /gone\n";
        // A kubelet whose root is elsewhere: the bridge would be wanted.
        let tree = Tree::new(release).with(CONF, broken).program("usr/sbin/iscsid").systemd();
        let tree = tree.units(&["iscsid.socket", "iscsid.service"]);
        let tree = tree.with("etc/csihost/csihost.toml", "[kubelet]\nroot-dir = '/srv/kubelet'\n");
        fs::create_dir_all(tree.path("srv/kubelet/pods")).unwrap();
        let seen = tree.look();
        assert!(seen.plan.is_empty() && seen.plan.refused.is_empty(), "{:?}", seen.plan);
        let finding = tree.finding();
        assert_eq!(finding.status, CheckStatus::Fail, "{release}");
        assert!(finding.remedy.contains(remedy), "{}", finding.remedy);
        assert!(finding.detail.contains("csihost changes nothing"), "{}", finding.detail);
        let others: Vec<_> = seen.findings.iter().map(|finding| finding.id.as_str()).collect();
        assert!(others.iter().all(|id| ["os-profile", "kubelet-root"].contains(id)), "{others:?}");
        assert_eq!(fs::read(tree.path(CONF)).unwrap(), broken.as_bytes());
    }
}

#[test]
fn a_stranger_is_warned_and_told_how_to_become_known() {
    let tree = Tree::new("ID=mint\nID_LIKE=\"ubuntu debian\"\nPRETTY_NAME=Mint\n");
    let finding = tree.finding();
    assert_eq!(finding.status, CheckStatus::Warn);
    assert_eq!(finding.summary, "no profile is for Mint; the nearest is ubuntu");
    assert!(finding.remedy.contains("csihost profile show ubuntu"), "{}", finding.remedy);
    assert_eq!(Tree::new("ID=plan9\n").program("usr/bin/dnf").profile(), ("generic-dnf".to_owned(), false));
    assert_eq!(Tree::new(DEBIAN).finding().status, CheckStatus::Pass);
}

fn adapted(name: &str, from: &str, to: &str) -> String {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("os-profiles/{name}.toml")));
    let text = text.unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    text.replace(from, to)
}

#[test]
fn a_profile_of_etc_is_over_one_of_run_over_one_of_usr_and_a_mask_removes_all() {
    let tree = Tree::new(DEBIAN)
        .with("usr/lib/csihost/os-profiles.d/debian.toml", adapted("debian", "Raspberry", "usr"))
        .with("run/csihost/os-profiles.d/debian.toml", adapted("debian", "Raspberry", "run"))
        .with("usr/lib/csihost/os-profiles.d/own.toml", adapted("debian", "id = \"debian\"", "id = \"own\""));
    let summary = |tree: &Tree| tree.load().1.profile.profile.summary;
    assert_eq!(summary(&tree), "Debian 12 and later, run Pi OS");
    let tree = tree.with("etc/csihost/os-profiles.d/debian.toml", adapted("debian", "Raspberry", "etc"));
    assert_eq!(summary(&tree), "Debian 12 and later, etc Pi OS");

    let (out, _, code) = tree.csihost(&["profile", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &json["schema"], &json["in_effect"], &json["exact"]),
        (0, &1.into(), &"debian".into(), &true.into())
    );
    let of =
        |name: &str| json["profiles"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("debian")["source"], "/etc/csihost/os-profiles.d/debian.toml");
    assert_eq!(
        of("debian")["overrides"],
        serde_json::json!([
            "/run/csihost/os-profiles.d/debian.toml",
            "/usr/lib/csihost/os-profiles.d/debian.toml",
            "built in"
        ])
    );
    assert_eq!(of("ubuntu")["source"], "built in");
    assert_eq!((&of("talos")["supported"], &of("ubuntu")["supported"]), (&false.into(), &true.into()));

    fs::remove_file(tree.path("etc/csihost/os-profiles.d/debian.toml")).unwrap();
    symlink("/dev/null", tree.path("etc/csihost/os-profiles.d/debian.toml")).unwrap();
    symlink("/dev/null", tree.path("etc/csihost/os-profiles.d/ubuntu.toml")).unwrap();
    // What is left for a Debian without profile: its package manager.
    assert_eq!(tree.program("usr/bin/apt-get").profile(), ("generic-apt".to_owned(), false));
}

#[test]
fn an_installed_copy_of_a_built_in_profile_overrides_nothing() {
    let tree =
        Tree::new(DEBIAN).with("usr/lib/csihost/os-profiles.d/debian.toml", adapted("debian", "#", "#"));
    let (out, _, _) = tree.csihost(&["profile", "list"]);
    let line = out.lines().find(|line| line.starts_with("*  debian ")).unwrap();
    assert!(line.ends_with("  /usr/lib/csihost/os-profiles.d/debian.toml"), "{line}");
}

#[test]
fn list_marks_the_profile_in_effect_and_says_what_is_masked() {
    let tree = Tree::new(DEBIAN);
    fs::create_dir_all(tree.path(DROPPED)).unwrap();
    symlink("/dev/null", tree.path(DROPPED).join("arch.toml")).unwrap();
    let (out, _, code) = tree.csihost(&["profile", "list"]);
    assert_eq!(code, 0);
    let lines = |part: &str| out.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines("*  debian "), 1, "{out}");
    assert!(out.lines().any(|line| line.starts_with("   arch ") && line.contains("masked")), "{out}");
    assert!(out.ends_with("\ndebian is in effect here.\n"), "{out}");

    let (out, _, _) = Tree::new("ID=x\nID_LIKE=debian\n").csihost(&["profile", "list"]);
    assert!(out.contains("~  debian ") && out.contains("debian, the nearest, is in effect"), "{out}");

    let (_, err, code) = tree.csihost(&["profile", "show", "arch"]);
    assert_eq!(code, 1);
    assert!(err.contains("masked by /etc/csihost/os-profiles.d/arch.toml"), "{err}");
}

#[test]
fn what_show_prints_is_a_profile_that_can_be_saved() {
    let tree = Tree::new(DEBIAN);
    let (out, _, code) = tree.csihost(&["profile", "show"]);
    assert_eq!(code, 0);
    assert_eq!(out, format!("# os-profile debian: built in\n{}", adapted("debian", "#", "#")));
    let (of_name, _, _) = tree.csihost(&["profile", "show", "talos"]);
    assert!(of_name.starts_with("# os-profile talos: built in\n") && of_name.contains("[unsupported]"));

    let saved = tree.with("etc/csihost/os-profiles.d/debian.toml", out);
    let (again, _, _) = saved.csihost(&["profile", "show", "debian"]);
    assert!(again.starts_with("# os-profile debian: /etc/csihost/os-profiles.d/debian.toml over built in\n"));
    let (_, err, code) = saved.csihost(&["profile", "show", "plan9"]);
    assert_eq!(code, 1);
    assert!(err.contains("no os-profile \"plan9\"; csihost profile list shows them"), "{err}");
}

#[test]
fn a_broken_profile_stops_every_turn_with_file_and_line_and_list_still_shows_the_rest() {
    let tree =
        Tree::new(DEBIAN).with("etc/csihost/os-profiles.d/own.toml", "summary = 'x'\n[[match]]\nid = ''\n");
    let said = "csihost: /etc/csihost/os-profiles.d/own.toml:3: match.id";
    for verb in ["plan", "check", "apply"] {
        let (_, err, code) = tree.csihost(&[verb]);
        assert_eq!(code, 78, "{verb}");
        assert!(
            err.starts_with("csihost: /etc/csihost/os-profiles.d/own.toml:1: expected [packages]"),
            "{err}"
        );
    }
    let tree = tree.with(
        "etc/csihost/os-profiles.d/own.toml",
        "summary = 'x'\n[[match]]\nid = ''\n[unsupported]\nreason = 'a'\nremedy = 'b'\n",
    );
    let (out, err, code) = tree.csihost(&["profile", "list"]);
    assert_eq!(code, 78);
    assert!(err.starts_with(said), "{err}");
    assert!(out.contains("  own ") && out.contains("cannot be used") && out.contains("  debian "), "{out}");
    let (out, _, code) = tree.csihost(&["profile", "list", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["in_effect"]), (78, &serde_json::Value::Null));
    let (out, err, code) = tree.csihost(&["profile", "show", "own"]);
    assert_eq!(code, 78);
    assert!(out.contains("id = ''") && err.starts_with(said), "{out}{err}");
}

#[test]
fn validate_reports_every_file_and_is_silent_about_good_ones() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.toml", adapted("debian", "#", "#").as_bytes());
    let unit = file("unit.toml", adapted("debian", "\"iscsid.socket\"", "\"iscsid\"").as_bytes());
    let bytes = file("bytes.toml", b"summary = 'x'\n# \xff\n");
    let missing = dir.path().join("missing.toml").to_str().unwrap().to_owned();
    let folder = dir.path().to_str().unwrap();

    assert_eq!(csihost(&["profile", "validate", &good]), (String::new(), String::new(), 0));
    let (out, err, code) = csihost(&["profile", "validate", &unit, &good, &bytes, &missing, folder]);
    assert_eq!((out.as_str(), code), ("", 78));
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 4, "{err}");
    let line = 1 + adapted("debian", "#", "#").lines().position(|line| line.starts_with("units")).unwrap();
    assert!(lines[0].starts_with(&format!("csihost: {unit}:{line}: \"iscsid\" is not")), "{err}");
    assert_eq!(lines[1], format!("csihost: {bytes}:2: not UTF-8"));
    assert!(lines[2].starts_with(&format!("csihost: {missing}: No such file")), "{err}");
    assert!(lines[3].starts_with(&format!("csihost: {folder}: Is a directory")), "{err}");
    let (_, _, code) = csihost(&["profile", "validate"]);
    assert_eq!(code, 2);
}
