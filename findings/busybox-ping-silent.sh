#!/bin/sh
# busybox 1.35's ping says nothing of a gateway that does not answer ARP.
#
# Expected: iputils' ping prints "Destination Host Unreachable" for each packet that the kernel gives up after three
#           requests; RFC 1122, 3.2.2.1: what a Destination Unreachable says must be reported upwards.
# Seen:     "100% packet loss" and not a word of why: it does not ask the kernel for errors (IP_RECVERR).
# Meets it: who tells "ARP unanswered" from "lost on the way" by ping's words, in a pod of busybox or Alpine.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'busybox=1:1.35.0-4*' 'iputils-ping=3:20221126-1*'
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
echo 0 >/proc/sys/net/ipv4/conf/cali0/proxy_arp
for ping in "$T/root/bin/busybox ping" "$T/root/bin/ping"; do
    ip netns exec pod $ping -c 4 -W 5 198.51.100.1 >"$T/said" 2>&1 || true
    echo "$(grep -c Unreachable "$T/said" || true) errors, $(grep -o '100% packet loss' "$T/said")"
done
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "0 errors, 100% packet loss;4 errors, 100% packet loss" ] || changed "busybox 1.35, iputils 20221126: $got"
seen "four pings past a silent gateway, busybox 1.35, then iputils 20221126: $got"
