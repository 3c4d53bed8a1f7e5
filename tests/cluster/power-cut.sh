# shellcheck shell=bash disable=SC1091,SC2154 # words of words.sh
# In a virtual machine: power-cut.sh before [REPAIR]: a cluster with pods that have volumes of the driver, and with more that are
# created and deleted, until "cut now" is printed and the power goes. power-cut.sh after: each volume that a pod has is
# there, and none is left over. Emulated, all of this is twenty times slower than in a container.
for tag in k8s cluster; do
    mkdir -p /$tag
    mountpoint -q /$tag || mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro $tag /$tag
done
. /cluster/words.sh
slower=20
eventually() {
    local until=$((SECONDS + $1 * slower)) said
    shift
    until said=$("$@" 2>&1); do
        if [ $SECONDS -ge $until ]; then echo "$said"; fail "never: $*"; return 1; fi
        sleep 1
    done
}
# ready NAME...: with a longer wait.
ready() { kubectl wait --for=condition=Ready --timeout=1200s "${@/#/pod/}" >/dev/null; }

before() {
    # The next boot needs the binaries before it comes to this script.
    printf '%s\n' 9p 9pnet_virtio >/etc/modules-load.d/9p.conf
    for tag in k8s cluster; do
        echo "$tag /$tag 9p trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro 0 0" >>/etc/fstab
    done
    cluster_up
    storage
    settings "${1:-graft}"
    install_csihost
    if [ "${1:-}" = align ]; then restart_kubelet; aligned; fi
    sed "s|/var/lib/kubelet|&|" /k8s/driver.yaml | kubectl apply -f - >/dev/null
    eventually 30 registered
    # The driver keeps the paths of before a boot, and would take them for published.
    cat >/etc/systemd/system/driver-state.service <<'X'
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=kubelet.service
[Service]
Type=oneshot
ExecStart=/bin/sed -i 's/"\(Published\|Staged\)":\[[^]]*\]/"\1":null/g' /var/lib/csi-hostpath-data/state.json
[Install]
WantedBy=multi-user.target
X
    systemctl enable -q driver-state
    { every_volume all; many 3 kept; } | kubectl apply -f - >/dev/null
    ready all kept1 kept2 kept3
    volumes_work all
    sync
    : >loading
    load &
    sleep 20
    echo 'cut now'
    wait
}
after() {
    local name
    cluster_up
    # What was being created and deleted is to be finished first.
    kubectl get pods -o name | grep '/load' | xargs -r kubectl delete --wait=false
    eventually 60 restarted all kept1 kept2 kept3
    ready all kept1 kept2 kept3
    volumes_work all
    for name in kept1 kept2 kept3; do stored "$name"; [ "$(in_pod "$name" cat /data/file)" = "node $name" ]; done
    pod new | kubectl apply -f - >/dev/null
    ready new; stored new
    nothing_planned; sandboxed
    delete_pods
    echo 'after the power cut each volume was there, and none is left'
}
"$@"
