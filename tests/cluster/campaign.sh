# shellcheck shell=bash disable=SC1091,SC2154 # words of words.sh
# On the node: campaign.sh KILLS [REPAIR]: the driver's container is killed so many times while pods with
# volumes are created and deleted. Prints what is left afterwards: stuck pods, mounts, directories.
. /cluster/words.sh
kills=$1 repair=${2:-graft} batch=20 deleted=0 killed=0 round=0
cluster_up >/dev/null
storage
settings "$repair"
install_csihost >/dev/null
if [ "$repair" = align ]; then eventually 30 says 'takes effect when' csihost status; restart_kubelet; aligned >/dev/null; fi
driver
eventually 30 registered
# The kills of a round fall into its first seconds. A call that failed is made again up to two minutes later
# (kubernetes, pkg/util/goroutinemap/exponentialbackoff); what a pod is stuck with after that does not heal.
killing=25 patience=180
stuck=() forgotten=0
while [ "$killed" -lt "$kills" ]; do
    round=$((round + 1)) names=()
    many $batch "r$round-" | kubectl apply -f - >/dev/null
    mapfile -t names < <(names $batch "r$round-")
    kubectl wait --for=condition=Ready --timeout=120s "${names[@]/#/pod/}" >/dev/null ||
        { echo "round $round: not all of the pods became ready"; kubectl get pods --no-headers | grep -v Running || :; }
    kubectl delete pods "${names[@]}" --wait=false >/dev/null
    # The kills fall into the pods' deletion, at other moments each time.
    until=$((SECONDS + patience)) kill_until=$((SECONDS + killing)) left=1
    while [ "$left" != 0 ] && [ $SECONDS -lt $until ]; do
        if [ "$killed" -lt "$kills" ] && [ $SECONDS -lt $kill_until ]; then
            pid=$(pgrep -x -n hostpathplugin) || pid=
            if [ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null; then killed=$((killed + 1)); fi
        fi
        read -r -t "0.$((RANDOM % 8))" -u "$never" || :
        left=$(kubectl get pods -l test=yes --no-headers 2>/dev/null | grep -c "^r$round-" || :)
    done
    deleted=$((deleted + batch))
    if [ "$left" != 0 ]; then
        while read -r name uid; do
            # The driver deletes an inline volume before it answers, and of a deleted one it answers an error: killed
            # in between it is not asked again with success. Nothing is mounted then, and no path is missing.
            if ! grep -q "$uid" /proc/1/mountinfo &&
                journalctl -q --no-pager -b -u kubelet | grep -F "$uid" | grep -qF 'does not exist in the volumes list'; then
                forgotten=$((forgotten + 1))
            else
                stuck+=("$name")
                echo "round $round: $name is stuck"
            fi
        done < <(kubectl get pods -l test=yes -o 'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}' | grep "^r$round-")
    fi
    echo "round $round: $killed kills, $deleted pods deleted, ${#stuck[@]} stuck, $forgotten by the driver itself, ${SECONDS} s"
done
if ! eventually 60 nothing_left >left 2>&1 || [ ${#stuck[@]} != 0 ]; then
    cat left
    awk '$5 ~ "/pods/.*kubernetes.io~csi" { print "mounted: " $5 }' /proc/1/mountinfo
    echo "$killed kills, $deleted pods deleted: ${#stuck[@]} stuck"
    exit 1
fi
nothing_planned
echo "$killed kills, $deleted pods deleted: none is stuck, no mount and no directory is left, $forgotten forgotten by the driver, ${SECONDS} s"
