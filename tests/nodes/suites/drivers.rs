//! On real systemd in a container: the needs of a node are those of the drivers that are registered with its kubelet.

use crate::support::node;

/// Words of these tests. `found ID STATUS` asserts how a check ends; `registered NAME` makes the socket of a driver in the
/// kubelet's registry.
const WORDS: &str = r#"
    . /share/plugin.sh
    found() {
        csihost check --json >found.json || :
        perl -MJSON::PP -e 'my $c = decode_json(join "", <STDIN>); my ($f) = grep { $_->{id} eq $ARGV[0] } @{$c->{checks}};
            print $f ? "$f->{status}: $f->{summary}\n" : "none\n"' $1 <found.json | tee said
        grep -q "^$2" said
    }
    registered() { mkdir -p $root/plugins_registry; a_socket $root/plugins_registry/$1-reg.sock; }
    settings() { mkdir -p /etc/csihost; printf "$1" >/etc/csihost/csihost.toml; }
"#;

#[test]
#[ignore = "boots a node: make node"]
fn a_node_with_nfs_alone_is_not_made_ready_for_iscsi_until_a_driver_comes_that_needs_it() {
    node()
        .then(&format!(
            "{WORDS}
             systemctl is-active csihost-boot
             ! grep iscsi_tcp /etc/modules-load.d/csihost.conf
             # The kubelet has not started yet in the boot unit's reconciliation, and the driver is remembered.
             journalctl -q --no-pager -b -u csihost-boot | tee journal; ! grep -i iscsi journal
             found iscsi-package skip; nothing_planned"
        ))
        .run(&format!(
            "{WORDS}
             broken_node; registered nfs.csi.k8s.io
             cp -a /etc/iscsi/iscsid.conf conf
             install_csihost
             found iscsi-package 'skip: not needed: no driver of this node uses iSCSI (nfs.csi.k8s.io)'
             found driver-needs 'pass: the host has what these need: nfs.csi.k8s.io (nfs)'
             cmp conf /etc/iscsi/iscsid.conf; [ ! -e /etc/modules-load.d/csihost.conf ]; ! iscsid_listens
             nothing_planned

             echo '=== longhorn-manager is on the node before its driver registers'
             mkdir /var/lib/longhorn; systemctl stop csihost; csihost apply || :
             found iscsid-conf pass; ! cmp conf /etc/iscsi/iscsid.conf; iscsid_listens; nothing_planned
             rmdir /var/lib/longhorn
             found iscsi-package skip
             # It stays as it was made; drivers come and go.
             nothing_planned
             csihost undo; cmp conf /etc/iscsi/iscsid.conf

             echo '=== a setting before the drivers'
             settings '[iscsi]\\nenabled = true\\n'; found iscsi-package pass; found iscsid-conf fail
             settings '[drivers]\\nexpected = [\"driver.longhorn.io\"]\\n'; found iscsid-conf fail
             settings '[drivers]\\nexpected = [\"driver.longhorn.io/v9\"]\\n'
             status 78 csihost check 2>&1 | tee said; grep -F 'csihost.toml:2: drivers.expected' said; grep -F 'one of v1, v2' said
             rm /etc/csihost/csihost.toml
             csihost apply || :; systemctl -q enable csihost-boot"
        ));
}

#[test]
#[ignore = "boots a node: make node"]
fn what_a_site_says_of_its_driver_is_checked_and_the_commands_that_are_printed_repair_it() {
    node().run(&format!(
        "{WORDS}
         kubelet; install_program; registered fs.csi.example.com
         found iscsi-package pass
         cat >example.toml <<'EOF'
summary = 'An example'
drivers = ['fs.csi.example.com']
source = 'this test'
[[protocol]]
name = 'fs'
programs = ['mount.examplefs']
services = ['example.service']
files = ['/etc/example.conf']
EOF
         csihost driver validate example.toml; install -D -m 644 -t /etc/csihost/driver-profiles.d example.toml
         csihost driver list | tee list; grep -F fs.csi.example.com list
         csihost driver show fs.csi.example.com | grep -F mount.examplefs
         found iscsi-package skip
         found driver-needs fail
         for lack in 'mount.examplefs is not installed' 'example.service is not installed' '/etc/example.conf does not exist'; do
             grep -F \"$lack\" said
         done
         install -m 755 /bin/true /usr/sbin/mount.examplefs; : >/etc/example.conf
         printf '[Service]\\nExecStart=sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/example.service
         systemctl daemon-reload
         found driver-needs 'fail: fs.csi.example.com (fs): example.service does not run'
         csihost check --json >found.json || :
         remedy=$(perl -MJSON::PP -e 'my $c = decode_json(join \"\", <STDIN>); print map {{ $_->{{remedy}} }} grep {{ $_->{{id}} eq \"driver-needs\" }} @{{$c->{{checks}}}}' <found.json)
         ${{remedy#run }}
         found driver-needs pass
         ln -sf /dev/null /etc/csihost/driver-profiles.d/longhorn.toml
         echo 'drivers = 1' >/etc/csihost/driver-profiles.d/broken.toml
         status 78 csihost check 2>&1 | tee said; grep -F '/etc/csihost/driver-profiles.d/broken.toml:1:' said",
    ));
}
