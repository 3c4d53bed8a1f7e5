//! In a virtual machine with a kernel of its own: real iSCSI, real reboots, power cuts.
//!
//! They need root and what `make tools` installs (see tests/nodes/machine), so plain `cargo test` ignores them.
//! `make vm` runs all, `cargo test --test vm -- --ignored WORD` those whose name has the word.

mod support;

use support::machine;

#[test]
#[ignore = "boots a virtual machine: make vm"]
fn from_a_broken_node_to_a_login_and_again_after_a_reboot() {
    let login = "
        iscsiadm -m discovery -t sendtargets -p 127.0.0.1
        iscsiadm -m node -T $iqn -p 127.0.0.1 --login
        udevadm settle
        disk=$(readlink -e /dev/disk/by-path/*$iqn-lun-1)
        blkid $disk || mkfs.ext4 -q $disk
        # As a CSI driver does it: below the path that it knows, and the kubelet sees it.
        mkdir -p $standard/plugins/driver/globalmount
        mount $disk $standard/plugins/driver/globalmount
        mountpoint $root/plugins/driver/globalmount
        date >>$root/plugins/driver/globalmount/file
        cat $standard/plugins/driver/globalmount/file
        umount $root/plugins/driver/globalmount
        # A session that is open at shutdown would wait for tgt, which ends first.
        iscsiadm -m node -T $iqn -p 127.0.0.1 --logout";
    machine()
        .then(&format!(
            "systemctl is-active csihost-boot kubelet
             csihost check
             ready
             before_the_kubelet; no_order_broken
             journalctl -q --no-pager -b -u csihost-boot | tee journal
             [ $(wc -l <journal) -lt 15 ]
             iqn=$(cat iqn); {login}
             csihost undo
             # open-iscsi's own records aside.
             snapshot | grep -v iscsi/ >after
             grep -v multi-user.target.wants/csihost after | same before -
             cmp conf /etc/iscsi/iscsid.conf
             not_bridged"
        ))
        .run(&format!(
            "broken_node
             iqn=$(/share/iscsi-target); echo $iqn >iqn
             snapshot | grep -v iscsi/ >before
             grep ^iscsid.startup /etc/iscsi/iscsid.conf; cp -a /etc/iscsi/iscsid.conf conf
             if iscsiadm -m discovery -t sendtargets -p 127.0.0.1; then fail 'iscsid is there'; fi
             status 3 /share/csihost check
             install_csihost
             csihost check
             ready
             {login}"
        ));
}

#[test]
#[ignore = "boots a virtual machine: make vm"]
fn however_open_iscsi_is_broken_a_turn_makes_a_login_work_also_after_a_reboot() {
    // Logs in and out as a CSI driver does. Discovery finds the target anew each time.
    let words = "
        login() {
            # iscsiadm may not load a module: it runs in a plugin's container.
            set -- setpriv --bounding-set=-sys_module iscsiadm
            \"$@\" -m node -o delete >/dev/null 2>&1 || :
            \"$@\" -m discovery -t sendtargets -p 127.0.0.1 && \"$@\" -m node -T $iqn -p 127.0.0.1 --login
        }
        logout() { iscsiadm -m node -T $iqn -p 127.0.0.1 --logout; }
        conf=/etc/iscsi/iscsid.conf name=/etc/iscsi/initiatorname.iscsi
        # The daemon, and what opens its socket.
        stop_all() { systemctl -q disable --now iscsid.socket iscsid.service open-iscsi.service; }
    ";
    machine()
        .then(&format!(
            "{words} iqn=$(cat iqn)
             systemctl is-active csihost-boot
             csihost check; nothing_planned
             [ $(cat $name) = $(cat /root/name) ]
             login; logout"
        ))
        .run(&format!(
            "{words} iqn=$(/share/iscsi-target); echo $iqn >iqn
             install_csihost
             csihost check; login; logout
             # It would repair what is broken before a login could fail.
             systemctl stop csihost

             a_startup_line_to_a_missing_program() {{
                 stop_all; sed -i 's|^iscsid.startup *=.*|iscsid.startup = /usr/sbin/no-such|' $conf
             }}
             socket_and_service_stopped_and_disabled_and_no_startup_line() {{
                 stop_all; sed -i 's|^iscsid.startup|# &|' $conf
             }}
             no_initiator_name() {{ systemctl stop iscsid.service iscsid.socket; rm $name; systemctl start iscsid.socket; }}
             an_empty_initiator_name() {{ systemctl stop iscsid.service; : >$name; }}
             a_module_that_is_not_loaded_and_that_iscsid_may_not_load() {{
                 systemctl stop iscsid.service iscsid.socket; rm /etc/modules-load.d/csihost.conf
                 modprobe -r iscsi_tcp libiscsi_tcp libiscsi
                 mkdir -p /etc/systemd/system/iscsid.service.d
                 printf '[Service]\\nCapabilityBoundingSet=~CAP_SYS_MODULE\\n' >/etc/systemd/system/iscsid.service.d/hard.conf
                 systemctl daemon-reload; systemctl start iscsid.socket
             }}
             no_package() {{
                 stop_all; mkdir -p /srv/archive /etc/csihost
                 version=$(dpkg-query -W -f '${{Version}}' open-iscsi)
                 echo update_initramfs=no >/etc/initramfs-tools/update-initramfs.conf
                 DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends open-iscsi; rm -rf /etc/iscsi
                 cp /share/debs/open-iscsi_${{version}}_*.deb /srv/archive/
                 (cd /srv/archive; apt-ftparchive packages . >Packages)
                 echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list
                 printf '[packages]\\npolicy = \"install\"\\n' >/etc/csihost/csihost.toml
             }}
             for way in no_package a_startup_line_to_a_missing_program \
                     socket_and_service_stopped_and_disabled_and_no_startup_line \
                     no_initiator_name an_empty_initiator_name \
                     a_module_that_is_not_loaded_and_that_iscsid_may_not_load; do
                 echo \"=== $way\"
                 $way
                 if timeout 60 bash -c \"$(declare -f login); iqn=$iqn login\"; then fail 'it is not broken'; fi
                 status 3 csihost check
                 csihost apply
                 csihost check; nothing_planned
                 login; logout
             done

             echo '=== a new name, while a session is up'
             login; pid=$(systemctl show -P MainPID iscsid.service)
             cp $name kept; sed -i 's/$/x/' $name
             says \"x, and sessions are up under $(sed s/.*=// kept)\" csihost check
             cp kept $name
             sed -i s/=iqn.*/=/ $name
             csihost apply
             [ $(systemctl show -P MainPID iscsid.service) = $pid ]
             says 'still goes by an older one' csihost check
             nothing_planned
             logout
             csihost apply
             [ $(systemctl show -P MainPID iscsid.service) != $pid ]
             csihost check; nothing_planned
             login; logout
             cp $name /root/name"
        ));
}

