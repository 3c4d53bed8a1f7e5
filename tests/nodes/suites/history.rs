//! On real systemd in a container: what happened to the kubelet's directories since it started.

use crate::support::container;

/// A kubelet with its root at the standard path.
const STANDARD: &str = "
    root=$standard
    mkdir -p /etc/systemd/system/kubelet.service.d
    printf '[Service]\nExecStart=\nExecStart=/usr/bin/kubelet\n' >/etc/systemd/system/kubelet.service.d/root.conf
    broken_node; install_program; csihost apply
    found() { (csihost check || :) | grep \"^$1  $2 \"; }
";

#[test]
#[ignore = "boots a node: make node"]
fn a_disk_that_was_mounted_over_a_running_kubelets_root_is_told_until_the_kubelet_restarts() {
    container().shared_root().run(&format!(
        "{STANDARD}
         found pass kubelet-root
         mount -t tmpfs -o mode=755 disk $root; mkdir -p $root/pods $root/plugins $root/plugins_registry
         found FAIL kubelet-root
         says \"beneath the tmpfs mount at $root\" csihost check
         says 'systemctl restart kubelet' csihost check
         says 'mounted after the kubelet started' csihost detect
         systemctl restart kubelet; found pass kubelet-root; nothing_planned"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_root_that_is_mounted_over_itself_at_each_start_is_told_with_what_to_write_in_its_place() {
    container().shared_root().run(&format!(
        "{STANDARD}
         printf '[Service]\nExecStartPre=/bin/mount --rbind %s %s\n' $root $root >/etc/systemd/system/kubelet.service.d/bind.conf
         systemctl daemon-reload; systemctl restart kubelet
         if found WARN mount-stack; then fail 'one is usual'; fi
         for start in 2 3 4; do systemctl restart kubelet; done
         found WARN mount-stack
         # As the remedy says.
         printf '[Service]\nExecStartPre=/bin/sh -c \"mountpoint -q %s || mount --bind %s %s\"\n' $root $root $root \
             >/etc/systemd/system/kubelet.service.d/bind.conf
         systemctl daemon-reload; before=$(grep -c \" $root \" /proc/1/mountinfo); systemctl restart kubelet
         [ $(grep -c \" $root \" /proc/1/mountinfo) = $before ]
         systemctl stop kubelet; while mountpoint -q $root; do umount -l $root; done; systemctl start kubelet
         if found WARN mount-stack; then fail 'it is gone'; fi"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_that_may_start_before_the_disk_of_its_root_is_told_with_the_drop_in() {
    container().shared_root().then("[ -e /srv/disk/pods ]; (csihost check || :) | grep kubelet-order && fail 'said'; :").run(&format!(
        "mkdir -p /srv/disk; echo '/srv/disk /var/lib/kubelet none bind,nofail 0 0' >>/etc/fstab
         systemctl daemon-reload; mkdir -p /var/lib/kubelet; systemctl start var-lib-kubelet.mount
         {STANDARD}
         found WARN kubelet-order
         csihost check >checked || :
         eval \"$(grep -o 'mkdir -p /etc/systemd/system/kubelet.service.d && .* && *systemctl daemon-reload' checked)\"
         grep RequiresMountsFor=/var/lib/kubelet /etc/systemd/system/kubelet.service.d/root.conf || cat checked
         if found WARN kubelet-order; then fail 'it is ordered now'; fi; nothing_planned"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_kubelet_whose_service_has_a_mount_namespace_of_its_own_is_told_with_the_setting() {
    container().shared_root().run(&format!(
        "{STANDARD}
         found pass mount-propagation
         for setting in PrivateTmp=yes ProtectHome=yes; do
             printf '[Service]\n%s\n' $setting >/etc/systemd/system/kubelet.service.d/sandbox.conf
             systemctl daemon-reload; systemctl restart kubelet
             found WARN mount-propagation
             # As the remedy says.
             pattern=$( (csihost check || :) | grep -o \"grep -E '[^']*'\" | head -n 1)
             systemctl cat kubelet.service | eval \"$pattern\" | grep -x $setting
         done
         rm /etc/systemd/system/kubelet.service.d/sandbox.conf; systemctl daemon-reload; systemctl restart kubelet
         found pass mount-propagation; nothing_planned"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_container_runtime_with_a_mount_namespace_of_its_own_is_told_with_the_drop_in_that_ends_it() {
    container().shared_root().run(&format!(
        "{STANDARD}
         cp /bin/sleep /usr/local/bin/dockerd
         printf '[Service]\nType=exec\nExecStart=/usr/local/bin/dockerd infinity\n' >/etc/systemd/system/docker.service
         systemctl daemon-reload; systemctl start docker
         found pass mount-propagation
         mkdir -p /etc/systemd/system/docker.service.d
         for setting in MountFlags=slave MountFlags=private PrivateTmp=yes ProtectHome=read-only ProtectSystem=full \
             PrivateMounts=yes ReadOnlyPaths=/srv ProtectProc=invisible; do
             printf '[Service]\n%s\n' $setting >/etc/systemd/system/docker.service.d/sandbox.conf
             systemctl daemon-reload; systemctl restart docker
             found FAIL mount-propagation
             csihost check >checked || :
             grep -F \"take $setting (/etc/systemd/system/docker.service.d/sandbox.conf) out of docker.service\" checked
             # As the remedy says.
             eval \"$(grep -o 'mkdir -p /etc/systemd/system/docker.service.d && .* && systemctl restart docker.service' checked)\"
             found pass mount-propagation
             rm /etc/systemd/system/docker.service.d/*
         done
         # A process that has its namespace from before.
         printf '[Service]\nMountFlags=slave\n' >/etc/systemd/system/docker.service.d/sandbox.conf
         systemctl daemon-reload; systemctl restart docker; rm /etc/systemd/system/docker.service.d/sandbox.conf
         csihost check >checked || :
         eval \"$(grep -o 'systemctl daemon-reload && systemctl restart docker.service' checked)\"
         found pass mount-propagation; nothing_planned"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_link_in_the_place_of_the_kubelets_pods_is_told_with_the_mount_that_takes_its_place() {
    let after = "
        mountpoint -q $standard/pods; [ -e $standard/pods/kept ]
        systemctl show --value -p After kubelet.service | grep -w var-lib-kubelet-pods.mount
        (csihost check || :) | grep kubelet-links && fail 'said'; :";
    container().shared_root().then(after).run(&format!(
        "{STANDARD}
         systemctl stop kubelet; mkdir -p '/mnt/a b'; rm -rf $root/pods; mkdir '/mnt/a b/pods'; touch '/mnt/a b/pods/kept'
         ln -s '/mnt/a b/pods' $root/pods; systemctl start kubelet
         found WARN kubelet-links
         csihost check >checked || :
         # As the remedy says.
         printf '%s\\n' \"$(grep -o 'systemctl stop kubelet.service && .* && systemctl start kubelet.service' checked)\" >repair
         sh -e repair
         if found WARN kubelet-links; then fail 'it is a mount now'; fi
         grep -F ' /var/lib/kubelet/pods ' /proc/1/mountinfo | grep shared:; nothing_planned
         {after}"
    ));
}

#[test]
#[ignore = "boots a node: make node"]
fn a_private_root_in_a_namespace_that_kubelet_and_runtime_share_is_made_shared_there() {
    container().shared_root().run(&format!(
        "{STANDARD}
         systemctl stop kubelet; cp /bin/sleep /usr/local/bin/containerd; mkdir -p /srv/k
         # As snapd does for a strictly confined snap, whose namespace a file keeps.
         systemd-run -q --unit=snap-namespace unshare --mount --propagation slave sh -e -c \\
             'mount --bind /srv/k /var/lib/kubelet; mount --make-private /var/lib/kubelet; exec sleep infinity'
         own=/proc/$(systemctl show -P MainPID snap-namespace)/ns/mnt
         is_private() {{ nsenter --mount=$own grep ' /var/lib/kubelet rw' /proc/self/mountinfo | grep -v shared; }}
         eventually is_private
         for unit in kubelet containerd; do
             mkdir -p /etc/systemd/system/$unit.service.d
             command=/usr/bin/kubelet; [ $unit = kubelet ] || command='/usr/local/bin/containerd infinity'
             printf '[Service]\nType=exec\nExecStart=\nExecStart=/usr/bin/nsenter --mount=%s %s\n' $own \"$command\" \
                 >/etc/systemd/system/$unit.service.d/root.conf
         done
         printf '[Service]\n' >/etc/systemd/system/containerd.service
         systemctl daemon-reload; systemctl start kubelet containerd
         for try in $(seq 50); do if found FAIL mount-propagation; then break; fi; sleep 0.2; done
         csihost check >checked || :
         grep 'none is needed: the kubelet and its container runtime have /var/lib/kubelet' checked
         if grep 'its container has' checked; then fail 'there is no container'; fi; nothing_planned
         # As the remedy says.
         eval \"$(grep -o 'nsenter --target [0-9]* --mount mount --make-rshared [^ ,]*' checked)\"
         found pass mount-propagation; nothing_planned"
    ));
}
