//! On real systemd in a container: processes and mounts that do not answer. A mount that nobody serves stands for a
//! server that is gone: the kernel waits for it in the same way, and it ends when the test unmounts it.

use crate::support::container;

/// Words for scripts.
const WORDS: &str = r#"
    [ -e /dev/fuse ] || mknod /dev/fuse c 10 229
    # silent PATH: from now on whoever accesses what is at PATH waits, until it is unmounted.
    silent() {
        local mode=40000 fuse
        [ -d "$1" ] || mode=100444
        exec {fuse}<>/dev/fuse
        mount -i -n -t fuse -o fd=$fuse,rootmode=$mode,user_id=0,group_id=0,allow_other silent "$1"
    }
    # within SECONDS VERB...: csihost ends in time; its output is in the file said, its exit status in $rc.
    within() {
        local begin=$SECONDS most=$1
        shift
        rc=0; timeout -k 1 $((most + 5)) csihost "$@" >said 2>&1 || rc=$?
        [ $((SECONDS - begin)) -le $most ] || { cat said; fail "csihost $* took $((SECONDS - begin)) s"; }
    }
    # A process that answers to nobody who reads its arguments; sets $process.
    stuck() { "$@" sleep 1000 & process=$!; disown; silent /proc/$process/cmdline; }
    # The same of a container, which has a mount namespace of its own.
    stuck_pod() {
        stuck unshare --mount --propagation unchanged
        eventually eval '[ $(readlink /proc/$process/ns/mnt) != $(readlink /proc/1/ns/mnt) ]'
    }
    loose() { umount -l /proc/$process/cmdline; kill $process; }
"#;

