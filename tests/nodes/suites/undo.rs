//! On real systemd in a container: an undo while volumes are in use keeps what they depend on, names who
//! uses it, and ends by itself.

use crate::support::align::WORDS as ALIGN;
use crate::support::{container, node};

/// Words for scripts about a plugin and the volumes that it has mounted.
const WORDS: &str = r#"
    . /share/plugin.sh
    nri=late; runtime
    # As at a registrar's end.
    unregister() { rm "$root/plugins_registry/x.example-reg.sock"; }
    graft() {
        mkdir -p /etc/csihost
        printf '[contract]\ndrivers = ["x.example"]\nrepair = "graft"\n' >/etc/csihost/csihost.toml
    }
    eventually() {
        local try
        for try in {1..300}; do if "$@" >tried 2>&1; then return 0; fi; sleep 0.1; done
        cat tried; fail "never: $*"
    }
    # Volumes as the plugin mounts them where the kubelet says.
    target() { printf '%s/pods/uid-%s/volumes/kubernetes.io~csi/pvc-%s' "$1" "$2" "$2"; }
    publish() { # N: a volume of pod uid-N
        mkdir -p "$(target "$root" $1)"; echo '{}' >"$(target "$root" $1)/vol_data.json"
        mkdir -p /var/log/pods/default_web-$1_uid-$1
        in_ns $plugin_pid bash -euc 'mkdir -p "$1/mount"; mount -t tmpfs published "$1/mount"; : >"$1/mount/data"' - \
            "$(target "$string" $1)"
        [ -e "$(target "$root" $1)/mount/data" ]
    }
    # Its end as the kubelet has it: the plugin unmounts, and the kubelet removes what it kept.
    unpublish() { # N
        in_ns $plugin_pid umount "$(target "$string" $1)/mount"
        if mountpoint -q "$(target "$root" $1)/mount"; then fail 'the plugin unmounted nothing'; fi
        rm -r "$root/pods/uid-$1" /var/log/pods/default_web-$1_uid-$1
    }
    # As a plugin leaves a volume that has answered an unmount without the path: SOURCE is tmpfs or a directory.
    leave() { leave_at "$(target "$root" $1)" $2; } # POD SOURCE
    leave_at() { # DIRECTORY SOURCE
        mkdir -p /var/log/pods "$1/mount"
        if [ "$2" = tmpfs ]; then mount -t tmpfs left "$1/mount"; else mount --bind $2 "$1/mount"; fi
        touch -d '20 minutes ago' "$1"
    }
    # leave_grouped N: as leave, and the kubelet has kept the pod's control group, $group, which has no processes.
    grouped() { echo "0b8d0b8d-0000-4000-8000-00000000000$1"; }
    leave_grouped() {
        local uid
        uid=$(grouped $1)
        group=$(find /sys/fs/cgroup -name "kubepods-besteffort-pod${POD//-/_}.slice" -print -quit)
        group=${group%/*}/kubepods-besteffort-pod${uid//-/_}.slice
        mkdir "$group"
        leave_at $root/pods/$uid/volumes/kubernetes.io~csi/pvc tmpfs
    }
    # A raw block volume is a device file, which the driver mounts and the kubelet mounts once more. The kubelet has ended
    # its own mount before the driver is to unpublish the volume.
    raw=$root/plugins/kubernetes.io/csi/volumeDevices
    leave_raw() { # POD [at the kubelet's mount too: dev]
        local at
        for at in publish/pvc-$1 ${2:+pvc-$1/$2}; do
            mkdir -p $raw/$at; : >$raw/$at/uid-$1; mount --bind /dev/zero $raw/$at/uid-$1
            touch -d '20 minutes ago' $raw/$at
        done
    }
    stage=$root/plugins/kubernetes.io/csi/x.example/1f0c/globalmount
    stage() { mkdir -p $stage; mount -t tmpfs staged $stage; }
    # mounted POD...: each is.
    mounted() { local of; for of; do mountpoint -q "$(target "$root" $of)/mount" || return 1; done; }
    undone() { # Nothing of it is left, and nobody does it again.
        [ ! -e /var/lib/csihost/receipt.json ] && not_bridged
    }
    over() { undone && [ "$(systemctl is-active csihost)" = inactive ]; }
    disabled() { [ "$(systemctl is-enabled $1)" = disabled ] || { systemctl is-enabled $1; return 1; }; }
"#;

#[test]
#[ignore = "boots a node: make node"]
fn with_volumes_under_a_graft_undo_waits_names_the_pods_and_ends_by_itself() {
    node().run(&format!(
        r#"{WORDS}
        graft; broken_node; cp /etc/iscsi/iscsid.conf given; install_csihost; string=$root
        bridged
        plugin $standard/plugins/x.example $standard:$standard:rshared
        eventually grafted; unregister
        publish 1; publish 2
        mkdir -p $root/plugins/kubernetes.io/csi/x.example/staged/globalmount
        in_ns $plugin_pid mount -t tmpfs staged $root/plugins/kubernetes.io/csi/x.example/staged/globalmount
        cat /proc/1/mountinfo >mounts
        status 3 csihost undo >said 2>&1 || {{ cat said; false; }}
        cat said
        grep -F 'pod default/web-1 (UID uid-1): 1 volume' said
        grep -F 'pod default/web-2 (UID uid-2): 1 volume' said
        grep -F 'staged volume staged' said; grep -F 'delete these pods or drain the node' said
        # All that they depend on is as it was, and the rest is undone.
        same mounts /proc/1/mountinfo; bridged; grafted; cmp given /etc/iscsi/iscsid.conf
        [ -e /etc/systemd/system/var-lib-kubelet-pods.mount ]
        systemctl is-active csihost; eventually says 'undoing: waits for' csihost status

        # A second one takes nothing away, and without the settings it is the same.
        rm -r /etc/csihost
        status 3 csihost undo; same mounts /proc/1/mountinfo; sleep 2; same mounts /proc/1/mountinfo
        # A plugin that restarts has the path again.
        end_plugin
        plugin $standard/plugins/x.example $standard:$standard:rshared
        eventually grafted; unregister
        unpublish 1
        sleep 7; bridged; grafted; systemctl is-active csihost
        in_ns $plugin_pid umount $root/plugins/kubernetes.io/csi/x.example/staged/globalmount
        unpublish 2
        eventually over
        if grafted; then fail 'still grafted'; fi
        disabled csihost; disabled csihost-boot
        [ -z "$(find /etc/systemd/system -name '*kubelet*.mount')" ]
        cmp given /etc/iscsi/iscsid.conf
        journalctl -q --no-pager -u csihost | grep -F 'the undo is complete'
        end_plugin
        # Nobody is there who does it again; a person is.
        csihost apply; bridged; nothing_planned; csihost undo; undone"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_registered_driver_keeps_the_bridge_until_it_is_gone_or_the_node_reboots() {
    node()
        .then("eventually() { local try; for try in {1..100}; do if \"$@\"; then return; fi; sleep 0.1; done; fail \"$*\"; }
               eventually not_bridged
               [ ! -e /var/lib/csihost/receipt.json ]
               [ \"$(systemctl is-enabled csihost-boot)\" = disabled ]
               sleep 2; [ \"$(systemctl is-active csihost)\" = inactive ]; not_bridged")
        .run(&format!(
            r#"{WORDS}
            graft; broken_node; install_csihost; string=$root
            plugin $standard/plugins/x.example $standard:$standard:rshared
            eventually grafted
            cat /proc/1/mountinfo >mounts
            for again in 1 2 3; do
                status 3 csihost undo >said 2>&1 || {{ cat said; false; }}
                grep -F 'driver x.example, registered through the bridge: pod' said
                same mounts /proc/1/mountinfo; grafted
            done
            # Cancelled, and begun anew.
            says 'the pending undo is cancelled' csihost apply
            nothing_planned; bridged; grafted
            if grep undo_pending /var/lib/csihost/receipt.json; then fail 'still pending'; fi
            status 3 csihost undo
            unregister
            eventually over; disabled csihost
            # Once more, for the reboot.
            systemctl -q enable csihost csihost-boot; systemctl start csihost-boot csihost; bridged
            end_plugin; plugin $standard/plugins/x.example $standard:$standard:rshared; eventually grafted
            status 3 csihost undo"#
        ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_reboot_does_not_end_an_undo_whose_pods_are_still_to_be_there() {
    node()
        .then(&format!(
            "{WORDS}
             # Their volumes come back with the kubelet, and so the bridge is there.
             bridged; says 'pod' csihost status
             says 'undoing: waits for' csihost status; grep undo_pending /var/lib/csihost/receipt.json
             systemctl is-active csihost
             rm -r $root/pods/uid-1
             eventually over; disabled csihost"
        ))
        .run(&format!(
            r#"{WORDS}
            graft; broken_node; install_csihost; string=$root
            plugin $standard/plugins/x.example $standard:$standard:rshared
            eventually grafted
            publish 1
            status 3 csihost undo"#
        ));
}

#[test]
#[ignore = "boots a node: make node"]
fn align_with_volumes_waits_and_then_for_the_kubelets_restart_and_ends_by_itself() {
    node().run(&format!(
        "{WORDS}{ALIGN}
         at_root; install_csihost; pods; align
         setting=/etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf
         read_again() {{ [ -e $setting ] && [ \"$(systemctl show -P NeedDaemonReload kubelet)\" = no ]; }}
         eventually read_again
         systemctl restart kubelet; eventually checks align pass; aligned; alive a restart
         rm -r /etc/csihost
         cat /proc/1/mountinfo >mounts
         status 3 csihost undo >said 2>&1; cat said
         grep -F 'pod with UID pod-1: 1 volume' said
         same mounts /proc/1/mountinfo; [ -e $setting ]; alive undo
         # Neither a restart of the kubelet nor one of the agent ends what pods depend on.
         systemctl restart kubelet; uses $standard; alive a restart
         systemctl restart csihost csihost-boot; sleep 1; uses $standard; bridged; [ -e $setting ]; alive a restart
         umount $root/pods/*/volumes/*/*/mount; rm -r $root/pods/pod-*
         # The setting goes, and the rest with the kubelet's restart.
         gone() {{ [ ! -e $setting ]; }}; eventually gone
         uses $standard; bridged
         systemctl restart kubelet; uses $root
         eventually over; disabled csihost; disabled csihost-boot
         [ ! -e $standard/pod-resources ]; kubelet_in_sight"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn align_undo_and_align_again_goes_on_for_ever() {
    node().run(&format!(
        "{WORDS}{ALIGN}
         at_root; install_program; pods; umount $root/pods/*/volumes/*/*/mount; rm -r $root/pods/pod-*; uses $root
         for cycle in 1 2 3; do
             align; csihost apply; nothing_planned
             systemctl restart kubelet; aligned
             rm -r /etc/csihost
             status 0 csihost undo
             systemctl restart kubelet; uses $root
             # With a second undo in between, and without.
             if [ $cycle = 2 ]; then csihost undo; [ ! -e /var/lib/csihost/receipt.json ]; fi
         done
         align; csihost apply; rm -r /etc/csihost; csihost undo
         [ ! -e /var/lib/csihost/receipt.json ] || {{ cat /var/lib/csihost/receipt.json; false; }}
         [ ! -e $standard/pod-resources ]; uses $root; not_bridged"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_grafted_plugin_that_restarts_before_the_kubelet_has_its_new_root_is_grafted_again() {
    node().run(&format!(
        "{WORDS}{ALIGN}
         at_root; graft; install_csihost; string=$root
         plugin $standard/plugins/x.example $standard:$standard:rshared
         eventually grafted; publish 1
         align
         setting=/etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf
         eventually test -e $setting; uses $root
         for restart in 1 2 3; do
             end_plugin
             plugin $standard/plugins/x.example $standard:$standard:rshared
             eventually grafted
         done
         unpublish 1; publish 2
         nothing_planned
         systemctl restart kubelet; string=$standard
         end_plugin; plugin $standard/plugins/x.example $standard:$standard:rshared
         forgotten() {{ ! grep -F '\"grafted\"' /var/lib/csihost/receipt.json; }}; eventually forgotten
         nothing_planned; unpublish 2
         # With the new root there is nothing to graft, and nothing is remembered of it.
         sleep 1; string=$root; if grafted; then fail 'grafted'; fi; forgotten"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn volumes_of_pods_that_are_gone_are_found_and_the_command_unmounts_them_and_no_others() {
    node().run(&format!(
        r#"{WORDS}
        broken_node; install_csihost; bridged
        # Some pod runs here: where its control group is, those of others would be.
        plugin $standard/plugins/x.example $standard:$standard:rshared
        # As they are left: a staged volume that is published too, and one that is not staged.
        stage; leave staged $stage; leave inline tmpfs; leave_raw raw
        # Not to be unmounted: a pod that has logs, one that has just changed, one whose volume was just published again, and
        # a raw block volume that the kubelet has mapped.
        leave logged tmpfs; mkdir /var/log/pods/default_web_uid-logged
        leave young tmpfs; touch "$(target "$root" young)"
        leave back tmpfs; : >"$(target "$root" back)/vol_data.json"; touch -d '20 minutes ago' "$(target "$root" back)"
        leave_raw mapped dev
        # The first pod has terminated; the others wait for another volume: before their first container, and again after a reboot.
        # The last one has a container, whose process has ended.
        for n in 1 2 3 4; do leave_grouped $n; done
        mkdir -p $root/pods/$(grouped 1)/{{containers/app,volumes/kubernetes.io~projected}}
        mkdir -p $root/pods/$(grouped 3)/{{containers/app,volumes/kubernetes.io~projected/token}}
        mkdir -p $root/pods/$(grouped 4)/containers/app "$group/container"
        touch -d '20 minutes ago' $root/pods/*/containers/app
        # Containers of before the boot prove nothing: the machine may have booted only just now.
        echo '86400.00 86400.00' >uptime; mount --bind uptime /proc/uptime
        check() {{ csihost check --json >check || :; }}
        check; grep -F '4 volumes are mounted for pods that are gone' check
        for left in staged inline raw; do grep -F "pvc-$left of the pod with UID uid-$left" check; done
        grep -F "pvc of the pod with UID $(grouped 1)" check
        # The command as it is printed.
        csihost check >text || :
        sed -n 's/.*\(for m in .*; done\).*/\1/p' text >command; [ -s command ] || {{ cat text; false; }}
        . ./command
        mounted logged young back; nothing_planned
        for n in 2 3 4; do mountpoint -q $root/pods/$(grouped $n)/volumes/kubernetes.io~csi/pvc/mount; done
        for at in publish/pvc-mapped pvc-mapped/dev; do mountpoint -q $raw/$at/uid-mapped; done
        if grep -e uid-staged -e uid-inline -e uid-raw -e $(grouped 1) -e globalmount /proc/1/mountinfo; then fail 'something is left'; fi
        check; if grep -F leftover-mounts check; then cat check; fail 'still found'; fi"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn under_a_graft_the_agent_unmounts_volumes_of_pods_that_are_gone_and_no_others() {
    node().run(&format!(
        r#"{WORDS}
        graft; broken_node; install_csihost; bridged; string=$root
        plugin $standard/plugins/x.example $standard:$standard:rshared
        eventually grafted
        # So that the plan is seen before the agent carries it out.
        systemctl kill -s STOP csihost
        stage; leave staged $stage; leave inline tmpfs; leave_raw raw; leave_raw mapped dev
        # Not to be unmounted: a pod that has logs, one that has only just changed, a volume that is staged for a pod
        # that is there, and one of a pod that is gone in which a process works.
        leave logged tmpfs; mkdir /var/log/pods/default_web_uid-logged
        leave young tmpfs; touch "$(target "$root" young)"
        other=${{stage/1f0c/2a1d}}; mkdir -p $other; mount -t tmpfs other $other
        leave sharing $other; leave logged-too $other; mkdir /var/log/pods/default_two_uid-logged-too
        mount -t tmpfs again "$(target "$root" inline)/mount"
        leave busy tmpfs; (cd "$(target "$root" busy)/mount"; exec sleep 1000) & worker=$!
        (csihost plan || :) | grep -F 'unmount-volume pvc-inline of pod uid-inline'
        systemctl kill -s CONT csihost; systemctl reload csihost
        gone() {{ ! grep -e uid-staged -e uid-inline -e uid-raw -e uid-sharing /proc/1/mountinfo; }}
        eventually gone
        # Nor where a volume is staged: a pod may be about to get it from there.
        mountpoint -q $raw/publish/pvc-mapped/uid-mapped
        mounted logged young logged-too busy; mountpoint -q $stage; mountpoint -q $other; grafted; bridged
        eventually bash -c "journalctl -q --no-pager -u csihost | grep 'unmount-volume .*pvc-inline of pod uid-inline'"
        # It says what is in the way, and is tried again.
        eventually bash -c "journalctl -q --no-pager | grep -F 'fuser -vm $(target "$root" busy)/mount'"
        kill $worker; wait $worker || :
        csihost apply || :
        if mounted busy; then fail 'it is still mounted'; fi
        mounted logged young logged-too; nothing_planned
        # Settings that repair nothing leave it to a person.
        rm /etc/csihost/csihost.toml; systemctl reload csihost; leave again tmpfs
        csihost apply || :; mounted again; nothing_planned"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn without_a_receipt_what_has_the_mark_of_csihost_is_undone_all_the_same() {
    container().shared_root().run(
        "broken_node; snapshot >before; cp -a /etc/iscsi/iscsid.conf conf
         for how in lost empty damaged; do
             echo \"=== $how\"
             install_csihost; csihost apply; bridged; systemctl stop csihost
             case $how in
                 lost) rm -r /var/lib/csihost ;;
                 empty) : >/var/lib/csihost/receipt.json ;;
                 damaged) sed -i 's/\"changes\"/\"chances\"/' /var/lib/csihost/receipt.json ;;
             esac
             csihost check >checked || :; grep '^WARN  receipt ' checked
             nothing_planned; csihost detect >/dev/null; csihost map >/dev/null
             csihost undo >undone 2>&1; cat undone; not_bridged
             grep -F '/etc/iscsi/iscsid.conf' undone
             [ -z \"$(find /etc/systemd/system /etc/modules-load.d -name '*csihost.conf' -o -name 'var-lib-kubelet*')\" ]
             apt_get purge csihost; cp -a conf /etc/iscsi/iscsid.conf; rm -rf /var/lib/csihost
             systemctl -q disable iscsid.socket 2>/dev/null || :; systemctl stop iscsid.socket
         done
         # An apply writes what can be known, and goes on from there.
         install_csihost; systemctl stop csihost; rm -r /var/lib/csihost
         csihost apply; nothing_planned
         if (csihost check || :) | grep '^WARN  receipt '; then fail 'it is there again'; fi
         csihost undo; not_bridged",
    );
}
