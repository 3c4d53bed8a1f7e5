//! A kubelet whose root becomes the standard path, with its data where they are.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    Test {
        // The pods are those that the test before has left.
        name: "aligned, pods that ran before run on, and new ones have their volumes",
        scripts: &[r#"
            before="$(restarts all) $(restarts app) $(restarts new)"
            mounts=$(in_pod all cat /proc/mounts)
            prepare_align
            quote align-waits bash -c 'csihost status | grep "takes effect"'
            # Until the kubelet restarts its path is the old one, and a driver that restarts is grafted.
            kill_container hostpath
            pod between | kubectl apply -f -
            ready between; stored between
            kubectl delete pod between
            restart_kubelet; aligned
            moved $root $standard
            eventually 20 registered
            volumes_work all; stored app; stored new
            [ "$(in_pod all cat /proc/mounts)" = "$mounts" ]
            pod aligned | kubectl apply -f -
            ready aligned; stored aligned
            [ "$(restarts all) $(restarts app) $(restarts new)" = "$before" ]
            nothing_planned; sandboxed
            delete_pods"#],
    },
    Test {
        name: "aligned, each kind of volume works, and goes with its pod",
        scripts: &[r#"
            raw_device
            { every_volume all; raw_pod block; } | kubectl apply -f -
            ready all block
            volumes_work all; raw_works block
            kill_container hostpath
            volumes_work all; raw_works block
            grow one all
            nothing_planned
            delete_pods"#],
    },
    Test {
        name: "aligned, a second driver's volumes arrive beside those of the first, without being named",
        scripts: &[r#"
            other_driver second apply
            pod both "{name: v, csi: {driver: $driver}}, {name: w, csi: {driver: second.csi.example}}" \
                '{mountPath: /data, name: v}, {mountPath: /second, name: w}' | kubectl apply -f -
            ready both
            in_pod both sh -c 'echo second >/second/file'
            stored both; eventually 20 grep -rlx second /var/lib/csi-second-data
            nothing_planned
            delete_pods
            other_driver second delete
            eventually 30 pods_gone -l app=csi-secondplugin"#],
    },
    Test {
        name: "aligned, thirty pods at once have their volumes, and leave nothing",
        scripts: &["thirty_pods; nothing_planned; sandboxed"],
    },
    Test {
        name: "an upgrade of the package leaves pods, mounts and the kubelet as they are",
        scripts: &[r#"
            every_volume all | kubectl apply -f -
            pod app | kubectl apply -f -
            ready all app
            volumes_work all
            kubelet=$(systemctl show -P MainPID kubelet)
            awk '{ print $1, $3, $4, $5 }' /proc/1/mountinfo | grep kubelet >mounts
            apt_get install /share/csihost.deb
            dpkg-query -W -f '${Version}\n' csihost | grep -v 0.0.1
            awk '{ print $1, $3, $4, $5 }' /proc/1/mountinfo | grep kubelet | diff mounts -
            [ "$kubelet" = "$(systemctl show -P MainPID kubelet)" ]; aligned
            [ "$(restarts all) $(restarts app)" = '0 0' ]
            volumes_work all; stored app
            pod new | kubectl apply -f -
            ready new
            nothing_planned; sandboxed"#],
    },
    Test {
        // The pods are those that the test before has left.
        name: "aligned, the pods are back after a reboot, and leave nothing",
        scripts: &[
            "all_unmounted",
            r#"
            cluster_up
            aligned
            eventually 60 restarted all app new
            ready all app new
            volumes_work all; stored app
            pod newer | kubectl apply -f -
            ready newer; stored newer
            nothing_planned; sandboxed
            delete_pods"#,
        ],
    },
    Test {
        name: "aligned, killing everything and restarting containerd under load costs no volume",
        scripts: &[
            "faults hostpath kubelet csihost containerd hostpath node-driver-registrar restart-containerd hostpath kubelet hostpath",
        ],
    },
];