fn node(script: &str) {
    container().shared_root().option(&["--timeout", "240"]).run(&format!("{WORDS}\n{script}"));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_mount_without_an_answer_is_named_and_what_has_nothing_to_do_with_it_is_repaired() {
    node(
        r#"broken_node; install_program
        volume=$standard/pods/0b8d/volumes/kubernetes.io~nfs/inventory
        mkdir -p $volume; silent $volume
        # The mount table decides: nobody accesses it.
        for verb in 'check --json' plan detect map probe apply; do
            within 2 $verb
            if grep 'does not answer' said; then cat said; fail "$verb accesses it"; fi
        done
        says "$standard/pods: 1 mounts are below it" csihost check
        iscsid_listens; umount -l $volume; rm -r $standard/pods

        # At a directory of the bridge itself.
        mkdir -p $standard/plugins; silent $standard/plugins
        for verb in 'check --json' plan map probe apply; do
            within 6 $verb
            grep -F "the fuse mount at $standard/plugins does not answer" said || { cat said; fail "$verb"; }
        done
        says "umount --lazy --force '$standard/plugins'" csihost check
        (csihost plan --json || :) 2>/dev/null | tr -d ' \n' | grep -F '"steps":[]'
        eval "$(csihost check 2>/dev/null | grep -o "umount --lazy --force '[^']*'")"
        csihost apply; bridged; ready; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_process_whose_arguments_do_not_answer_is_left_out_and_named() {
    node(
        r#"broken_node; install_program; stuck
        for verb in check plan detect map probe apply; do
            within 6 $verb
            grep -F "process $process does not answer" said || { cat said; fail "$verb"; }
        done
        bridged; iscsid_listens
        # It may be a plugin: the node is not called ready, and who it is is said.
        status 3 csihost check >said 2>/dev/null || fail ready
        grep "^FAIL  unanswered  *process $process (sleep, user 0)" said
        grep -F "cat /proc/$process/stack" said
        within 6 undo; not_bridged
        loose; csihost apply; bridged; ready; nothing_planned

        # One that a user started is no plugin.
        setpriv --reuid=1000 --regid=1000 --clear-groups sleep 1000 & process=$!; disown; sleep 0.3
        silent /proc/$process/cmdline
        within 6 check; grep "^WARN  unanswered  *process $process (sleep, user 1000)" said
        loose

        # The kubelet itself: nothing is decided without it, and nothing is changed.
        process=$(systemctl show -P MainPID kubelet); silent /proc/$process/cmdline
        umount $standard/pods; break_iscsi; snapshot >before
        within 6 apply; [ $rc = 1 ]; grep -F 'may be the kubelet' said
        snapshot | same before -
        umount -l /proc/$process/cmdline; csihost apply; bridged; ready; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn where_too_many_of_them_do_not_answer_the_kubelet_is_still_found_and_the_node_repaired() {
    node(
        r#"broken_node; install_program
        all=; for i in 1 2 3 4 5 6 7; do stuck_pod; all+=" $process"; done
        # None of them is in the host's mount namespace: a pod may have as many as it likes.
        within 12 apply; [ $rc = 0 ] || { cat said; fail apply; }
        bridged; iscsid_listens
        status 3 csihost check >said 2>&1 || fail ready
        grep '^FAIL  unanswered ' said; grep -F 'each process of a container' said
        for process in $all; do loose; done"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_container_whose_files_do_not_answer_is_left_out() {
    node(
        r#". /share/plugin.sh
        broken_node; install_csihost; bridged; systemctl stop csihost
        # All that is below its root directory, where a plugin has the kubelet's directories.
        container app 'app sleep 1000' "$standard:$standard:rslave"
        exec {served}<>/dev/fuse
        nsenter -t $pid -m -- mount -i -n -t fuse -o fd=$served,rootmode=40000,user_id=0,group_id=0,allow_other silent $standard
        grep ' silent ' /proc/$pid/mountinfo
        for verb in check plan map probe apply; do within 6 $verb; done
        bridged; iscsid_listens"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn the_boot_unit_keeps_no_kubelet_waiting_and_the_agent_goes_on() {
    node(
        r#"broken_node; install_csihost; bridged; ready
        worker=$(agent_pid) main=$(systemctl show -P MainPID csihost)
        stuck
        # The agent meets it in its next reconciliation, starts anew without it, and repairs.
        systemctl stop iscsid.socket; eventually iscsid_listens
        eventually eval '[ $(systemctl show -P MainPID csihost) != $main ]'
        umount $standard/pods; eventually bridged
        says "process $process" csihost status || says unanswered csihost status
        journalctl -q --no-pager -u csihost | grep -F "process $process does not answer"
        # It ends at once, also while it waits.
        begin=$SECONDS; systemctl stop csihost; [ $((SECONDS - begin)) -le 3 ]
        [ $(systemctl show -P Result csihost) = success ]
        begin=$SECONDS; systemctl restart csihost-boot || :; [ $((SECONDS - begin)) -le 6 ]
        loose; systemctl start csihost; answers() { ! csihost check | grep -F unanswered; }; eventually answers; ready; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn the_node_is_ready_soon_after_a_silent_kubelet_answers_again() {
    node(
        r#"broken_node; install_csihost; bridged; ready
        process=$(systemctl show -P MainPID kubelet); silent /proc/$process/cmdline
        umount $standard/pods
        eventually says 'may be the kubelet' csihost status
        csihost status --json >said || [ $? = 3 ]
        grep -F '"last_failure"' said; grep -F '"result": "failed"' said
        # While it is silent the agent does not end again and again: the gates of drivers would close each time.
        main=$(systemctl show -P MainPID csihost); sleep 12
        [ $(systemctl show -P MainPID csihost) = $main ]
        umount -l /proc/$process/cmdline
        begin=$SECONDS
        until bridged && says "kubelet root $root" csihost status; do sleep 0.3; done >tried 2>&1
        [ $((SECONDS - begin)) -le 30 ] || fail "it took $((SECONDS - begin)) s"
        says 'last failed reconciliation: ' csihost status; ready; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_in_a_container_that_is_silent_is_not_absent() {
    node(
        r#"broken_node; install_program; systemctl disable --now kubelet; rm /etc/systemd/system/kubelet.service
        systemctl daemon-reload
        # As Docker has the kubelet of RKE1: in a control group and a mount namespace of its own, and in the host's PID namespace.
        id=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
        systemd-run -q --scope --slice=docker.slice --unit=docker-$id.scope \
            unshare --mount --propagation unchanged /usr/bin/kubelet --root-dir=$root </dev/null >/dev/null 2>&1 & disown
        eventually pgrep -x kubelet; kubelet=$(pgrep -x kubelet)
        grep docker-$id /proc/$kubelet/cgroup; eventually test -S $root/pod-resources/kubelet.sock
        csihost apply; bridged; nothing_planned
        unsure() {
            umount $standard/pods; break_iscsi; snapshot >before
            within 12 apply; [ $rc = 1 ] || fail "status $rc"
            grep -F "process $kubelet (kubelet)" said; grep -F 'may be the kubelet' said
            snapshot | same before -
        }
        silent /proc/$kubelet/cmdline; unsure
        umount -l /proc/$kubelet/cmdline; csihost apply; bridged; nothing_planned
        # Another process of its container: with it all of the container is left out.
        stuck nsenter -t $kubelet -m --; eventually eval '[ $(readlink /proc/$process/ns/mnt) = $(readlink /proc/$kubelet/ns/mnt) ]'
        unsure; loose; csihost apply; bridged; nothing_planned
        # So many that all containers are left out.
        all=; for i in 1 2 3 4 5 6 7; do stuck_pod; all+=" $process"; done
        unsure
        for process in $all; do loose; done; csihost apply; bridged; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_journal_that_takes_no_message_keeps_nobody_waiting() {
    node(
        r#"broken_node; install_csihost; bridged; systemctl stop csihost; break_iscsi
        journald=$(systemctl show -P MainPID systemd-journald)
        kill -STOP $journald
        # Its queue is full when a message is not taken at once.
        perl -e 'use Socket; use Errno; use Fcntl;
            socket(my $to, PF_UNIX, SOCK_DGRAM, 0) or die; fcntl($to, F_SETFL, O_NONBLOCK) or die;
            connect($to, pack_sockaddr_un("/run/systemd/journal/socket")) or die;
            1 while defined send($to, "MESSAGE=x\n", 0);
            $!{EAGAIN} or die "not full: $!\n"'
        systemctl stop iscsid.socket
        begin=$SECONDS; timeout 20 systemctl restart csihost-boot; [ $((SECONDS - begin)) -le 8 ]
        iscsid_listens; bridged
        kill -CONT $journald; csihost apply; ready"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_reconciliation_is_made_whole_whoever_reads_what_it_says() {
    node(
        r#"broken_node; install_program
        for lines in 0 1 2 4; do
            csihost apply 2>&1 | head -n $lines >/dev/null || :
            nothing_planned; bridged; iscsid_listens
            csihost undo 2>&1 | head -n $lines >/dev/null || :
            not_bridged
        done
        csihost apply 2>/dev/full; nothing_planned
        csihost undo 2>/dev/full; csihost apply 2>&-; ready; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn who_waits_for_the_lock_is_told_who_has_it_and_a_signal_ends_it() {
    node(
        r#"broken_node; install_program; mkdir -p /run/csihost
        flock /run/csihost/lock sleep 1000 & holder=$!; disown; sleep 0.3
        csihost apply >said 2>&1 & waits=$!
        eventually grep -F "another csihost is at work (process $holder)" said
        kill -TERM $waits; rc=0; wait $waits || rc=$?; [ $rc = 143 ]
        kill $holder $(pgrep -P $holder); csihost apply; bridged; nothing_planned"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn with_a_bridge_a_dead_mount_is_named_and_not_the_kubelet() {
    node(
        r#"broken_node; install_program; csihost apply; bridged
        for at in $standard/plugins $root/plugins_registry $root/pods; do
            silent $at
            within 8 check; grep -F "the fuse mount at" said || { cat said; fail "$at"; }
            if grep -F 'may be the kubelet' said; then fail "$at: the kubelet is blamed"; fi
            umount -l $at
        done
        csihost apply; ready; nothing_planned

        # Settings that come through a pipe are read once, and are in effect.
        printf '[bridge]\nenabled = false\n' | csihost plan --config /dev/stdin >said 2>&1 || :
        if grep 'start-unit' said; then cat said; fail 'they were not read'; fi
        printf '[bridge]\nenabled = false\n' >settings; csihost plan --config settings >other 2>&1 || :
        cmp said other"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_process_that_ends_while_it_is_waited_for_is_no_more_in_the_way() {
    node(
        r#"broken_node; install_program; stuck
        (sleep 1.2; kill -KILL $process) &
        within 6 apply; [ $rc = 0 ]; bridged; umount -l /proc/$process/cmdline 2>/dev/null || :; nothing_planned"#,
    );
}
