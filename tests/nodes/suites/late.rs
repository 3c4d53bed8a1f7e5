//! On real systemd in a container: a kubelet's root on a disk that is mounted late, booted again and again.
//!
//! An ordering cycle costs one of its jobs, which one is a matter of chance: a boot proves little.

use crate::support::container;

/// How often each arrangement is booted.
const BOOTS: usize = 5;

/// Words for scripts.
const WORDS: &str = r"
    root=/mnt/data/kubelet
    unit() { cat >/etc/systemd/system/$1; }
    # early NAME WANTS AFTER BEFORE: a service that does nothing, early in the boot.
    early() {
        unit $1.service <<-END
	[Unit]
	DefaultDependencies=no
	Wants=$2
	After=$3
	Before=$4
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/true
	[Install]
	WantedBy=multi-user.target
	END
    }
    # A network that is configured by a service after local-fs.target, as Debian's ifupdown does it, and a service that
    # prepares disks after it, as cloud-init.service does.
    network() {
        early networking network.target 'local-fs.target network-pre.target' 'network.target network-online.target shutdown.target'
        early disks networking.service networking.service 'network-online.target sysinit.target'
        systemctl daemon-reload; systemctl -q enable networking disks
    }
    # late_kubelet: it needs the disk, as its administrator has said.
    late_kubelet() {
        mkdir -p /srv/disk /mnt/data
        printf '[Unit]\nRequiresMountsFor=/mnt/data\n[Service]\nExecStart=\nExecStart=/usr/bin/kubelet --root-dir=%s\n' $root >late.conf
        install -D -m 644 late.conf /etc/systemd/system/kubelet.service.d/late.conf
        systemctl daemon-reload; systemctl start mnt-data.mount; mkdir -p $root
        broken_node; install_csihost; bridged; nothing_planned
    }
    booted() {
        local unit
        # The agent repairs what is missing: that would not be the boot's.
        [ -e /srv/disk/kubelet/pods ]
        for unit in local-fs.target mnt-data.mount kubelet.service csihost-boot.service var-lib-kubelet-pods.mount; do
            systemctl is-active -q $unit || { systemctl status --no-pager $unit; journalctl -q --no-pager -b -p warning; fail $unit; }
        done
        bridged; before_the_kubelet; nothing_planned
        if journalctl -q --no-pager -b | grep -E 'ordering cycle|start-unit'; then fail 'the boot was not in order'; fi
    }
";

/// Boots a node again and again whose disk is arranged so by `disk`.
fn boots(disk: &str) {
    let mut node = container().shared_root().option(&["--timeout", "600"]);
    for _ in 1..BOOTS {
        node = node.then(&format!("{WORDS}\n booted"));
    }
    node.run(&format!("{WORDS}\n{disk}\n late_kubelet; systemctl -q disable csihost"));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_disk_that_a_service_after_the_network_prepares() {
    boots(
        "network; echo '/srv/disk /mnt/data none bind,nofail,x-systemd.requires=disks.service 0 0' >>/etc/fstab",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_disk_that_needs_the_network() {
    boots("network; echo '/srv/disk /mnt/data none bind,_netdev 0 0' >>/etc/fstab");
}

#[test]
#[ignore = "boots a node: make node"]
fn a_disk_with_a_unit_of_its_own_after_a_service() {
    boots(
        "network
         unit mnt-data.mount <<-'END'
	[Unit]
	DefaultDependencies=no
	Requires=disks.service
	After=disks.service
	[Mount]
	What=/srv/disk
	Where=/mnt/data
	Options=bind
	[Install]
	WantedBy=multi-user.target
	END
         systemctl daemon-reload; systemctl -q enable mnt-data.mount",
    );
}

#[test]
#[ignore = "boots a node: make node"]
fn a_disk_that_is_in_time() {
    boots("echo '/srv/disk /mnt/data none bind 0 0' >>/etc/fstab");
}

/// A disk that is mounted after the container runtime: a bridge on it would have to be there before that runtime and after it.
#[test]
#[ignore = "boots a node: make node"]
fn a_disk_after_the_container_runtime_is_refused_by_name_and_the_node_boots_as_before() {
    const RUNTIME: &str = "
         unit docker.service <<-'END'
	[Service]
	ExecStart=sleep infinity
	[Install]
	WantedBy=multi-user.target
	END
         systemctl daemon-reload; systemctl -q enable --now docker";
    const BEFORE: &str = "
         all_there() {
             local unit
             for unit in local-fs.target mnt-data.mount kubelet.service docker.service; do systemctl is-active $unit; done
             [ -e /srv/disk/kubelet/pods ]; not_bridged
             if journalctl -q --no-pager -b | grep 'ordering cycle'; then fail 'the boot was not in order'; fi
         }
         refused() { csihost plan --json >plan || :; grep -F bridge-order-cycle plan; grep -F \"$1\" plan; }";
    let mut node = container().shared_root().option(&["--timeout", "600"]);
    for _ in 1..BOOTS {
        node = node.then(&format!("{WORDS}{BEFORE}\n all_there; refused 'mnt-data.mount after relay.service, relay.service after docker.service'"));
    }
    // What the remedy says, and the bridge is built.
    node = node.then(&format!(
        "{WORDS}{BEFORE}
         sed -i 's/^After=docker.service/After=/' /etc/systemd/system/relay.service; systemctl daemon-reload
         csihost apply || :; bridged; nothing_planned"
    ));
    node.then(&format!("{WORDS}\n booted")).run(&format!(
        "{WORDS}{BEFORE}{RUNTIME}
         unit relay.service <<-'END'
	[Unit]
	After=docker.service
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=/bin/true
	[Install]
	WantedBy=multi-user.target
	END
         systemctl daemon-reload; systemctl -q enable relay
         echo '/srv/disk /mnt/data none bind,nofail,x-systemd.requires=relay.service 0 0' >>/etc/fstab
         mkdir -p /srv/disk /mnt/data
         printf '[Unit]\\nRequiresMountsFor=/mnt/data\\n[Service]\\nExecStart=\\nExecStart=/usr/bin/kubelet --root-dir=%s\\n' $root >late.conf
         install -D -m 644 late.conf /etc/systemd/system/kubelet.service.d/late.conf
         systemctl daemon-reload; systemctl start mnt-data.mount; mkdir -p $root
         broken_node; install_csihost; systemctl -q disable --now csihost
         all_there; refused relay.service
         # A runtime that is not started at boot is after nothing.
         systemctl -q disable --now docker relay; systemctl start mnt-data.mount; systemctl stop relay
         csihost plan --json >plan || :; ! grep -F bridge-order-cycle plan
         systemctl -q enable --now docker relay; systemctl start kubelet"
    ));
}
