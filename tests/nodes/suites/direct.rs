//! On a tree without systemd: what csihost does by itself where another init is PID 1.

use crate::support::plain;

/// RancherOS' ubuntu console, as far as csihost can tell: Debian's files are Ubuntu's kin.
const RANCHEROS: &str = "
    rm /etc/os-release
    printf '%s\\n' 'NAME=\"RancherOS\"' ID=rancheros VERSION_ID=v1.4.2 'PRETTY_NAME=\"RancherOS v1.4.2\"' >/etc/os-release
    echo ubuntu >/run/console-done
    [ ! -e /run/systemd ]
    install -m 755 /share/csihost /share/kubelet /usr/bin/
    mkdir -p $root
    /usr/bin/kubelet --root-dir=$root >kubelet.log 2>&1 &
    for _ in {1..100}; do [ -S $root/pod-resources/kubelet.sock ] && break; sleep 0.05; done
    settled() {
        csihost plan --json >planned || :
        tr -d ' \\n' <planned | grep -qF '\"steps\":[]'
    }
    # This machine's kernel has no iSCSI, and a daemon that cannot start is not started.
    apply() {
        rc=0; csihost apply >out 2>&1 || rc=$?
        cat out
        [ $rc = 1 ]
        grep -q '^refused: iscsi-kernel' out
    }";

