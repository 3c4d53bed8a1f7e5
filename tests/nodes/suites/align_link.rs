//! On real systemd in a container: a standard path that is a link to the kubelet's root, or the root
//! one to it, where the root is to become the standard path.

use crate::support::align::WORDS;
use crate::support::container;

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
#[ignore = "boots a node: make node"]
fn a_link_to_the_root_gives_way_to_a_mount_of_all_of_it_and_comes_back() {
    container()
        .shared_root()
        .option(&["--timeout", "240"])
        .then(&format!(
            "{WORDS}{MICROK8S}
             # The kubelet has started after the mount, or it would not be where its root was.
             uses $standard; whole; nothing_planned; checks align pass; checks bridge pass
             pods

             # With volumes all stays; then the setting is undone, and the mount goes on until nothing uses it.
             rm /etc/csihost/csihost.toml
             status 3 csihost undo; uses $standard; whole; alive undo
             no_pods
             fails 'left as they are' csihost undo
             grep -F 'drain the node, stop the kubelet' failing; grep -F $unit failing
             cmp given $args
             uses $standard; whole
             systemctl restart $unit
             uses $root; whole
             csihost apply; nothing_planned; whole; checks bridge pass
             fails 'a kubelet runs' csihost undo
             systemctl stop $unit
             mkdir $root/pods/other; mount -t tmpfs other $root/pods/other
             fails 'mounts are below it' csihost undo
             whole; umount $root/pods/other; rmdir $root/pods/other
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
#[ignore = "boots a node: make node"]
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
#[ignore = "boots a node: make node"]
fn a_csihost_that_is_killed_at_any_moment_leaves_the_link_or_the_directory_and_the_next_one_ends_it() {
    container().shared_root().option(&["--timeout", "600"]).run(&format!(
        "{WORDS}{MICROK8S}
         microk8s; systemctl -q disable --now $unit; break_iscsi; install_program; align
         csihost apply; whole_or() {{ linked || [ -d $standard ]; }}
         end() {{ csihost undo >/dev/null; linked; not_mounted; cmp given $args; }}
         end
         # Moments spread over the time that it takes here and now.
         timed csihost apply >/dev/null; end
         kinds=
         for i in {{1..40}}; do
             # It takes longer now than it did.
             if [ $i -gt 20 ] && [[ $kinds != *m* ]]; then took=$((took * 11 / 10)); fi
             csihost apply >/dev/null 2>&1 & pid=$!
             pause $((took * i / 36))
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
#[ignore = "boots a node: make node"]
fn the_agent_takes_the_links_place_too() {
    container().shared_root().run(&format!(
        "{WORDS}{MICROK8S}
         microk8s; install_csihost; pods; align
         eventually grep -qF -e --root-dir=/var/lib/kubelet $args; eventually nothing_planned; whole; alive the agent
         systemctl restart $unit; alive a restart
         settled() {{ ! csihost status | grep -F 'takes effect'; }}
         eventually settled; uses $standard; whole; nothing_planned"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
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
         status 3 csihost undo; no_pods; csihost undo; systemctl restart kubelet; uses $root; csihost undo
         [ ! -e /var/lib/csihost/receipt.json ]; [ ! -e $standard/csihost-undone ]; kubelet_in_sight"
    ));
}
