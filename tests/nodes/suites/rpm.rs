//! On real systemd in a container: the rpm's life, with the real rpm and the real dnf.
//!
//! The node is Debian's; what the package asks of a distribution with rpm is named to rpm by empty
//! packages.

use crate::support::{Node, container};

const RPM: &str = "
    apt_get install /share/debs/rpm/*.deb >/dev/null
    # Debian's asks whether one is sure, up to version 4.
    case $(command rpm --version) in *' 4.'*) rpm() { command rpm --force-debian \"$@\"; } ;; esac
    # provided NAME: rpm knows a package of that name.
    provided() {
        printf '%s\\n' \"Name: $1\" 'Version: 1' 'Release: 1' 'Summary: A stand-in' 'License: MIT' 'BuildArch: noarch' 'Provides: /bin/sh' \\
            '%description' 'A stand-in.' '%files' >$1.spec
        rpmbuild --quiet -bb --define '_topdir /root/rpmbuild' $1.spec >/dev/null 2>&1
        rpm -i /root/rpmbuild/RPMS/noarch/$1-*.rpm
    }
    provided systemd";

fn node() -> Node {
    container().option(&["--timeout", "300"])
}

fn with_rpm(script: &str) -> String {
    format!("broken_node; {RPM}; {script}")
}

#[test]
#[ignore = "boots a node: make node"]
fn it_asks_for_open_iscsi_by_the_name_of_red_hat_or_of_suse() {
    for name in ["iscsi-initiator-utils", "open-iscsi"] {
        node().run(&with_rpm(&format!(
            "fails '(iscsi-initiator-utils or open-iscsi) is needed by csihost' rpm -i --test /share/csihost.rpm
             provided {name}
             rpm -i --test /share/csihost.rpm
             rpm -qp --suggests /share/csihost.rpm | tee suggested
             grep -qx cryptsetup suggested
             grep -qx '(nfs-utils or nfs-client)' suggested"
        )));
    }
}

#[test]
#[ignore = "boots a node: make node"]
fn installed_the_node_is_ready_and_erased_it_keeps_working() {
    node().then("systemctl is-active kubelet; iscsid_listens; bridged; travels; kubelet_in_sight").run(
        &with_rpm(
            "provided iscsi-initiator-utils
             rpm -i /share/csihost.rpm
             systemctl is-enabled csihost-boot csihost
             systemctl is-active csihost-boot csihost
             ready
             rpm -V csihost
             csihost --version
             journalctl -q -u csihost -x | grep -q 'There is nothing to do'
             rpm -e csihost 2>&1 | tee erased
             grep -q 'csihost undo before you erase it' erased
             [ ! -e /usr/bin/csihost ]
             if systemctl is-active csihost || systemctl is-enabled csihost-boot; then exit 1; fi
             iscsid_listens; bridged; travels; kubelet_in_sight",
        ),
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn undone_and_erased_the_host_is_as_it_was() {
    node().run(&with_rpm(
        "provided open-iscsi
         snapshot >before
         rpm -i /share/csihost.rpm
         ready
         csihost undo
         rpm -e csihost 2>&1 | tee erased
         [ ! -s erased ]
         snapshot >after; same before after; not_mounted; nothing_of_ours",
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn an_upgrade_leaves_the_mounts_untouched_and_has_the_new_agent_run() {
    node().run(&with_rpm(
        "provided open-iscsi
         rpm -i /share/csihost.rpm
         mkdir $root/pods/volume; mount -t tmpfs volume $root/pods/volume
         cat /proc/1/mountinfo >mounts; snapshot >etc
         old=$(systemctl show -P MainPID csihost)
         rpm -U /share/csihost-99.rpm
         [ \"$(rpm -q csihost)\" = csihost-99.0.0-1.x86_64 ]
         same mounts /proc/1/mountinfo
         snapshot >after; same etc after
         systemctl is-active csihost-boot csihost
         [ \"$(systemctl show -P MainPID csihost)\" != \"$old\" ]
         umount $root/pods/volume
         ready
         # What an administrator stopped and disabled stays so.
         systemctl -q disable --now csihost
         rpm -U --oldpackage /share/csihost.rpm
         if systemctl is-active csihost || systemctl is-enabled csihost; then exit 1; fi",
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn dnf_asks_for_what_is_missing_installs_upgrades_and_removes_it() {
    node().run(&with_rpm(
        "apt_get install /share/debs/dnf/*.deb >/dev/null
         dnf() { command dnf -y --disablerepo='*' --setopt=plugins=0 --releasever=9 \"$@\"; }
         fails '(iscsi-initiator-utils or open-iscsi) needed by csihost' dnf install /share/csihost.rpm
         [ ! -e /usr/bin/csihost ]
         provided iscsi-initiator-utils
         dnf install /share/csihost.rpm
         systemctl is-active csihost-boot csihost; ready
         mounts=$(grep kubelet /proc/1/mountinfo)
         dnf install /share/csihost-99.rpm
         rpm -q csihost | grep -F 99.0.0
         systemctl is-active csihost
         [ \"$(grep kubelet /proc/1/mountinfo)\" = \"$mounts\" ]; bridged; travels
         dnf remove csihost >removed 2>&1; cat removed
         grep -q 'csihost undo before you erase it' removed
         [ ! -e /usr/bin/csihost ]
         bridged; travels; iscsid_listens",
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn an_administrators_preset_has_the_last_word() {
    node().run(&with_rpm(
        "provided open-iscsi
         mkdir -p /etc/systemd/system-preset
         echo 'disable csihost*.service' >/etc/systemd/system-preset/10-mine.preset
         snapshot >before
         rpm -i /share/csihost.rpm
         for unit in csihost csihost-boot; do
             if systemctl is-active $unit || systemctl is-enabled $unit; then exit 1; fi
         done
         not_mounted
         snapshot >after; same before after",
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn in_an_image_without_systemd_installing_and_erasing_change_nothing_else() {
    node().run(&with_rpm(
        "provided open-iscsi
         snapshot >before
         # What a chroot has: no /run/systemd/system.
         unshare --mount bash -ec 'mount -t tmpfs none /run; rpm --force-debian -i /share/csihost.rpm'
         systemctl is-enabled csihost-boot csihost
         unshare --mount bash -ec 'mount -t tmpfs none /run; rpm --force-debian -e csihost'
         snapshot >after; same before after; nothing_of_ours",
    ));
}
