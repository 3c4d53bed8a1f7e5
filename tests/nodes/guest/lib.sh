# shellcheck shell=bash
# What scripts in a node share: ". /share/lib.sh" is their first line.
set -euo pipefail
set -E
# On standard error: in a command substitution, standard output is what it yields.
trap 'rc=$?; echo "FAILED (status $rc) at line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND" >&2; exit $rc' ERR
trap 'rc=$?; [ $rc = 0 ] || { echo "---- the end of the journal"; journalctl -q --no-pager -b -n 40; }; exit $rc' EXIT

root=/opt/rke/var/lib/kubelet
standard=/var/lib/kubelet
bridge='pods plugins plugins_registry'

# A host as systemd's own: nothing failed, programs can use /dev/null, the bus answers.
sound() {
    [ "$(stat -c %a /dev/null)" = 666 ] || fail "/dev/null has mode $(stat -c %a /dev/null)"
    systemctl is-active dbus.socket
    busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager Version
}
# A kubelet with another root than the standard one; it is running then.
kubelet() {
    install -m 755 /share/kubelet /usr/bin/kubelet
    install -m 644 /share/kubelet.service /etc/systemd/system/
    systemctl daemon-reload
    systemctl -q enable --now kubelet
}
# iscsid neither runs nor listens, and the line that would start it names nothing.
break_iscsi() {
    local unit
    # Debian 11 has no socket.
    for unit in iscsid.socket iscsid.service open-iscsi.service; do
        if systemctl cat "$unit" >/dev/null 2>&1; then systemctl -q disable --now "$unit"; fi
    done
    sed -i 's|^iscsid.startup *=.*|iscsid.startup = /usr/sbin/no-such-iscsid|' /etc/iscsi/iscsid.conf
}
# A node such as csihost is made for: both of the above.
broken_node() {
    kubelet
    break_iscsi
}
apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 "$@"
}
install_csihost() {
    apt_get install /share/csihost.deb
}
# The program alone, without its package.
install_program() {
    install -m 755 /share/csihost /usr/bin/csihost
}

