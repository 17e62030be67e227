#!/bin/sh
# `ip monitor neigh` announces an entry that somebody deletes as FAILED before it says that it is deleted.
#
# Expected: ip-neighbour(8): failed: the most probes were sent without success, validation has failed for good.
# Seen:     a PERMANENT entry, for which nothing is ever probed, is FAILED when it is deleted: the kernel passes every
#           deleted entry through that state and tells it. iproute2 6.1.0; seen on a kernel of 6.18.
# Meets it: who restarts a pod whose gateway "FAILED" by a watch over its table: `ip neigh del` and a flush set it off.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add eth0 type veth peer name cali0
ip link set eth0 up
timeout 3 ip monitor neigh >"$T/monitor" 2>&1 &
sleep 1
ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
ip neigh del 169.254.1.1 dev eth0
wait || true
grep 169.254.1.1 "$T/monitor"
SH
got=$(paste -sd ';' "$T/out")
want="169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT ;169.254.1.1 dev eth0 FAILED ;Deleted 169.254.1.1 dev eth0 FAILED "
[ "$got" = "$want" ] || changed "on $(uname -r): $got"
seen "ip monitor 6.1.0, an entry added and deleted: $got"
