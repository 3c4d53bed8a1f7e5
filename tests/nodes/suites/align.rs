//! On real systemd in a container: a kubelet whose root becomes the standard path, with its data where
//! they are, under running pods.

use crate::support::align::WORDS;
use crate::support::{Node, container};

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
#[ignore = "boots a node: make node"]
fn pods_live_on_while_their_kubelet_goes_over_to_the_standard_path() {
    lives(container().shared_root());
}

#[test]
#[ignore = "boots a node: make node"]
fn pods_live_on_where_the_root_is_not_shared_too() {
    lives(container());
}

#[test]
#[ignore = "boots a node: make node"]
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
#[ignore = "boots a node: make node"]
fn the_agent_makes_the_setting_and_leaves_the_restart_to_others() {
    container().shared_root().run(&format!(
        "{WORDS}
         at_root; install_csihost; pods; align
         setting=/etc/systemd/system/kubelet.service.d/zzz-csihost-root.conf
         eventually test -e $setting
         read_again() {{ [ \"$(systemctl show -P NeedDaemonReload kubelet)\" = no ] && says 'takes effect when the kubelet restarts' csihost status; }}
         eventually read_again
         before=$(started); sleep 2
         [ \"$(started)\" = \"$before\" ]; uses $root; alive the agent
         says 'takes effect when the kubelet restarts' csihost status
         systemctl restart kubelet; alive a restart
         settled() {{ ! csihost status | grep -F 'takes effect'; }}
         eventually settled; eventually nothing_planned; aligned
         # Somebody's change of the unit is followed.
         sed -i 's/--v=2/--v=4/' /etc/systemd/system/kubelet.service.d/root.conf; systemctl daemon-reload
         eventually grep -F -e '--v=4 --root-dir=/var/lib/kubelet' $setting; eventually nothing_planned"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn k3s_reads_csihosts_file_after_its_own_and_its_pods_live_on() {
    container().shared_root().run(&format!(
        "{WORDS}
         install -m 755 /share/kubelet /usr/local/bin/k3s
         mkdir -p /etc/rancher/k3s/config.yaml.d
         printf 'write-kubeconfig-mode: \"0644\"\\nkubelet-arg:\\n- root-dir=%s\\n- v=2\\n' $root >/etc/rancher/k3s/config.yaml
         printf 'kubelet-arg+:\\n- \"max-pods=200\"\\n' >/etc/rancher/k3s/config.yaml.d/50-mine.yaml
         sed 's|^ExecStart=.*|ExecStart=/usr/local/bin/k3s server|' /share/kubelet.service >/etc/systemd/system/k3s.service
         systemctl daemon-reload; systemctl -q enable --now k3s
         break_iscsi; install_program; pods; uses $root; align
         csihost apply; alive apply; uses $root
         says 'takes effect when the kubelet restarts' csihost status
         grep -F root-dir=/var/lib/kubelet /etc/rancher/k3s/config.yaml.d/90-csihost.yaml
         systemctl restart k3s; alive a restart; aligned
         csihost apply; nothing_planned
         # A file that is read later and says otherwise is named, and nothing is done against it.
         printf 'kubelet-arg+:\\n- root-dir=%s\\n' $root >/etc/rancher/k3s/config.yaml.d/99-mine.yaml
         says \"would have $root as its root all the same\" csihost plan
         rm /etc/rancher/k3s/config.yaml.d/99-mine.yaml
         rm -r /etc/csihost
         # The setting stays for volumes, and goes with them.
         status 3 csihost undo; grep -F root-dir=/var/lib/kubelet /etc/rancher/k3s/config.yaml.d/90-csihost.yaml; alive undo
         no_pods; csihost undo
         [ ! -e /etc/rancher/k3s/config.yaml.d/90-csihost.yaml ]
         systemctl restart k3s; uses $root"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
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
         rm -r /etc/csihost; status 3 csihost undo; alive undo
         no_pods; csihost undo
         cmp given /etc/default/kubelet
         systemctl restart kubelet; uses $root"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
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

         mkdir $standard/pod-resources; : >$standard/pod-resources/kubelet.sock
         refused align-other-kubelet pod-resources
         rm -r $standard/pod-resources

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
#[ignore = "boots a node: make node"]
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
