//! On real systemd in a container: the kubelet root's string, grafted into plugins whose containers
//! lack it, by the agent in its sandbox and by one turn. Plugins are stand-ins in namespaces and control
//! groups as a runtime makes them; volumes are really mounted, and looked for where the kubelet is.

use crate::support::node;

/// Words for scripts: a kubelet whose root is `$root`, which it names `$string`.
const WORDS: &str = r#"
    . /share/plugin.sh
    kubelet_at() { # STRING
        mkdir -p /etc/systemd/system/kubelet.service.d
        printf '[Service]\nExecStart=\nExecStart=/usr/bin/kubelet "--root-dir=%s"\n' "$1" >/etc/systemd/system/kubelet.service.d/root.conf
        systemctl daemon-reload; systemctl restart kubelet
        string=$1 root=$(realpath "$1")
    }
    settings() { # REPAIR
        mkdir -p /etc/csihost
        printf '[contract]\ndrivers = ["x.example"]\nrepair = "%s"\n' $1 >/etc/csihost/csihost.toml
    }
    turn() { rm -f said; csihost apply >said 2>&1 || { grep -q 'not ready' said || { cat said; return 1; }; }; }
    # holds true|false: what check says of the plugin.
    holds() {
        csihost check --json >check || :
        grep -o '"holds": *[a-z]*' check | grep -q "$1" || { grep -A12 contracts check; fail "the contract is not $1"; }
    }
    refused() { csihost plan --json >plan || :; grep -F "\"$1\"" plan >/dev/null || { cat plan; fail "no $1"; }; }
    connected() { journalctl -q --no-pager -u csihost | grep -F 'connected to the container runtime: new'; }
    eventually() {
        local try
        for try in {1..200}; do if "$@" >tried 2>&1; then return 0; fi; sleep 0.05; done
        cat tried; fail "never: $*"
    }
"#;

