//! On real systemd in a container: the socket directory of a driver that is grafted is covered while no
//! agent grafts it. The driver is a stand-in that really listens, and says of itself whether it has the
//! kubelet's directories; who dials stands for the kubelet.

use crate::support::node;

/// Words for scripts.
const WORDS: &str = r#"
    . /share/plugin.sh
    # The agent is connected to a runtime, which created no container while it was: they are grafted alive.
    nri=late; runtime
    string=$root dir=$standard/plugins/x.example
    cat >/usr/serve.pl <<'END'
use Socket;
$SIG{PIPE} = 'IGNORE';
socket(my $at, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
unlink '/csi/csi.sock';
bind($at, pack_sockaddr_un('/csi/csi.sock')) or die "bind: $!\n";
listen($at, 50) or die "listen: $!\n";
while (accept(my $to, $at)) { syswrite $to, -d '/opt/rke/var/lib/kubelet/pods' ? "true\n" : "false\n"; close $to }
END
    cat >/usr/dial.pl <<'END'
use Socket;
$| = 1;
my ($path, $times) = @ARGV;
for (1 .. $times) {
    socket(my $to, PF_UNIX, SOCK_STREAM, 0) or die "socket: $!\n";
    if (connect($to, pack_sockaddr_un($path))) { print scalar <$to> } else { print "$!\n" }
    select undef, undef, undef, 0.005 if $times > 1;
}
END
    settings() { # REPAIR
        mkdir -p /etc/csihost
        printf '[contract]\ndrivers = ["x.example"]\nrepair = "%s"\n' $1 >/etc/csihost/csihost.toml
    }
    # serves: a driver that listens, and its registrar; sets $plugin_pid.
    serves() {
        mkdir -p $dir
        container registrar "registrar $(command -v bash) -c 'sleep 1000; :' x --csi-address=/csi/csi.sock --kubelet-registration-path=$standard/plugins/x.example/csi.sock" \
            "$dir:/csi:rprivate"
        registrar_pid=$pid
        driver_is container
        plugin_pid=$pid
    }
    # driver_is: a container of the driver as COMMAND... takes it: NAME COMMAND-LINE BIND...
    driver_is() {
        "$@" driver "driver $(command -v perl) /usr/serve.pl --endpoint=unix:///csi/csi.sock --drivername=x.example" \
            "$dir:/csi:rprivate" "$standard:$standard:rshared"
    }
    # keeps_unbindable: a new mount namespace has unbindable mounts as such (Linux 6.18 binds them there).
    keeps_unbindable() {
        unshare --mount --propagation unchanged bash -ec '
            mount -t tmpfs none /mnt; mount --make-unbindable /mnt
            ! unshare --mount --propagation unchanged mount --bind /mnt /srv 2>/dev/null'
    }
    # held_back: no container can serve the driver: none can be created, or it cannot listen, and ends.
    held_back() {
        local of
        for of in $dir $root/plugins/x.example; do
            if mount --rbind $of /mnt 2>held; then fail "$of is bound"; fi
        done
        if (driver_is container) >held 2>&1; then
            if keeps_unbindable; then fail 'it was not held back'; fi
            eventually grep 'bind: Read-only file system' /run/test/driver.log
        else
            keeps_unbindable; grep -F "$dir" held
        fi
    }
    dial() { perl /usr/dial.pl $1/plugins/x.example/csi.sock ${2:-1}; }
    # As the kubelet dials it, and by the name that the driver thinks.
    reached() { [ "$(dial $root) $(dial $standard)" = 'true true' ]; }
    unreached() { [ "$(dial $root) $(dial $standard)" = 'No such file or directory No such file or directory' ]; }
    gates() { awk -v at="${1:-$dir}" '$5 == at && / - tmpfs csihost-gate /' /proc/1/mountinfo | wc -l; }
    closed() { [ $(gates) = 1 ] && [ $(gates $root/plugins/x.example) = 1 ]; }
    # closes BEFORE: waits for the gate. The agent may be back and have opened it again before this looks: then the journal has
    # more of its closings than the BEFORE of earlier.
    closings() { journalctl -q --no-pager | grep -c 'close-gate x.example (the agent has ended)' || :; }
    closes() {
        local try
        for ((try = 1; try < 20000; try++)); do
            if closed; then return 0; fi
            if [ $((try % 100)) = 0 ] && [ $(closings) -gt $1 ]; then return 0; fi
        done
        fail 'it is not closed'
    }
    open() { if grep csihost-gate /proc/1/mountinfo; then return 1; fi; }
    found() { (csihost check --json || :) | tr -d ' \n' | grep -oF '"id":"graft-gate","status":"'$1'"'; }
    eventually() {
        local try
        for try in {1..400}; do if "$@" >tried 2>&1; then return 0; fi; sleep 0.05; done
        cat tried; grep -F x.example /proc/1/mountinfo || :; fail "never: $*"
    }
    # plugins: how many the runtime has accepted so far.
    plugins() { journalctl -q --no-pager -u runtime | grep -c 'is synchronized'; }
    more_than() { [ "$(plugins)" -gt $1 ]; }
    main() { systemctl show -P MainPID csihost; }
    now() { echo $((${EPOCHREALTIME/./} / 1000)); }
    agent() {
        broken_node; settings graft; install_csihost
        bridged
        serves
        eventually grafted; eventually reached
        eventually grep -F '"gates"' /var/lib/csihost/receipt.json
    }
"#;

#[test]
#[ignore = "boots a node: make node"]
fn while_the_agent_is_away_no_driver_is_reached_and_none_can_start() {
    let printed = node().run(&format!(
        r#"{WORDS}
        agent
        grep -F '"directory": "/var/lib/kubelet/plugins/x.example"' /var/lib/csihost/receipt.json
        open; found pass; nothing_planned
        cat /proc/1/mountinfo >mounts
        : >closing; : >opening
        for ((i = 0; i < 15; i++)); do
            before=$(closings) agent=$(main) begin=$(now)
            kill -KILL $agent
            closes $before
            echo $(($(now) - begin)) >>closing
            eventually open
            echo $(($(now) - begin)) >>opening
            [ $(main) != $agent ]
            reached
        done
        for of in closing opening; do
            sort -n $of | awk -v of=$of '{{ t[NR] = $1 }} END {{ print of " after SIGKILL, in ms: median " t[int((NR + 1) / 2)] ", most " t[NR] }}'
        done
        same mounts /proc/1/mountinfo
        nothing_planned

        # A driver that was restarted meanwhile, and has nothing of the kubelet yet: it is grafted before it is reached.
        systemctl stop csihost; closed; unreached
        held_back
        csihost gate open; end_plugin; serves; listens() {{ [ "$(dial $root)" = false ]; }}; eventually listens; csihost gate close; unreached
        dial $root 40000 >answers & dialing=$!
        begin=$(now); systemctl start csihost; eventually open
        echo "opened $(($(now) - begin)) ms after systemctl start"
        eventually grep -qx true answers; kill $dialing; wait $dialing || :
        if grep -x false answers; then fail 'it was reached without the graft'; fi
        grep -cx true answers
        reached; grafted; nothing_planned

        # One that the runtime had created before the agent connected, and has not started: it will run without
        # the mounts, so the gate opens when it has started and is grafted, or when it is removed.
        for how in started removed; do
            systemctl stop csihost; closed
            driver_is described | /share/runtime created
            before=$(plugins); systemctl start csihost
            eventually more_than $before; sleep 1; closed; found fail
            driver_is described | /share/runtime $how
            eventually open; reached; found pass
        done

        # A sidecar that was created meanwhile has an empty directory for as long as it runs.
        if ! keeps_unbindable; then
            systemctl stop csihost; closed
            container sidecar "sidecar $(command -v bash) -c 'sleep 1000; :' x --csi-address=/csi/csi.sock" "$dir:/csi:rprivate"
            systemctl start csihost; eventually open; eventually found fail
            csihost check >check || :; grep -F "in place of the driver's socket for process $pid of pod $POD at /csi" check
            grep -F "kubectl rollout restart" check
            kill -KILL $pid $(pgrep -P $pid); eventually found pass
        fi

        # One that dies while the agent does has to wait for it.
        mkdir -p /run/systemd/system/csihost.service.d
        printf '[Service]\nRestartSec=1h\n' >/run/systemd/system/csihost.service.d/late.conf; systemctl daemon-reload
        before=$(closings); kill -KILL $(main); end_plugin
        closes $before
        held_back; [ $(main) = 0 ]; closed; found fail
        systemctl restart csihost; eventually open; serves; eventually reached"#
    ));
    println!("{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn at_boot_it_is_closed_until_the_agent_is_there_and_without_an_agent_it_is_open() {
    node()
        .then(&format!(
            r#"{WORDS}
            # Before the agent.
            cat /run/before-it
            [ $(grep -c 'tmpfs csihost-gate' /run/before-it) = 2 ]
            grep -F '"steps":[]' /run/before-it; grep -F '"id":"graft-gate","status":"fail"' /run/before-it
            bridged
            # Before the kubelet, and so before any container.
            closed_at=$(journalctl -q --no-pager -b -o short-unix | sed -n 's/^\([0-9.]*\) .*close-gate x.example (until the agent runs).*/\1/p')
            started=$(systemctl show -P ExecMainStartTimestamp --timestamp=us+utc kubelet); started=$(date -d "$started" +%s.%6N)
            awk -v gate=$closed_at -v kubelet=$started 'BEGIN {{ print gate, kubelet; exit !(gate < kubelet) }}'
            eventually open
            found pass; nothing_planned
            serves; eventually grafted; eventually reached
            # A reconciliation of the boot unit beside an agent closes nothing.
            systemctl restart csihost-boot; open; reached
            rm /etc/systemd/system/csihost.service.d/wait.conf
            systemctl -q disable csihost"#
        ))
        .then(&format!(
            r#"{WORDS}
            [ $(main) = 0 ]; bridged; open
            grep -F '"gates"' /var/lib/csihost/receipt.json
            found pass
            # A person who wants no agent, and one who wants it again.
            systemctl -q enable --now csihost; eventually open; serves; eventually reached
            systemctl -q disable --now csihost; open; reached
            systemctl start csihost; eventually reached
            before=$(closings); kill -KILL $(main); closes $before; eventually open
            systemctl stop csihost; open; nothing_planned"#
        ))
        .run(&format!(
            r#"{WORDS}
            agent
            mkdir -p /etc/systemd/system/csihost.service.d
cat >/etc/systemd/system/csihost.service.d/wait.conf <<'END'
[Service]
ExecStartPre=+/bin/bash -c 'exec >/run/before-it; grep csihost-gate /proc/1/mountinfo; csihost plan --json | tr -d " \n"; echo; csihost check --json | tr -d " \n"; exit 0'
END"#
        ));
}

#[test]
#[ignore = "boots a node: make node"]
fn it_is_opened_for_good_by_undo_by_another_repair_and_by_a_purge() {
    node().run(&format!(
        r#"{WORDS}
        agent
        cat /proc/1/mountinfo >mounts
        systemctl stop csihost; closed; unreached
        found fail
        csihost check >check || :; grep -F 'the agent does not run' check; grep -F 'systemctl start csihost' check
        nothing_planned; csihost map >/dev/null; csihost detect >/dev/null
        # Twice is once, and an apply of a person leaves it.
        csihost gate close; csihost gate close; closed
        csihost apply || :; closed; nothing_planned
        # A shell that works in there does not keep it closed.
        (cd $dir; exec sleep 1000) & inside=$!
        systemctl start csihost; eventually open; reached; kill $inside
        same mounts /proc/1/mountinfo

        settings report; systemctl reload csihost
        eventually bash -c "! grep -F '\"gates\"' /var/lib/csihost/receipt.json"
        systemctl stop csihost; open
        settings graft; systemctl start csihost; eventually grep -F '"gates"' /var/lib/csihost/receipt.json
        systemctl stop csihost; closed
        settings report; csihost apply || :; open
        if grep -F '"gates"' /var/lib/csihost/receipt.json; then exit 1; fi

        settings graft; csihost apply || :; systemctl start csihost; eventually grep -F '"gates"' /var/lib/csihost/receipt.json; systemctl stop csihost; closed
        csihost undo >undone 2>&1 || :; cat undone; grep -F 'undone: gate x.example' undone
        open
        if grep -F '"gates"' /var/lib/csihost/receipt.json; then exit 1; fi

        systemctl start csihost; eventually grep -F '"gates"' /var/lib/csihost/receipt.json; eventually reached
        systemctl stop csihost; closed; end_plugin
        # As prerm does; then the node stays as it is.
        csihost gate open; open; csihost gate close; closed
        apt_get purge csihost
        open; not_bridged"#
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_verb_that_is_killed_leaves_it_open_or_closed_once_and_what_others_mounted() {
    let printed = node().run(&format!(
        r#"{WORDS}
        agent; end_plugin; systemctl stop csihost; csihost gate open; open
        # Another mount is there.
        mount -t tmpfs foreign $dir; touch $dir/theirs
        cat /proc/1/mountinfo >mounts
        declare -A how=()
        for ((i = 0; i < 120; i++)); do
            way=close; [ $((i % 2)) = 0 ] || way=open
            csihost gate $way 2>said & verb=$!
            read -r -t 0.$((i / 2 % 2))$((i / 4 % 10)) -u "$never" || :
            kill -KILL $verb 2>/dev/null || :
            wait $verb 2>/dev/null || :
            here=$(gates)
            case $here in 0 | 1) ;; *) grep x.example /proc/1/mountinfo; fail "$here gates" ;; esac
            how[$way$here]=$((${{how[$way$here]:-0}} + 1))
            grep -v csihost-gate /proc/1/mountinfo >left; same mounts left
            csihost gate $way
            case $way in close) closed; [ ! -e $dir/theirs ] ;; open) open; [ -e $dir/theirs ] ;; esac
        done
        # Many at once.
        for ((i = 0; i < 10; i++)); do csihost gate close & csihost gate close & csihost gate open & done; wait
        [ $(gates) -le 1 ]; csihost gate close; closed; csihost gate open; open
        # What is mounted over it is not ours to unmount.
        csihost gate close; mount -t tmpfs over $dir; touch $dir/over
        fails 'is mounted over' csihost gate open
        [ -e $dir/over ]; umount $dir; csihost gate open; [ -e $dir/theirs ]
        # No link is followed.
        umount $dir; same_before=$(grep -c . /proc/1/mountinfo); rm -rf $dir; mkdir -p /srv/elsewhere; ln -s /srv/elsewhere $dir
        status 1 csihost gate close; [ $(grep -c . /proc/1/mountinfo) = $same_before ]
        # Where there is no directory there is nothing to reach.
        rm $dir; csihost gate close; open
        for of in "${{!how[@]}}"; do echo "$of gates: ${{how[$of]}} times"; done"#
    ));
    println!("{printed}");
}
