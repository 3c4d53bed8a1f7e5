# shellcheck shell=bash disable=SC2034,SC2154 # the runners set here, flags, default_timeout, base_option, node
# What build-base, container and machine share. It is sourced, never run.
#
# A run lives in mount and PID namespaces of its own, and all that it writes lies on a
# tmpfs there. So nothing has to be removed: when the run ends, or it or its caller is
# killed, SIGKILL included, the kernel takes processes, mounts and files away together.
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
# Nothing here reads standard input; closed, it would be the first file that is opened.
exec </dev/null
NODES=${CSIHOST_NODES:-/var/tmp/csihost-nodes}
suite=${CSIHOST_SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 125; }
# The comment at the head of a script is its manual.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 125; }
now() { echo $((${EPOCHREALTIME/./} / 1000)); }
seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }
# A short sleep that starts no process: read from a pipe on which nothing ever comes.
nap() { read -r -t 0.05 -u "$never"; }

# Runs the script again in namespaces of its own, where it is PID 1; there, does nothing.
# The signals of a terminal or of kill(1) end the inner script; SIGKILL to any of the
# processes in between ends it too, by the parent-death signals.
enclose() {
    if inside; then
        unset CSIHOST_ENCLOSED
        return
    fi
    local pid rc=0
    CSIHOST_ENCLOSED=1 setpriv --pdeathsig KILL \
        unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        -- "$0" "$@" </dev/null &
    pid=$!
    trap 'kill -KILL $pid 2>/dev/null' INT TERM HUP
    wait "$pid" || rc=$?
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" || :; done
    exit "$rc"
}
inside() { [ -n "${CSIHOST_ENCLOSED:-}" ]; }
# The caller's death is the run's. Taken up before anything else is started.
follow_caller() {
    if [ -z "${CSIHOST_FOLLOWS:-}" ]; then
        CSIHOST_FOLLOWS=1 exec setpriv --pdeathsig KILL "$0" "$@"
    fi
    unset CSIHOST_FOLLOWS
}

# Reads the command line that the runners have: sets share, out, cluster, timeout, last, and for
# each command cmd[N], cut_after[N] (milliseconds), cut_on[N]. $flags: words of the
# runner's own, space around each; those given are then in $given.
parse() {
    share='' out='' cluster='' timeout=$default_timeout last=1 given=' '
    declare -gA cmd=() cut_after=() cut_on=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        if [[ $flags == *" $1 "* ]]; then given+="$1 "; shift; continue; fi
        [ $# -ge 2 ] || usage
        case $1 in
            --share) share=$(readlink -e "$2") || die "no such directory: $2" ;;
            --out)
                mkdir -p "$2" || die "cannot make $2"
                out=$(readlink -e "$2") ;;
            --then) last=$((last + 1)); cmd[$last]=$2 ;;
            --cluster) cluster=$(readlink -e "$2") || die "no such directory: $2" ;;
            --timeout) timeout=$2 ;;
            --cut-after)
                [[ $2 =~ ^([0-9]+)(\.([0-9]{1,3}))?$ ]] || die "not a number of seconds: $2"
                local f=${BASH_REMATCH[3]}000
                cut_after[$last]=$((10#${BASH_REMATCH[1]} * 1000 + 10#${f:0:3})) ;;
            --cut-on) cut_on[$last]=$2 ;;
            *) usage ;;
        esac
        shift 2
    done
    [ $# -ge 2 ] || usage
    shift
    if [ $# -eq 1 ]; then cmd[1]=$1; else cmd[1]=$(printf '%q ' "$@"); fi
    [[ $timeout =~ ^[1-9][0-9]*$ ]] || die "not a number of seconds: $timeout"
    [ -z "${cut_after[$last]:-}${cut_on[$last]:-}" ] || die "a power cut needs a --then after it"
}

# The mirror of the suite: as this machine's own apt has it.
suite_mirror() {
    local mirror
    mirror=$(apt_mirror "$suite")
    # Another suite than ours is not in apt's sources, but on the same mirror.
    [ -n "$mirror" ] || mirror=$(apt_mirror "$(. /etc/os-release && echo "$VERSION_CODENAME")")
    [ -n "$mirror" ] || die "no main component of $suite in this machine's apt sources"
    echo "$mirror"
}
apt_mirror() {
    local uri
    # shellcheck disable=SC2016 # the words are apt's
    uri=$(apt-get indextargets --format '$(CREATED_BY) $(CODENAME) $(COMPONENT) $(REPO_URI)' |
        awk -v s="$1" '$1 == "Packages" && $2 == s && $3 == "main" { print $4; exit }')
    # Debian's cloud images name a file that lists the mirrors.
    case $uri in mirror+file:*) uri=$(awk 'NF { print $1; exit }' "${uri#mirror+file:}") ;; esac
    echo "$uri"
}

