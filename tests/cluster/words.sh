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
    if [ ! -e $KUBECONFIG ]; then
        # Containers outlive containerd: a reboot waits so long for their processes, and kills them then.
        mkdir -p /etc/systemd/system.conf.d
        printf '[Manager]\nDefaultTimeoutStopSec=3s\n' >/etc/systemd/system.conf.d/cluster.conf
        /k8s/node-setup $root
        # Containers are killed here more often than the kubelet's back-off foresees.
        echo 'crashLoopBackOff: {maxContainerRestartPeriod: 1s}' >>/etc/k8s/kubelet.yaml
        restart_kubelet
    fi
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
# second_driver VERB: the same driver once more under another name (second.csi.example): kubectl's apply, delete.
second_driver() { sed 's/hostpath\.csi\.k8s\.io/second.csi.example/; s/csi-hostpath/csi-second/' /k8s/driver.yaml | kubectl "$1" -f - >/dev/null; }
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
ready() { kubectl wait --for=condition=Ready --timeout=120s "${@/#/pod/}" >/dev/null; }
# event NAME TEXT: the API server has an event of the pod that holds the text.
event() { kubectl get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}' | grep -F -- "$2"; }
restarts() { kubectl get pod "$1" -o 'jsonpath={.status.containerStatuses[*].restartCount}'; }
# restarted NAME...: each has a container that began again after the first one.
restarted() { local name; for name; do [ "$(restarts "$name")" != 0 ] || return 1; done; }
uid() { kubectl get pod "$1" -o 'jsonpath={.metadata.uid}'; }
# in_pod NAME COMMAND...
in_pod() { local name=$1; shift; kubectl exec "$name" -- "$@"; }
# stored NAME: what the pod wrote is in the driver's storage, and not on the node's disk.
stored() { grep -rlxF "node $1" /var/lib/csi-hostpath-data >/dev/null; }
delete_pods() {
    kubectl delete pods,pvc,pv,secrets -l test=yes --wait=false >/dev/null
    eventually 90 pods_gone -l test=yes
    eventually 30 nothing_left
    eventually 30 unclaimed
}
unclaimed() { [ -z "$(kubectl get pv,pvc -o name)" ]; }
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

# storage: the driver's persistent volumes, as it finds them when it starts (its state.json): one, two.
storage() {
    local name volumes=''
    for name in one two; do
        install -d -m 777 /var/lib/csi-hostpath-data/$name
        volumes+=",{\"VolName\":\"$name\",\"VolID\":\"$name\",\"VolSize\":1048576,\"VolPath\":\"/csi-data-dir/$name\"}"
    done
    echo "{\"Volumes\":[${volumes#,}]}" >/var/lib/csi-hostpath-data/state.json
}
# claim NAME: a persistent volume of the driver, and its claim.
claim() {
    cat <<Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1, labels: {test: "yes"}}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ''
  claimRef: {namespace: default, name: $1}
  csi: {driver: $driver, volumeHandle: $1, fsType: ext4}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1, labels: {test: "yes"}}
spec: {volumeName: $1, storageClassName: '', accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
Y
}
# every_volume NAME: a pod with each kind of volume, and what it needs.
every_volume() {
    claim one
    claim two
    printf -- '---\n{apiVersion: v1, kind: Secret, metadata: {name: hidden, labels: {test: "yes"}}, stringData: {word: mellon}}\n'
    pod "$1" "
      {name: inline, csi: {driver: $driver}},
      {name: one, persistentVolumeClaim: {claimName: one}},
      {name: two, persistentVolumeClaim: {claimName: two}},
      {name: secret, secret: {secretName: hidden}},
      {name: token, projected: {sources: [{serviceAccountToken: {path: token}}]}},
      {name: memory, emptyDir: {medium: Memory}}" '
      {mountPath: /data, name: inline}, {mountPath: /one, name: one}, {mountPath: /sub, name: two, subPath: deep/er},
      {mountPath: /secret, name: secret}, {mountPath: /token, name: token}, {mountPath: /memory, name: memory}' \
        '  securityContext: {fsGroup: 4711}'
}
# volumes_work NAME: from the pod itself: each of its volumes is what it was to be.
volumes_work() {
    local host=/var/lib/csi-hostpath-data
    # shellcheck disable=SC2016 # the pod's shell
    in_pod "$1" sh -ec '
        echo "node $0" | cmp - /data/file
        echo first >/one/file; echo second >/sub/file
        [ "$(stat -c %g /one)" = 4711 ]
        [ "$(cat /secret/word)" = mellon ]
        [ "$(tr -cd . </token/token)" = .. ]
        grep " /memory tmpfs " /proc/mounts >/dev/null; echo fleeting >/memory/file' "$1"
    stored "$1"
    [ "$(cat $host/one/file)" = first ]
    [ "$(cat $host/two/deep/er/file)" = second ]
    [ "$(stat -c %g $host/one/file)" = 4711 ]
}
# many N PREFIX: manifests of pods, each with an inline volume; names: the names of these pods.
many() { local i; for ((i = 1; i <= $1; i++)); do pod "$2$i"; done; }
names() { local i; for ((i = 1; i <= $1; i++)); do echo "$2$i"; done; }

