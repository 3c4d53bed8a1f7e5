//! os-profiles as a host meets them: which one it gets, what becomes of its iscsid.conf, and what
//! `csihost profile` says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // A test may panic: that is how it fails.

mod tree;
mod verbs;

use csihost::model::finding::CheckStatus;
use csihost::model::path::HostPath;
use csihost::profile::Profile;
use csihost::scene::presentable;
use std::fs;
use std::path::PathBuf;
use tree::{CONF, Tree};

const RANCHEROS: &str = "NAME=\"RancherOS\"\nVERSION=v1.5.5\nID=rancheros\nVERSION_ID=v1.5.5\n";
pub(crate) const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian twelve\"\n";
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
        let tree = Tree::new(release).with(CONF, conf).profiled();
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
        let after = tree.with(CONF, &conf).profiled().applied();
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
        let (said, _, code) = tree.csihost(&["plan"]);
        assert_eq!(code, 0);
        assert!(said.starts_with("Nothing to do.\ncsihost changes nothing here: "), "{said}");
        assert!(said.contains(remedy), "{said}");
        let finding = tree.finding();
        assert_eq!(finding.status, CheckStatus::Fail, "{release}");
        assert!(finding.remedy.contains(remedy), "{}", finding.remedy);
        assert!(finding.detail.contains("csihost changes nothing"), "{}", finding.detail);
        let others: Vec<_> = seen.findings.iter().map(|finding| finding.id.as_str()).collect();
        assert!(
            others.iter().all(|id| [
                "os-profile",
                "kubelet-root",
                "path-contract",
                "kubernetes-version",
                "hostname"
            ]
            .contains(id)),
            "{others:?}"
        );
        assert_eq!(fs::read(tree.path(CONF)).unwrap(), broken.as_bytes());
    }
}

#[test]
fn a_captured_scene_keeps_what_picks_the_profile_and_what_is_in_one() {
    for (name, text) in csihost::profile::BUILTIN {
        let path = format!("/usr/lib/csihost/os-profiles.d/{name}.toml");
        let path = HostPath::parse(path.as_bytes()).unwrap();
        let kept = String::from_utf8(presentable(&path, text.as_bytes())).unwrap();
        assert_eq!(Profile::parse(name, name, &kept), Profile::parse(name, name, text), "{name}");
    }
    assert_eq!(presentable(&HostPath::from("/run/console-done"), b"ubuntu\n"), b"ubuntu\n");
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
