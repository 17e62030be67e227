#!/bin/sh
# busybox 1.35's `ip neigh` always says "used 0/0/0".
#
# Expected: the seconds since the entry was last used, confirmed and updated, as iproute2's `ip -s neigh` has them in the
#           same words.
# Seen:     zeros, three seconds after the entry was made.
# Meets it: who reads in a busybox or Alpine pod when the gateway was last confirmed: "just now", always.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'busybox=1:1.35.0-4*' iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
ip -n pod neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud stale
sleep 3
for ip in "$T/root/bin/busybox ip" "$T/root/sbin/ip -s"; do
    ip netns exec pod $ip neigh | sed -n 's/.*169.254.1.1.* used \([0-9]*\)\/[0-9]*\/\([0-9]*\).*/used \1, updated \2/p'
done
SH
got=$(paste -sd ';' "$T/out" | sed 's/[3-6]/3/g')
[ "$got" = "used 0, updated 0;used 3, updated 3" ] || changed "busybox 1.35, iproute2 6.1.0: $got"
seen "an entry of three seconds ago, busybox 1.35, then iproute2 6.1.0: $got"