# status N COMMAND...: the command ends with N. Its output is shown either way.
status() {
    local want=$1 rc=0
    shift
    "$@" || rc=$?
    [ "$rc" = "$want" ] || { echo "status $rc, not $want: $*"; return 1; }
}
fail() {
    echo "$*"
    return 1
}
# fails TEXT COMMAND...: the command ends with 1, and says the text (in any case).
fails() {
    local text=$1 rc=0
    shift
    "$@" >failing 2>&1 || rc=$?
    cat failing
    [ "$rc" = 1 ] || fail "status $rc, not 1: $*"
    grep -qiF -- "$text" failing || fail "no \"$text\" in it"
}
# says TEXT COMMAND...: the command's output (both streams) holds the text.
says() {
    local text=$1 out
    shift
    out=$("$@" 2>&1) || :
    grep -qF -- "$text" <<<"$out" || { echo "no \"$text\" in the output of: $*"; echo "$out"; return 1; }
}
nothing_planned() {
    local json
    json=$(csihost plan --json | tr -d ' \n')
    case $json in *'"steps":[]'*) ;; *) echo "still planned: $json"; return 1 ;; esac
}
# Every directory of the bridge is a shared mount of the host, and the kubelet's own.
bridged() {
    local dir
    for dir in $bridge; do
        awk -v at="$standard/$dir" '$5 == at { row = $0 } END { exit row !~ / shared:/ }' /proc/1/mountinfo ||
            { echo "$standard/$dir is no shared mount:"; grep kubelet /proc/1/mountinfo || :; return 1; }
        [ "$(stat -c %d:%i "$standard/$dir")" = "$(stat -c %d:%i "$root/$dir")" ] ||
            { echo "$standard/$dir is another directory than $root/$dir"; return 1; }
    done
}
# Nothing is mounted at the standard path or below it. (A kubelet with its root there may
# have bound it onto itself: then a test asks for what is below alone.)
not_bridged() {
    if grep " $standard/" /proc/1/mountinfo; then fail "something is mounted there"; fi
}
not_mounted() {
    if grep " $standard " /proc/1/mountinfo; then fail "something is mounted there"; fi
    not_bridged
}
# A mount made below one path appears below the other, and goes away with it: both ways,
# for each directory.
travels() {
    local dir from to
    for dir in $bridge; do
        for from in "$root" "$standard"; do
            to=$root
            [ "$from" = "$standard" ] || to=$standard
            mkdir -p "$from/$dir/probe"
            mount -t tmpfs probe "$from/$dir/probe"
            touch "$from/$dir/probe/here"
            [ -e "$to/$dir/probe/here" ] || { echo "$from/$dir/probe is not seen at $to"; grep kubelet /proc/1/mountinfo; return 1; }
            umount "$from/$dir/probe"
            if mountpoint -q "$to/$dir/probe"; then echo "$to/$dir/probe stays mounted"; return 1; fi
            rmdir "$from/$dir/probe"
        done
    done
}
# What a kubelet keeps below the standard path, whatever its root, is still in sight.
kubelet_in_sight() {
    if [ ! -S $standard/device-plugins/kubelet.sock ] || [ ! -e $standard/pki/kubelet.key ]; then
        echo "device-plugins or pki are hidden"
        ls -la $standard
        return 1
    fi
}
# eventually COMMAND...: it succeeds within ten seconds.
eventually() {
    local _
    for _ in {1..100}; do
        if "$@" >tried 2>&1; then return 0; fi
        sleep 0.1
    done
    cat tried; journalctl -q --no-pager -u csihost -n 20; fail "never: $*"
}
# pause MICROSECONDS
pause() { sleep "$(($1 / 1000000)).$(printf %06d $(($1 % 1000000)))"; }
# timed COMMAND...: sets $took, the microseconds that it takes here and now.
timed() {
    local begin=${EPOCHREALTIME/./}
    "$@"
    # shellcheck disable=SC2034 # for the caller
    took=$((${EPOCHREALTIME/./} - begin))
}
# agent_pid: the agent's process that does the work; the unit's main process supervises it.
agent_pid() {
    local main
    main=$(systemctl show -P MainPID csihost)
    [ "$main" != 0 ] && pgrep -P "$main"
}
# before_the_kubelet: at this boot the turn was over when the kubelet started.
before_the_kubelet() {
    local turn start
    turn=$(systemctl show -P ExecMainExitTimestampMonotonic csihost-boot)
    start=$(systemctl show -P ExecMainStartTimestampMonotonic kubelet)
    [ "$turn" -lt "$start" ] || fail "the turn ended at $turn us, and the kubelet started at $start us"
}
# no_order_broken: systemd dropped no job of this boot to break a cycle.
no_order_broken() {
    if journalctl -b | grep -i 'ordering cycle'; then fail 'systemd has broken an order'; fi
}
iscsid_listens() {
    systemctl is-enabled --quiet iscsid.socket || { echo "iscsid.socket is not enabled"; return 1; }
    grep -q '@ISCSIADM_ABSTRACT_NAMESPACE' /proc/net/unix || { echo "iscsid's socket does not listen"; return 1; }
}
# All of a turn's promise, as far as every node can show it.
ready() {
    nothing_planned
    iscsid_listens
    bridged
    travels
    kubelet_in_sight
}
# A directory as text: names, types, modes, owners, links, content.
snapshot() {
    (cd "${1:-/etc}" && find . -printf '%p %y %m %U:%G %l\n' | sort && find . -type f -print0 | sort -z | xargs -0r sha256sum)
}
same() { # A B: two snapshots
    diff "$1" "$2" || fail "it is not as it was"
}
# After a purge: no file that has our name; dpkg's and apt's own records aside.
nothing_of_ours() {
    local found
    found=$(find / -xdev -name '*csihost*' -not -path '/proc/*' -not -path '/var/log/*' \
        -not -path '/var/cache/apt/*' -not -path '/run/systemd/*' 2>/dev/null)
    [ -z "$found" ] || { echo "still there: $found"; return 1; }
}