settings() { mkdir -p /etc/csihost; printf '[contract]\ndrivers = ["%s"]\nrepair = "%s"\n' $driver "$1" >/etc/csihost/csihost.toml; }
# container_pid NAME: the process of the driver pod's container: hostpath, node-driver-registrar.
container_pid() {
    local id
    id=$(kubectl get pods -l app=csi-hostpathplugin -o "jsonpath={.items[0].status.containerStatuses[?(@.name==\"$1\")].containerID}")
    ctr -n k8s.io tasks ls | awk -v id="${id#containerd://}" '$1 == id { print $2 }'
}
# kill_container NAME: SIGKILL to it; it runs again, as another process, by the API server too.
kill_container() {
    local was
    was=$(container_pid "$1")
    kill -KILL "$was"
    eventually 30 another "$1" "$was"
}
another() { local is; is=$(container_pid "$1"); [ -n "$is" ] && [ "$is" != "$2" ]; }
# sandboxed: the agent runs since it was started, with no right to mount.
sandboxed() {
    local agent
    agent=$(systemctl show -P MainPID csihost)
    [ "$(systemctl show -P NRestarts csihost)" = 0 ]
    [ $(($(awk '/^CapEff/ { print "0x" $2 }' "/proc/$agent/status") >> 21 & 1)) = 0 ]
}
# older: csihost's package as of an earlier version.
older() {
    rm -rf older
    dpkg-deb -R /share/csihost.deb older
    sed -i 's/^Version: .*/Version: 0.0.1-1/' older/DEBIAN/control
    dpkg-deb --root-owner-group -Znone -b older older.deb >/dev/null
}
# thirty_pods: created at once, each with a volume of its own, and deleted at once.
thirty_pods() {
    local name pods
    many 30 p | kubectl apply -f - >/dev/null
    mapfile -t pods < <(names 30 p)
    ready "${pods[@]}"
    for name in "${pods[@]}"; do stored "$name"; done
    [ "$(restarts "${pods[0]}")" = 0 ]
    delete_pods
}
# strike VICTIM: SIGKILL to one part of the node, at once.
strike() {
    case $1 in
        kubelet | containerd | csihost) systemctl kill --kill-who=main --signal=KILL "$1" ;;
        restart-*) systemctl restart "${1#restart-}" ;;
        *) kill -KILL "$(container_pid "$1")" ;;
    esac
} 2>/dev/null
# faults VICTIM...: struck at random moments, one after the other, while pods are created and deleted.
# Afterwards a pod that ran through all of it has its volume, a new one has one too, and nothing is left.
faults() {
    local victim
    pod keeper | kubectl apply -f - >/dev/null
    ready keeper
    : >loading
    load &
    for victim; do
        strike "$victim" || echo "$victim is not there now"
        read -r -t "1.$((RANDOM % 10))" -u "$never" || :
    done
    rm loading
    wait $!
    eventually 30 systemctl -q is-active csihost kubelet containerd
    eventually 60 kubelet_answers
    eventually 60 registered
    pod after | kubectl apply -f - >/dev/null
    ready after; stored after
    [ "$(restarts keeper)" = 0 ]; stored keeper
    [ "$(in_pod keeper cat /data/file)" = 'node keeper' ]
    nothing_planned
    delete_pods
}
load() {
    local round=0 pods i
    while [ -e loading ]; do
        round=$((round + 1))
        many 4 "load$round-" | kubectl apply -f - >/dev/null || :
        for i in {1..15}; do nap; done
        mapfile -t pods < <(names 4 "load$round-")
        kubectl delete pods "${pods[@]}" --wait=false >/dev/null || :
    done
}
# aligned: the kubelet runs with the standard path as its root.
aligned() { tr '\0' '\n' <"/proc/$(systemctl show -P MainPID kubelet)/cmdline" | grep '^--root-dir=' | tail -n 1 | grep -x -- "--root-dir=$standard"; }
# moved: the driver's state names the kubelet's root as the kubelet does. It remembers the paths where it
# has published and staged volumes, compares text, and answers "not published, nothing to do" otherwise.
moved() { # FROM TO
    sed -i "s|\"$1/|\"$2/|g" /var/lib/csi-hostpath-data/state.json
    kill_container hostpath
}
# all_unmounted: before a reboot, in the driver's state: what is published and staged will be mounted no more.
# It adds each path once more when the volume is published again, takes away one of both, and never unstages.
all_unmounted() { sed -i 's/"\(Published\|Staged\)":\[[^]]*\]/"\1":null/g' /var/lib/csi-hostpath-data/state.json; }
# align: the setting, and once csihost has prepared it, a restart of the kubelet.
align() { prepare_align; restart_kubelet; aligned; }
prepare_align() {
    settings align
    systemctl reload csihost
    eventually 30 says 'takes effect when the kubelet restarts' csihost status
}
# undone: the undo that waited is complete, by itself: nothing is mounted and neither unit is enabled.
undone() {
    ! systemctl -q is-active csihost && ! systemctl -q is-enabled csihost csihost-boot &&
        ! grep -q ' /var/lib/kubelet/' /proc/1/mountinfo && [ ! -e /var/lib/csihost/receipt.json ]
}
diagnose() {
    set +eE
    trap - ERR
    echo '---- the cluster'
    kubectl get pods -o wide
    kubectl get events --sort-by=.lastTimestamp -o 'custom-columns=O:.involvedObject.name,M:.message' | tail -n 15
    systemctl --failed --no-legend
    awk '$5 ~ /kubelet/ { print $5, $4 }' /proc/1/mountinfo
    if [ -x /usr/bin/csihost ]; then
        csihost check | grep -A2 -e bridge -e path-contract -e align
        csihost plan
        journalctl -q --no-pager -b -u csihost -u csihost-boot -n 20 | cut -c1-250
    fi
    journalctl -q --no-pager -b -u kubelet -n 12 | cut -c1-300
}
