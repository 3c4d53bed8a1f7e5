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
