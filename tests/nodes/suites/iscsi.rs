//! On real systemd in a container: what csihost makes of every state in which it finds open-iscsi.

use crate::support::container;

/// Words for scripts about the initiator name.
const NAMES: &str = "
    install_program; break_iscsi
    name=/etc/iscsi/initiatorname.iscsi
    own='^InitiatorName=iqn[.]1993-08[.]org[.]debian:01:[0-9a-f]{12}$'
    another_machine() {
        rm /etc/machine-id; tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
    }
    # named: the file has one name, of this machine's own, and nothing else changes it.
    named() {
        grep -Eq \"$own\" $name || { cat $name; return 1; }
        [ $(grep -c InitiatorName= $name) = 1 ]
        ! grep -q ^GenerateName= $name
        nothing_planned
        cp -p $name named; csihost apply; cmp named $name
    }
";

// ---- the initiator name

#[test]
#[ignore = "boots a node: make node"]
fn a_host_without_a_name_gets_one_of_its_own_and_keeps_it() {
    container().run(&format!(
        "{NAMES}
         rm $name; umask 022
         says '+InitiatorName=iqn.1993-08.org.debian:01:' csihost plan
         csihost apply; named
         [ $(stat -c %a:%U $name) = 600:root ]
         cp $name first; csihost undo; [ ! -e $name ]
         csihost apply; named
         if cmp -s first $name; then fail 'the same name twice'; fi
         # Whatever else was in the file stays, and comes back.
         for text in '' 'GenerateName=yes\\n' '# mine\\nInitiatorName=\\n' 'InitiatorName = \\r\\n# end'; do
             csihost undo
             printf \"$text\" >$name; chmod 640 $name; cp -p $name before
             csihost apply; named
             [ $(stat -c %a $name) = 640 ]
             for line in '# mine' '# end'; do
                 ! grep -qx \"$line\" before || grep -qx \"$line\" $name
             done
             csihost undo; cmp before $name
         done"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_good_name_is_not_touched() {
    container().run(&format!(
        "{NAMES}
         printf '# of the administrator\\nInitiatorName = iqn.2001-04.com.example:node7' >$name
         cp -p $name before; stat -c '%i %Y %Z %a' $name >stat
         csihost apply; csihost apply
         cmp before $name; stat -c '%i %Y %Z %a' $name | cmp - stat
         csihost undo
         cmp before $name; stat -c '%i %Y %Z %a' $name | cmp - stat"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_name_that_was_copied_with_its_disk_is_replaced() {
    container().run(&format!(
        "{NAMES}
         echo InitiatorName=iqn.2001-04.com.example:golden >$name
         csihost apply
         # The copy is another machine.
         another_machine
         says 'it was made for another machine' csihost check
         csihost apply; named
         csihost check >checked || :; if grep 'another machine' checked; then fail 'still said'; fi
         # And one that an administrator gave the copy himself is his.
         another_machine
         echo InitiatorName=iqn.2001-04.com.example:mine >$name
         csihost apply; grep -q example:mine $name"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn iscsid_learns_its_new_name_by_one_restart() {
    container().run(&format!(
        "{NAMES}
         # This kernel has no iSCSI: something else runs in the daemon's service.
         mkdir -p /etc/systemd/system/iscsid.service.d
         printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nType=simple\\nExecStartPre=\\nExecStart=\\nExecStart=sleep infinity\\n' \
             >/etc/systemd/system/iscsid.service.d/stand-in.conf
         systemctl daemon-reload; systemctl start iscsid.service
         runs() {{ systemctl show -P MainPID iscsid.service; }}
         before=$(runs); rm $name
         csihost apply; named
         after=$(runs); [ $before != $after ]; [ $after != 0 ]
         csihost apply; [ $(runs) = $after ]"
    ));
}

// ---- units

#[test]
#[ignore = "boots a node: make node"]
fn from_every_state_of_socket_and_service_a_turn_leads_to_a_socket_that_listens() {
    container().option(&["--timeout", "600"]).run(
        "install_program
         mkdir -p /etc/systemd/system/iscsid.service.d
         printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nType=simple\\nExecStartPre=\\nExecStart=\\nExecStart=sleep infinity\\n' \
             >/etc/systemd/system/iscsid.service.d/stand-in.conf
         systemctl daemon-reload
         for socket in enable disable; do for listens in start stop; do
         for service in enable disable; do for runs in start stop; do
             systemctl -q stop iscsid.service iscsid.socket
             systemctl -q $socket iscsid.socket; systemctl -q $service iscsid.service
             [ $runs = stop ] || systemctl start iscsid.service
             # systemd refuses to open the socket beside a running service.
             [ $listens = stop ] || systemctl start iscsid.socket 2>/dev/null || :
             systemctl show -P MainPID iscsid.service >pid
             csihost apply
             echo \"$socket $listens $service $runs\"
             nothing_planned
             systemctl is-enabled -q iscsid.socket
             systemctl is-active -q iscsid.socket || systemctl is-active -q iscsid.service
             # What runs goes on running: sessions may be up.
             [ $runs = stop ] || systemctl show -P MainPID iscsid.service | cmp - pid
             csihost undo
         done; done; done; done",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn open_iscsi_and_its_sessions_are_never_stopped() {
    container().run(
        "install_program; break_iscsi
         printf '#!/bin/sh\\necho stopped >>/stopped\\n' >/usr/bin/stopping; chmod 755 /usr/bin/stopping
         mkdir -p /etc/systemd/system/open-iscsi.service.d
         printf '[Unit]\\nConditionDirectoryNotEmpty=\\nConditionPathExists=\\n[Service]\\nExecStartPre=\\nExecStart=\\nExecStart=true\\nExecStop=\\nExecStop=/usr/bin/stopping\\n' \
             >/etc/systemd/system/open-iscsi.service.d/stand-in.conf
         systemctl daemon-reload; systemctl start open-iscsi.service
         systemctl is-active open-iscsi.service
         rm /etc/iscsi/initiatorname.iscsi
         csihost apply; csihost apply; csihost undo
         systemctl is-active open-iscsi.service
         [ ! -e /stopped ]",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kernel_without_iscsi_is_named_at_once_and_nothing_hangs() {
    container().run(
        "install_program; break_iscsi
         # A host whose open-iscsi has no socket, as Debian 11's.
         mkdir -p /etc/csihost/os-profiles.d
         sed 's/^units = .*/units = [\"iscsid.service\"]/' /share/debian.toml >/etc/csihost/os-profiles.d/debian.toml
         grep -c iscsid.service /etc/csihost/os-profiles.d/debian.toml
         begin=$EPOCHSECONDS
         fails 'hangs at its start' csihost apply
         [ $((EPOCHSECONDS - begin)) -lt 5 ]
         [ $(systemctl show -P ActiveState iscsid.service) = inactive ]",
    );
}

// ---- files as they should not be

#[test]
#[ignore = "boots a node: make node"]
fn an_immutable_file_is_a_clear_error_and_loses_nothing() {
    container().run(
        "install_program; break_iscsi
         conf=/etc/iscsi/iscsid.conf; cp -p $conf before
         chattr +i $conf || { echo 'this file system has no immutable files'; exit 0; }
         fails 'immutable' csihost apply
         chattr -i $conf; cmp before $conf
         [ -z \"$(find /etc/iscsi -name '*csihost*')\" ]
         csihost apply; iscsid_listens",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_file_of_random_bytes_stays_as_it_is_but_for_a_line() {
    container().run(
        "install_program; break_iscsi
         conf=/etc/iscsi/iscsid.conf
         head -c 65536 /dev/urandom >$conf; echo >>$conf; cp -p $conf before
         csihost apply
         head -c 65537 $conf | cmp - before || cmp $conf before
         nothing_planned
         csihost undo; cmp before $conf",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_file_too_large_to_be_one_is_refused_and_the_rest_is_done() {
    container().run(
        "install_program; break_iscsi
         conf=/etc/iscsi/iscsid.conf
         truncate -s 64M $conf
         fails $conf csihost apply
         [ $(stat -c %s $conf) = $((64 << 20)) ]
         iscsid_listens",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_initiator_name_that_is_no_file_is_refused_and_the_rest_is_done() {
    container().run(&format!(
        "{NAMES}
         for what in 'mkdir $name' 'mkfifo $name' 'ln -s /srv/name $name; echo >/srv/name' 'ln -s loop $name; ln -s initiatorname.iscsi /etc/iscsi/loop'; do
             rm -rf $name; eval \"$what\"
             fails $name csihost apply
             iscsid_listens
         done"
    ));
}

// ---- what the settings ask for

#[test]
#[ignore = "boots a node: make node"]
fn multipathd_is_kept_from_longhorns_disks_only_where_the_settings_ask_for_it() {
    container().run(
        "install_program
         printf '[Service]\\nExecStart=sleep infinity\\nExecReload=/bin/sh -c \"echo again >>/reloads\"\\n' >/etc/systemd/system/multipathd.service
         systemctl daemon-reload; systemctl start multipathd
         csihost apply
         [ ! -e /etc/multipath ]
         mkdir -p /etc/csihost /etc/multipath; : >/etc/multipath/before
         printf '[iscsi]\\nmultipath = \"blacklist\"\\n' >/etc/csihost/csihost.toml
         csihost apply
         grep -A9 '^blacklist' /etc/multipath/conf.d/csihost.conf
         [ $(wc -l </reloads) = 1 ]
         nothing_planned; csihost apply; [ $(wc -l </reloads) = 1 ]
         : >/etc/csihost/csihost.toml; csihost apply
         [ ! -e /etc/multipath/conf.d/csihost.conf ]; [ $(wc -l </reloads) = 2 ]; nothing_planned
         printf '[iscsi]\\nmultipath = \"blacklist\"\\n' >/etc/csihost/csihost.toml
         csihost apply; [ $(wc -l </reloads) = 3 ]
         csihost undo
         [ $(ls -A /etc/multipath) = before ]; [ $(wc -l </reloads) = 4 ]
         # An administrator's own rule is enough.
         printf 'blacklist {\\n  device {\\n    vendor \"IET\"\\n  }\\n}\\n' >/etc/multipath.conf
         csihost apply
         [ ! -e /etc/multipath/conf.d ]",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn records_of_longhorns_that_have_no_session_go_only_where_the_settings_ask_for_it() {
    container().run(
        "install_program
         nodes=/etc/iscsi/nodes; [ -d /var/lib/iscsi ] && nodes=/var/lib/iscsi/nodes
         for target in iqn.2019-10.io.longhorn:pvc-1 iqn.2001-04.com.example:san; do
             mkdir -p $nodes/$target/10.0.0.1,3260,1
             printf 'node.session.auth.password = s3cret\\n' >$nodes/$target/10.0.0.1,3260,1/default
             chmod 600 $nodes/$target/10.0.0.1,3260,1/default
         done
         cp -a $nodes before
         csihost apply; diff -r before $nodes
         mkdir -p /etc/csihost; printf '[iscsi]\\nstale-records = \"remove\"\\n' >/etc/csihost/csihost.toml
         # A record that is new may be of a login that goes on.
         csihost apply; diff -r before $nodes
         find $nodes -exec touch -d '20 minutes ago' {} +
         csihost apply >out 2>&1; cat out
         [ $(ls $nodes) = iqn.2001-04.com.example:san ]
         nothing_planned
         csihost undo >>out 2>&1
         diff -r before $nodes
         if grep s3cret out /var/lib/csihost/receipt.json; then exit 1; fi",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn what_a_script_left_in_the_files_of_iscsi_is_told_and_the_printed_commands_mend_it() {
    container().shared_root().run(
        "broken_node; install_program; csihost apply
         found() { (csihost check || :) 2>/dev/null | grep \"^$1  $2 \"; }
         remedy() { (csihost check || :) 2>/dev/null | grep -A3 \"^WARN  $1 \" | sed -n 's/^      do  //p'; }
         name=/etc/iscsi/initiatorname.iscsi
         cp $name own
         for line in '\"iqn.1993-08.org.debian:01:aa\"' '$(hostname)' node1 'iqn.2021-05.com.example:a node' InitiatorName=iqn.1993-08.org.debian:01:aa; do
             echo \"InitiatorName=$line\" >$name; cp $name given
             found WARN initiator-name; csihost apply; nothing_planned; cmp given $name
         done
         eval \"$(remedy initiator-name | grep -o \"printf .*$name\")\"
         found pass initiator-name; cp own $name
         echo 'node.startup = automatic' >>/etc/iscsi/iscsid.conf
         found WARN node-startup
         eval \"$(remedy node-startup | grep -o \"^run sed .*; records\" | sed 's/^run //; s/; records//')\"
         if found WARN node-startup; then fail 'it is still said'; fi
         grep -x 'node.startup = manual' /etc/iscsi/iscsid.conf; nothing_planned",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn records_that_a_crash_left_without_content_are_told_and_removed_by_the_printed_command() {
    container().shared_root().run(
        "broken_node; install_program; csihost apply
         found() { (csihost check || :) 2>/dev/null | grep \"^$1  stale-iscsi-records \"; }
         nodes=/etc/iscsi/nodes
         mkdir -p \"$nodes/iqn.2021-05.com.example:a/192.0.2.1,3260,1\" \"$nodes/iqn.2021-05.com.example:it's\" $nodes/iqn.2021-05.com.example:c
         : >\"$nodes/iqn.2021-05.com.example:a/192.0.2.1,3260,1/default\"; : >$nodes/iqn.2021-05.com.example:c/192.0.2.1,3260
         # A login may just be writing them.
         found pass | grep '3 without a session changed within the last 15 minutes'
         find $nodes -exec touch -d '1 hour ago' {} +
         found WARN | grep '3 records are damaged'
         eval \"$( (csihost check || :) 2>/dev/null | grep -o \"run rm -r '/etc/iscsi.*;\" | sed 's/^run //')\"
         [ -z \"$(find $nodes -type f)\" ]
         # What is left has no portal any more, and goes in the same way.
         find $nodes -exec touch -d '1 hour ago' {} +
         for round in 1 2; do
             if found pass; then break; fi
             eval \"$( (csihost check || :) 2>/dev/null | grep -o \"run rm -r '/etc/iscsi.*;\" | sed 's/^run //')\"
             find $nodes -exec touch -d '1 hour ago' {} +
         done
         found pass; [ -z \"$(ls $nodes)\" ]; nothing_planned",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn directories_of_records_without_a_search_bit_are_told_under_selinux_and_opened_by_the_printed_command() {
    container().shared_root().run(
        "broken_node; install_program; csihost apply
         found() { (csihost check || :) 2>/dev/null | grep \"^$1  iscsi-record-modes \"; }
         repair() { eval \"$( (csihost check || :) 2>/dev/null | grep -o \"run $1 .*; then \" | sed 's/^run //; s/; then $//')\"; }
         nodes=/var/lib/iscsi/nodes; targets=/var/lib/iscsi/send_targets
         # As open-iscsi 2.1.4 makes them.
         for name in \"iqn.2021-05.com.example:it's\" iqn.2019-10.io.longhorn:b; do
             mkdir -p \"$nodes/$name/192.0.2.1,3260,1\"; echo x >\"$nodes/$name/192.0.2.1,3260,1/default\"
             chmod 600 \"$nodes/$name/192.0.2.1,3260,1\" \"$nodes/$name\"
         done
         mkdir -p $targets/192.0.2.1,3260; chmod 600 $targets/192.0.2.1,3260 $nodes; chmod 750 $targets
         if found WARN; then fail 'SELinux is not there'; fi
         mount -o remount,rw /sys; mkdir -p /sys/fs/selinux
         echo 0 >/sys/fs/selinux/enforce; if found WARN; then fail 'it is permissive'; fi
         echo 1 >/sys/fs/selinux/enforce; found WARN | grep -F \"$nodes, $nodes/iqn.2019-10.io.longhorn:b, \"
         repair chmod
         if found WARN; then fail 'they are open now'; fi
         [ \"$(stat -c %a $nodes $targets $targets/*)\" = \"$(printf '700\\n750\\n700')\" ]
         for n in $(seq 20); do mkdir -m 600 $nodes/iqn.2021-05.com.example:$n; done
         found WARN | grep 'and 12 more'
         repair find
         if found WARN; then fail 'all are open now'; fi
         find $nodes -type f -perm -u=x | grep . && fail 'a file'; :",
    );
}