# Takes the base in use, so that no build-base removes it. Sets base. $base_option: of build-base.
take_base() {
    base=$("$here/build-base" ${base_option:+"$base_option"}) || exit 125
    exec 9<"$base/lock"
    flock -s 9
    touch "$base/lock"
}

# The version of systemd in the base.
systemd_version() {
    awk '$1 == "Package:" { name = $2 } $1 == "Version:" && name == "systemd" { print int($2); exit }' \
        "$base/root/var/lib/dpkg/status"
}

# Inside the enclosure: the run's directory, and in it node/, which the node sees as
# /run/node: cmd.N to run at boot N, and what guest/agent says back. Sets run.
new_run() {
    local n
    run=$NODES/run
    mount -t tmpfs -o mode=755,size=75% node "$run" || die "cannot mount a tmpfs at $run"
    mkdir "$run"/{node,out,share}
    if [ -n "$out" ]; then mount --bind "$out" "$run/out"; fi
    if [ -n "$share" ]; then mount --bind "$share" "$run/share"; fi
    # Packages are of one suite: the base has its own.
    if [ -d "$run/share/debs" ] && [ -d "$base/debs" ]; then mount --bind "$base/debs" "$run/share/debs"; fi
    cp "$here/guest/agent" "$run/node/"
    echo 0 >"$run/node/boots"
    for n in "${!cmd[@]}"; do
        printf '%s\n' "${cmd[$n]}" >"$run/node/cmd.$n"
        : >"$run/node/out.$n"
        # Before a power cut the node must not shut down by itself.
        if [ -n "${cut_after[$n]:-}${cut_on[$n]:-}" ]; then : >"$run/node/hold.$n"; fi
    done
    exec {never}<> <(:)
}

# Runs all commands, each in a boot of its own. The runner has power_on (starts the node,
# its process in $node), power_off (ends it at once) and console (prints its last words).
drive() {
    local begin boot n began cut result=0 rc words naps
    begin=$(now)
    deadline=$((begin + timeout * 1000))
    for ((n = 1; n <= last; n++)); do
        boot=$(now)
        power_on
        until [ -e "$run/node/started.$n" ]; do
            running || give_up 125 "boot $n: the node stopped before the command"
            in_time || give_up 124 "TIMEOUT after $timeout s: boot $n did not come to the command"
            nap
        done
        began=$(now)
        say "boot $n: command started after $(seconds $((began - boot))) s," \
            "systemd is $(<"$run/node/started.$n")"
        exec 7<"$run/node/out.$n"
        words='' cut=''
        naps=0
        until [ -e "$run/node/status.$n" ]; do
            running || break
            in_time || { cat <&7; processes; give_up 124 "TIMEOUT after $timeout s in boot $n"; }
            cut_due && break
            # Every half a second: cat is a process.
            if ((++naps % 10 == 0)); then cat <&7; fi
            nap
        done
        if [ -e "$run/node/hold.$n" ]; then
            until cut_due; do
                if ! in_time || ! running || [ -z "${cut_after[$n]:-}" ]; then
                    give_up 125 "boot $n: the power cut never came due"
                fi
                nap
            done
            power_off
            cut=1
        fi
        cat <&7
        rc=0
        if [ -s "$run/node/status.$n" ]; then
            rc=$(<"$run/node/status.$n") words="exit status $rc"
        elif [ -n "$cut" ]; then
            words="still running"
        elif [ "$n" -lt "$last" ]; then
            words="it took the node down"
        else
            give_up 125 "boot $n: the node went down under the command"
        fi
        say "boot $n: $words${cut:+, POWER CUT} after $(seconds $(($(now) - began))) s"
        if [ "$result" = 0 ]; then result=$rc; fi
        if [ "$n" -lt "$last" ]; then
            # The node shuts down by itself, in order.
            while running; do
                in_time || give_up 124 "TIMEOUT after $timeout s: boot $n does not shut down"
                nap
            done
            wait "$node" 2>/dev/null
        fi
    done
    say "$(seconds $(($(now) - begin))) s in all, exit status $result"
    exit "$result"
}
running() { kill -0 "$node" 2>/dev/null; }
in_time() { ((${EPOCHREALTIME/./} / 1000 < deadline)); }
cut_due() {
    if [ -n "${cut_after[$n]:-}" ] && ((${EPOCHREALTIME/./} / 1000 - began >= cut_after[n])); then return 0; fi
    [ -n "${cut_on[$n]:-}" ] && grep -qF -- "${cut_on[$n]}" "$run/node/out.$n"
}
# The processes of the run, and the kernel function that each of them waits in. Of a virtual machine, qemu.
processes() { ps -e -o pid,ppid,stat,etimes,wchan:24,args --forest | cut -c1-200 >&2; }
give_up() { # STATUS WORDS
    say "$2"
    console | tail -n 15 | tr -d '\r' | sed 's/^/  console: /' >&2
    exit "$1"
}
