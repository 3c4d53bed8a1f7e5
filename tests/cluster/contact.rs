//! From a node without csihost to one whose driver is told the kubelet's root.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "without csihost the driver runs, and the kubelet never hears of it",
        scripts: &[r#"
            driver
            [ "$(kubectl get pods -l app=csi-hostpathplugin -o 'jsonpath={.items[*].status.containerStatuses[*].ready}')" = 'true true' ]
            pod app | kubectl apply -f -
            eventually 20 event app "driver name $driver not found in the list of registered CSI drivers"
            quote not-registered message app 'not found in the list'
            if registered; then fail 'it is registered'; fi"#],
    },
    Test {
        name: "bridged over the driver's sockets, the driver registers after the one command that csihost names",
        scripts: &[r#"
            older
            apt_get install ./older.deb
            bridged; sandboxed
            # Its containers have directories that no kubelet looks into: it runs, and cannot be used.
            [ "$(kubectl get pods -l app=csi-hostpathplugin -o 'jsonpath={.items[*].status.containerStatuses[*].ready}')" = 'true true' ]
            if registered; then fail 'it is registered'; fi
            status 3 csihost check --json >check
            grep -o "kubectl rollout restart daemonset/[a-z-]* -n [a-z-]*" check | sort -u >command
            quote first-contact findings driver-not-registered driver-before-bridge
            [ "$(cat command)" = 'kubectl rollout restart daemonset/csi-hostpathplugin -n default' ]
            if csihost probe; then fail "the probe passes"; fi
            . ./command
            kubectl rollout status daemonset/csi-hostpathplugin --timeout=60s
            eventually 20 registered"#],
    },
    Test {
        name: "with the bridge alone the kubelet's path does not exist in the driver's container",
        scripts: &[r#"
            eventually 60 event app "create target path: mkdir $root/pods/$(uid app)/volumes/kubernetes.io~csi/v/mount: no such file or directory"
            quote bridge-alone message app 'create target path'
            quote contract-broken findings path-contract
            [ "$(kubectl get pod app -o 'jsonpath={.status.phase}')" = Pending ]
            nothing_planned; bridged
            delete_pods"#],
    },
    Test {
        name: "told the kubelet's root the driver's volumes arrive",
        scripts: &[r#"
            no_driver
            driver $root
            eventually 20 registered
            pod app | kubectl apply -f -
            ready app
            stored app
            [ "$(in_pod app cat /data/file)" = 'node app' ]
            nothing_planned
            delete_pods
            no_driver; sandboxed"#],
    },
];