#[test]
#[ignore = "boots a node: make node"]
fn in_each_arrangement_a_publish_arrives_after_a_graft_and_goes_again_ten_times_over() {
    let printed = node().run(&format!(
        r#"{WORDS}
        runtime; broken_node; install_program; systemctl stop csihost 2>/dev/null || :
        string=$root st=plugins/kubernetes.io/csi
        settings graft
        turn; bridged
        cat /proc/1/mountinfo >mounts
        arrangement() {{ # WHAT BIND...
            local what=$1 i; shift
            echo "=== $what"
            for i in {{1..10}}; do
                plugin $standard/plugins/x.example "$@"
                if [ $i = 1 ]; then
                    settings report; holds false; settings graft
                    if publishes >/dev/null 2>&1; then fail 'it is not broken'; fi
                fi
                turn; nothing_planned; grafted; holds true
                publishes
                end_plugin
            done
            same mounts /proc/1/mountinfo
        }}
        s=$standard
        arrangement 'the whole standard path' $s:$s:rshared
        arrangement 'pods and staging, as Longhorn has them' $s/$st:$s/$st:rshared $s/pods:$s/pods:rshared
        arrangement 'pods alone' $s/pods:$s/pods:rshared
        arrangement 'pods and plugins' $s/plugins:$s/plugins:rshared $s/pods:$s/pods:rshared
        arrangement 'under a name of its own' $s/pods:/host-pods:rshared
        arrangement 'the root itself, under another name' $root:/host-kubelet:rshared
        dirs="$root/pods/0b8d/volumes" arrangement 'with directories that were left by a publish that got lost' $s:$s:rshared
        readonly=1 dirs="$root/pods $root/plugins" arrangement 'a root file system that cannot be written, with the directories in it' $s:$s:rshared

        kubelet_at /srv/other; turn; bridged; cat /proc/1/mountinfo >mounts
        arrangement 'another root' $s:$s:rshared
        mkdir -p /srv/real; ln -s /srv/real /srv/link; kubelet_at /srv/link; turn; cat /proc/1/mountinfo >mounts
        arrangement 'a root that is named by a link, and the driver has the real one' /srv/real:/srv/real:rshared
        arrangement 'a root that is named by a link, and the driver has the bridge' $s:$s:rshared
        kubelet_at /srv/'with space'; turn; cat /proc/1/mountinfo >mounts
        arrangement 'a root with a space in it' $s:$s:rshared
        nothing_planned"#
    ));
    assert_eq!(printed.matches("=== ").count(), 12, "{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn what_cannot_be_grafted_is_refused_with_its_reason_and_nothing_is_mounted_there() {
    node().run(&format!(
        r#"{WORDS}
        broken_node; install_program
        string=$root s=$standard
        settings graft; turn; bridged
        # Without a runtime that speaks NRI nothing is grafted: a plugin that restarts would not be in time.
        plugin $s/plugins/x.example $s:$s:rshared
        cat /proc/$plugin_pid/mountinfo >before
        refused graft-no-nri; status 1 csihost apply; same before /proc/$plugin_pid/mountinfo
        end_plugin
        runtime
        is_refused() {{ # ID BIND...
            local id=$1; shift
            plugin $s/plugins/x.example "$@"
            cat /proc/$plugin_pid/mountinfo >before
            refused $id; turn || :
            same before /proc/$plugin_pid/mountinfo
            end_plugin
        }}
        is_refused graft-private $s:$s:rprivate
        is_refused graft-private $s:$s:rslave
        is_refused graft-nothing $s/plugins:$s/plugins:rshared
        is_refused graft-covered $s/pods:$s/pods:rshared /srv/else:/opt:rprivate
        # Only who is named.
        printf '[contract]\ndrivers = ["y.example"]\nrepair = "graft"\n' >/etc/csihost/csihost.toml
        plugin $s/plugins/x.example $s:$s:rshared
        nothing_planned; holds false
        # By the namespace of its pod, too.
        printf '[contract]\nnamespaces = ["storage"]\nrepair = "graft"\n' >/etc/csihost/csihost.toml
        mkdir -p /var/log/pods/storage_driver-abcde_$POD /var/log/pods/other_x_$POD-not
        turn; grafted; holds true; end_plugin
        settings graft
        # What is seen only in the container itself: a file there, a link on the way, no room to write.
        plugin $s/plugins/x.example $s:$s:rshared
        in_ns $plugin_pid bash -c "mkdir -p $root/pods/0b8d; : >$root/pods/0b8d/file"
        cat /proc/$plugin_pid/mountinfo >before
        status 1 csihost apply; same before /proc/$plugin_pid/mountinfo
        in_ns $plugin_pid rm -r /opt/rke
        in_ns $plugin_pid ln -s /tmp /opt/rke
        status 1 csihost apply; same before /proc/$plugin_pid/mountinfo
        end_plugin
        readonly=1; plugin $s/plugins/x.example $s:$s:rshared; readonly=
        cat /proc/$plugin_pid/mountinfo >before
        status 1 csihost apply; journalctl -q --no-pager | grep -F 'Read-only file system'
        same before /proc/$plugin_pid/mountinfo
        end_plugin; nothing_planned"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_helper_that_is_killed_leaves_the_container_as_it_was_or_grafted() {
    let printed = node().run(&format!(
        r#"{WORDS}
        runtime; broken_node; install_program
        string=$root
        settings graft; turn; bridged
        cat /proc/1/mountinfo >mounts
        declare -A how=()
        order() {{ # The order that a turn gives the helper.
            local at=/proc/$plugin_pid
            printf '{{"name":"x","pid":%d,"started":%d,"namespace":%d,"binds":[{{"from":"%s","to":"%s"}},{{"from":"%s","to":"%s"}}]}}' \
                $plugin_pid $(sed 's/.*) //' $at/stat | cut -d' ' -f20) $(readlink $at/ns/mnt | tr -dc 0-9) \
                $standard/plugins $root/plugins $standard/pods $root/pods
        }}
        for ((i = 0; i < 60; i++)); do
            plugin $standard/plugins/x.example $standard:$standard:rshared
            right=$(order)
            CSIHOST_GRAFT=$right csihost graft-into 2>said & helper=$!
            # After up to nine milliseconds, at another moment each time.
            read -r -t 0.00$((i % 10))$((i / 10)) -u "$never" || :
            kill -KILL $helper 2>/dev/null || :
            wait $helper 2>/dev/null || :
            same mounts /proc/1/mountinfo
            here=$(awk -v at="$root/" 'index($5, at) == 1' /proc/$plugin_pid/mountinfo | wc -l)
            how[$here]=$((${{how[$here]:-0}} + 1))
            # With staging alone the contract is as broken as before: the pods come last.
            case $here in 0 | 1) if publishes >/dev/null 2>&1; then fail 'between'; fi ;; 2) publishes ;; *) false ;; esac
            # What was left is completed.
            turn; nothing_planned; grafted; publishes
            end_plugin
        done
        # Not of a process of another time, not of another namespace.
        plugin $standard/plugins/x.example $standard:$standard:rshared
        cat /proc/$plugin_pid/mountinfo >before
        right=$(order)
        CSIHOST_GRAFT=$(sed 's/"started":[0-9]*/"started":7/' <<<"$right") fails 'is gone' csihost graft-into
        CSIHOST_GRAFT=$(sed 's/"namespace":[0-9]*/"namespace":7/' <<<"$right") fails 'another mount namespace' csihost graft-into
        CSIHOST_GRAFT=$(sed 's/"pid":[0-9]*/"pid":1/' <<<"$right") fails 'is gone' csihost graft-into
        setpriv --reuid 65534 --clear-groups --inh-caps=-all bash -c 'exec sleep 1000' & other=$!
        until [[ $(</proc/$other/comm) == sleep ]]; do :; done
        at=/proc/$other
        order=$(sed "s/\"pid\":[0-9]*/\"pid\":$other/; s/\"started\":[0-9]*/\"started\":$(sed 's/.*) //' $at/stat | cut -d' ' -f20)/
            s/\"namespace\":[0-9]*/\"namespace\":$(readlink $at/ns/mnt | tr -dc 0-9)/" <<<"$right")
        CSIHOST_GRAFT=$order fails 'runs as user 65534' csihost graft-into
        kill $other
        fails 'it is csihost that runs this' csihost graft-into
        same before /proc/$plugin_pid/mountinfo
        for here in "${{!how[@]}}"; do echo "left with $here mounts: ${{how[$here]}} times"; done"#
    ));
    println!("{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn the_agent_grafts_a_plugin_that_starts_again_at_once_and_undo_takes_away_what_carries_nothing() {
    let printed = node().run(&format!(
        r#"{WORDS}
        runtime; broken_node; settings graft; install_csihost
        string=$root agent=$(agent_pid)
        bridged; eventually connected
        # Created while the runtime had no plugin: each is reported when it has started.
        nri=late
        : >took
        for ((i = 0; i < 30; i++)); do
            plugin $standard/plugins/x.example $standard:$standard:rshared
            until grafted; do read -r -t 0.002 -u "$never" || :; done
            echo $((${{EPOCHREALTIME/./}} / 1000 - started)) >>took
            publishes
            end_plugin
        done
        sort -n took | awk '{{ t[NR] = $1 }} END {{ print "grafted after, in ms: median " t[int((NR + 1) / 2)] ", most " t[NR] }}'
        # No right of the agent's: it has none to mount.
        [ $(($(awk '/^CapEff/ {{ print "0x" $2 }}' /proc/$agent/status) >> 21 & 1)) = 0 ]
        [ $(agent_pid) = $agent ]
        journalctl -q --no-pager -u csihost | grep -F 'graft x.example'

        plugin $standard/plugins/x.example $standard:$standard:rshared
        eventually grafted; nothing_planned; holds true
        grep -F '"grafted"' /var/lib/csihost/receipt.json
        cat /proc/1/mountinfo >mounts
        # While it is registered it keeps what it depends on. Then the undo is completed, and the agent ends.
        status 3 csihost undo >undone; grafted
        rm $root/plugins_registry/x.example-reg.sock
        over() {{ ! grafted && [ "$(systemctl is-active csihost)" = inactive ]; }}; eventually over
        # With a volume below, it stays: unmounting it would take the volume from its pod.
        systemctl start csihost; eventually grafted
        mkdir -p $root/pods/volume; mount -t tmpfs volume $root/pods/volume; touch $root/pods/volume/file
        status 0 csihost undo >undone 2>&1; grep -F 'goes with its container' undone
        grafted; [ -e $root/pods/volume/file ]
        grep -F " $root/pods/volume " /proc/$plugin_pid/mountinfo"#
    ));
    println!("{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn a_container_that_the_runtime_creates_has_the_kubelets_root_before_its_first_process() {
    let printed = node().run(&format!(
        r#"{WORDS}
        runtime; broken_node; settings graft; install_csihost
        string=$root
        bridged; eventually connected
        nri=1
        grafts() {{ journalctl -q --no-pager -u csihost | grep -c 'graft x.example' || :; }}
        before=$(grafts)
        for ((i = 0; i < 20; i++)); do
            plugin $standard/plugins/x.example $standard:$standard:rshared
            # At once: nothing is waited for.
            grafted; publishes
            end_plugin
        done
        plugin $standard/plugins/x.example $standard:$standard:rshared
        nothing_planned; holds true; publishes
        [ "$(grafts)" = "$before" ]
        journalctl -q --no-pager -u csihost | grep -F 'adjust-container driver-abcde/driver'
        end_plugin
        # Of what is no driver nothing is changed, nor of another one that is known.
        none() {{ pod=other described driver "driver $1" "${{@:2}}" | /share/runtime create 2>>/run/test/answers >given; [ ! -s given ] || {{ cat given; return 1; }}; }}
        none backup $standard:$standard:rshared
        none --drivername=y.example $standard:$standard:rshared $standard/plugins/y:/csi:rprivate
        none --drivername=x.example $standard:$standard:rslave $standard/plugins/x.example:/csi:rprivate
        # The runtime restarts, and its socket with it.
        systemctl stop runtime; sleep 0.2; runtime
        again() {{ described driver driver $standard/pods:$standard/pods:rshared $standard/plugins/x.example:/csi:rprivate | /share/runtime create 2>>/run/test/answers >given; }}
        eventually again; grep -Fx "$root/pods:$root/pods:rshared" given
        # A reconciliation that waits keeps nothing waiting.
        exec 9>/run/csihost/lock; flock 9; touch /etc/csihost/csihost.toml; sleep 0.5
        again; [ -s given ]; exec 9>&-
        awk '/answered/ {{ print $3 }}' /run/test/answers | sort -n | awk '{{ t[NR] = $1 }} END {{ print "answered after, in us: median " t[int((NR + 1) / 2)] ", most " t[NR] " of " NR }}'
        nothing_planned
        systemctl stop csihost; [ $(systemctl show -P Result csihost) = success ]"#
    ));
    println!("{printed}");
}
