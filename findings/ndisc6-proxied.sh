#!/bin/sh
# ndisc6 1.0.5 says "No response" of an address that a node proxies, while it is answered.
#
# Expected: ndisc6(8): the link-layer address of the node that has the IPv6 address. RFC 4861, 7.2.5: an advertisement is
#           told by its target; 7.2.8: a proxy's is sent by another node than the target.
# Seen:     an advertisement for the right target on the wire at once, from the node's own address, and "Timed out". The
#           pod's kernel takes the same one. Linux 6.18 as the proxy.
# Meets it: who tests a node's proxy_ndp from a pod with the tool made for it.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'ndisc6=1.0.5-1*'
cat >"$T/count.py" <<'PY'
# how many advertisements for 2001:db8::8 are seen until the file of the second argument is there
import os, select, socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
s.bind(("eth0", 0x86DD))
open(sys.argv[1], "w").close()
target, seen = socket.inet_pton(socket.AF_INET6, "2001:db8::8"), 0
while not os.path.exists(sys.argv[2]):
    if select.select([s], [], [], 0.1)[0]:
        frame = s.recv(2000)
        seen += frame[20] == 58 and frame[54] == 136 and frame[62:78] == target
print(f"on the wire: {seen} for 2 solicitations")
PY
namespaces >"$T/out" 2>"$T/err" <<'SH'
. "$lib/gateway.sh"
ip netns exec pod sh -c 'echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad'
ip -n pod addr add 2001:db8::2/64 dev eth0
ip -6 route add default dev uplink
ip -6 route add 2001:db8::2 dev cali0
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 1 >/proc/sys/net/ipv6/conf/cali0/proxy_ndp
echo 0 >/proc/sys/net/ipv6/neigh/cali0/proxy_delay
ip neigh add proxy 2001:db8::8 dev cali0
sleep 3
ip netns exec pod python3 "$T/count.py" /run/ready /run/end &
while [ ! -e /run/ready ]; do sleep 0.05; done
ip netns exec pod "$T/root/usr/bin/ndisc6" -r 2 2001:db8::8 eth0 | tail -1
touch /run/end
wait
ip netns exec pod python3 -c 'import socket; socket.socket(10, 2).sendto(b"", ("2001:db8::8", 9))'
sleep 0.5
echo "kernel: $(ip -n pod neigh show 2001:db8::8 dev eth0 | grep -o 'lladdr [^ ]*')"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "No response.;on the wire: 2 for 2 solicitations;kernel: lladdr ee:ee:ee:ee:ee:ee" ] || changed "$got $(tail -1 "$T/err")"
seen "ndisc6 1.0.5, of a proxied address: $got"
