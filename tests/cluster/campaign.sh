# shellcheck shell=bash disable=SC1091,SC2154 # words of words.sh
# On the node: campaign.sh KILLS [REPAIR]: containers of drivers are killed so many times while pods with volumes
# of them are created and deleted. Prints what is left afterwards: stuck pods, mounts, directories.
. /cluster/words.sh
kills=$1 repair=${2:-graft} each=6 deleted=0 killed=0 round=0
# The driver, and the same under other names: each is killed by itself, so that a round has more kills.
others=(two three four)
drivers=("$driver" "${others[@]/%/.csi.example}")
batch=$((each * ${#drivers[@]}))
cluster_up >/dev/null
mkdir -p /etc/csihost
printf '[contract]\nrepair = "%s"\ndrivers = [%s]\n' "$repair" "$(printf '"%s", ' "${drivers[@]}")" >/etc/csihost/csihost.toml
install_csihost >/dev/null
if [ "$repair" = align ]; then eventually 30 says 'takes effect when' csihost status; restart_kubelet; aligned >/dev/null; fi
driver
for name in "${others[@]}"; do other_driver "$name" apply; done
all_registered() {
    local is
    is=$(kubectl get csinode node -o 'jsonpath={.spec.drivers[*].name}')
    [ "$(wc -w <<<"$is")" = ${#drivers[@]} ]
}
eventually 60 all_registered
# The kills of a round fall into its first seconds. A call that failed is made again up to two minutes later
# (kubernetes, pkg/util/goroutinemap/exponentialbackoff); what a pod is stuck with after that does not heal.
killing=25 patience=180
stuck=() forgotten=0
while [ "$killed" -lt "$kills" ]; do
    round=$((round + 1)) names=()
    for at in "${!drivers[@]}"; do
        for ((i = 1; i <= each; i++)); do
            names+=("r$round-$at-$i")
            pod "r$round-$at-$i" "{name: v, csi: {driver: ${drivers[$at]}}}"
        done
    done >pods.yaml
    kubectl apply -f pods.yaml >/dev/null
    kubectl wait --for=condition=Ready --timeout=120s "${names[@]/#/pod/}" >/dev/null ||
        { echo "round $round: not all of the pods became ready"; kubectl get pods --no-headers | grep -v Running || :; }
    kubectl delete pods "${names[@]}" --wait=false >/dev/null
    # The kills fall into the pods' deletion, at other moments each time.
    until=$((SECONDS + patience)) kill_until=$((SECONDS + killing)) left=1
    while [ "$left" != 0 ] && [ $SECONDS -lt $until ]; do
        for pid in $(pgrep -x hostpathplugin || :); do
            if [ "$killed" -ge "$kills" ] || [ $SECONDS -ge $kill_until ]; then break; fi
            if kill -KILL "$pid" 2>/dev/null; then killed=$((killed + 1)); fi
            read -r -t "0.$((RANDOM % 3))" -u "$never" || :
        done
        read -r -t "0.$((RANDOM % 4))" -u "$never" || :
        left=$(kubectl get pods -l test=yes --no-headers 2>/dev/null | grep -c "^r$round-" || :)
    done
    deleted=$((deleted + batch))
    if [ "$left" != 0 ]; then
        while read -r name uid; do
            # The driver deletes an inline volume before it answers, and of a deleted one it answers an error: killed
            # in between it is not asked again with success. Nothing is mounted then, and no path is missing.
            journalctl -q --no-pager -b -u kubelet | grep -F "$uid" >said || :
            if ! grep -q "$uid.*kubernetes.io~csi" /proc/1/mountinfo && grep -qF 'does not exist in the volumes list' said; then
                forgotten=$((forgotten + 1))
                # It would be in the way of the last look at what is left.
                kubectl delete pod "$name" --force --grace-period=0 >/dev/null 2>&1 || :
            else
                stuck+=("$name")
                echo "round $round: $name is stuck"
                tail -n 3 said | cut -c1-600
            fi
        done < <(kubectl get pods -l test=yes -o 'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}' | grep "^r$round-")
    fi
    echo "round $round: $killed kills, $deleted pods deleted, ${#stuck[@]} stuck, $forgotten by the driver itself, ${SECONDS} s"
done
# What the driver forgot keeps its empty directory.
if ! eventually 60 no_mount_left >left 2>&1 || [ ${#stuck[@]} != 0 ]; then
    cat left
    awk '$5 ~ "/pods/.*kubernetes.io~csi" { print "mounted: " $5 }' /proc/1/mountinfo
    echo "$killed kills, $deleted pods deleted: ${#stuck[@]} stuck"
    exit 1
fi
[ $forgotten != 0 ] || eventually 60 nothing_left
nothing_planned
echo "$killed kills, $deleted pods deleted: none is stuck, no mount is left, $forgotten forgotten by the driver, ${SECONDS} s"
