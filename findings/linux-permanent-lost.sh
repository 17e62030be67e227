#!/bin/sh
# A PERMANENT neighbour entry goes when its interface is set down.
#
# Expected: ip-neighbour(8): permanent: valid forever, and can only be removed administratively; nobody removes it.
# Seen:     `ip link set down`, then up: no entry; a proxy entry goes likewise, and proxy_arp stays. A loss of carrier
#           leaves both. Seen on a kernel of 6.18; iproute2 6.1.0.
# Meets it: who gives pods or hosts static entries against unanswered ARP, and has something that restarts links.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
. "$lib/gateway.sh"
count() { ip neigh show "$@" dev cali0 | grep -c '10.65.0' || true; }
try() {
    ip neigh replace 10.65.0.2 lladdr 02:00:00:00:00:02 dev cali0 nud permanent
    ip neigh replace proxy 10.65.0.9 dev cali0
    eval "$2"
    sleep 2
    echo "$1: $(count nud permanent) permanent, $(count proxy) proxy, proxy_arp $(cat /proc/sys/net/ipv4/conf/cali0/proxy_arp)"
}
try "carrier lost and back" 'ip -n pod link set eth0 down; sleep 2; ip -n pod link set eth0 up'
try "down and up" 'ip link set cali0 down; ip link set cali0 up'
SH
got=$(paste -sd ';' "$T/out")
want="carrier lost and back: 1 permanent, 1 proxy, proxy_arp 1;down and up: 0 permanent, 0 proxy, proxy_arp 1"
[ "$got" = "$want" ] || changed "Linux $(uname -r): $got"
seen "$got"
