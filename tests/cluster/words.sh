# shellcheck shell=bash disable=SC1091,SC2034,SC2154 # words of lib.sh, and for scripts that source this
# Words for the nodes of a real cluster: ". /cluster/words.sh" is the first line of a script there.
. /share/lib.sh
trap - EXIT
export KUBECONFIG=/etc/k8s/kubeconfig PATH=/k8s/bin:$PATH
root=/srv/kubelet
driver=hostpath.csi.k8s.io
staged=plugins/kubernetes.io/csi/$driver
exec {never}<> <(:)

nap() { read -r -t 0.1 -u "$never" || :; }
# eventually SECONDS COMMAND...: it succeeds before the seconds are over. Its last output is shown otherwise.
eventually() {
    local until=$((${EPOCHREALTIME/./} / 1000 + $1 * 1000)) said
    shift
    until said=$("$@" 2>&1); do
        if [ $((${EPOCHREALTIME/./} / 1000)) -ge $until ]; then echo "$said"; fail "never: $*"; return 1; fi
        nap
    done
}

# cluster_up: the cluster begins on this node, or goes on after a reboot.
cluster_up() {
    if [ ! -e $KUBECONFIG ]; then /k8s/node-setup $root; fi
    eventually 60 kubectl get --raw /readyz
    eventually 60 kubelet_answers
}
kubelet_answers() { [[ $(exec 2>/dev/null; exec 3<>/dev/tcp/127.0.0.1/10248; printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3; cat <&3) == *ok ]]; }
restart_kubelet() { systemctl restart kubelet; eventually 60 kubelet_answers; }

# driver [ROOT]: csi-driver-host-path as it is published, or told that the kubelet's root is ROOT.
driver() {
    sed "s|/var/lib/kubelet|${1:-/var/lib/kubelet}|" /k8s/driver.yaml | kubectl apply -f - >/dev/null
    kubectl rollout status daemonset/csi-hostpathplugin --timeout=60s >/dev/null
}
no_driver() {
    kubectl delete --ignore-not-found --timeout=60s -f /k8s/driver.yaml >/dev/null
    eventually 30 pods_gone -l app=csi-hostpathplugin
}
pods_gone() { [ -z "$(kubectl get pods "$@" -o name)" ]; }
# As the API server has it: the kubelet of this node has the driver.
registered() { [[ $(kubectl get csinode node -o 'jsonpath={.spec.drivers[*].name}') == *$driver* ]]; }

# pod NAME [VOLUME-LINES [MOUNT-LINES [POD-LINES]]]: a pod; without more, with an inline volume of the driver at /data.
pod() {
    local volumes=${2:-"{name: v, csi: {driver: $driver}}"} mounts=${3:-'{mountPath: /data, name: v}'} more=${4:-}
    cat <<Y
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {test: "yes"}}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  automountServiceAccountToken: false
  containers:
  - name: app
    image: localhost/app:1
    imagePullPolicy: Never
    command: [/bin/sh, -c, 'echo \$(hostname) $1 >/data/file; exec sleep 2147483647']
    volumeMounts: [$mounts]
  volumes: [$volumes]
$more
Y
}
# ready NAME...: by the API server the pods run, and their containers are ready.
ready() { kubectl wait --for=condition=Ready --timeout=60s "${@/#/pod/}" >/dev/null; }
# event NAME TEXT: the API server has an event of the pod that holds the text.
event() { kubectl get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}' | grep -F -- "$2"; }
restarts() { kubectl get pod "$1" -o 'jsonpath={.status.containerStatuses[*].restartCount}'; }
uid() { kubectl get pod "$1" -o 'jsonpath={.metadata.uid}'; }
# in_pod NAME COMMAND...
in_pod() { local name=$1; shift; kubectl exec "$name" -- "$@"; }
# stored NAME: what the pod wrote is in the driver's storage, and not on the node's disk.
stored() { grep -rlxF "node $1" /var/lib/csi-hostpath-data >/dev/null; }
delete_pods() {
    kubectl delete pods -l test=yes --wait=false >/dev/null
    eventually 60 pods_gone -l test=yes
    eventually 30 nothing_left
}
# nothing_left: below pods and staging, in both trees, is no mount and no directory but those of the
# pods that the API server has.
nothing_left() {
    local uids tree at
    uids=" $(kubectl get pods -o 'jsonpath={.items[*].metadata.uid}') "
    for tree in $root $standard; do
        for at in "$tree"/pods/*/; do
            [ -d "$at" ] || continue
            at=${at%/}
            [[ $uids == *" ${at##*/} "* ]] || { find "$at"; fail "left: $at"; return 1; }
        done
        while read -r _ _ _ _ at _; do
            [[ $at == "$tree/pods/"* ]] || [[ $at == "$tree/plugins/kubernetes.io/csi/"* ]] || continue
            at=${at#"$tree/pods/"}
            [[ $uids == *" ${at%%/*} "* ]] || { fail "left: mounted at $tree/pods/$at"; return 1; }
        done </proc/1/mountinfo
        at=$(find "$tree/$staged" -mindepth 1 2>/dev/null || :)
        [ -z "$at" ] || { fail "left: $at"; return 1; }
    done
}

settings() { mkdir -p /etc/csihost; printf '[contract]\ndrivers = ["%s"]\nrepair = "%s"\n' $driver "$1" >/etc/csihost/csihost.toml; }
# container_pid NAME: the process of the driver pod's container: hostpath, node-driver-registrar.
container_pid() {
    local id
    id=$(kubectl get pods -l app=csi-hostpathplugin -o "jsonpath={.items[0].status.containerStatuses[?(@.name==\"$1\")].containerID}")
    ctr -n k8s.io tasks ls | awk -v id="${id#containerd://}" '$1 == id { print $2 }'
}
diagnose() {
    set +eE
    echo '---- the cluster'
    kubectl get pods -o wide
    kubectl get events --sort-by=.lastTimestamp -o 'custom-columns=O:.involvedObject.name,M:.message' | tail -n 15
    systemctl --failed --no-legend
    grep kubelet /proc/1/mountinfo | cut -c1-250
    if [ -x /usr/bin/csihost ]; then
        csihost status; csihost check; csihost plan
        journalctl -q --no-pager -b -u csihost -u csihost-boot -n 30
    fi
    journalctl -q --no-pager -b -u kubelet -u containerd -n 20 | cut -c1-400
}
