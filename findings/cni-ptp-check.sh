#!/bin/sh
# The CNI plugin `ptp` 1.1.1 checks the pod's end of a pod's link and never the host's.
#
# Expected: CNI specification 1.0.0, CHECK: the plugin should return an error if a resource of the result (interface,
#           address or route) that it made is missing or in an invalid state. The result lists the host's end, with its
#           MAC. The plugin's check of the pod's end does just that.
# Seen:     success with the host's end down, with another MAC, without its address (the pod's gateway), without the
#           route to the pod, and renamed; an error once the pod's MAC differs.
# Meets it: who hopes that CHECK shows a pod whose gateway does not answer.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'containernetworking-plugins=1.1.1+ds1-3*'
namespaces >"$T/out" <<'SH'
mount -t tmpfs none /var/lib
export CNI_PATH="$T/root/usr/lib/cni" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0
conf='"cniVersion": "1.0.0", "name": "n", "type": "ptp",
  "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1"}]}'
check() {
    ip netns add pod
    result=$(echo "{$conf}" | CNI_COMMAND=ADD "$CNI_PATH/ptp")
    host=$(ip -o link show type veth | sed 's/.*: \(veth[0-9a-f]*\)@.*/\1/')
    eval "$2"
    if echo "{$conf, \"prevResult\": $result}" | CNI_COMMAND=CHECK "$CNI_PATH/ptp" >/dev/null; then
        echo "$1: success"
    else
        echo "$1: error"
    fi
    echo "{$conf}" | CNI_COMMAND=DEL "$CNI_PATH/ptp"
    ip netns del pod
}
check "host's end down" 'ip link set "$host" down'
check "its MAC changed" 'ip link set "$host" address 02:00:00:00:00:99'
check "its address gone" 'ip addr flush dev "$host"'
check "route to the pod gone" 'ip route del 10.1.0.5 dev "$host"'
check "renamed" 'ip link set "$host" down; ip link set "$host" name other; ip link set other up'
check "pod's MAC changed" 'ip -n pod link set eth0 address 02:00:00:00:00:99'
SH
got=$(paste -sd ',' "$T/out" | sed 's/,/, /g')
want="host's end down: success, its MAC changed: success, its address gone: success, route to the pod gone: success, renamed: success, pod's MAC changed: error"
[ "$got" = "$want" ] || changed "ptp 1.1.1: $got"
seen "ptp 1.1.1, CHECK: $got"
