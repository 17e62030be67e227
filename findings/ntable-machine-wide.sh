#!/bin/sh
# `ip -s ntable` in a namespace counts the entries and failures of the whole machine.
#
# Expected: network_namespaces(7): a namespace has its own network stack; `ip neigh` in it lists its own entries alone.
# Seen:     a namespace without an entry has "entries" in its table, and one more for each that another namespace makes;
#           res_failed likewise. The table is one for all, and so are its thresholds. iproute2 6.1.0; seen on a kernel of
#           6.18.
# Meets it: who reads in a pod how full its table is, or how many of its own resolutions failed.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip netns add pod
ip link add up0 type veth peer name up1
ip link set up0 up
# others on this machine may make and lose a few meanwhile
entries() { ip -n pod -s ntable show name arp_cache | sed -n 's/.* entries \([0-9]*\).*/\1/p'; }
before=$(entries)
i=0
while [ $i -lt 100 ]; do
    i=$((i + 1))
    ip neigh add 192.168.7.$i lladdr 02:00:00:00:00:01 dev up0 nud permanent
done
more=$(($(entries) - before))
if [ $more -ge 80 ]; then echo "about 100 more"; else echo "$more more"; fi
echo "listed: $(ip -n pod -4 neigh show nud all | grep -c -v ' dev lo ' || true)"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "about 100 more;listed: 0" ] || changed "iproute2 6.1.0 on $(uname -r): $got"
seen "ip -s ntable in a namespace while another makes 100 entries: $got"
