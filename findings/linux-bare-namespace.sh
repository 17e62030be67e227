#!/bin/sh
# A packet sent in a namespace before lo is up and an address is there makes the gateway's entry a broadcast for good.
#
# Expected: the pod asks for its gateway's MAC (RFC 826), or has no way to send; and what was wrong before the address is
#           set right by it.
# Seen:     without a local routing table Linux takes every address for a broadcast; the entry is ff:ff:ff:ff:ff:ff NOARP,
#           `ip neigh` does not list it (NOARP), the pod never asks, and the address does not heal it. With lo up first it
#           asks. Seen on a kernel of 6.18; iproute2 6.1.0.
# Meets it: whose CNI plugin sets routes before the address, in a namespace in which something sends early.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
cat >"$T/send.py" <<'PY'
import socket
try:
    socket.socket(2, 2).sendto(b"", ("198.51.100.1", 9))
except OSError:
    pass
PY
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
try() {
    pod=pod-$1
    ip netns add "$pod"
    ip link add "cali-$1" type veth peer name eth0 netns "$pod"
    ip link set "cali-$1" up
    [ "$1" = down ] || ip -n "$pod" link set lo up
    ip -n "$pod" link set eth0 up
    ip -n "$pod" route add 169.254.1.1 dev eth0 scope link
    ip -n "$pod" route add default via 169.254.1.1
    ip netns exec "$pod" python3 "$T/send.py"
    ip -n "$pod" link set lo up
    ip -n "$pod" addr add 10.65.0.2/32 dev eth0
    ip netns exec "$pod" python3 "$T/send.py"
    echo "lo $1 at first: $(ip -n "$pod" neigh show nud all dev eth0 | sed -n 's/^169.254.1.1 *//p')"
}
try down
try up
SH
got=$(paste -sd ';' "$T/out" | sed 's/ *;/;/; s/ *$//')
[ "$got" = "lo down at first: lladdr ff:ff:ff:ff:ff:ff NOARP;lo up at first: INCOMPLETE" ] || changed "Linux $(uname -r): $got"
seen "the gateway's entry after the address is set: $got"
