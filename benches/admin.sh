#!/bin/bash
# What an administrator would write for the same end, by hand and for one known node: it
# looks at each thing before it changes it, so that it may run at every boot. The bench
# times it where there is nothing left to do.
set -euo pipefail

root=$(ps -C kubelet -o args= | sed -n 's/.*--root-dir[= ]\([^ ]*\).*/\1/p' | head -n 1)
standard=/var/lib/kubelet
conf=/etc/iscsi/iscsid.conf
startup='iscsid.startup = /bin/systemctl start iscsid.socket'

if ! grep -q "^$startup\$" "$conf"; then
    sed -i -e 's/^iscsid.startup/# &/' -e "\$a $startup" "$conf"
fi
if ! grep -q '^InitiatorName=' /etc/iscsi/initiatorname.iscsi; then
    echo "InitiatorName=$(iscsi-iname)" >/etc/iscsi/initiatorname.iscsi
fi
if ! systemctl is-enabled --quiet iscsid.socket; then systemctl enable iscsid.socket; fi
if ! systemctl is-active --quiet iscsid.socket; then systemctl start iscsid.socket; fi

if [ -z "$root" ] || [ "$root" = "$standard" ]; then exit 0; fi
# The kubelet shares its root by itself, at its start; here it must be done before.
for path in "$standard" "$root"; do
    mkdir -p "$path"
    if ! findmnt -no PROPAGATION --target "$path" | grep -q shared; then
        mount --bind "$path" "$path"
        mount --make-rshared "$path"
    fi
done
for dir in pods plugins plugins_registry; do
    unit=$(systemd-escape --path --suffix=mount "$standard/$dir")
    mkdir -p "$root/$dir"
    if [ ! -e "/etc/systemd/system/$unit" ]; then
        cat >"/etc/systemd/system/$unit" <<UNIT
[Unit]
RefuseManualStop=yes
Before=kubelet.service

[Mount]
What=$root/$dir
Where=$standard/$dir
Type=none
Options=rbind,rshared

[Install]
WantedBy=local-fs.target
UNIT
        systemctl daemon-reload
    fi
    if ! systemctl is-enabled --quiet "$unit"; then systemctl enable "$unit"; fi
    if ! systemctl is-active --quiet "$unit"; then systemctl start "$unit"; fi
    if ! findmnt -no PROPAGATION "$standard/$dir" | grep -q shared; then
        echo "$standard/$dir is not shared" >&2
        exit 1
    fi
done
