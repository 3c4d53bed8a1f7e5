//! On the real systemd of each Debian release in a container: install, bridge, reboot, iSCSI, agent and
//! undo, and /etc/fstab as its systemd-fstab-generator reads it.
//!
//! The other node tests run on one release alone; `make matrix` runs them on all.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use crate::support::{container, plain};
use csihost::mounts::fstab::{Differs, entries};
use csihost::mounts::unit_name::mount_unit;
use std::collections::BTreeMap;

const BULLSEYE: &str = "bullseye";
const BOOKWORM: &str = "bookworm";
const TRIXIE: &str = "trixie";
const SID: &str = "sid";

/// The words of a node with csihost's package.
const SMOKE: &str = "
    name=/etc/iscsi/initiatorname.iscsi
    # Debian 11 has no iscsid.socket, and iscsid hangs on this machine's kernel.
    has_socket() { [ -e /lib/systemd/system/iscsid.socket ]; }
    serves() {
        bridged; travels; kubelet_in_sight
        grep -Eq '^InitiatorName=iqn[.]1993-08[.]org[.]debian:01:[0-9a-f]{9,12}$' $name
        if has_socket; then
            nothing_planned; iscsid_listens
            grep -qx 'iscsid.startup = /bin/systemctl start iscsid.socket' /etc/iscsi/iscsid.conf
        else
            fails 'hangs at its start' csihost apply
        fi
    }";

fn smoke(suite: &'static str) {
    container()
        .suite(suite)
        .shared_root()
        .option(&["--timeout", "300"])
        .then(&format!(
            "{SMOKE}
             sound
             systemctl is-active csihost-boot csihost kubelet
             serves
             # The bridge was there when the kubelet started, and no order was broken for it.
             before_the_kubelet; no_order_broken
             csihost undo
             eventually not_mounted
             apt_get purge csihost
             snapshot >after; same before after; nothing_of_ours"
        ))
        .then("sound; systemctl is-active kubelet; not_mounted; snapshot >after; same before after")
        .run(&format!(
            "{SMOKE}
             sound
             systemctl --version | head -n 1
             broken_node
             snapshot >before
             install_csihost
             systemctl is-active csihost
             ! has_socket || systemctl is-active csihost-boot
             serves
             # The agent repairs what drifts.
             for dir in $bridge; do umount $standard/$dir; done
             eventually bridged; travels
             if has_socket; then
                 systemctl stop iscsid.socket
                 eventually iscsid_listens
             fi
             systemctl is-active csihost"
        ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_node_of_debian_11_is_made_ready_and_undone() {
    smoke(BULLSEYE);
}

#[test]
#[ignore = "boots a node: make node"]
fn a_node_of_debian_12_is_made_ready_and_undone() {
    smoke(BOOKWORM);
}

#[test]
#[ignore = "boots a node: make node"]
fn a_node_of_debian_13_is_made_ready_and_undone() {
    smoke(TRIXIE);
}

#[test]
#[ignore = "boots a node: make node"]
fn a_node_of_debian_sid_is_made_ready_and_undone() {
    smoke(SID);
}

// ---- /etc/fstab

/// The mount point of a line says which systemd makes a unit of it.
const LINES: &str = include_str!("../../fstab");

/// The units that the generator makes of the lines, by csihost's reading of them: name and source.
fn foreseen(libmount: bool) -> String {
    let mut units = BTreeMap::new();
    for entry in entries(LINES.as_bytes()) {
        let ignored = libmount && matches!(entry.differs, Some(Differs::NoType | Differs::NoNumber));
        if !ignored && entry.differs != Some(Differs::Escape) {
            let source = String::from_utf8(entry.source).unwrap();
            units.entry(mount_unit(&entry.point).unwrap().to_string()).or_insert(source);
        }
    }
    assert!(!units.values().any(|source| source == "/srv/loses"), "{units:?}");
    units.iter().map(|(unit, source)| format!("{unit} {source}\n")).collect()
}

fn generated(suite: &'static str, libmount: bool) {
    let foreseen = foreseen(libmount);
    plain().suite(suite).run(&format!(
        "cat >lines <<'END'\n{LINES}\nEND
         # As the file has it: no newline at its end.
         truncate -s -1 lines
         cat >foreseen <<'END'\n{foreseen}END
         generator=/usr/lib/systemd/system-generators/systemd-fstab-generator
         [ -e $generator ] || generator=${{generator#/usr}}
         mkdir -p units/{{normal,early,late}}
         # It ends with 1 where a mount point is there twice, from systemd 252 on.
         SYSTEMD_FSTAB=/root/lines $generator /root/units/{{normal,early,late}} || [ $? = 1 ]
         for unit in units/normal/*.mount; do
             case ${{unit##*/}} in escape*) ;; *) echo \"${{unit##*/}} $(sed -n 's/^What=//p' \"$unit\")\" ;; esac
         done | LC_ALL=C sort >made
         LC_ALL=C sort foreseen | diff - made"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn before_systemd_259_the_generator_reads_fstab_as_csihost_reads_getmntent() {
    for suite in [BULLSEYE, BOOKWORM, TRIXIE] {
        generated(suite, false);
    }
}

#[test]
#[ignore = "boots a node: make node"]
fn from_systemd_259_on_the_generator_reads_fstab_as_csihost_reads_libmount() {
    generated(SID, true);
}

#[test]
#[ignore = "boots a node: make node"]
fn lines_that_only_some_systemds_mount_do_not_keep_the_bridge_away_on_any() {
    for suite in [BULLSEYE, BOOKWORM, TRIXIE, SID] {
        container()
            .suite(suite)
            .shared_root()
            .option(&["--timeout", "300"])
            .then("bridged; travels; csihost check >found || :; [ $(grep -c 'only on some systems' found) = 2 ]")
            .run(
                "broken_node; systemctl stop kubelet
                 mkdir -p $standard/{pods,plugins}
                 echo \"$root/pods $standard/pods none bind # kept by ops\" >>/etc/fstab
                 echo \"$root/plugins $standard/plugins\" >>/etc/fstab
                 systemctl daemon-reload; systemctl start kubelet
                 install_csihost
                 bridged; travels
                 csihost check >found || :
                 cat found
                 [ $(grep -c 'only on some systems' found) = 2 ]",
            );
    }
}
