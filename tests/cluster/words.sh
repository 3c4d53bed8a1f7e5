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
# kubelet_stays: it has run for three seconds. One that starts while mounts go may end once: cAdvisor does not find a file
# system of a moment ago ("cannot find filesystem info for device"), and systemd starts it again.
kubelet_stays() {
    kubelet_answers &&
        [ $(($(cut -d. -f1 /proc/uptime) - $(systemctl show -P ActiveEnterTimestampMonotonic kubelet) / 1000000)) -ge 3 ]
}
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
# other_driver NAME VERB: the same driver once more as NAME.csi.example: kubectl's apply, delete.
other_driver() { sed "s/hostpath\\.csi\\.k8s\\.io/$1.csi.example/; s/csi-hostpath/csi-$1/" /k8s/driver.yaml | kubectl "$2" -f - >/dev/null; }
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
# stored NAME: what the pod wrote is in the driver's storage, and not on the node's disk. A container counts as ready before its
# first process has written anything.
stored() { eventually 20 grep -rlxF "node $1" /var/lib/csi-hostpath-data; }
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

# no_mount_left: no CSI volume is published or staged, in either tree.
no_mount_left() { ! awk '$5 ~ "/kubelet/(pods/.*/kubernetes.io~csi|plugins/kubernetes.io/csi)/" { print "left: " $5 }' /proc/1/mountinfo | grep .; }

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
# raw_storage: a raw block volume of the driver, raw; for the driver's next start. The driver finds a loop device by the
# path of its file, and the nodes of a machine share these devices: each node has a path of its own. raw_device: once
# the driver runs, the loop device that it publishes. No process detaches it: it goes when it is closed, and the runner's script
# has it open.
raw_storage() {
    local file=raw-$EPOCHREALTIME
    truncate -s 1M "/var/lib/csi-hostpath-data/$file"
    sed -i 's|"Volumes":\[|&{"VolName":"raw","VolID":"raw","VolSize":1048576,"VolPath":"/csi-data-dir/'"$file"'","VolAccessType":1},|' \
        /var/lib/csi-hostpath-data/state.json
}
raw_device() {
    local device
    # Another node may take the device that was free.
    # shellcheck disable=SC2016 # the container's shell
    device=$(kubectl exec daemonset/csi-hostpathplugin -c hostpath -- sh -ec 'for try in 1 2 3 4 5; do
        device=$(losetup -f); if losetup "$device" /csi-data-dir/raw-*; then echo "$device"; exit; fi; done; exit 1')
    exec {raw}<"$device"
    losetup -d "$device"
}
# raw_pod NAME: a pod with the raw block volume as /dev/raw.
raw_pod() {
    claim raw | sed "s/^\( *\)accessModes: .*/&\n\1volumeMode: Block/; s/accessModes: \[ReadWriteOnce\], resources/volumeMode: Block, &/"
    pod "$1" "{name: v, csi: {driver: $driver}}, {name: raw, persistentVolumeClaim: {claimName: raw}}" '{mountPath: /data, name: v}' |
        sed 's|^ *volumeMounts|    volumeDevices: [{devicePath: /dev/raw, name: raw}]\n&|'
}
# raw_works NAME: what the pod writes to the device is in the driver's file.
raw_works() {
    # shellcheck disable=SC2016 # the pod's shell
    in_pod "$1" sh -ec 'echo "raw $0" | dd of=/dev/raw conv=notrunc,fsync 2>/dev/null' "$1"
    [ "$(head -n 1 /var/lib/csi-hostpath-data/raw-* | tr -d '\0')" = "raw $1" ]
}
# grow NAME POD: the PersistentVolume becomes larger, as by a resizer, and the kubelet has the driver expand it.
grow() {
    kubectl patch pv "$1" -p '{"spec":{"capacity":{"storage":"2Mi"}}}' >/dev/null
    # The kubelet compares capacities when it handles a change of the pod.
    kubectl annotate pod "$2" grown=yes >/dev/null
    eventually 30 grown "$1"
}
# grown NAME: the volume has the capacity of its PersistentVolume, by the API server and by the kubelet.
grown() {
    [ "$(kubectl get pvc "$1" -o 'jsonpath={.status.capacity.storage}')" = 2Mi ] &&
        kubectl get events --field-selector "involvedObject.name=$1" -o 'jsonpath={.items[*].message}' | grep -F 'NodeExpandVolume succeeded'
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
    stored "$1"
    # shellcheck disable=SC2016 # the pod's shell
    in_pod "$1" sh -ec '
        echo "node $0" | cmp - /data/file
        echo first >/one/file; echo second >/sub/file
        [ "$(stat -c %g /one)" = 4711 ]
        [ "$(cat /secret/word)" = mellon ]
        [ "$(tr -cd . </token/token)" = .. ]
        grep " /memory tmpfs " /proc/mounts >/dev/null; echo fleeting >/memory/file' "$1"
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
# ungraft PID: the plugin's container loses the kubelet's root, and the volumes stay mounted.
ungraft() {
    local directory
    for directory in pods plugins; do
        nsenter --target "$1" --mount mount --make-rprivate "$root/$directory"
        nsenter --target "$1" --mount umount -l "$root/$directory"
    done
}
no_directory() { [ ! -e "$root/pods/$1" ]; }
unmounted() { ! grep -F "$1" /proc/1/mountinfo; }
no_logs() { ! compgen -G "/var/log/pods/*_$1"; }
# sandboxed: the agent runs since it was started, with no right to mount.
sandboxed() {
    local agent
    agent=$(systemctl show -P MainPID csihost)
    [ "$(systemctl show -P NRestarts csihost)" = 0 ]
    [ $(($(awk '/^CapEff/ { print "0x" $2 }' "/proc/$agent/status") >> 21 & 1)) = 0 ]
}
# older [DEB]: csihost's package (or DEB) as of an earlier version.
older() {
    rm -rf older
    dpkg-deb -R "${1:-/share/csihost.deb}" older
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
    journalctl -q --no-pager -b -u kubelet | grep -e 'systemd\[1\]' -e ' [FE][0-9]\{4\} ' -e panic -e err= | tail -n 25 | cut -c1-300
}

# quote NAME COMMAND...: what the command prints is what the documents quote under this name (quotes.rs). UIDs, suffixes
# of pods and numbers of processes are the same each time.
quote() {
    local name=$1
    shift
    mkdir -p /out/quotes
    ("$@" 2>&1 || :) | sed -E 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/0acd7aba-5601-43c8-90a7-a21c8a0b4832/g
        s/(csi-hostpathplugin)-[0-9a-z]{5}\b/\1-x7k2p/g; s/process [0-9]+/process 4711/g; s/^[A-Z][a-z]{2} [0-9]{2} [0-9:]{8} node //
        s/(csihost)\[[0-9]+\]/\1/; s/ +$//' >"/out/quotes/$name"
}
# findings ID...: these findings of csihost check, as a person reads them.
findings() {
    local id
    csihost check >findings || :
    for id; do sed -n "/^[A-Za-z]* *$id /,/^[a-zA-Z]/{/^[A-Za-z]* *$id /p;/^ /p}" findings; done
}
# message NAME TEXT: the pod's event with the text, the longest that the API server has.
message() { kubectl get events --field-selector "involvedObject.name=$1" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}' | grep -F -- "$2" | tail -n 1; }

# ---- the kubelet as distributions of Kubernetes run it

# title WORD...: the kubelet's process has these arguments, and zeros after them, for whoever reads /proc, as one that writes
# its title. The kubelet itself needs the memory that it has them in.
title() {
    local pid
    pid=$(systemctl show -P MainPID "$kubelet_unit")
    { printf '%s\0' "$@"; head -c 200 /dev/zero; } >/run/title
    mount --bind /run/title "/proc/$pid/cmdline"
}
# distribution UNIT PROGRAM ROOT-DIR-OPTION SOCKET: the kubelet is PROGRAM, in UNIT beside its own containerd that listens
# at SOCKET, and no unit of before runs. The node has no pods meanwhile.
distribution() {
    local unit=$1 program=$2 option=$3 socket=$4
    systemctl -q disable --now kubelet containerd
    mkdir -p "${program%/*}" "${socket%/*}"
    cp /k8s/bin/kubelet "$program"
    sed -i "s|^containerRuntimeEndpoint: .*|containerRuntimeEndpoint: unix://$socket|" /etc/k8s/kubelet.yaml
    cat >"/etc/systemd/system/$unit.service" <<X
[Unit]
StartLimitIntervalSec=0
[Service]
Environment=PATH=/k8s/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/bash -c 'rm -f $socket; setpriv --pdeathsig KILL containerd --address $socket & until [ -S $socket ]; do sleep 0.05; done; exec $program --config=/etc/k8s/kubelet.yaml --kubeconfig=$KUBECONFIG --node-ip=10.250.0.1 --hostname-override=node $option'
Restart=always
RestartSec=1
KillMode=process
Delegate=yes
[Install]
WantedBy=multi-user.target
X
    export CONTAINERD_ADDRESS=$socket
    systemctl daemon-reload
    systemctl enable -q --now "$unit"
    eventually 60 kubelet_answers
    kubelet_unit=$unit
}
# no_distribution: the kubelet of before is back.
no_distribution() {
    umount -l "/proc/$(systemctl show -P MainPID "$kubelet_unit")/cmdline" 2>/dev/null || :
    systemctl -q disable --now "$kubelet_unit"
    rm "/etc/systemd/system/$kubelet_unit.service"
    pkill -x containerd || :
    sed -i 's|^containerRuntimeEndpoint: .*|containerRuntimeEndpoint: unix:///run/containerd/containerd.sock|' /etc/k8s/kubelet.yaml
    unset CONTAINERD_ADDRESS
    systemctl daemon-reload
    systemctl enable -q --now containerd kubelet
    eventually 60 kubelet_answers
    root=/srv/kubelet
}
# grafted_there: csihost is installed and grafts; the driver that names the standard path alone has its volumes, after
# its container was killed too, and after an undo nothing is left.
grafted_there() { # DISTRIBUTION
    settings graft
    install_csihost
    csihost detect --json | tr -d ' \n' | grep -F "\"root_dir\":\"$root\"" | grep -F "\"distribution\":\"$1\"" >/dev/null
    driver "$standard"
    eventually 30 registered
    pod app | kubectl apply -f - >/dev/null
    ready app; stored app
    kill_container hostpath
    pod again | kubectl apply -f - >/dev/null
    ready again; stored again
    nothing_planned; sandboxed
    delete_pods
    no_driver
    rm /etc/csihost/csihost.toml
    csihost undo
    apt_get purge csihost
}
