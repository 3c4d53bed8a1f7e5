# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # inner shells' words, and those of scripts that source it
# Words for nodes with CSI plugins: sourced after lib.sh. A plugin is a stand-in, and its container
# is made as a runtime does it; its control group is a real one, by systemd.
POD=f3412c75-4ac7-4fcd-b1ed-b700bcf08552

# Not in the arguments: systemd-run expands variables there from 254 on.
mkdir -p /run/test
cat >/run/test/container <<'END'
set -eu
# What is mounted there is not for the host to see.
mount --make-private "$(findmnt -no TARGET --target "${ROOTFS%/*}")"
mount -t tmpfs -o mode=755 --make-private tmpfs "$ROOTFS"
for dir in usr etc; do mkdir "$ROOTFS/$dir"; mount --bind --make-private "/$dir" "$ROOTFS/$dir"; done
for dir in bin sbin lib lib64; do if [ -e "/$dir" ]; then ln -s "usr/$dir" "$ROOTFS/$dir"; fi; done
mkdir "$ROOTFS"/{proc,tmp,old}
for dir in $DIRS; do mkdir -p "$ROOTFS$dir"; done
mount -t proc --make-private proc "$ROOTFS/proc"
mount -t tmpfs --make-private tmpfs "$ROOTFS/tmp"
for bind; do
    IFS=: read -r source point propagation <<<"$bind"
    mkdir -p "$source" "$ROOTFS$point"
    mount --rbind "$source" "$ROOTFS$point"
    for way in ${propagation//+/ }; do mount --make-"$way" "$ROOTFS$point"; done
done
if [ -n "$READONLY" ]; then mount -o remount,ro,bind "$ROOTFS"; fi
echo $$ >"$PIDFILE"
cd "$ROOTFS"
pivot_root . old
mount --make-rslave old
umount -l old
exec bash -c "exec -a $COMMAND" container
END

# container NAME COMMAND [SOURCE:POINT:PROPAGATION]...: sets $pid and $started (ms). runc,
# libcontainer/rootfs_linux.go: a root file system of its own, directories of the host bound as the
# pod asks for it, then pivot_root. Of $readonly the root file system cannot be written.
container() {
    local name=$1 command=$2 rootfs=/run/test/$1 id adjusted=()
    shift 2
    if [ "${nri:-}" = 1 ]; then
        mapfile -t adjusted < <(described "$name" "$command" "$@" | /share/runtime create 2>>/run/test/answers)
    fi
    mkdir -p "$rootfs"
    id=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
    rm -f "/run/test/$name.pid"
    ROOTFS=$rootfs COMMAND=$command READONLY=${readonly:-} DIRS=${dirs:-} PIDFILE=/run/test/$name.pid systemd-run -q --scope \
        --slice="kubepods-besteffort-pod${POD//-/_}.slice" --unit="cri-containerd-$id.scope" \
        unshare --mount --propagation unchanged bash /run/test/container "$@" "${adjusted[@]}" </dev/null >"/run/test/$name.log" 2>&1 &
    local try first=$!
    disown
    for try in {1..2000}; do
        if [ -s "/run/test/$name.pid" ]; then
            pid=$(<"/run/test/$name.pid")
            [ -d "/proc/$pid" ] || { cat "/run/test/$name.log"; fail "the container does not begin"; }
            if [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == "$name "* ]]; then break; fi
        elif [ ! -d "/proc/$first" ]; then
            cat "/run/test/$name.log"
            fail "the container cannot be created"
            return 1
        fi
        read -r -t 0.005 -u "$never" || :
    done
    started=$((${EPOCHREALTIME/./} / 1000))
    # While no plugin is connected (3) there is nothing to report it to.
    if [ -n "${nri:-}" ]; then described "$name" "$command" "$@" "${adjusted[@]}" | /share/runtime started || [ $? = 3 ]; fi
}
exec {never}<> <(:)

# runtime: a runtime that speaks NRI is there. With nri=1 it has each container created as its plugin wants
# it; with nri=late it reports only that one has started.
runtime() { mkdir -p /run/test; systemd-run -q --unit=runtime --collect /share/runtime serve; until [ -S /run/nri/control.sock ]; do :; done; }
# described NAME COMMAND [BIND]...: the container as the runtime describes it.
described() {
    local bind source point propagation word mounts='' words=''
    for bind in "${@:3}"; do
        IFS=: read -r source point propagation <<<"$bind"
        mounts+=",{\"kind\":\"bind\",\"source\":\"$source\",\"destination\":\"$point\",\"options\":[\"rbind\",\"$propagation\"]}"
    done
    for word in $2; do words+=",\"${word//[\'\"]/}\""; done
    printf '{"id":"%s","pod":"%s","namespace":"storage","name":"%s","args":[%s],"mounts":[%s]}' "$1" "${pod:-$POD}" "driver-abcde/$1" "${words#,}" "${mounts#,}"
}

# plugin SOCKET-DIRECTORY(of the host) [BIND]...: a driver and its registrar; sets $plugin_pid.
plugin() {
    local socket=$1
    shift
    # Only arguments are looked at: sleep is what listens here.
    container registrar "registrar $(command -v bash) -c 'sleep 1000; :' x --csi-address=/csi/csi.sock --kubelet-registration-path=$standard/plugins/x.example/csi.sock" \
        "$socket:/csi:rprivate" "${registry:-$standard/plugins_registry}:/registration:rprivate"
    registrar_pid=$pid
    registers
    container driver "driver $(command -v bash) -c 'sleep 1000; :' x-csi --endpoint=unix:///csi/csi.sock --drivername=x.example" \
        "$socket:/csi:rprivate" "$@"
    plugin_pid=$pid
}
# a_socket PATH: a socket, as a program leaves it that was killed.
a_socket() { rm -f "$1"; perl -MSocket -e 'socket(my $s, PF_UNIX, SOCK_STREAM, 0); bind($s, pack_sockaddr_un($ARGV[0])) or die "$!"' "$1"; }
# registers: driver and registrar make their sockets where their containers have the directories.
registers() { a_socket "/proc/$registrar_pid/root/csi/csi.sock"; a_socket "/proc/$registrar_pid/root/registration/x.example-reg.sock"; }
# end_container PID: as the kernel does it to a container with a PID namespace, all processes end at once. One that were
# left would keep its mount namespace.
end_container() {
    local children
    read -ra children <"/proc/$1/task/$1/children" || :
    kill -KILL "$1" ${children[@]+"${children[@]}"}
    while [ -d "/proc/$1" ]; do read -r -t 0.005 -u "$never" || :; done
}
end_plugin() { end_container "$plugin_pid"; end_container "$registrar_pid"; }
in_ns() { nsenter --target "$1" --mount -- "${@:2}"; }

# publishes: what the plugin mounts at the string that the kubelet sends arrives, and goes again.
publishes() {
    local target=$string/pods/0b8d/volumes/kubernetes.io~csi/pvc there=$root/pods/0b8d/volumes/kubernetes.io~csi/pvc
    mkdir -p "$there"
    in_ns "$plugin_pid" bash -euc 'mkdir -p "$1/mount"; mount -t tmpfs published "$1/mount"; : >"$1/mount/data"' - "$target" || return 1
    [ -e "$there/mount/data" ] || { echo "it does not arrive at $there"; in_ns "$plugin_pid" umount "$target/mount"; return 1; }
    in_ns "$plugin_pid" umount "$target/mount" || return 1
    if mountpoint -q "$there/mount"; then echo "it stays at $there"; return 1; fi
    rmdir "$there/mount"
}
# grafted: by the string the plugin has the kubelet's own pods.
grafted() { [ "$(stat -c %d:%i "/proc/$plugin_pid/root$string/pods" 2>/dev/null)" = "$(stat -c %d:%i "$root/pods")" ]; }
