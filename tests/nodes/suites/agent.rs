//! On real systemd in a container: the agent, in the package's own sandboxed unit, and everything
//! that drifts while it runs.

use crate::support::container;

/// Words for scripts about the agent.
const AGENT: &str = "
    agent() {
        broken_node; install_csihost
        systemctl is-active csihost csihost-boot
        pid=$(agent_pid)
        idle
    }
    conf=/etc/iscsi/iscsid.conf
    bad_conf() { sed 's|^iscsid.startup = .*|iscsid.startup = /usr/sbin/no-such-iscsid|' good; }
    good_conf() { grep -qx 'iscsid.startup = /bin/systemctl start iscsid.socket' $conf; }
    # idle: it makes no turn, and nothing wakes it any more.
    idle() {
        local before after try
        for try in {1..40}; do
            before=$(switches); sleep 0.5; after=$(switches)
            if [ \"$before\" = \"$after\" ] && flock -n /run/csihost/lock true; then return 0; fi
        done
        fail 'the agent does not come to rest'
    }
    # switches: how often each thread of the agent has waited, and of the process that supervises it.
    switches() { cat /proc/{$pid,$(ps -o ppid= -p $pid | tr -d ' ')}/task/*/status | grep ^voluntary; }
    told() { journalctl -q --no-pager -b -u csihost | grep -F -- \"$1\"; }
    verdict() { systemctl show -P StatusText csihost; }
    # The same process all the time, and nothing that it has changed is lost.
    same_agent() { [ $(agent_pid) = $pid ] || fail 'another process'; }
";

fn agent(script: &str) -> String {
    container().option(&["--timeout", "300"]).run(&format!("{AGENT}\n agent\n{script}\nsame_agent"))
}

// ---- what is repaired

#[test]
#[ignore = "boots a node: make node"]
fn a_bridge_that_is_unmounted_is_mounted_again() {
    agent(
        "for dir in $bridge; do umount $standard/$dir; eventually bridged; idle; done
         # All at once, and the mounts are the host's and travel.
         for dir in $bridge; do umount $standard/$dir; done
         eventually bridged; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn the_same_where_the_root_is_a_shared_mount() {
    container().shared_root().option(&["--timeout", "300"]).run(&format!(
        "{AGENT}
         agent
         for dir in $bridge; do umount $standard/$dir; done
         eventually bridged; idle; ready; same_agent"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_unit_file_that_is_deleted_is_written_again_and_one_that_is_edited_is_left_and_told() {
    agent(
        "unit=/etc/systemd/system/var-lib-kubelet-pods.mount
         cp $unit unit
         rm $unit
         eventually cmp unit $unit; idle; ready
         echo '# mine' >>$unit; cp $unit edited
         eventually told 'somebody edited it since'
         idle; cmp edited $unit
         verdict | grep -F refused
         # Taken back, it is well again, and nobody has to say so.
         cp unit $unit
         eventually nothing_planned; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_drop_in_that_is_deleted_is_written_again() {
    agent(
        "drop_in=/etc/systemd/system/kubelet.service.d/50-csihost.conf
         cp $drop_in kept; rm -r ${drop_in%/*}
         eventually cmp kept $drop_in; idle; ready
         systemctl show -P After kubelet | grep -F var-lib-kubelet-pods.mount",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_iscsid_conf_that_is_reverted_is_repaired_however_it_is_written() {
    agent(
        "cp -p $conf good; good_conf
         # In place, as an editor may; then as a package does.
         bad_conf >$conf
         eventually good_conf; idle
         bad_conf >new; cp -p new $conf.dpkg-new; mv $conf.dpkg-new $conf
         eventually good_conf; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_socket_that_is_stopped_or_disabled_listens_again() {
    agent(
        "systemctl stop iscsid.socket
         eventually iscsid_listens; idle
         systemctl -q disable iscsid.socket
         eventually systemctl is-enabled -q iscsid.socket; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn what_an_administrator_masks_stays_masked_and_is_told_once() {
    agent(
        "systemctl -q mask --now iscsid.socket
         eventually told 'the administrator masked it'
         for i in 1 2 3; do touch /etc/iscsi/iscsid.conf; idle; done
         [ -L /etc/systemd/system/iscsid.socket ]
         [ $(told 'the administrator masked it' | wc -l) = 1 ]
         verdict | grep -F iscsid-masked
         bridged; travels
         systemctl -q unmask iscsid.socket
         eventually iscsid_listens; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_initiator_name_that_is_emptied_is_made_anew() {
    agent(
        "name=/etc/iscsi/initiatorname.iscsi
         : >$name
         eventually grep -Eq '^InitiatorName=iqn[.]' $name
         idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn what_the_settings_no_longer_ask_for_is_left() {
    agent(
        "mkdir -p /etc/csihost; printf '[iscsi]\\nenabled = false\\n' >/etc/csihost/csihost.toml
         sleep 1; idle
         systemctl stop iscsid.socket; sleep 1; idle
         if iscsid_listens; then fail 'started against the settings'; fi
         rm /etc/csihost/csihost.toml
         eventually iscsid_listens; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_that_stops_and_starts_is_followed() {
    agent(
        "systemctl stop kubelet; sleep 1; idle; bridged
         systemctl start kubelet; sleep 1; idle; ready
         systemctl kill -s KILL kubelet; sleep 1; idle
         eventually systemctl is-active -q kubelet; eventually bridged; idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_that_comes_later_gets_its_bridge() {
    container().option(&["--timeout", "300"]).run(&format!(
        "{AGENT}
         break_iscsi; install_csihost
         pid=$(agent_pid); idle; not_mounted
         kubelet
         eventually bridged; idle; ready; same_agent"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_that_comes_back_with_another_root_is_followed_and_the_old_bridge_goes_when_it_is_empty() {
    agent(
        "kubelet_at() { # ROOT
             mkdir -p /etc/systemd/system/kubelet.service.d
             printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/kubelet --root-dir=%s\\n' $1 >/etc/systemd/system/kubelet.service.d/root.conf
             systemctl daemon-reload; systemctl restart kubelet; root=$1
         }
         kubelet_at /srv/one
         eventually bridged; idle; ready
         # A volume of a pod keeps what it lies on.
         mkdir $root/pods/volume; mount -t tmpfs volume $root/pods/volume; touch $root/pods/volume/file
         kubelet_at /srv/two
         eventually grep -F What=/srv/two/pods /etc/systemd/system/var-lib-kubelet-pods.mount
         idle; nothing_planned
         [ -e /srv/one/pods/volume/file ] && [ -e $standard/pods/volume/file ]
         csihost check >found || :; grep -F 'earlier root /srv/one' found
         # And no longer.
         umount /srv/one/pods/volume
         eventually bridged; idle; ready",
    );
}

/// A node on which the kubelet uses the standard path, and somebody brings the known wrong cure.
const CURE: &str = "
    mkdir -p /etc/systemd/system/kubelet.service.d /etc/csihost
    printf '[Service]\nExecStart=\nExecStart=/usr/bin/kubelet\n' >/etc/systemd/system/kubelet.service.d/root.conf
    root=$standard old=/var/lib/rancher/k3s/agent/kubelet
    line=\"$old/pods $standard/pods none bind 0 0\"
    kubelet; install_csihost; pid=$(agent_pid); idle
    mkdir -p $old/pods; cp /etc/fstab fstab
";

#[test]
#[ignore = "boots a node: make node"]
fn a_line_of_fstab_that_would_cover_the_kubelets_directories_is_told_and_taken_back_where_that_is_asked_for()
{
    container().option(&["--timeout", "300"]).run(&format!(
        "{AGENT}\n{CURE}
         echo \"$line\" >>/etc/fstab
         eventually eval '{{ csihost status || :; }} | grep -F legacy-bind'
         idle; grep -Fx \"$line\" /etc/fstab
         printf '[bridge]\\nrepair-legacy = true\\n' >/etc/csihost/csihost.toml
         eventually grep -Fx \"# $line (csihost)\" /etc/fstab; idle; nothing_planned
         # And again, at once.
         cp fstab /etc/fstab; echo \"$line\" >>/etc/fstab
         eventually grep -Fx \"# $line (csihost)\" /etc/fstab; idle; nothing_planned
         same_agent"
    ));
}

// ---- what is not fought

#[test]
#[ignore = "boots a node: make node"]
fn a_fight_is_not_fought_until_a_person_asks_for_it() {
    agent(
        "cp -p $conf good
         bad_conf >$conf; eventually good_conf; idle
         bad_conf >$conf; eventually good_conf; idle
         bad_conf >$conf; eventually told 'backing off: patch-file /etc/iscsi/iscsid.conf'
         told 'it belongs to user 0 and was written'
         idle; if good_conf; then fail 'fought'; fi
         verdict | grep -F backing-off
         csihost status >out || :; grep -F backing-off out
         # All else is repaired meanwhile, and that gives it one more try.
         umount $standard/pods; eventually bridged; idle; good_conf
         bad_conf >$conf; sleep 1; idle; if good_conf; then fail 'fought'; fi
         systemctl reload csihost
         eventually good_conf; idle; ready",
    );
}

// ---- lifecycle

#[test]
#[ignore = "boots a node: make node"]
fn wrong_settings_change_nothing_and_are_told_until_they_are_right() {
    agent(
        "mkdir -p /etc/csihost; printf '[bridge]\\nenabled = 7\\n' >/etc/csihost/csihost.toml
         eventually told '/etc/csihost/csihost.toml:2'
         systemctl reload csihost
         systemctl is-active csihost
         said() { verdict | grep -F 'not in effect'; }
         eventually said; said | grep -F 'newer settings are not in effect: /etc/csihost/csihost.toml:2'
         umount $standard/pods; eventually bridged; idle
         printf '[bridge]\\nenabled = true\\n' >/etc/csihost/csihost.toml
         eventually eval '! said'; idle
         systemctl reload csihost; systemctl is-active csihost; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn it_survives_the_bus_and_systemd_itself() {
    agent(
        "systemctl restart dbus; sleep 1; idle
         systemctl stop iscsid.socket; eventually iscsid_listens; idle
         systemctl daemon-reexec; sleep 1; idle
         systemctl stop iscsid.socket; eventually iscsid_listens; idle
         systemctl stop dbus.socket dbus.service 2>/dev/null || :
         eventually told 'waiting for systemd to be reachable'
         eventually umount $standard/pods; sleep 2
         [ -d /proc/$pid ]
         systemctl start dbus.socket
         eventually bridged
         eventually told 'systemd can be reached again'
         idle; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn it_ends_at_once_and_leaves_all_as_it_is() {
    agent(
        "cat /proc/1/mountinfo >mounts; snapshot >before; soonest=9999999
         for i in 1 2 3 4 5; do
             begin=${EPOCHREALTIME/./}
             main=$(systemctl show -P MainPID csihost); kill -TERM $main
             while [ -d /proc/$main ] && ! grep -q '^State:.Z' /proc/$main/status; do :; done
             took=$((${EPOCHREALTIME/./} - begin))
             echo \"it took $took us\"
             [ $took -lt 5000000 ]; [ $took -gt $soonest ] || soonest=$took
             eventually eval '! systemctl is-active -q csihost'
             [ \"$(systemctl show -P Result csihost)\" = success ]
             systemctl reset-failed csihost; systemctl start csihost; pid=$(agent_pid); idle
         done
         # Of five times the soonest: what else this machine does in that moment counts too.
         [ $soonest -lt 100000 ]
         # In the middle of what it does, too.
         for ms in 005 020 050 100 120 150 200; do
             systemctl stop iscsid.socket; umount $standard/pods
             sleep 0.$ms; systemctl stop csihost
             systemctl reset-failed csihost; systemctl start csihost; pid=$(agent_pid)
             eventually bridged; eventually iscsid_listens; idle
         done
         snapshot >after; same before after; ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn when_nothing_happens_nothing_wakes_it_and_nothing_is_told() {
    let printed = agent(
        "before=$(switches)
         lines=$(journalctl -q --no-pager -u csihost | wc -l)
         sleep 20
         [ \"$before\" = \"$(switches)\" ]
         [ $lines = $(journalctl -q --no-pager -u csihost | wc -l) ]
         [ $lines -lt 12 ]
         echo \"resident: $(awk '/^VmRSS/ { print $2 }' /proc/$pid/status) KiB,\" \
             \"its own: $(awk '/^RssAnon/ { print $2 }' /proc/$pid/status) KiB,\" \
             \"PSS $(awk '/^Pss:/ { print $2 }' /proc/$pid/smaps_rollup) KiB\"",
    );
    println!("{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn a_storm_of_mounts_costs_little_and_starves_no_repair() {
    let printed = agent(
        "mkdir -p $root/pods/storm; for i in {1..500}; do
             mkdir $root/pods/storm/$i; mount -t tmpfs none $root/pods/storm/$i
         done
         idle
         ticks() { awk '{ print $14 + $15 }' /proc/$pid/stat; }
         (while :; do mount -t tmpfs none $root/pods/storm/1; umount $root/pods/storm/1; done) & storm=$!
         before=$(ticks); sleep 5; after=$(ticks)
         echo \"ticks in 5 s: $((after - before))\"
         systemctl stop iscsid.socket
         begin=${EPOCHREALTIME/./}; eventually iscsid_listens
         echo \"repaired in $(((${EPOCHREALTIME/./} - begin) / 1000)) ms\"
         umount -l $standard/plugins
         # systemd (252) starts no mount while it is told of so many.
         sleep 1; kill $storm; wait $storm || :
         eventually bridged
         # A hundredth of a second each: 5 % of five seconds.
         [ $((after - before)) -le 25 ]",
    );
    println!("{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn prometheus_is_told_what_it_understands_and_nothing_wakes_for_it() {
    agent(
        "dir=/var/lib/prometheus/node-exporter; file=$dir/csihost.prom
         # No iSCSI in the kernel of a container.
         metrics() { # FILE
             mkdir -p /etc/csihost
             printf '[checks]\\nignore = [\"iscsi-kernel\", \"kernel-module-iscsi_tcp\"]\\n[metrics]\\ntextfile = \"%s\"\\n' \
                 $1 >/etc/csihost/csihost.toml
         }
         metric() { grep -Fx \"$1\" $file; }
         metrics $file
         eventually told \"there is no directory $dir\"; idle
         mkdir -p $dir
         systemctl reload csihost; eventually metric 'csihost_check_status{id=\"iscsid-reachable\"} 0'
         metric 'csihost_ready 1'
         /share/promtool check metrics <$file >faults; [ ! -s faults ]
         [ $(stat -c %a $file) = 644 ]
         idle; cp $file before; sleep 3; cmp before $file
         # It follows each turn.
         systemctl stop iscsid.socket; eventually iscsid_listens; idle
         if cmp before $file; then fail 'it is an old one'; fi
         systemctl -q mask --now iscsid.socket; eventually metric 'csihost_ready 0'
         /share/promtool check metrics <$file >faults; [ ! -s faults ]
         systemctl -q unmask iscsid.socket; eventually metric 'csihost_ready 1'; idle
         csihost status --json | grep -F '\"since\"'
         # What somebody else writes there stays; so does what a link leads to.
         echo 'mine 1' >$dir/mine.prom; cp $dir/mine.prom mine
         metrics $dir/mine.prom; eventually told 'somebody else'; idle; cmp mine $dir/mine.prom
         [ ! -e $file ]
         ln -s $dir /srv/link; metrics /srv/link/x.prom; eventually told 'through a link'; [ ! -e $dir/x.prom ]
         metrics $file; eventually metric 'csihost_ready 1'; idle; ready
         csihost undo >/dev/null; [ ! -e $file ]
         systemctl start csihost; pid=$(agent_pid); ready",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_full_disk_and_a_lack_of_files_are_told_and_outlived() {
    agent(
        "mount -t tmpfs -o size=4k,nr_inodes=3 full /var/lib/csihost
         cp -a /var/lib/csihost /root/ 2>/dev/null || :
         dd if=/dev/zero of=/var/lib/csihost/filler bs=4k count=9 2>/dev/null || :
         systemctl stop iscsid.socket; sleep 2
         [ -d /proc/$pid ]
         eventually umount /var/lib/csihost
         systemctl reload csihost; eventually iscsid_listens; idle; ready
         # No more files than it has open now, and a few.
         prlimit --pid $pid --nofile=$(($(ls /proc/$pid/fd | wc -l) + 2)):
         umount $standard/pods; systemctl stop iscsid.socket; sleep 3
         [ -d /proc/$pid ]
         prlimit --pid $pid --nofile=1024:
         systemctl reload csihost
         eventually bridged; eventually iscsid_listens; idle; ready",
    );
}

// ---- the unit and the journal

#[test]
#[ignore = "boots a node: make node"]
fn the_units_sandbox_is_tight_and_systemd_finds_no_fault_in_it() {
    let printed = agent(
        "systemd-analyze verify --man=no /usr/lib/systemd/system/csihost.service 2>&1 | tee faults
         [ ! -s faults ]
         systemd-analyze security --no-pager csihost.service | tee exposure | tail -n 1
         level=$(sed -n 's/.*exposure level for csihost.service: \\([0-9.]*\\) .*/\\1/p' exposure)
         awk -v level=$level 'BEGIN { exit !(level != \"\" && level <= 2.0) }'
         # Without rights to mount, as one that runs in this sandbox finds out.
         [ $(($(awk '/^CapEff/ { print \"0x\" $2 }' /proc/$pid/status) >> 21 & 1)) = 0 ]
         [ $(readlink /proc/$pid/ns/mnt) != $(readlink /proc/1/ns/mnt) ]",
    );
    println!("{printed}");
}

