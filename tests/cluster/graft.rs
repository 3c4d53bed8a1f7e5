//! A driver that names the standard path alone, grafted by the agent.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "grafted, the driver's volumes arrive, and again after its container was killed",
        scripts: &[r#"
            storage; raw_storage
            settings graft
            systemctl reload csihost
            driver
            eventually 20 registered
            pod app | kubectl apply -f -
            ready app
            stored app; [ "$(in_pod app cat /data/file)" = 'node app' ]
            quote adjusted bash -c 'journalctl -q --no-pager -u csihost | grep adjust-container | tail -n 1'
            quote contract-holds findings path-contract
            kill_container hostpath
            pod again | kubectl apply -f -
            ready again
            stored again; [ "$(in_pod again cat /data/file)" = 'node again' ]
            [ "$(in_pod app cat /data/file)" = 'node app' ]; [ "$(restarts app)" = 0 ]
            kill_container node-driver-registrar
            eventually 20 registered
            nothing_planned; sandboxed
            delete_pods"#],
    },
    Test {
        name: "grafted, each kind of volume works, and goes with its pod",
        scripts: &[r#"
            raw_device
            { every_volume all; raw_pod block; } | kubectl apply -f -
            ready all block
            volumes_work all; raw_works block
            grow one all
            volumes_work all
            nothing_planned
            delete_pods"#],
    },
    Test {
        name: "grafted, thirty pods at once have their volumes, and leave nothing",
        scripts: &["thirty_pods; nothing_planned; sandboxed"],
    },
    Test {
        name: "grafted, killing everything and restarting containerd under load costs no volume",
        scripts: &[
            "faults hostpath kubelet csihost hostpath containerd hostpath node-driver-registrar restart-containerd hostpath kubelet",
        ],
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
            find $root/pods/$block/volumes $published $root/plugins/kubernetes.io/csi/volumeDevices/raw -xdev -exec touch -d '20 minutes ago' {} +
            findings leftover-mounts | tee left
            grep -F "v of the pod with UID $block" left; grep -F "raw of the pod with UID $block" left
            settings graft
            systemctl reload csihost
            eventually 60 no_mount_left
            # The kubelet completes the pod's end, and the volume is to be had again.
            delete_pods
            raw_pod block | kubectl apply -f -
            ready block
            raw_works block
            delete_pods; nothing_planned; sandboxed"#],
    },
    Test {
        name: "grafted, the pods are back after a reboot",
        scripts: &[
            r#"
            every_volume all | kubectl apply -f -
            pod app | kubectl apply -f -
            ready all app
            all_unmounted"#,
            r#"
            cluster_up
            eventually 60 restarted all app
            ready all app
            volumes_work all; stored app
            pod new | kubectl apply -f -
            ready new; stored new
            nothing_planned; sandboxed"#,
        ],
    },
];
