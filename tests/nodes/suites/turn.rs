//! On real systemd in a container: a turn, its undoing, bad hosts, kills, and the package's life.

use crate::support::{Node, container};

// ---- a turn

#[test]
#[ignore = "boots a node: make node"]
fn one_turn_makes_a_broken_node_ready_and_a_second_changes_nothing() {
    container().run(
        "broken_node; install_program
         status 3 csihost check
         status 3 csihost plan
         csihost apply
         ready
         snapshot >once
         csihost apply
         status 0 csihost plan
         snapshot >twice
         same once twice",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn the_same_where_the_root_is_a_shared_mount() {
    container().shared_root().run("broken_node; install_program; csihost apply; ready");
}

#[test]
#[ignore = "boots a node: make node"]
fn a_plan_changes_nothing_and_shows_diffs() {
    container().run(
        "broken_node; install_program
         snapshot >before; cat /proc/1/mountinfo >mounts
         says '+iscsid.startup = /bin/systemctl start iscsid.socket' csihost plan
         says '-iscsid.startup = /usr/sbin/no-such-iscsid' csihost plan
         says 'var-lib-kubelet-pods.mount' csihost plan
         snapshot >after
         same before after
         same mounts /proc/1/mountinfo",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn the_kubelets_root_is_detected_for_certain() {
    container().run(
        "broken_node; install_program
         csihost detect --json | tr -d ' \\n' >detected
         grep -F '\"root_dir\":\"/opt/rke/var/lib/kubelet\"' detected
         grep -F '\"confidence\":\"certain\"' detected",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_at_the_standard_path_gets_no_bridge() {
    container().run(
        "broken_node; install_program
         mkdir /etc/systemd/system/kubelet.service.d
         printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/kubelet\\n' >/etc/systemd/system/kubelet.service.d/root.conf
         systemctl daemon-reload
         systemctl restart kubelet
         csihost apply
         nothing_planned
         iscsid_listens
         not_bridged",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn without_any_kubelet_iscsi_is_made_ready_and_nothing_is_bridged() {
    container()
        .run("break_iscsi; install_program; csihost apply; nothing_planned; iscsid_listens; not_mounted");
}

#[test]
#[ignore = "boots a node: make node"]
fn a_directory_that_holds_data_is_refused_and_stays_in_sight() {
    container().run(
        "broken_node; install_program
         mkdir -p $standard/pods/somebodys
         echo data >$standard/pods/somebodys/file
         csihost plan --json >plan || :
         grep -qF bridge-hides-data plan
         csihost apply >out 2>&1 || :
         cat out
         grep -qF $standard/pods out
         [ \"$(cat $standard/pods/somebodys/file)\" = data ]
         iscsid_listens",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn status_and_check_speak_of_the_last_turn() {
    container().run(
        "broken_node; install_program; csihost apply
         # Not ready: this kernel has no iSCSI.
         status 3 csihost status
         status 3 csihost status --json | grep -q schema
         says $root csihost check
         # This node is a container: no reboot and no module of its own would help.
         says 'this node, a container (systemd-nspawn), is not in the machine' csihost check
         says 'run modprobe iscsi_tcp on the machine' csihost check",
    );
}

// ---- across reboots

fn installed_node_is_ready_again_after_a_reboot(node: Node) {
    node.then(
        "systemctl is-active csihost-boot kubelet
         ready
         # The turn was over when the kubelet started, and no order was broken for it.
         before_the_kubelet; no_order_broken
         snapshot >second
         same first second",
    )
    .then("ready")
    .run("broken_node; install_csihost; ready; snapshot >first");
}

#[test]
#[ignore = "boots a node: make node"]
fn after_a_reboot_it_is_all_there_again() {
    installed_node_is_ready_again_after_a_reboot(container());
}

#[test]
#[ignore = "boots a node: make node"]
fn after_a_reboot_it_is_all_there_again_on_a_shared_root() {
    installed_node_is_ready_again_after_a_reboot(container().shared_root());
}

#[test]
#[ignore = "boots a node: make node"]
fn the_journal_of_the_boot_unit_tells_the_story_in_under_fifteen_lines() {
    container()
        .then(
            "journalctl -q --no-pager -b -u csihost-boot | tee journal
             [ $(wc -l <journal) -lt 15 ]",
        )
        .run(
            "broken_node; install_csihost
             journalctl -q --no-pager -u csihost-boot | tee journal
             [ $(wc -l <journal) -lt 15 ]
             grep -q iscsid.conf journal
             grep -q pods journal
             journalctl -q -u csihost-boot -o export >fields
             grep -q '^CSIHOST_STEP=' fields
             grep -qx 'MESSAGE_ID=[0-9a-f]\\{32\\}' fields
             grep -q '^CSIHOST_TARGET=' fields
             if grep '^F_' fields; then exit 1; fi",
        );
}

#[test]
#[ignore = "boots a node: make node"]
fn systemd_finds_no_fault_in_the_units() {
    container().run(
        "broken_node; install_csihost
         systemd-analyze verify --man=no /usr/lib/systemd/system/csihost-boot.service 2>&1 | tee faults
         systemd-analyze verify --man=no /etc/systemd/system/*.mount 2>&1 | tee -a faults
         [ ! -s faults ]
         systemd-analyze security --no-pager csihost-boot.service | tee exposure | tail -n 1
         level=$(sed -n 's/.*exposure level for csihost-boot.service: \\([0-9.]*\\) .*/\\1/p' exposure)
         awk -v level=$level 'BEGIN { exit !(level != \"\" && level <= 4.0) }'
         # Without a mount namespace of its own, and without the right to mount.
         for setting in PrivateMounts PrivateTmp PrivateDevices ProtectKernelModules ProtectKernelTunables; do
             [ $(systemctl show -P $setting csihost-boot) = no ]
         done
         [ $(systemctl show -P ProtectSystem csihost-boot) = no ]
         if systemctl show -P CapabilityBoundingSet csihost-boot | grep cap_sys_admin; then fail rights; fi",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn systemd_does_on_a_real_host_what_its_room_says_of_it() {
    container().option(&["--timeout", "300"]).run("/share/bus");
}

// ---- undo

#[test]
#[ignore = "boots a node: make node"]
fn undo_gives_etc_back_byte_for_byte() {
    container().run(
        "broken_node; install_program
         snapshot >before; (cd $standard && find . -printf '%p %y %m\\n' | sort) >tree
         csihost apply
         snapshot >between
         if cmp -s before between; then exit 1; fi
         csihost undo
         snapshot >after
         same before after
         not_mounted
         (cd $standard && find . -printf '%p %y %m\\n' | sort) | same tree -
         [ \"$(systemctl is-active iscsid.socket)\" = inactive ]
         csihost undo
         csihost apply
         ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn undo_unmounts_nothing_that_is_in_use_and_a_reboot_completes_it() {
    container().then("snapshot >after; same before after; not_bridged").run(
        "broken_node; install_program; snapshot >before
             csihost apply
             mkdir $root/pods/volume
             mount -t tmpfs volume $root/pods/volume
             touch $root/pods/volume/file
             csihost undo >out 2>&1 || :
             cat out
             grep -qi reboot out
             [ -e $root/pods/volume/file ]
             [ -e $standard/pods/volume/file ]",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn undo_leaves_alone_what_was_edited_since() {
    container().run(
        "broken_node; install_program; csihost apply
         sed -i 's/^iscsid.startup.*/iscsid.startup = \\/bin\\/true/' /etc/iscsi/iscsid.conf
         csihost undo >out 2>&1 || :
         cat out
         grep -qF /etc/iscsi/iscsid.conf out
         grep -q '^iscsid.startup = /bin/true$' /etc/iscsi/iscsid.conf",
    );
}

// ---- hosts that are not as they should be

#[test]
#[ignore = "boots a node: make node"]
fn without_a_bus_it_says_so_and_does_not_hang() {
    container().run(
        "broken_node; install_program
         systemctl stop dbus.socket dbus.service 2>/dev/null
         SECONDS=0
         fails bus csihost apply
         [ $SECONDS -lt 15 ]
         systemctl start dbus.socket
         csihost apply
         ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_masked_socket_is_named_and_the_rest_is_done() {
    container().run(
        "broken_node; install_program
         systemctl -q mask iscsid.socket
         fails masked csihost apply
         [ -L /etc/systemd/system/iscsid.socket ]
         bridged
         travels
         systemctl -q unmask iscsid.socket
         csihost apply
         ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn without_open_iscsi_it_says_so_and_builds_the_bridge() {
    container().run(
        "kubelet; install_program
         DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends open-iscsi >/dev/null 2>&1
         rm -rf /etc/iscsi
         csihost apply >out 2>&1 || :
         cat out
         grep -qF open-iscsi out
         [ ! -e /etc/iscsi ]
         bridged
         travels",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_read_only_etc_is_a_clear_error_and_loses_nothing() {
    container().run(
        "broken_node; install_program; snapshot >before
         mount --bind /etc /etc && mount -o remount,bind,ro /etc
         fails read-only csihost apply
         snapshot >after
         same before after
         umount /etc
         csihost apply
         ready
         csihost undo
         snapshot >after
         same before after",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_full_disk_is_a_clear_error_and_loses_nothing() {
    container().run(
        "broken_node; install_program; snapshot >before
         mount -t tmpfs -o size=4m,mode=755 small /mnt
         cp -a /etc/. /mnt/
         mount --bind /mnt /etc
         dd if=/dev/zero of=/etc/filler bs=4k 2>/dev/null || :
         fails 'no space' csihost apply
         rm /etc/filler
         snapshot >after
         # What needs no room, like a link, may have been done.
         grep -v '/etc/systemd' before >b; grep -F iscsid.conf before >b; grep -F iscsid.conf after >a
         same b a
         csihost apply
         ready
         csihost undo
         snapshot >after
         same before after",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn where_no_receipt_can_be_written_nothing_is_changed() {
    container().run(
        "broken_node; install_program; snapshot >before
         mkdir -p /var/lib/csihost
         mount -t tmpfs -o size=4k,nr_inodes=2 full /var/lib/csihost
         dd if=/dev/zero of=/var/lib/csihost/filler bs=4k count=9 2>/dev/null || :
         fails /var/lib/csihost csihost apply
         snapshot >after
         same before after
         not_bridged
         umount /var/lib/csihost
         csihost apply
         ready",
    );
}

// ---- iscsid.conf in every shape

/// Runs a turn on a node after the script made of its iscsid.conf something else. `$conf` is the
/// file; `before` and `after` are copies of it.
fn with_iscsid_conf(change: &str, then: &str) -> String {
    container().run(&format!(
        "conf=/etc/iscsi/iscsid.conf
         broken_node; install_program
         {change}
         cp $conf before 2>/dev/null || :
         snapshot >etc-before
         rc=0; csihost apply >out 2>&1 || rc=$?
         cat out
         cp $conf after 2>/dev/null || :
         only_startup_changed() {{
             diff -a before after | grep -a '^[<>]' >changed || :
             [ -s changed ]
             if grep -av startup changed; then return 1; fi
         }}
         {then}
         csihost undo
         snapshot >etc-after
         same etc-before etc-after"
    ))
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_that_is_missing() {
    with_iscsid_conf(
        "rm $conf",
        "[ $rc = 0 ] || grep -qF $conf out
         iscsid_listens; bridged; travels",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_that_is_empty() {
    with_iscsid_conf(": >$conf", "[ $rc = 0 ]; ready");
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_that_is_a_directory() {
    with_iscsid_conf(
        "rm $conf; mkdir $conf; touch $conf/kept",
        "[ $rc = 0 ] || grep -qF $conf out
         [ -e $conf/kept ]
         iscsid_listens; bridged; travels",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_that_is_a_link_out_of_etc() {
    with_iscsid_conf(
        "mkdir /srv/conf; mv $conf /srv/conf/iscsi; chmod 600 /srv/conf/iscsi; ln -s /srv/conf/iscsi $conf
         cp -a /srv/conf /root/conf-before",
        "[ $rc = 1 ]
         grep -qF /srv/conf/iscsi out
         [ -L $conf ] && [ \"$(stat -c %a /srv/conf/iscsi)\" = 600 ]
         diff -r /root/conf-before /srv/conf
         iscsid_listens; bridged; travels",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_with_carriage_returns() {
    with_iscsid_conf(
        "sed -i 's/$/\\r/' $conf",
        "[ $rc = 0 ]; only_startup_changed; ready
         [ $(grep -c $'\\r' before) -le $(($(grep -c $'\\r' after) + 1)) ]",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_without_last_newline() {
    with_iscsid_conf(
        "printf '# the end' >>$conf",
        "[ $rc = 0 ]; only_startup_changed; ready
         [ \"$(tail -c 3 $conf)\" = end ]",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_of_a_megabyte() {
    with_iscsid_conf(
        "for ((i = 0; i < 20000; i++)); do echo \"# line $i of a file that somebody let grow for ten years\"; done >>$conf
         [ $(stat -c %s $conf) -gt 1000000 ]",
        "[ $rc = 0 ]; only_startup_changed; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_with_a_secret_of_which_nothing_is_shown() {
    with_iscsid_conf(
        "chmod 600 $conf
         sed -i 's/^iscsid.startup.*/node.session.auth.password = s3cret\\n&\\nnode.session.auth.password_in = s3cret/' $conf",
        "[ $rc = 0 ]; only_startup_changed
         [ \"$(stat -c '%a %U:%G' $conf)\" = '600 root:root' ]
         csihost undo; csihost plan >out2 2>&1 || :; csihost plan --json >>out2 || :; csihost apply >>out2 2>&1
         journalctl -q --no-pager >>out2
         if grep -r s3cret out out2 /run/csihost; then exit 1; fi",
    );
}

// ---- at once, and killed

#[test]
#[ignore = "boots a node: make node"]
fn turns_at_once_wait_for_each_other_and_then_find_nothing_to_do() {
    container().run(
        "broken_node; install_program
         for i in 1 2 3 4; do csihost apply >out.$i 2>&1 & pids+=($!); done
         for pid in \"${pids[@]}\"; do wait $pid || { cat out.*; exit 1; }; done
         ready
         csihost undo; csihost apply; csihost apply 2>idle >&2
         # Of the four one did the work: the others said what an idle turn says.
         cat out.*",
    );
}

/// Kills the command at moments spread over the time that it takes, and looks after each kill that
/// files are whole, that the next turn converges, and that undo still gives all back.
fn killed_at_any_moment(prepare: &str, command: &str) {
    container().option(&["--timeout", "600"]).run(&format!(
        "broken_node; install_program; snapshot >before; cp /etc/iscsi/iscsid.conf conf.before
         csihost apply 2>/dev/null; cp /etc/iscsi/iscsid.conf conf.after; {prepare}
         timed {command} 2>/dev/null
         echo \"it takes $took us\"
         for ((i = 0; i < 16; i++)); do
             systemctl reset-failed
             csihost apply 2>/dev/null; {prepare}
             {command} 2>/dev/null & pid=$!
             pause $((took * i / 15))
             kill -KILL $pid 2>/dev/null || :
             wait $pid 2>/dev/null || :
             # systemd goes on with what it was told; a turn in the middle of that would see it change.
             while systemctl list-jobs --no-legend | grep -q mount; do :; done
             cmp -s /etc/iscsi/iscsid.conf conf.before || cmp /etc/iscsi/iscsid.conf conf.after
             systemctl reset-failed
             csihost apply
             ready
             csihost undo
             snapshot >after
             same before after
             not_mounted
         done"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_turn_killed_at_any_moment_leaves_whole_files_and_the_next_one_converges() {
    killed_at_any_moment("csihost undo 2>/dev/null", "csihost apply");
}

#[test]
#[ignore = "boots a node: make node"]
fn an_undo_killed_at_any_moment_can_be_repeated() {
    killed_at_any_moment(":", "csihost undo");
}

// ---- the package

#[test]
#[ignore = "boots a node: make node"]
fn apt_remove_leaves_the_node_working_and_apt_purge_leaves_nothing_of_ours() {
    container()
        .then("systemctl is-active kubelet; iscsid_listens; bridged; travels; kubelet_in_sight")
        .then(
            "apt_get purge csihost
             snapshot >after
             same before after
             # The kubelet listens below the standard path, and so keeps that mount till a reboot.
             not_bridged
             nothing_of_ours",
        )
        .then("not_mounted")
        .run(
            "broken_node; snapshot >before
             install_csihost
             systemctl is-enabled csihost-boot
             systemctl is-active csihost-boot
             ready
             apt_get remove csihost
             [ ! -e /usr/bin/csihost ]
             iscsid_listens; bridged; travels; kubelet_in_sight",
        );
}

#[test]
#[ignore = "boots a node: make node"]
fn apt_purge_at_once_puts_the_host_back() {
    container().run(
        "broken_node; snapshot >before; install_csihost; ready
         apt_get purge csihost
         snapshot >after; same before after; not_mounted; nothing_of_ours",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn removed_installed_again_and_purged_it_puts_the_host_back() {
    container().run(
        "broken_node; snapshot >before; install_csihost
         apt_get remove csihost
         install_csihost
         [ ! -e /var/lib/csihost/undo ]
         ready
         apt_get remove csihost
         apt_get purge csihost
         snapshot >after; same before after; not_mounted; nothing_of_ours
         install_csihost; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_upgrade_leaves_the_mounts_untouched() {
    container().run(
        "broken_node; install_csihost
         mkdir $root/pods/volume; mount -t tmpfs volume $root/pods/volume
         cat /proc/1/mountinfo >mounts; snapshot >etc
         dpkg-deb -R /share/csihost.deb new
         sed -i 's/^Version: .*/Version: 99.0-1/' new/DEBIAN/control
         dpkg-deb -b new new.deb >/dev/null
         apt_get install ./new.deb
         dpkg-query -W csihost | grep -F 99.0
         same mounts /proc/1/mountinfo
         snapshot >after; same etc after
         systemctl is-active csihost-boot
         umount $root/pods/volume
         ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_host_that_cannot_be_made_ready_still_gets_the_package() {
    container().run(
        "broken_node; systemctl -q mask iscsid.socket
         install_csihost 2>&1 | tee out
         grep -qF 'csihost check' out
         dpkg-query -W -f '${db:Status-Status}' csihost | grep -x installed
         status 3 systemctl is-active csihost-boot",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn in_an_image_without_systemd_installing_and_purging_change_nothing_else() {
    container().run(
        "snapshot >before
         # What a chroot has: no /run/systemd/system.
         unshare --mount bash -ec '. /share/lib.sh; mount -t tmpfs none /run; install_csihost'
         systemctl is-enabled csihost-boot
         unshare --mount bash -ec '. /share/lib.sh; mount -t tmpfs none /run; apt_get purge csihost'
         snapshot >after; same before after; nothing_of_ours",
    );
}