#[test]
#[ignore = "boots a node: make node"]
fn without_systemd_the_bridge_is_mounted_and_the_startup_line_names_the_daemon() {
    plain().run(&format!(
        "{RANCHEROS}
         csihost plan >planned || :
         cat planned
         grep -q '^mount /var/lib/kubelet/pods ' planned
         apply
         [ \"$(grep -c '^refused' out)\" = 2 ]
         settled
         bridged
         travels
         kubelet_in_sight
         # No unit is written where nobody reads it.
         if find /etc/systemd/system -name '*kubelet*' | grep .; then exit 1; fi
         grep -qx '# iscsid.startup = /bin/systemctl start iscsid.socket' /etc/iscsi/iscsid.conf
         grep -qx 'iscsid.startup = /sbin/iscsid' /etc/iscsi/iscsid.conf
         # A second turn finds all as it is.
         cat /proc/1/mountinfo >mounts
         apply
         grep -q 'nothing to do' out
         same mounts /proc/1/mountinfo
         csihost check >checks || :
         cat checks
         if grep -i '^FAIL *systemd' checks; then exit 1; fi
         grep -q '^pass *bridge ' checks"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn undo_puts_back_and_leaves_volumes_alone() {
    plain().run(&format!(
        "{RANCHEROS}
         snapshot >before
         apply
         mkdir $root/pods/volume
         mount -t tmpfs volume $root/pods/volume
         touch $root/pods/volume/file
         says 'next reboot' csihost undo
         snapshot >after
         same before after
         [ -e $standard/pods/volume/file ]
         umount $root/pods/volume
         rmdir $root/pods/volume
         csihost undo || :
         not_bridged
         apply
         bridged
         travels"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_link_in_the_place_of_a_directory_is_not_mounted_through() {
    plain().run(&format!(
        "{RANCHEROS}
         mkdir -p /srv/elsewhere $standard
         rmdir $standard/pods 2>/dev/null || :
         ln -s /srv/elsewhere $standard/pods
         csihost apply >out 2>&1 || :
         cat out
         grep -q bridge-link out
         if grep /srv/elsewhere /proc/1/mountinfo; then exit 1; fi"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_host_that_no_profile_knows_without_systemd_is_left_alone() {
    plain().run(
        "install -m 755 /share/csihost /usr/bin/
         snapshot >before
         fails 'with systemd alone' csihost apply
         snapshot >after
         same before after",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_package_that_is_missing_is_installed_without_a_bus() {
    plain().option(&["--timeout", "400"]).run(&format!(
        "{RANCHEROS}
         version=$(dpkg-query -W -f '${{Version}}' open-iscsi)
         DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends open-iscsi >/dev/null 2>&1
         rm -rf /etc/iscsi
         fails 'is the package archive reachable' csihost apply
         grep -q 'ended with exit status 100' failing
         mkdir /srv/archive
         cp /share/debs/open-iscsi_${{version}}_*.deb /srv/archive/
         (cd /srv/archive && apt-ftparchive packages . >Packages)
         echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list
         apply
         settled
         dpkg -s open-iscsi | grep '^Status: install ok installed'
         grep -qx 'iscsid.startup = /sbin/iscsid' /etc/iscsi/iscsid.conf"
    ));
}

/// A profile of RancherOS' whose daemon can run on this machine's kernel: the text is added to
/// `[iscsi]`.
fn profile(iscsi: &str) -> String {
    format!(
        "mkdir -p /etc/csihost/os-profiles.d
         cat >/etc/csihost/os-profiles.d/rancheros.toml <<'END'
summary = 'a stand-in'
[[match]]
id = 'rancheros'
[packages]
manager = 'none'
[iscsi]
conf = '/etc/iscsi/iscsid.conf'
initiator-name = '/etc/iscsi/initiatorname.iscsi'
units = []
modules = []
nodes = []
{iscsi}
END
"
    )
}

#[test]
#[ignore = "boots a node: make node"]
fn a_daemon_is_started_without_an_init_and_one_that_does_not_end_is_not_started_twice() {
    // It goes to the background by itself, and pays no heed to SIGTERM.
    let profile = profile("daemon = ['/usr/sbin/tgtd']");
    plain().run(&format!(
        "{RANCHEROS}
         {profile}
         printf '[systemd]\\njob-timeout = 2\\n' >/etc/csihost/csihost.toml
         if pgrep -x tgtd; then exit 1; fi
         csihost apply
         running=$(pgrep -x tgtd)
         nothing_planned
         csihost apply
         [ \"$(pgrep -x tgtd)\" = \"$running\" ]
         # A name that is missing is made, and the daemon would learn it by a restart.
         rm /etc/iscsi/initiatorname.iscsi
         fails 'tgtd does not end' csihost apply
         [ \"$(pgrep -x tgtd)\" = \"$running\" ]
         pkill -KILL -x tgtd
         csihost apply
         [ \"$(pgrep -x tgtd)\" != \"$running\" ] && pgrep -x tgtd
         nothing_planned
         pkill -KILL -x tgtd
         csihost undo"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_service_of_openrc_is_enabled_and_started() {
    let profile = profile("daemon = ['/usr/sbin/iscsid']\nopenrc = 'iscsid'");
    plain().run(&format!(
        "{RANCHEROS}
         {profile}
         # As much of OpenRC as is asked.
         mkdir -p /etc/runlevels/default
         printf '#!/sbin/openrc-run\\n' >/etc/init.d/iscsid; chmod 755 /etc/init.d/iscsid
         cat >/usr/sbin/rc-service <<'END'
#!/bin/sh
echo \"$*\" >>/root/asked
case $2 in
    start) touch /run/up ;;
    stop) rm -f /run/up ;;
    status) [ -e /run/up ] || exit 3 ;;
esac
END
         chmod 755 /usr/sbin/rc-service
         csihost apply
         [ \"$(readlink /etc/runlevels/default/iscsid)\" = /etc/init.d/iscsid ]
         [ -e /run/up ]
         [ \"$(grep -c start asked)\" = 1 ]
         nothing_planned
         csihost undo
         [ ! -e /run/up ]
         [ ! -L /etc/runlevels/default/iscsid ]
         # One that does not come up is told with where to look.
         sed -i 's/start) .*/start) echo no such device >\\&2; exit 1 ;;/' /usr/sbin/rc-service
         fails 'exit status 1: no such device; what it said is in /run/csihost/command.log' csihost apply"
    ));
}
