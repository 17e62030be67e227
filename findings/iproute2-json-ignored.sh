#!/bin/sh
# iproute2 6.1.0 takes -j for `ip monitor` and `ip neigh get` and writes text all the same, without a word.
#
# Expected: ip(8): -j, -json: output results in JSON; other `ip neigh` commands do.
# Seen:     text on standard output, exit 0.
# Meets it: who watches a pod's entry for its gateway with `ip -j monitor neigh` and feeds the lines to a JSON reader.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add eth0 type veth peer name cali0
ip link set eth0 up
timeout 3 ip -j monitor neigh >"$T/monitor" 2>&1 &
sleep 1
ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0 nud permanent
wait || true
grep 169.254.1.1 "$T/monitor"
ip -j neigh get 169.254.1.1 dev eth0
ip -j neigh show 169.254.1.1 dev eth0
SH
got=$(paste -sd ';' "$T/out")
case $got in
"169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT ;169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee PERMANENT ;[{"*)
    seen "iproute2 6.1.0, ip -j monitor, get, show: $got" ;;
*) changed "iproute2 6.1.0: $got" ;;
esac
