//! On real systemd in a container: a driver was installed before csihost, and has sockets and containers in a tree that no
//! kubelet uses. The bridge covers it, `check` says that the driver's pods have to be restarted, and all is well when they are.

use crate::support::node;

const WORDS: &str = r#"
    . /share/plugin.sh
    string=$root nri=late; runtime
    # This kernel has no iSCSI.
    settings() { mkdir -p /etc/csihost; printf '[iscsi]\nenabled = false\n[contract]\ndrivers = ["x.example"]\nrepair = "%s"\n' $1 >/etc/csihost/csihost.toml; }
    # The pod of a DaemonSet called x-node.
    named() { mkdir -p /var/log/pods/storage_x-node-x7k2p_$POD; }
    driver() { plugin $standard/plugins/x.example $standard/plugins:$standard/plugins:rshared $standard/pods:$standard/pods:rshared; }
    eventually() {
        local try
        for try in {1..200}; do if "$@" >tried 2>&1; then return 0; fi; read -r -t 0.05 -u "$never" || :; done
        cat tried; csihost status; fail "never: $*"
    }
    # found ID STATUS TEXT: what check says of one check.
    found() {
        csihost check --json >checked || :
        tr -d '\n' <checked | sed 's/{ *"id"/\n&/g' | grep -F "\"$1\"" >finding || { cat checked; fail "no $1"; }
        tr -s ' ' <finding | grep -F "\"status\": \"$2\"" | grep -F -- "$3"
    }
    restart='run kubectl rollout restart daemonset/x-node -n storage'
"#;

#[test]
#[ignore = "boots a node: make node"]
fn a_driver_that_was_there_first_is_bridged_over_and_found_until_its_pods_are_restarted() {
    node().run(&format!(
        r#"{WORDS}
        broken_node; install_program; named
        driver
        [ -S $standard/plugins/x.example/csi.sock ]; [ -S $standard/plugins_registry/x.example-reg.sock ]
        found driver-not-registered fail 'run csihost apply, which mounts'
        settings graft
        csihost apply >said 2>&1; cat said; bridged; nothing_planned
        # The bridge propagated into its pods, which are grafted, and not into its registry: the contract holds.
        grafted; found path-contract pass ''
        grep -F 'not ready: driver-not-registered, driver-before-bridge' said
        for id in driver-not-registered driver-before-bridge; do found $id fail "$restart"; done
        status 3 csihost check >/dev/null
        csihost status >said || :; grep -F "$restart" said
        status 3 csihost probe | tee said; grep -F 'unregistered: the kubelet does not call this driver' said
        # Without a name, the command says how to find it.
        mv /var/log/pods away; found driver-before-bridge fail "grep $POD"; mv away /var/log/pods

        # One of its containers alone.
        end_container $registrar_pid
        found driver-before-bridge fail "$restart"

        end_container $plugin_pid
        driver
        [ -S $root/plugins_registry/x.example-reg.sock ]
        csihost apply; nothing_planned; grafted; publishes
        for id in driver-not-registered driver-before-bridge path-contract; do found $id pass ''; done
        status 0 csihost probe
        csihost status | head -1 | grep '^ready:'
        # A socket that is gone is a registration that is gone.
        rm $root/plugins_registry/x.example-reg.sock
        found driver-not-registered warn 'yet'"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn the_agent_says_so_and_is_ready_after_the_restart_alone() {
    node().run(&format!(
        r#"{WORDS}
        broken_node; named; settings graft
        driver
        install_csihost
        bridged
        says_so() {{ grep -F 'driver-before-bridge' /run/csihost/status.json && grep -F "$restart" /run/csihost/status.json; }}
        eventually says_so
        systemctl status csihost | grep -F 'not ready: driver-not-registered, driver-before-bridge'
        journalctl -q --no-pager -u csihost | grep -F 'not ready: driver-not-registered, driver-before-bridge'
        nothing_planned
        end_plugin; driver
        is_ready() {{ grep -F '"result": "ready"' /run/csihost/status.json; }}
        # Between the registrar's start and the driver's it was ready, too.
        eventually grafted; eventually is_ready
        publishes; nothing_planned"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn the_tree_of_another_kubelet_and_a_drivers_mounts_are_not_covered() {
    node().run(&format!(
        r#"{WORDS}
        broken_node; install_program; named
        driver
        refused() {{
            csihost plan --json >plan || :; grep -F "\"$1\"" plan
            status 1 csihost apply; not_bridged
        }}
        : >$standard/cpu_manager_state; refused bridge-other-kubelet; rm $standard/cpu_manager_state
        # What the driver has mounted in its container travels to the host's tree.
        in_ns $plugin_pid bash -c "mkdir -p $standard/pods/0b8d/mount; mount -t tmpfs volume $standard/pods/0b8d/mount"
        csihost plan --json >plan || :; grep -F bridge-hides-mounts plan
        status 1 csihost apply; if grep " $standard/plugins " /proc/1/mountinfo; then fail 'bridged'; fi
        in_ns $plugin_pid umount $standard/pods/0b8d/mount
        csihost apply || :; bridged; nothing_planned"#
    ));
}
