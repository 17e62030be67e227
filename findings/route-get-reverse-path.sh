#!/bin/sh
# `ip route get` calls a source that the reverse path filter refuses an invalid argument.
#
# Expected: ip-route(8), get: the route of a packet as the kernel would choose it, with iif for one that arrives; a word
#           for "not from there". For no forwarding there is one ("No route to host"), for no route another.
# Seen:     "RTNETLINK answers: Invalid argument", as for a mistyped command; with the pod's route or without rp_filter the
#           same line gives a route. iproute2 6.1.0; seen on a kernel of 6.18.
# Meets it: who asks a node, with the very command for it, why it does not answer a pod.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
. "$lib/gateway.sh"
try() { echo "$1: $(ip route get 169.254.1.1 from 10.65.0.2 iif cali0 2>&1 | head -1 | sed 's/ from.*//')"; }
echo 1 >/proc/sys/net/ipv4/conf/cali0/rp_filter
try well
echo 0 >/proc/sys/net/ipv4/conf/cali0/forwarding
try "forwarding 0"
echo 1 >/proc/sys/net/ipv4/conf/cali0/forwarding
ip route del 10.65.0.2
try "no way back"
SH
got=$(paste -sd ';' "$T/out")
want="well: 169.254.1.1;forwarding 0: RTNETLINK answers: No route to host;no way back: RTNETLINK answers: Invalid argument"
[ "$got" = "$want" ] || changed "iproute2 6.1.0 on $(uname -r): $got"
seen "ip route get 6.1.0: $got"
