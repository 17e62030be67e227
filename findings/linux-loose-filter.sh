#!/bin/sh
# On an interface without an address, Linux's loose reverse path filter (rp_filter=2) is as strict as the strict one.
#
# Expected: the kernel's ip-sysctl, rp_filter: 2, loose mode: a packet fails if its source is not reachable by any
#           interface (RFC 3704, 2.4).
# Seen:     the pod's address is reachable, by another interface, and the host's end without an address refuses it; give
#           that end any address, and the same packet passes. Linux 6.18, `ip route get` of iproute2 6.1.0, and ARP, which
#           asks the same.
# Meets it: who sets rp_filter to 2 on a node of unnumbered interfaces, Calico's for one, against a gateway that is silent
#           while the route to the pod is missing or elsewhere: nothing changes.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3 'iputils-arping=3:20221126-1*'
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
. "$lib/gateway.sh"
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
echo 2 >/proc/sys/net/ipv4/conf/cali0/rp_filter
ip route replace 10.65.0.2 dev uplink
try() {
    route=refused arp=silent
    ip route get 169.254.1.1 from 10.65.0.2 iif cali0 >/dev/null 2>&1 && route=passes
    ip netns exec pod "$T/root/usr/bin/arping" -c 1 -w 2 -I eth0 169.254.1.1 >/dev/null 2>&1 && arp=answered
    echo "$1: $route, ARP $arp"
}
try unnumbered
ip addr add 198.51.100.1/32 dev cali0
try numbered
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "unnumbered: refused, ARP silent;numbered: passes, ARP answered" ] || changed "Linux $(uname -r): $got"
seen "rp_filter=2, the pod reachable by another interface: $got"
