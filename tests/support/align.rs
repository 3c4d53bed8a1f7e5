//! Words for nodes whose kubelet's root becomes the standard path.

/// Words for a kubelet with another root, and volumes of its pods.
pub(crate) const WORDS: &str = "
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
    no_pods() { # they are gone, and their volumes with them
        umount $root/pods/*/volumes/*/*/mount; rm -r $root/pods/pod-*
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
