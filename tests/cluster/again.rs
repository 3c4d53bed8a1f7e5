//! Once more from the beginning: first contact with grafts, volumes that are left over, an undo under running pods, and
//! align after it.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "first contact with grafts: from the package to a running pod the rollout is the only step",
        scripts: &[r#"
            no_driver
            # What the driver's hostPath volumes make at the standard path, and nothing else.
            rm -rf $standard/plugins $standard/plugins_registry $standard/pods
            storage; raw_storage
            driver
            pod app | kubectl apply -f -
            eventually 60 event app "driver name $driver not found in the list of registered CSI drivers"
            settings graft
            began=$((${EPOCHREALTIME/./} / 1000))
            apt_get install /share/csihost.deb
            kubectl rollout restart daemonset/csi-hostpathplugin -n default
            ready app
            echo "measured: from apt install to the running pod: $((${EPOCHREALTIME/./} / 1000 - began)) ms"
            stored app
            csihost check --json >check || :
            for id in path-contract driver-not-registered driver-before-bridge; do
                grep -A1 "\"id\": *\"$id\"" check | grep -q '"pass"' || { cat check; fail "$id does not pass"; }
            done
            nothing_planned; sandboxed"#],
    },
    Test {
        name: "what a plugin reports as unmounted that is mounted still is found once the pod is gone, and the agent unmounts it",
        scripts: &[r#"
            raw_device
            raw_pod block | kubectl apply -f -
            ready block
            raw_works block; block=$(uid block)
            # As if the agent were not: the plugin serves without the kubelet's root, and reports what it does not find as unmounted.
            settings report
            systemctl reload csihost
            ungraft "$(container_pid hostpath)"
            kubectl delete pod block --wait=false
            # The kubelet has ended its containers and keeps the pod, because a volume is mounted.
            eventually 90 no_logs "$block"
            [ "$(kubectl get pod block -o 'jsonpath={.metadata.deletionTimestamp}')" ]
            published=$root/plugins/kubernetes.io/csi/volumeDevices/publish/raw
            mountpoint -q $published/$block; mountpoint -q $root/pods/$block/volumes/kubernetes.io~csi/v/mount
            find $root/pods/$block/{containers,volumes} $published $root/plugins/kubernetes.io/csi/volumeDevices/raw -xdev -exec touch -d '11 minutes ago' {} +
            findings leftover-mounts | tee left
            grep -F "v of the pod with UID $block" left; grep -F "raw of the pod with UID $block" left
            settings graft
            systemctl reload csihost
            eventually 60 unmounted "$block"
            # The kubelet completes the pod's end. The pod's directory stays until a person removes the record of the volume.
            eventually 60 pods_gone --field-selector metadata.name=block
            kept=$root/pods/$block/volumes/kubernetes.io~csi/v
            rm $kept/vol_data.json; rm -df $kept/mount $kept
            eventually 30 no_directory "$block"
            raw_pod block | kubectl apply -f -
            ready block
            raw_works block
            kubectl delete pod/block pvc/raw pv/raw --timeout=60s
            eventually 30 nothing_left
            nothing_planned; sandboxed"#],
    },
    Test {
        name: "an undo under a running pod waits for it and for the driver, and completes by itself",
        scripts: &[r#"
            status 3 csihost undo >undo
            grep -F 'default/app' undo
            quote undo-waits cat undo
            bridged
            # The pod and the driver go on; the driver still has the kubelet's path when it restarts.
            kill_container hostpath
            [ "$(in_pod app cat /data/file)" = 'node app' ]
            pod during | kubectl apply -f -
            ready during; stored during
            delete_pods
            no_driver
            rm -f /etc/csihost/csihost.toml
            eventually 60 undone"#],
    },
    Test {
        name: "aligned after an undo, and undone again, twice",
        scripts: &[r#"
            for round in 1 2; do
                settings align
                systemctl enable --now csihost-boot csihost
                csihost apply || :
                eventually 30 says 'takes effect when the kubelet restarts' csihost status
                restart_kubelet; aligned
                driver; eventually 20 registered
                pod app | kubectl apply -f -
                ready app; stored app
                nothing_planned
                status 3 csihost undo >undo
                grep -F 'default/app' undo
                delete_pods
                no_driver
                restart_kubelet
                if aligned; then fail 'still aligned'; fi
                rm /etc/csihost/csihost.toml
                eventually 60 undone
                eventually 60 kubelet_stays
            done"#],
    },
    Test {
        // One CPU is the system's; on a machine with one alone there is none to give.
        name: "aligned under the static CPU manager policy, a pod keeps its CPU and its container",
        scripts: &[r#"
            if [ "$(nproc)" -lt 2 ]; then echo 'measured: not tried: the static policy takes two CPUs'; exit 0; fi
            exclusive() { pod "$@" | sed 's/^    imagePullPolicy: Never/&\n    resources: {limits: {cpu: "1", memory: 64Mi}}/'; }
            allowed() { in_pod "$1" grep Cpus_allowed_list /proc/self/status; }
            keeps() { [ "$(allowed "$1")" = "$cpu" ]; }
            systemctl stop kubelet
            rm $root/cpu_manager_state
            printf 'cpuManagerPolicy: static\nreservedSystemCPUs: "0"\n' >>/etc/k8s/kubelet.yaml
            restart_kubelet
            exclusive before '{name: memory, emptyDir: {medium: Memory}}' '{mountPath: /data, name: memory}' | kubectl apply -f -
            ready before
            cpu=$(allowed before)
            grep -q "$(uid before)" $root/cpu_manager_state
            settings align
            systemctl enable --now csihost-boot csihost
            eventually 30 says 'takes effect when the kubelet restarts' csihost status
            restart_kubelet; aligned
            grep -q "$(uid before)" $standard/cpu_manager_state
            eventually 30 keeps before
            [ "$(restarts before)" = 0 ]
            driver; eventually 20 registered
            kubectl delete pod before
            exclusive after | kubectl apply -f -
            ready after; stored after; keeps after
            nothing_planned; sandboxed
            delete_pods
            no_driver
            systemctl stop kubelet
            sed -i '/^cpuManagerPolicy:/d; /^reservedSystemCPUs:/d' /etc/k8s/kubelet.yaml
            rm -f $root/cpu_manager_state $standard/cpu_manager_state
            restart_kubelet; aligned"#],
    },
    Test {
        name: "undone on a drained node, the kubelet has its root again, and a purge leaves nothing",
        scripts: &[r#"
            # On a machine with one CPU the test before has done nothing.
            if ! aligned; then systemctl enable --now csihost-boot csihost; align; fi
            rm /etc/csihost/csihost.toml
            csihost undo
            restart_kubelet
            if aligned; then fail 'still aligned'; fi
            apt_get purge csihost
            eventually 30 nothing_left
            if awk '$5 ~ "/var/lib/kubelet/"' /proc/1/mountinfo | grep .; then fail 'a mount is left'; fi
            if grep -rl csihost /etc/systemd /var/lib/csihost /run/csihost /etc/csihost 2>/dev/null | grep .; then fail 'something is left'; fi
            pod app | kubectl apply -f -
            eventually 60 event app "driver name $driver not found in the list of registered CSI drivers"
            driver $root
            ready app; stored app
            delete_pods
            no_driver"#],
    },
];