#[test]
#[ignore = "boots a node: make node"]
fn the_journal_alone_tells_what_happened_and_explains_it() {
    agent(
        "umount $standard/pods; eventually bridged; idle
         journalctl -q --no-pager -u csihost -x >explained
         grep -F 'start-unit var-lib-kubelet-pods.mount' explained
         grep -F 'Subject: csihost changed something on this host' explained
         grep -F 'csihost undo' explained
         journalctl -q --no-pager -u csihost -o export >fields
         for id in $(sed -n 's/^MESSAGE_ID=//p' fields | sort -u); do
             journalctl --list-catalog $id >/dev/null || fail \"no catalog for $id\"
         done
         # What did not happen again is not told again.
         [ $(grep -c 'start-unit var-lib-kubelet-pods.mount' explained) = 1 ]",
    );
}

// ---- undo, and the package

#[test]
#[ignore = "boots a node: make node"]
fn undo_stops_the_agent_that_would_do_it_all_again() {
    container().option(&["--timeout", "300"]).run(&format!(
        "{AGENT}
         agent
         csihost undo; sleep 2
         not_bridged
         status 3 systemctl is-active csihost
         systemctl start csihost; ready"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn an_upgrade_restarts_the_agent_and_leaves_the_mounts() {
    container().option(&["--timeout", "300"]).run(&format!(
        "{AGENT}
         agent
         mkdir $root/pods/volume; mount -t tmpfs volume $root/pods/volume
         cat /proc/1/mountinfo >mounts
         dpkg-deb -R /share/csihost.deb new
         sed -i 's/^Version: .*/Version: 99.0-1/' new/DEBIAN/control
         dpkg-deb -b new new.deb >/dev/null
         apt_get install ./new.deb
         [ $(agent_pid) != $pid ]
         systemctl is-active csihost
         same mounts /proc/1/mountinfo
         # An administrator who disabled it keeps it so.
         systemctl -q disable --now csihost
         sed -i 's/^Version: .*/Version: 99.0-2/' new/DEBIAN/control
         dpkg-deb -b new new.deb >/dev/null; apt_get install ./new.deb
         [ $(systemctl is-enabled csihost) = disabled ]"
    ));
}
