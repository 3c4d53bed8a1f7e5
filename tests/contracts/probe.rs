//! What is left of a probe that was killed, and who may not be probed at all.

use super::{BRIDGE, root, run};

/// Words for these scripts.
const WORDS: &str = r#"
files() { find /var/lib /srv -name '.csihost*'; }
mounted_in() { local table; mapfile -d '' table <"/proc/$1/mountinfo"; [[ ${table[0]} == *csihost-probe* ]]; }
probe() { "$CSIHOST" probe --config /dev/null "$@" >/run/test/said || [ $? = 3 ]; }
clean() { [ "$(tables)" = "$before" ] && [ -z "$(files)" ] && [ ! -e /run/csihost/probe.json ]; }
tables() { for pid in 1 $kubelet_pid $plugins; do cat /proc/$pid/mountinfo; echo; done; }
# Two plugins whose mounts travel, and one in which they stay.
everybody() {
    kubelet $S; plugins=
    plugin $S/plugins/x.example $S:$S:rshared; registrar; plugins+=" $plugin_pid"
    POD=00000000-4ac7-4fcd-b1ed-b700bcf08552
    container dy $POD "driver $(command -v bash) -c 'sleep 1000; :' y --endpoint=unix:///csi/csi.sock --drivername=y.example" \
        $S/plugins/y.example:/csi:rprivate $S/pods:$S/pods:rprivate
    plugins+=" $pid"; private=$pid
    container ry $POD "registrar $(command -v bash) -c 'sleep 1000; :' registrar --csi-address=/csi/csi.sock --kubelet-registration-path=$S/plugins/y.example/csi.sock" \
        $S/plugins/y.example:/csi:rprivate $registry:/registration:rprivate
    : >$registry/y.example-reg.sock
    before=$(tables)
}
# Kills probes until one leaves what is wanted.
kill_when() { # CONDITION LEFT
    for _ in {1..300}; do
        "$CSIHOST" probe --config /dev/null >/dev/null 2>&1 &
        local victim=$!
        while [ -d "/proc/$victim/fd" ] && ! eval "$1"; do :; done
        kill -9 "$victim" 2>/dev/null || :
        wait "$victim" 2>/dev/null || :
        if eval "$2"; then return; fi
        probe
        clean
    done
    echo "no probe could be killed when: $1" >&2
    exit 1
}
"#;

fn script(text: &str) -> Option<tempfile::TempDir> {
    if !root() {
        return None;
    }
    let out = tempfile::tempdir().unwrap();
    run(&format!("{BRIDGE}\n. $HOST\n{WORDS}\n{text}"), out.path(), None);
    Some(out)
}

#[test]
fn a_probe_leaves_nothing_and_says_what_stays_in_a_plugin() {
    let Some(out) = script(
        r#"everybody
           probe; clean; cp /run/test/said "$OUT/text"
           probe --json; clean; cp /run/test/said "$OUT/json""#,
    ) else {
        return;
    };
    let said: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.path().join("json")).unwrap()).unwrap();
    assert_eq!((&said["schema"], &said["agrees"], &said["holds"]), (&1.into(), &true.into(), &false.into()));
    let trial = |from: &str, to: &str| {
        let is = |party: &serde_json::Value, name: &str| party["driver"] == name || party["role"] == name;
        let trials = said["trials"].as_array().unwrap();
        trials.iter().find(|trial| is(&trial["from"], from) && is(&trial["to"], to)).unwrap()["seen"].clone()
    };
    assert_eq!((trial("kubelet", "x.example"), trial("x.example", "kubelet")), (true.into(), true.into()));
    assert_eq!((trial("kubelet", "y.example"), trial("y.example", "kubelet")), (false.into(), false.into()));
    let text = std::fs::read_to_string(out.path().join("text")).unwrap();
    assert!(text.contains("FAIL") && text.contains("does not reach the kubelet"), "{text}");
}

#[test]
fn what_a_killed_probe_leaves_is_removed_by_the_next() {
    script(
        r#"everybody
           # Before its files were made, and between the two.
           echo '{"directory":"/var/lib/kubelet/pods"}' >/run/csihost/probe.json
           probe; clean
           echo '{"directory":"/var/lib/kubelet/pods"}' >/run/csihost/probe.json
           : >$S/pods/.csihost-probe
           probe; clean
           # In the middle of writing that it begins.
           echo '{"direct' >/run/csihost/probe.json
           probe; clean
           # While something is mounted everywhere, and while it is in the private plugin alone.
           kill_when '[ -e $S/pods/.csihost-probe.over ]' '[ -n "$(files)" ]'
           probe; grep -q 'removed what an earlier probe had left in /var/lib/kubelet/pods' /run/test/said; clean
           kill_when 'mounted_in 1' 'mounted_in 1'
           probe; clean
           kill_when 'mounted_in $private' 'mounted_in $private'
           probe; clean
           # After a reboot, of which /run knows nothing.
           : >$S/pods/.csihost-probe; : >$S/pods/.csihost-probe.over
           probe; clean"#,
    );
}

#[test]
fn a_probe_that_is_told_to_end_cleans_up_first() {
    script(
        r#"everybody
           ends=0
           for _ in {1..40}; do
               "$CSIHOST" probe --config /dev/null >/dev/null 2>&1 &
               victim=$!
               while [ -d "/proc/$victim/fd" ] && [ ! -e $S/pods/.csihost-probe ]; do :; done
               kill -TERM "$victim" 2>/dev/null || :
               code=0; wait "$victim" || code=$?
               clean
               if [ $code = 143 ]; then ends=$((ends + 1)); fi
           done
           [ $ends -gt 0 ]"#,
    );
}

#[test]
fn nothing_is_mounted_where_others_may_write_or_outside_of_the_hosts_mount_namespace() {
    script(
        r#"everybody
           chmod 777 $S/pods
           ! "$CSIHOST" probe --config /dev/null 2>/run/test/said
           grep -q 'others than root can write to /var/lib/kubelet/pods' /run/test/said
           chmod 750 $S/pods
           ! unshare --mount --propagation unchanged "$CSIHOST" probe --config /dev/null 2>/run/test/said
           grep -q "not in the host's mount namespace" /run/test/said
           clean"#,
    );
}

#[test]
fn of_a_plugin_that_stages_elsewhere_nothing_is_claimed_about_pods() {
    let Some(out) = script(
        r#"kubelet $S; mkdir -p $S/plugins/kubernetes.io/csi
           plugin $S/plugins/x.example $S/pods:$S/pods:rshared /srv/other:$S/plugins/kubernetes.io/csi:rprivate
           registrar; plugins=$plugin_pid; before=$(tables)
           probe --json; clean; cp /run/test/said "$OUT/json""#,
    ) else {
        return;
    };
    let said: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.path().join("json")).unwrap()).unwrap();
    assert_eq!((&said["agrees"], &said["holds"]), (&true.into(), &false.into()));
    let trials = said["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 1, "{trials:?}");
    assert!(trials[0]["note"].as_str().unwrap().contains("staged in another directory"), "{trials:?}");
}
