#!/bin/sh
# iproute2 6.1.0 runs two fields of `ip -s neigh` into one: "used 5/4/3probes 4".
#
# Expected: a blank between the times and the word "probes": ip(8) prints fields apart, and `ip -j -s neigh` has five
#           fields (used, confirmed, updated, probes, refcnt).
# Seen:     none, so that a split at blanks finds no field "probes" and a third time that is no number.
# Meets it: who reads from pasted `ip -s neigh` how long ago the gateway was confirmed and how often it was asked.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add eth0 type veth peer name cali0
ip link set eth0 up
ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
ip -s neigh show dev eth0 nud permanent
SH
got=$(cat "$T/out")
echo "$got" | grep -Eq ' used [0-9]+/[0-9]+/[0-9]+probes [0-9]+ ' || changed "iproute2 6.1.0: $got"
seen "iproute2 6.1.0: $got"
