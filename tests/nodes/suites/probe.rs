//! On real systemd in a container: a probe below a bridge, and what an apply does with its remains.

use crate::support::container;

#[test]
#[ignore = "boots a node: make node"]
fn a_probe_proves_the_bridge_and_leaves_neither_mounts_nor_units() {
    container().shared_root().run(
        r#"broken_node; install_program; csihost apply
         cat /proc/1/mountinfo >mounts
         for _ in 1 2 3; do status 0 csihost probe | tee said; done
         grep 'the host, at /var/lib/kubelet/pods *yes *yes *yes' said
         same mounts /proc/1/mountinfo
         [ -z "$(ls -A "$root/pods")" ]
         sleep 1
         [ -z "$(systemctl list-units --all --plain --no-legend | grep csihost.*probe)" ]
         [ -z "$(systemctl --failed --plain --no-legend | grep pods)" ]
         status 0 csihost plan"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kernel_without_open_tree_mounts_the_same() {
    container().shared_root().run(
        r#"broken_node; install_program; csihost apply
         cat /proc/1/mountinfo >mounts
         # As Linux before 5.2 answers.
         status 0 systemd-run -q --pipe --wait -p SystemCallFilter=~open_tree -p SystemCallErrorNumber=ENOSYS \
             csihost probe | tee said
         grep 'the host, at /var/lib/kubelet/pods *yes *yes *yes' said
         same mounts /proc/1/mountinfo
         [ -z "$(ls -A "$root/pods")" ]"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn an_apply_removes_what_a_killed_probe_left() {
    container().shared_root().run(
        r#"broken_node; install_program; csihost apply
         cat /proc/1/mountinfo >mounts
         left() {
             : >"$root/pods/.csihost-probe"; : >"$root/pods/.csihost-probe.over"
             mount --bind "$root/pods/.csihost-probe.over" "$root/pods/.csihost-probe"
             grep -q "$standard/pods/.csihost-probe" /proc/1/mountinfo
             echo "{\"directory\":\"$root/pods\"}" >/run/csihost/probe.json
         }
         left
         csihost apply 2>&1 | tee said
         grep -F "undone: probe $root/pods" said
         same mounts /proc/1/mountinfo
         [ -z "$(ls -A "$root/pods")" ] && [ ! -e /run/csihost/probe.json ]
         # Without a record, a probe finds them all the same.
         left
         rm /run/csihost/probe.json
         status 0 csihost probe
         same mounts /proc/1/mountinfo
         [ -z "$(ls -A "$root/pods")" ]"#,
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn without_a_kubelet_there_is_nothing_to_probe() {
    container().run(
        "break_iscsi; install_program
         fails 'no kubelet runs here' csihost probe
         [ ! -e /run/csihost/probe.json ]",
    );
}
