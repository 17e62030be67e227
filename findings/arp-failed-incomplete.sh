#!/bin/sh
# `arp -n` of net-tools calls an entry incomplete whose resolution has failed and that nobody asks for any more.
#
# Expected: "incomplete" to mean what ip-neighbour(8) says: not yet resolved, requests are on their way.
# Seen:     FAILED and INCOMPLETE are one in /proc/net/arp (flags 0x0, MAC of zeros), which arp(8) reads; both are shown
#           as "(incomplete)". net-tools 2.10.
# Meets it: who pastes `arp -n` of a pod: whether its gateway is asked now or was given up cannot be seen from it.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'net-tools=2.10-0.1*'
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
echo 0 >/proc/sys/net/ipv4/conf/cali0/proxy_arp
ip -n pod neigh add 10.65.0.9 dev eth0 nud failed
# a datagram to an address that does not answer: its entry is being resolved for three seconds
ip netns exec pod python3 -c 'import socket; socket.socket(2, 2).sendto(b"", ("198.51.100.1", 9))'
ip -n pod neigh show dev eth0 | awk '{ print $1, $NF }'
ip netns exec pod "$T/root/usr/sbin/arp" -n | awk 'NR > 1 { print $1, $2, $3 }'
SH
got=$(sort "$T/out" | paste -sd ';' | tr -s ' ')
case $got in
"10.65.0.9 (incomplete) eth0;10.65.0.9 FAILED;169.254.1.1 (incomplete) eth0;169.254.1.1 INCOMPLETE") seen "net-tools 2.10 and ip: $got" ;;
*) changed "net-tools 2.10 and ip: $got" ;;
esac
