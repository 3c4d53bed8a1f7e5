//! On real systemd in a container: the rpm's life with the real zypper and the real dnf5.
//!
//! The node is Debian sid, whose zypper (1.14) and dnf5 (5.4) are those of openSUSE and Fedora today. The
//! packages of a distribution with rpm are named to rpm by empty packages. The rpm is not signed: zypper
//! refuses it without `--allow-unsigned-rpm`, dnf5 installs it with a warning.

use crate::support::{Node, container};

fn node() -> Node {
    container().suite("sid").option(&["--timeout", "300"])
}

/// Words for a node with the package manager `name`.
fn with(name: &str, script: &str) -> String {
    format!(
        "broken_node
         apt_get install /share/debs/{name}/*.deb /share/debs/rpm/*.deb >/dev/null
         provided() {{ # NAME: rpm knows a package of that name
             printf '%s\\n' \"Name: $1\" 'Version: 1' 'Release: 1' 'Summary: A stand-in' 'License: MIT' 'BuildArch: noarch' \\
                 'Provides: /bin/sh' '%description' 'A stand-in.' '%files' >$1.spec
             rpmbuild --quiet -bb --define '_topdir /root/rpmbuild' $1.spec >/dev/null 2>&1
             rpm -i /root/rpmbuild/RPMS/noarch/$1-*.rpm
         }}
         keeps_working() {{ # the package is gone, the node goes on
             [ ! -e /usr/bin/csihost ]
             bridged; travels; iscsid_listens; kubelet_in_sight
         }}
         provided systemd
         {script}"
    )
}

/// The life of the package, by the commands of the package manager: `install FILE`, `upgrade FILE`, `erase`.
const LIFE: &str = "
    install /share/csihost.rpm
    rpm -q csihost
    systemctl is-active csihost-boot csihost; ready
    mounts=$(grep kubelet /proc/1/mountinfo) old=$(systemctl show -P MainPID csihost)
    upgrade /share/csihost-99.rpm
    [ \"$(rpm -q csihost)\" = csihost-99.0.0-1.x86_64 ]
    systemctl is-active csihost-boot csihost; ready
    [ \"$(systemctl show -P MainPID csihost)\" != \"$old\" ]
    [ \"$(grep kubelet /proc/1/mountinfo)\" = \"$mounts\" ]
    erase >erased 2>&1 || { cat erased; fail 'erase failed'; }
    cat erased
    grep -q 'csihost undo before you erase it' erased
    keeps_working";

#[test]
#[ignore = "boots a node: make node"]
fn zypper_installs_upgrades_and_removes_the_unsigned_rpm_only_if_that_is_allowed() {
    node().run(&with(
        "zypper",
        &format!(
            "provided glibc
             zypper() {{ command zypper --non-interactive \"$@\"; }}
             status 4 zypper install --allow-unsigned-rpm /share/csihost.rpm >missing
             cat missing; grep -F '(iscsi-initiator-utils or open-iscsi)' missing
             provided open-iscsi
             status 8 zypper install /share/csihost.rpm >unsigned 2>&1
             cat unsigned; grep -F 'is unsigned' unsigned
             if rpm -q csihost; then exit 1; fi
             # The command of README.
             install() {{ zypper install --allow-unsigned-rpm $1; }}
             upgrade() {{ zypper install --allow-unsigned-rpm $1; }}
             erase() {{ zypper remove csihost; }}
             {LIFE}"
        ),
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn dnf5_installs_upgrades_and_removes_the_unsigned_rpm_with_a_warning() {
    node().run(&with(
        "dnf5",
        &format!(
            "dnf() {{ dnf5 -y --setopt=plugins=0 --releasever=42 \"$@\"; }}
             fails '(iscsi-initiator-utils or open-iscsi) needed by csihost' dnf install /share/csihost.rpm
             provided iscsi-initiator-utils
             install() {{ dnf install $1 2>&1 | tee installed; grep -F 'skipped OpenPGP checks' installed; }}
             upgrade() {{ dnf install $1; }}
             erase() {{ dnf remove csihost; }}
             {LIFE}"
        ),
    ));
}
