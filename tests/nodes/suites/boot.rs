//! What nodes are given to be ready at their first boot: by the real cloud-init, by what RancherOS
//! would run, and baked into an image.

#![allow(clippy::unwrap_used)] // A test may panic: that is how it fails.

use crate::support::{container, plain};

/// Where the file has the example's address and digests: the node's own. No node has a network.
const DISTRIBUTION: &str = "
    mkdir /srv/dist
    version=$(sed -n 's/^ *version=//p' /share/boot/cloud-init.yml)
    cp /share/csihost.deb /srv/dist/csihost_$version-1_amd64.deb
    cp /share/csihost /srv/dist/csihost-$version-x86_64
    digest() { sha256sum <\"$1\" | cut -d ' ' -f 1; }
";

#[test]
#[ignore = "boots a node: make node"]
fn cloud_init_installs_the_package_at_the_first_boot_and_the_node_is_ready() {
    container()
        .option(&["--timeout", "400"])
        .then(
            "cloud-init status --wait --long || { cat /var/log/cloud-init-output.log; exit 1; }
             cat /var/log/cloud-init-output.log
             dpkg-query -W -f '${db:Status-Status}' csihost | grep -x installed
             systemctl is-active csihost-boot csihost
             ready
             rm /usr/bin/csihost",
        )
        .then(
            "cloud-init status --wait
             # It is the same instance: nothing was installed again.
             [ ! -e /usr/bin/csihost ]",
        )
        .run(&format!(
            "broken_node; {DISTRIBUTION}
             apt_get install /share/debs/cloud-init/*.deb >apt 2>&1 || {{ cat apt; exit 1; }}
             cloud-init schema --config-file /share/boot/cloud-init.yml
             mkdir -p /var/lib/cloud/seed/nocloud
             # The node is no image of a cloud: it has no locales and no sshd.
             printf '%s\\n' 'datasource_list: [NoCloud]' 'locale: false' 'ssh_genkeytypes: []' >/etc/cloud/cloud.cfg.d/90-node.cfg
             echo 'instance-id: node' >/var/lib/cloud/seed/nocloud/meta-data
             sed -e 's|from=https:.*|from=file:///srv/dist|' \\
                 -e \"s|deb_sha256=.*|deb_sha256=$(digest /share/csihost.deb)|\" \\
                 /share/boot/cloud-init.yml >/var/lib/cloud/seed/nocloud/user-data
             if cmp /share/boot/cloud-init.yml /var/lib/cloud/seed/nocloud/user-data; then exit 1; fi"
        ));
}

/// The text of a file in `write_files` of a cloud-config as ours are written.
fn written(config: &str, path: &str) -> String {
    let file = config.split(&format!("  - path: {path}\n")).nth(1).unwrap();
    let text = file.split("    content: |\n").nth(1).unwrap();
    let lines = text.lines().map_while(|line| line.strip_prefix("      ").or(line.is_empty().then_some("")));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
#[ignore = "boots a node: make node"]
fn what_rancheros_runs_at_boot_fetches_the_program_and_makes_the_bridge_once_a_kubelet_is_there() {
    let config = include_str!("../../../packaging/boot/rancheros.yml");
    let (boot, local) = (written(config, "/opt/csihost/boot"), written(config, "/etc/rc.local"));
    let command = config.lines().find_map(|line| line.strip_prefix("  - [/opt/csihost/boot")).unwrap();
    let command = format!("/opt/csihost/boot{}", command.replace(',', "").trim_end_matches(']'));
    plain().run(&format!(
        "{DISTRIBUTION}
         rm /etc/os-release
         printf '%s\\n' 'NAME=\"RancherOS\"' ID=rancheros VERSION_ID=v1.4.2 'PRETTY_NAME=\"RancherOS v1.4.2\"' >/etc/os-release
         echo ubuntu >/run/console-done
         mkdir -p /opt/csihost
         cat >/opt/csihost/boot <<'END'
{boot}END
         cat >/etc/rc.local <<'END'
{local}END
         chmod 755 /opt/csihost/boot /etc/rc.local
         # Of wget, what the hook asks of it.
         printf '#!/bin/sh\\n[ \"$1 $2\" = \"-q -O\" ] && cp \"${{4#file://}}\" \"$3\"\\n' >/usr/bin/wget
         chmod 755 /usr/bin/wget
         sed -i \"s|^from=.*/|from=file:///srv/dist/|\" /opt/csihost/boot
         # A program that is not the one that the digest names is not taken.
         status 1 {command}
         [ ! -e /opt/csihost/csihost ]
         sed -i \"s|^sha256=.*|sha256=$(digest /share/csihost)|\" /opt/csihost/boot
         # This machine's kernel has no iSCSI, which is refused: the rest is done.
         status 1 {command}
         grep -qx 'iscsid.startup = /sbin/iscsid' /etc/iscsi/iscsid.conf
         not_bridged
         install -m 755 /share/kubelet /usr/bin/
         mkdir -p $root
         /usr/bin/kubelet --root-dir=$root >kubelet.log 2>&1 &
         for _ in {{1..100}}; do [ -S $root/pod-resources/kubelet.sock ] && break; sleep 0.05; done
         /etc/rc.local
         for _ in {{1..100}}; do grep -q $standard/plugins_registry /proc/1/mountinfo && break; sleep 0.05; done
         sleep 1
         cat /var/log/csihost.log
         bridged; travels; kubelet_in_sight
         csihost detect"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn an_image_that_was_made_ready_boots_ready_with_a_name_of_its_own() {
    container()
        .shared_root()
        .then(
            "systemctl is-active csihost-boot csihost kubelet
             ready
             grep '^InitiatorName=iqn' /etc/iscsi/initiatorname.iscsi
             if grep ':image$' /etc/iscsi/initiatorname.iscsi; then exit 1; fi
             # All of it was there before the kubelet started.
             mounted=$(systemctl show -P ActiveEnterTimestampMonotonic var-lib-kubelet-pods.mount)
             started=$(systemctl show -P ExecMainStartTimestampMonotonic kubelet)
             [ $mounted -lt $started ]",
        )
        .run(
            "break_iscsi
             rm -f /etc/iscsi/initiatorname.iscsi
             install -m 755 /share/kubelet /usr/bin/kubelet
             install -m 644 /share/kubelet.service /etc/systemd/system/
             systemctl -q enable kubelet
             mkdir -p /srv/image $root
             unshare --mount bash -ec '. /share/lib.sh; mount -t tmpfs none /run; install_csihost'
             # The tree alone, as whoever builds an image has it: no /proc, no /run.
             mount --bind / /srv/image
             status 3 csihost plan --root /srv/image
             csihost apply --root /srv/image
             status 0 csihost plan --root /srv/image
             not_mounted
             grep -q '^What=/opt/rke/var/lib/kubelet/pods$' /etc/systemd/system/var-lib-kubelet-pods.mount
             [ -L /etc/systemd/system/sockets.target.wants/iscsid.socket ]
             # A name that was made here would be every node's.
             [ ! -e /etc/iscsi/initiatorname.iscsi ] || ! grep '^InitiatorName=' /etc/iscsi/initiatorname.iscsi
             umount /srv/image",
        );
}

#[test]
#[ignore = "boots a node: make node"]
fn the_program_needs_nothing_of_the_system_that_it_runs_on() {
    plain().run(
        "mkdir /srv/empty
         cp /share/csihost /srv/empty/
         # Not even a loader, a library or a shell.
         [ \"$(ls /srv/empty)\" = csihost ]
         chroot /srv/empty /csihost --version
         chroot /srv/empty /csihost profile list | grep -q flatcar",
    );
}
