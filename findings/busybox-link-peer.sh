#!/bin/sh
# busybox 1.35's `ip link` names a veth's other end after whatever has that number in the namespace at hand.
#
# Expected: the number of the other end counts in the other namespace: iproute2 says "eth0@if2".
# Seen:     "eth0@eth0", as if the interface were its own peer, where the other end's number is the pod's eth0's.
# Meets it: who looks for a pod's host end from inside a busybox or Alpine pod: by number 2 (or 3) it finds the pod's own
#           interfaces.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'busybox=1:1.35.0-4*' iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
for ip in "$T/root/bin/busybox ip" "$T/root/sbin/ip"; do
    ip netns exec pod $ip link show eth0 | sed -n 's/.* \(eth0@[a-z0-9]*\):.*/\1/p'
done
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "eth0@eth0;eth0@if2" ] || changed "busybox 1.35, iproute2 6.1.0: $got"
seen "a pod's eth0, busybox 1.35, then iproute2 6.1.0: $got"