#[test]
#[ignore = "boots a virtual machine: make vm"]
fn the_agent_loads_a_module_that_was_unloaded_and_does_not_mind_a_clock_that_jumps() {
    machine().run(
        "broken_node; install_csihost
         mkdir -p /etc/csihost; printf '[agent]\\ninterval = 10\\n' >/etc/csihost/csihost.toml
         systemctl reload csihost; csihost check; ready
         pid=$(agent_pid)
         soon() { # COMMAND...: it succeeds within a minute (a virtual machine is slow).
             local try
             for try in {1..600}; do if \"$@\" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done
             journalctl -q --no-pager -u csihost -n 20; fail \"never: $*\"
         }
         # Nobody tells of it: the timer does.
         systemctl stop iscsid.service
         modprobe -r iscsi_tcp libiscsi_tcp libiscsi
         soon grep -q '^iscsi_tcp ' /proc/modules
         journalctl -q --no-pager -u csihost | grep -F 'load-module iscsi_tcp'
         for jump in '+400 days' '-800 days' '1971-01-01'; do
             echo \"=== the clock jumps: $jump\"
             date -s \"$jump\"
             systemctl stop iscsid.socket; soon iscsid_listens
             umount $standard/pods; soon bridged
             # The timer goes by the time since the boot.
             systemctl stop iscsid.service; modprobe -r iscsi_tcp
             soon grep -q '^iscsi_tcp ' /proc/modules
             csihost status
             # What would be a fight in ten minutes is none: a person asks.
             systemctl reload csihost
         done
         [ $(agent_pid) = $pid ]
         soon csihost check; ready",
    );
}

#[test]
#[ignore = "boots a virtual machine: make vm"]
fn after_a_power_cut_during_a_turn_files_are_whole_and_the_next_boot_is_ready() {
    // Where the cuts come: when the receipt appears, and when the first mount does.
    machine()
        .cut_on("CUT NOW")
        .then(
            "cmp conf /etc/iscsi/iscsid.conf || sed '/startup/d' conf | cmp - <(sed '/startup/d' /etc/iscsi/iscsid.conf)
             systemctl is-active csihost-boot
             ready
             csihost undo
             snapshot >after; same before after; sync
             csihost apply &
             until grep -q \" $standard/\" /proc/1/mountinfo; do :; done
             echo CUT AGAIN
             sleep 60",
        )
        .cut_on("CUT AGAIN")
        .then(
            "sed '/startup/d' conf | cmp - <(sed '/startup/d' /etc/iscsi/iscsid.conf)
             systemctl is-active csihost-boot
             ready
             csihost check
             csihost undo
             snapshot >after; same before after",
        )
        .run(
            "# Installed, but the turn has not been made yet.
             printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
             install_csihost
             broken_node
             cp /etc/iscsi/iscsid.conf conf
             snapshot >before
             sync
             csihost apply &
             until [ -e /var/lib/csihost/receipt.json ]; do :; done
             echo CUT NOW
             sleep 60",
        );
}
