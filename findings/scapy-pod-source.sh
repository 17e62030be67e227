#!/bin/sh
# In a pod as Calico makes it, Scapy 2.8.0 sends from 0.0.0.0 and finds no MAC for its gateway.
#
# Expected: the source that the kernel takes (`ip route get`): the pod's address. Scapy's documentation has the source
#           filled in from its routing table, which it reads from the kernel.
# Seen:     0.0.0.0 for everything past 169.254.1.1: the route's next hop lies in no network of the pod's /32 address.
#           Its ARP request then is a probe from 0.0.0.0, and Linux proxies for no such request: no answer.
# Meets it: who runs Scapy in a Calico pod to see whether the gateway answers: it seems not to.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.8.0
cat >"$T/ask.py" <<'PY'
from scapy.all import IP, conf, getmacbyip
conf.verb = 0
print(f"Scapy: from {IP(dst='198.51.100.1').src}, gateway's MAC {getmacbyip('198.51.100.1')}")
PY
namespaces >"$T/out" 2>"$T/err" <<'SH'
. "$lib/gateway.sh"
export PYTHONPATH="$T/py" PYTHONDONTWRITEBYTECODE=1
ip netns exec pod python3 -W ignore "$T/ask.py"
kernel=$(ip -n pod route get 198.51.100.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')
ip netns exec pod python3 -c 'import socket; socket.socket(2, 2).sendto(b"", ("198.51.100.1", 9))'
sleep 0.2
echo "kernel: from $kernel, gateway's MAC $(ip -n pod neigh show 169.254.1.1 | sed 's/.*lladdr \([^ ]*\).*/\1/')"
SH
got=$(paste -sd ';' "$T/out")
want="Scapy: from 0.0.0.0, gateway's MAC None;kernel: from 10.65.0.2, gateway's MAC ee:ee:ee:ee:ee:ee"
[ "$got" = "$want" ] || changed "Scapy 2.8.0: $got $(tail -1 "$T/err")"
seen "$got"
