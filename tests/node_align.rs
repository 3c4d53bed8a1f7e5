//! On real systemd in a container: a kubelet whose root becomes the standard path, with its data where
//! they are, under running pods.
//!
//! Needs root and the feature `node-tests`; see tests/nodes/container.

mod support;

use support::{Node, container};

/// Words for a kubelet with another root, and volumes of its pods.
const WORDS: &str = "
    root=/srv/kubelet
    at_root() { # a kubelet at $root, as an administrator would have it
        mkdir -p /etc/systemd/system/kubelet.service.d
        printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/kubelet --root-dir=%s --v=2\\n' $root \
            >/etc/systemd/system/kubelet.service.d/root.conf
        broken_node
    }
    align() {
        mkdir -p /etc/csihost
        printf '[contract]\\nrepair = \"align\"\\n' >/etc/csihost/csihost.toml
    }
    pods() { # volumes of three pods
        local i path
        for i in 1 2 3; do
            path=$root/pods/pod-$i/volumes/kubernetes.io~csi/pvc/mount
            mkdir -p $path
            mount -t tmpfs -o size=64k pvc-$i $path
            echo $i >$path/data
        done
        echo noted >$root/memory_manager_state; chmod 640 $root/memory_manager_state
        mkdir -p -m 700 $root/checkpoints; echo point >$root/checkpoints/one
        mkdir -p $root/seccomp; echo profile >$root/seccomp/audit.json
    }
    alive() {
        local i base
        for i in 1 2 3; do
            for base in $root $standard; do
                [ \"$(cat $base/pods/pod-$i/volumes/kubernetes.io~csi/pvc/mount/data)\" = $i ] ||
                    fail \"pod-$i lost its volume below $base after: $*\"
            done
        done
    }
    uses() { # ROOT: the kubelet that runs has it
        local said
        said=$(csihost detect --json | tr -d ' \\n')
        case $said in *'\"root_dir\":\"'$1'\"'*) ;; *) fail \"not $1: $said\" ;; esac
    }
    started() { systemctl show -P ExecMainStartTimestampMonotonic kubelet; }
    checks() { # ID STATUS: what check says
        local found
        found=$(csihost check --json | tr -d ' \\n') || :
        case $found in *'\"id\":\"'$1'\",\"status\":\"'$2'\"'*) ;; *) csihost check; fail \"$1 is not $2\" ;; esac
    }
    # All is as it is to be with a kubelet at the standard path.
    aligned() {
        uses $standard
        # What is not of volumes is found by both names, too.
        [ \"$(cat $standard/seccomp/audit.json)\" = profile ] || fail 'no profile of seccomp'
        [ $root/pod-resources/kubelet.sock -ef $standard/pod-resources/kubelet.sock ] || fail 'two of pod-resources'
        nothing_planned; bridged; travels
        checks align pass; checks bridge pass
    }
";

fn lives(node: Node) {
    node.option(&["--timeout", "240"])
        .then(&format!(
            "{WORDS}
             # The volumes are gone with the boot, and the rest is as it was.
             aligned
             grep -F 'noted' $root/memory_manager_state
             # What somebody takes away on purpose stays away.
             systemctl stop kubelet; rm $standard/memory_manager_state; systemctl start kubelet
             [ ! -e $standard/memory_manager_state ]
             aligned

             # Undone, it goes on until the kubelet restarts, also with another turn in between.
             rm /etc/csihost/csihost.toml
             csihost undo >said 2>&1 || :; cat said
             grep -F 'when it restarts' said
             [ ! -e /etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf ]
             uses $standard; bridged; checks align warn
             csihost apply; nothing_planned; uses $standard; bridged
             systemctl restart kubelet
             uses $root
             csihost apply; ready
             [ -e $standard/csihost-undone/cpu_manager_state ]
             [ -e $root/pod-resources/kubelet.sock ]; [ ! -e $standard/seccomp/audit.json ]
             csihost undo >said 2>&1 || :; cat said
             not_bridged
             [ ! -e /etc/systemd/system/csihost-align.service ]
             [ ! -e /etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf ]
             # What made the standard path a shared mount may be in use until the next boot.
             [ ! -e /var/lib/csihost/receipt.json ] || mountpoint -q $standard"
        ))
        .run(&format!(
            "{WORDS}
             at_root; install_program; pods; uses $root; align
             before=$(started)
             csihost apply; alive apply
             # Nothing is restarted, and that is told.
             [ \"$(started)\" = \"$before\" ]
             uses $root; nothing_planned; bridged
             says 'takes effect when the kubelet restarts' csihost status
             says 'takes effect when the kubelet restarts' csihost check
             checks align warn

             # What is there already is not written over.
             mkdir -p $standard/checkpoints; echo older >$standard/checkpoints/one
             systemctl restart kubelet; alive a restart
             aligned; alive a turn
             [ \"$(cat $standard/memory_manager_state)\" = noted ]
             [ \"$(stat -c %a $standard/memory_manager_state)\" = 640 ]
             [ \"$(cat $standard/checkpoints/one)\" = older ]
             csihost apply; nothing_planned

             # The kubelet lets go of a pod by its new path.
             umount $standard/pods/pod-1/volumes/kubernetes.io~csi/pvc/mount
             for base in $root $standard; do
                 if mountpoint -q $base/pods/pod-1/volumes/kubernetes.io~csi/pvc/mount; then fail 'still mounted'; fi
             done
             rm -r $standard/pods/pod-1; [ ! -e $root/pods/pod-1 ]
             csihost apply; aligned"
        ));
}

#[test]
fn pods_live_on_while_their_kubelet_goes_over_to_the_standard_path() {
    lives(container().shared_root());
}

#[test]
fn pods_live_on_where_the_root_is_not_shared_too() {
    lives(container());
}

#[test]
fn the_kubelet_is_restarted_only_when_that_is_asked_for_and_then_at_once() {
    container().shared_root().run(&format!(
        "{WORDS}
         at_root; install_program; pods; align
         csihost apply --restart-kubelet
         alive the restart; aligned
         before=$(started)
         csihost apply --restart-kubelet
         [ \"$(started)\" = \"$before\" ]"
    ));
}

#[test]
fn the_agent_makes_the_setting_and_leaves_the_restart_to_others() {
    container().shared_root().run(&format!(
        "{WORDS}
         at_root; install_csihost; pods; align
         setting=/etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf
         for try in $(seq 100); do [ -e $setting ] && break; sleep 0.1; done
         [ -e $setting ] || fail 'the agent did nothing'
         before=$(started); sleep 2
         [ \"$(started)\" = \"$before\" ]; uses $root; alive the agent
         says 'takes effect when the kubelet restarts' csihost status
         systemctl restart kubelet; alive a restart
         for try in $(seq 100); do csihost status | grep -qF 'takes effect' || break; sleep 0.1; done
         aligned
         # Somebody's change of the unit is followed.
         sed -i 's/--v=2/--v=4/' /etc/systemd/system/kubelet.service.d/root.conf; systemctl daemon-reload
         for try in $(seq 100); do grep -qF -e '--v=4 --root-dir=/var/lib/kubelet' $setting && break; sleep 0.1; done
         grep -F -e '--v=4 --root-dir=/var/lib/kubelet' $setting; nothing_planned"
    ));
}

#[test]
fn the_line_of_kubeadms_file_is_changed_and_comes_back() {
    container().shared_root().run(&format!(
        "{WORDS}
         mkdir -p /etc/systemd/system/kubelet.service.d
         cat >/etc/systemd/system/kubelet.service.d/10-kubeadm.conf <<-'END'
	[Service]
	EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
	EnvironmentFile=-/etc/default/kubelet
	ExecStart=
	ExecStart=/usr/bin/kubelet $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
	END
         printf '# mine\\nKUBELET_EXTRA_ARGS=\"--node-ip=127.0.0.1 --root-dir=%s\"\\n' $root >/etc/default/kubelet
         cp /etc/default/kubelet given
         broken_node; install_program; pods; uses $root; align
         csihost apply --restart-kubelet; alive the restart; aligned
         [ ! -e /etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf ]
         # A line that somebody takes away comes back.
         cp given /etc/default/kubelet
         csihost apply; nothing_planned
         grep -F -e '--root-dir=/var/lib/kubelet' /etc/default/kubelet
         rm -r /etc/csihost; csihost undo || :
         cmp given /etc/default/kubelet
         systemctl restart kubelet; uses $root; alive the end"
    ));
}

#[test]
fn what_would_not_be_found_at_the_standard_path_is_told_and_nothing_is_set() {
    container().shared_root().run(&format!(
        "{WORDS}
         at_root; install_program; pods; align
         # A volume that no bridge brings: before there is one, and then.
         volume=$root/pods/pod-1/volumes/kubernetes.io~csi/pvc/mount
         mount --make-unbindable $volume
         setting=/etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf
         refused() {{ # ID TEXT
             csihost plan --json >plan || :
             grep -F \"$1\" plan && grep -F \"$2\" plan || {{ cat plan; fail \"no $1\"; }}
             fails 'refused' csihost apply
             [ ! -e $setting ]; uses $root; alive \"$1\"
             checks align fail
         }}
         for turn in 1 2; do
             csihost plan --json >plan || :
             grep -F align-unseen-volumes plan; grep -F pod-1 plan
             fails refused csihost apply; bridged
             [ ! -e $setting ]
         done
         umount $volume; mount -t tmpfs pvc-1 $volume; echo 1 >$volume/data

         mkdir $root/other; mount -t tmpfs other $root/other
         refused align-mounts-outside $root/other
         umount $root/other

         raw=$root/plugins/kubernetes.io/csi/volumeDevices/publish/pvc-9
         mkdir -p $raw; mount -t tmpfs raw $raw
         refused align-block-volumes $raw
         umount $raw

         mkdir $standard/pod-resources
         refused align-other-kubelet pod-resources
         rmdir $standard/pod-resources

         # Both have profiles: the bridge that there is stays as it is.
         mkdir $standard/seccomp; echo other >$standard/seccomp/other.json
         refused bridge-hides-data $standard/seccomp; bridged
         rm -r $standard/seccomp

         printf '[kubelet]\\nroot-dir = \"%s\"\\n' $root >>/etc/csihost/csihost.toml
         refused align-root-given $root
         align
         csihost apply; [ -e $setting ]"
    ));
}

#[test]
fn after_it_a_plugin_that_knows_only_the_standard_path_publishes_ten_times_over_in_each_arrangement() {
    let printed = container().shared_root().option(&["--timeout", "240"]).run(&format!(
        "{WORDS}
         . /share/plugin.sh
         holds() {{
             csihost check --json >check || :
             grep -o '\"holds\": *[a-z]*' check | grep -q $1 || {{ grep -A12 contracts check; fail \"the contract is not $1\"; }}
         }}
         at_root; install_program; pods; align
         string=$root s=$standard st=plugins/kubernetes.io/csi
         csihost apply
         each() {{ # holds true|false, of each arrangement
             local i
             arrangement() {{
                 local what=$1; shift
                 [ $1 = false ] || echo \"=== $what\"
                 for i in {{1..10}}; do
                     plugin $standard/plugins/x.example \"${{@:2}}\"
                     holds $1
                     if [ $1 = false ]; then
                         if publishes >/dev/null 2>&1; then fail 'it is not broken'; fi
                         end_plugin
                         return
                     fi
                     publishes
                     end_plugin
                 done
             }}
             arrangement 'the whole standard path' $1 $s:$s:rshared
             arrangement 'pods and staging, as Longhorn has them' $1 $s/$st:$s/$st:rshared $s/pods:$s/pods:rshared
             arrangement 'pods alone' $1 $s/pods:$s/pods:rshared
             arrangement 'pods and plugins' $1 $s/plugins:$s/plugins:rshared $s/pods:$s/pods:rshared
         }}
         each false
         csihost apply --restart-kubelet
         string=$standard; aligned; each true; alive publishes; aligned"
    ));
    assert_eq!(printed.matches("=== ").count(), 4, "{printed}");
}

/// A MicroK8s as it is installed, whose standard path is a link to its root.
const MICROK8S: &str = "
    root=/var/snap/microk8s/common/var/lib/kubelet
    args=/var/snap/microk8s/current/args/kubelet
    unit=snap.microk8s.daemon-kubelite.service
    linked() { [ \"$(readlink $standard)\" = $root ]; }
    microk8s() {
        mkdir -p /snap/microk8s/6089 /var/snap/microk8s/6089/args $root
        ln -s 6089 /snap/microk8s/current; ln -s 6089 /var/snap/microk8s/current
        ln -s $root $standard
        printf '%s\\n' '--v=2' '--root-dir=${SNAP_COMMON}/var/lib/kubelet' '--fail-swap-on=false' >$args
        cp $args given
        install -m 755 /share/kubelet /snap/microk8s/6089/kubelite
        sed -e \"s|^ExecStart=.*|ExecStart=/snap/microk8s/6089/kubelite --kubelet-args-file=$args|\" \
            /share/kubelet.service >/etc/systemd/system/$unit
        systemctl daemon-reload; systemctl -q enable --now $unit
        kubelet_in_sight
    }
    # The whole root is at the standard path, by a shared mount of the host's.
    whole() {
        [ ! -L $standard ]
        awk -v at=$standard '$5 == at { row = $0 } END { exit row !~ / shared:/ }' /proc/1/mountinfo ||
            fail \"$standard is no shared mount\"
        [ \"$(stat -c %d:%i $standard)\" = \"$(stat -c %d:%i $root)\" ] || fail \"$standard is not $root\"
        kubelet_in_sight; travels
    }
";

#[test]
fn a_link_to_the_root_gives_way_to_a_mount_of_all_of_it_and_comes_back() {
    container()
        .shared_root()
        .option(&["--timeout", "240"])
        .then(&format!(
            "{WORDS}{MICROK8S}
             # The kubelet has started after the mount, or it would not be where its root was.
             uses $standard; whole; nothing_planned; checks align pass; checks bridge pass
             pods

             # The setting is undone; the mount goes on until nothing uses it.
             rm /etc/csihost/csihost.toml
             fails 'left as they are' csihost undo
             grep -F 'drain the node, stop the kubelet' failing; grep -F $unit failing
             cmp given $args
             uses $standard; whole; alive undo
             systemctl restart $unit
             uses $root; whole; alive a restart
             csihost apply; nothing_planned; whole; checks bridge pass
             fails 'a kubelet runs' csihost undo
             systemctl stop $unit
             fails 'mounts are below it' csihost undo
             whole; alive a stop
             umount $root/pods/*/volumes/*/*/mount
             csihost undo
             linked; not_mounted
             [ ! -e /etc/systemd/system/var-lib-kubelet.mount ]
             [ ! -e $standard.csihost-undone ]
             [ ! -e /var/lib/csihost/receipt.json ]
             systemctl start $unit; uses $root; kubelet_in_sight"
        ))
        .run(&format!(
            "{WORDS}{MICROK8S}
             . /share/plugin.sh
             microk8s; break_iscsi; install_program; pods; uses $root
             # A driver that was started while there is a link.
             string=$root
             plugin $standard/plugins/x.example $standard:$standard:rshared
             if publishes >/dev/null 2>&1; then fail 'it is not broken'; fi
             align
             before=$(systemctl show -P ExecMainStartTimestampMonotonic $unit)
             csihost apply; alive apply
             [ \"$(systemctl show -P ExecMainStartTimestampMonotonic $unit)\" = \"$before\" ]
             uses $root; whole; nothing_planned; checks align warn; checks bridge pass
             says 'takes effect when the kubelet restarts' csihost status
             systemctl restart $unit
             uses $standard; whole; alive a restart; nothing_planned; checks align pass
             string=$standard; publishes; end_plugin
             for turn in {{1..10}}; do
                 plugin $standard/plugins/x.example $standard:$standard:rshared; publishes; end_plugin
             done
             csihost apply; whole; nothing_planned; alive publishes"
        ));
}

#[test]
fn a_link_stays_where_something_speaks_against_aligning() {
    container().shared_root().run(&format!(
        "{WORDS}{MICROK8S}
         microk8s; break_iscsi; install_program; align
         raw=$root/plugins/kubernetes.io/csi/volumeDevices/publish/pvc-9
         mkdir -p $raw; mount -t tmpfs raw $raw
         fails align-block-volumes csihost apply
         linked; cmp given $args; checks align fail
         umount $raw
         # Somebody else's unit would mount there.
         printf '[Mount]\\nWhat=/srv\\nWhere=%s\\n' $standard >/etc/systemd/system/var-lib-kubelet.mount
         fails var-lib-kubelet.mount csihost apply
         linked; cmp given $args
         rm /etc/systemd/system/var-lib-kubelet.mount; systemctl daemon-reload
         chmod 777 /var/lib
         fails 'changed by others than root' csihost apply
         linked; cmp given $args
         chmod 755 /var/lib
         csihost apply; whole; nothing_planned"
    ));
}

#[test]
fn a_csihost_that_is_killed_at_any_moment_leaves_the_link_or_the_directory_and_the_next_one_ends_it() {
    container().shared_root().option(&["--timeout", "300"]).run(&format!(
        "{WORDS}{MICROK8S}
         microk8s; systemctl -q disable --now $unit; break_iscsi; install_program; align
         csihost apply; whole_or() {{ linked || [ -d $standard ]; }}
         end() {{ csihost undo >/dev/null; linked; not_mounted; cmp given $args; }}
         end
         kinds=
         for i in {{1..40}}; do
             csihost apply >/dev/null 2>&1 & pid=$!
             sleep 0.$(printf %03d $((i * 6)))
             kill -KILL $pid 2>/dev/null || :; wait $pid || :
             whole_or
             if linked; then kinds+=l; elif mountpoint -q $standard; then kinds+=m; else kinds+=d; fi
             while [ -n \"$(systemctl list-jobs --no-legend)\" ]; do sleep 0.05; done
             csihost apply >/dev/null; nothing_planned; mountpoint -q $standard
             end
             [ -z \"$(ls -A /var/lib | grep csihost)\" ] || {{ ls -A /var/lib; fail 'something is left'; }}
         done
         echo \"killed: $kinds\"
         case $kinds in *l*m*) ;; *) fail \"not killed at different moments: $kinds\" ;; esac"
    ));
}

#[test]
fn the_agent_takes_the_links_place_too() {
    container().shared_root().run(&format!(
        "{WORDS}{MICROK8S}
         microk8s; install_csihost; pods; align
         for try in $(seq 100); do grep -qF -e --root-dir=/var/lib/kubelet $args && break; sleep 0.1; done
         whole; alive the agent
         systemctl restart $unit; alive a restart
         for try in $(seq 100); do csihost status | grep -qF 'takes effect' || break; sleep 0.1; done
         uses $standard; whole; nothing_planned"
    ));
}

#[test]
fn a_root_that_is_a_link_to_the_standard_path_only_gets_its_other_name() {
    container().shared_root().run(&format!(
        "{WORDS}
         alone() {{ ! mountpoint -q $standard && ! mountpoint -q $standard/pods; }}
         mkdir -p $standard; ln -s $standard $root
         at_root; install_program; pods; align
         csihost apply; nothing_planned; alone; checks align warn
         systemctl restart kubelet
         uses $standard; nothing_planned; alone; alive a restart; checks align pass
         [ ! -e /etc/systemd/system/csihost-align.service ]
         csihost undo || :; systemctl restart kubelet; uses $root; csihost undo
         [ ! -e /var/lib/csihost/receipt.json ]; [ ! -e $standard/csihost-undone ]; kubelet_in_sight"
    ));
}
