# shellcheck shell=bash disable=SC1091,SC2154 # words of words.sh
# On the node: upgrade.sh REPAIR: /share/older.deb, the package of an earlier commit, repairs the contracts of a driver whose
# pods run; the upgrade leaves pods, mounts and the kubelet as they are, and what comes after works.
. /cluster/words.sh
repair=$1
cluster_up
storage
settings "$repair"
older /share/older.deb
apt_get install ./older.deb
if [ "$repair" = align ]; then
    eventually 30 says 'takes effect when the kubelet restarts' csihost status
    restart_kubelet
    aligned
fi
driver "$standard"
eventually 30 registered
every_volume all | kubectl apply -f -
pod app | kubectl apply -f -
ready all app
volumes_work all
kubelet=$(systemctl show -P MainPID kubelet)
mounts() { awk '{ print $1, $3, $4, $5 }' /proc/1/mountinfo | grep kubelet; }
mounts >before
unchanged() { mounts | diff before -; }
apt_get install /share/csihost.deb
# Under a graft the driver's socket directory is covered until the new agent is connected.
eventually 10 unchanged
[ "$kubelet" = "$(systemctl show -P MainPID kubelet)" ]
[ "$(restarts all) $(restarts app)" = '0 0' ]
volumes_work all
stored app
kill_container hostpath
pod new | kubectl apply -f -
ready new
stored new
nothing_planned
sandboxed
delete_pods
no_driver
rm /etc/csihost/csihost.toml
csihost undo || :
if [ "$repair" = align ]; then restart_kubelet; fi
eventually 60 not_bridged
echo "upgraded under $repair: pods, mounts and kubelet as they were"
