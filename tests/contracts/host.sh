# A small host for one arrangement: sourced in mount and PID namespaces of its own.
set -euo pipefail
shopt -s inherit_errexit
S=/var/lib/kubelet
mount --make-rprivate /
for dir in /var/lib /srv /run/test /run/csihost; do mkdir -p "$dir"; mount -t tmpfs -o mode=755 tmpfs "$dir"; done
[ -n "${PRIVATE_HOST:-}" ] || mount --make-rshared /
kubelet_pid='' plugin_pid=''

await() { # COMMAND...: until it succeeds
    for _ in {1..200}; do if "$@" 2>/dev/null; then return; fi; sleep 0.02; done
    echo "gave up waiting for: $*" >&2
    exit 1
}

kubelet() { # ROOT
    "$KUBELET" --root-dir="$1" &
    kubelet_pid=$!
    R=$1
    await test -S "/proc/$kubelet_pid/root$1/pod-resources/kubelet.sock"
    registry=$1/plugins_registry
}

# What a runtime does (runc, libcontainer/rootfs_linux.go): a root file system of its own, into which
# directories of the host are bound with the propagation that the pod asks for, then pivot_root.
# With RUNTIME=runc or crun this one does it.
container() { # NAME POD COMMAND [SOURCE:POINT:PROPAGATION]...
    if [ -n "${RUNTIME:-}" ]; then oci "$@"; else script "$@"; fi
}
script() {
    local name=$1 pod=$2 command=$3 rootfs=/run/test/$1 id
    shift 3
    mkdir -p "$rootfs"
    ROOTFS=$rootfs COMMAND=$command unshare --mount --propagation unchanged bash -euc '
        mount -t tmpfs -o mode=755 --make-private tmpfs "$ROOTFS"
        for dir in usr etc; do mkdir "$ROOTFS/$dir"; mount --bind --make-private "/$dir" "$ROOTFS/$dir"; done
        for dir in bin sbin lib lib64; do if [ -e "/$dir" ]; then ln -s "usr/$dir" "$ROOTFS/$dir"; fi; done
        mkdir "$ROOTFS"/{proc,tmp,old}
        mount -t proc --make-private proc "$ROOTFS/proc"
        for bind; do
            IFS=: read -r source point propagation <<<"$bind"
            mkdir -p "$source" "$ROOTFS$point"
            mount --rbind "$source" "$ROOTFS$point"
            for way in ${propagation//+/ }; do mount --make-"$way" "$ROOTFS$point"; done
        done
        mount --make-private "$(findmnt -no TARGET --target "${ROOTFS%/*}")"
        cd "$ROOTFS"
        pivot_root . old
        mount --make-rslave old
        umount -l old
        : >/tmp/ready
        exec bash -c "exec -a $COMMAND" container
    ' bash "$@" &
    pid=$!
    await test -e "/proc/$pid/root/tmp/ready"
    id=$(printf %064x "$pid")
    echo "0::/kubepods/burstable/pod$pod/$id" >"/run/test/$name.cgroup"
    mount --bind --make-private "/run/test/$name.cgroup" "/proc/$pid/cgroup"
}

if [ -n "${RUNTIME:-}" ]; then
    # Of control groups the second version alone, without controllers: the runtimes differ over a mixture.
    umount -R -l /sys/fs/cgroup
    mount -t cgroup2 --make-private cgroup2 /sys/fs/cgroup
fi
# By config.json as containerd writes it (internal/cri/opts, WithMounts): the propagation of the root file system
# is the widest that a volume mount has.
oci() {
    local name=$1 pod=$2 command=$3 bundle=/run/test/$1.bundle rootfs=/run/test/$1 id wrap=() wide=rprivate mounts='' bind
    local source point propagation options
    shift 3
    mkdir -p "$rootfs" "$bundle"
    mount -t tmpfs -o mode=755 --make-private tmpfs "$rootfs"
    mkdir "$rootfs"/{usr,etc,proc,tmp,dev}
    for dir in usr etc; do mount --bind --make-private "/$dir" "$rootfs/$dir"; done
    for dir in bin sbin lib lib64; do if [ -e "/$dir" ]; then ln -s "usr/$dir" "$rootfs/$dir"; fi; done
    for bind; do
        IFS=: read -r source point propagation <<<"$bind"
        mkdir -p "$source" "$rootfs$point"
        case $propagation in
            # The runtime itself receives the host's mounts alone.
            rslave+rshared) wrap=(unshare --mount --propagation slave sh -c 'mount --make-rshared / && exec "$@"' -) propagation=rshared ;;
        esac
        case $propagation,$wide in rshared,*) wide=rshared ;; rslave,rprivate) wide=rslave ;; esac
        options='"rbind","rw"'
        [ "$propagation" = unset ] || options+=",\"$propagation\""
        mounts+=",{\"destination\":\"$point\",\"type\":\"bind\",\"source\":\"$source\",\"options\":[$options]}"
    done
    # A test of the runtime's own defaults says which propagation the root file system has, or "unset".
    wide=${WIDE:-$wide}
    id=$(printf '%s' "$$ $name" | sha256sum | cut -c1-64)
    cat >"$bundle/config.json" <<END
{"ociVersion": "1.0.2",
 "process": {"user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
  "args": ["bash", "-c", "exec -a $command", "container"]},
 "root": {"path": "$rootfs"},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}$mounts],
 "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}],
  $([ "$wide" = unset ] || echo "\"rootfsPropagation\": \"$wide\",") "cgroupsPath": "/$CGROUP/kubepods/burstable/pod$pod/$id"}}
END
    ${wrap[@]+"${wrap[@]}"} "$RUNTIME" --root "/run/test/$RUNTIME" run --detach --bundle "$bundle" --pid-file "$bundle/pid" \
        "$id" </dev/null >"$bundle/log" 2>&1 || { cat "$bundle/log" >&2; exit 1; }
    pid=$(<"$bundle/pid")
    await grep -q "^$name" "/proc/$pid/cmdline"
}

POD=f3412c75-4ac7-4fcd-b1ed-b700bcf08552
plugin() { # SOCKET-DIRECTORY(of the host) [SOURCE:POINT:PROPAGATION]...
    local socket=$1
    shift
    # Only arguments are looked at: sleep is what listens here.
    stand_in driver "bash -c 'sleep 1000; :' x-csi --endpoint=unix:///csi/csi.sock --drivername=x.example" \
        "$socket:/csi:rprivate" "$@"
    plugin_pid=$pid
    plugin_socket=$socket
}
# The registrar comes last, so that it has the registry that the kubelet has by then, with its socket in it.
registrar() {
    stand_in registrar "bash -c 'sleep 1000; :' registrar --csi-address=/csi/csi.sock --kubelet-registration-path=$S/plugins/x.example/csi.sock" \
        "$plugin_socket:/csi:rprivate" "$registry:/registration:rprivate"
    : >"$registry/x.example-reg.sock"
}
stand_in() { # NAME ARGUMENTS [BIND]...
    local name=$1 arguments=$2
    shift 2
    container "$name" "$POD" "$name $(command -v bash) ${arguments#bash }" "$@"
}

# Five hundred volumes: each recursive bind of the tree into itself doubles it.
volumes() {
    local tree=$S/pods/0b8c/volumes/kubernetes.io~csi
    mkdir -p "$tree"
    mount -t tmpfs --make-private tmpfs "$tree"
    for i in {1..9}; do mkdir "$tree/$i"; mount --rbind "$tree" "$tree/$i"; done
    mount --make-rshared "$tree"
}

in_ns() { nsenter --target "$1" --mount -- "${@:2}"; }

# What csihost says, the texts that it is to be foretold from, and what really happens.
judge() {
    local target=$R/pods/0b8d/volumes/kubernetes.io~csi/pvc
    registrar
    "$CSIHOST" check --json --config /dev/null >"$OUT/check.json" || [ $? = 3 ]
    for who in kubelet plugin; do
        local pid=${who}_pid
        cat "/proc/${!pid}/mountinfo" >"$OUT/$who.mountinfo"
        in_ns "${!pid}" realpath -m "$R/pods" "$R/plugins/kubernetes.io/csi" >"$OUT/$who.paths"
    done
    cat /proc/1/mountinfo >"$OUT/host.mountinfo"
    "$CSIHOST" probe --json --config /dev/null >"$OUT/probe.json" || [ $? = 3 ]
    for who in kubelet plugin; do
        local pid=${who}_pid
        cmp "/proc/${!pid}/mountinfo" "$OUT/$who.mountinfo"
    done
    cmp /proc/1/mountinfo "$OUT/host.mountinfo"
    [ -z "$(find /var/lib /srv -name '.csihost*')" ]
    [ ! -e /run/csihost/probe.json ]
    echo "$R" >"$OUT/root"
    # The kubelet makes the directory above, the plugin its target, and mounts there.
    in_ns "$kubelet_pid" mkdir -p "$target"
    in_ns "$plugin_pid" bash -euc 'mkdir -p "$1/mount"; mount -t tmpfs published "$1/mount"; : >"$1/mount/data"' - "$target"
    if in_ns "$kubelet_pid" test -e "$target/mount/data"; then echo true; else echo false; fi >"$OUT/arrived"
}
