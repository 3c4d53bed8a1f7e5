//! On real systemd in a container: a package that is missing, and apt with an archive and without.

use crate::support::container;

/// Takes open-iscsi away, and leaves csihost to install it. The archive that `archive` makes holds
/// it, and a version of another package that an upgrade would take.
const WITHOUT_OPEN_ISCSI: &str = "
    version=$(dpkg-query -W -f '${Version}' open-iscsi)
    archive() {
        mkdir -p /srv/archive/newer/DEBIAN
        cp /share/debs/open-iscsi_${version}_*.deb /srv/archive/
        printf '%s\\n' 'Package: hostname' 'Version: 99' 'Architecture: amd64' 'Maintainer: nobody' \\
            'Description: newer' >/srv/archive/newer/DEBIAN/control
        dpkg-deb -b /srv/archive/newer /srv/archive/hostname_99_amd64.deb >/dev/null
        (cd /srv/archive && apt-ftparchive packages . >Packages)
        echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list
    }
    installed() { dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n' | sort; }
    kubelet; install_program
    systemctl -q disable --now iscsid.socket iscsid.service open-iscsi.service
    DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends open-iscsi >/dev/null 2>&1
    rm -rf /etc/iscsi
    mkdir -p /etc/csihost
    printf '[packages]\\npolicy = \"install\"\\n' >/etc/csihost/csihost.toml
    installed >packages.before";

#[test]
#[ignore = "boots a node: make node"]
fn a_package_that_is_missing_is_installed_alone_and_made_ready_in_one_turn() {
    container().option(&["--timeout", "400"]).run(&format!(
        "{WITHOUT_OPEN_ISCSI}
         archive
         # While the system boots, nothing is installed and nothing is refused.
         csihost apply --boot >out 2>&1
         cat out
         grep -q 'later: open-iscsi' out
         says 'later open-iscsi' csihost status
         installed | same packages.before -
         bridged

         csihost apply
         nothing_planned
         ready
         installed >packages.after
         diff packages.before packages.after >changed || :
         cat changed
         [ \"$(grep -c '^[<>]' changed)\" = 1 ]
         grep -q \"^> open-iscsi $version ii\" changed
         journalctl -q -u csihost-install | grep -q 'Setting up open-iscsi'
         [ \"$(systemctl show -P LoadState csihost-install)\" = not-found ]
         # A second turn does nothing, and undo leaves to others what they may use by now.
         says 'nothing to do' csihost apply
         says 'others may use them' csihost undo
         installed | same packages.after -"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn without_an_archive_the_error_says_so_and_nothing_is_half_done() {
    container().option(&["--timeout", "400"]).run(&format!(
        "{WITHOUT_OPEN_ISCSI}
         fails 'is the package archive reachable' csihost apply
         grep -q 'apt-get .*install open-iscsi' failing
         grep -q 'exit status 100; see journalctl -u csihost-install' failing
         installed | same packages.before -
         [ -z \"$(dpkg --audit)\" ]
         [ ! -e /etc/iscsi ]
         # The rest is done.
         bridged
         travels
         says install-package csihost status
         # Once there is an archive, the next turn comes to the end; the turn before left nothing in its way.
         archive
         csihost apply
         ready"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn two_turns_at_once_run_one_package_manager() {
    container().option(&["--timeout", "400"]).run(&format!(
        "{WITHOUT_OPEN_ISCSI}
         archive
         csihost apply >out.1 2>&1 & one=$!
         csihost apply >out.2 2>&1 & two=$!
         wait $one || {{ cat out.*; exit 1; }}
         wait $two || {{ cat out.*; exit 1; }}
         [ \"$(cat out.* | grep -c '^installing')\" = 1 ]
         ready"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn from_a_full_disk_the_package_can_be_removed_and_purged_and_the_receipt_stays() {
    container().shared_root().run(
        "broken_node; install_csihost; bridged; systemctl stop csihost
         cp -a /var/lib/csihost kept; mount -t tmpfs -o size=64k full /var/lib/csihost; cp -a kept/. /var/lib/csihost/
         dd if=/dev/zero of=/var/lib/csihost/filler bs=1k 2>/dev/null || :
         apt_get remove csihost >said 2>&1; cat said; grep -F 'there is no room in /var/lib/csihost' said
         [ ! -e /var/lib/csihost/undo ]; bridged
         apt_get purge csihost >said 2>&1; cat said; grep -F 'the host stays as csihost made it' said
         [ -s /var/lib/csihost/receipt.json ]; [ ! -e /etc/csihost ]; bridged
         # As it says: the receipt is enough for a later undo.
         rm /var/lib/csihost/filler; install_program; csihost undo; not_bridged",
    );
}
