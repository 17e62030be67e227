#!/bin/sh
# pyroute2 0.9.7 makes a default route of a route to 0.0.0.0 without a length.
#
# Expected: an address without a length is a host: so its own "10.65.0.3", and so `ip route add 0.0.0.0`, which makes a
#           route to one address, 0.0.0.0/32 (projectcalico/calico#4186 has such a table).
# Seen:     0.0.0.0/0.
# Meets it: who stages the node without a default route, which is silent to its pods, in Python: it has one.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips pyroute2==0.9.7
cat >"$T/add.py" <<'PY'
from pyroute2 import IPRoute
with IPRoute() as ip:
    cali0 = ip.link_lookup(ifname="cali0")[0]
    ip.route("add", dst="10.65.0.3", oif=cali0, table=100)
    ip.route("add", dst="0.0.0.0", oif=cali0, table=100)
PY
namespaces >"$T/out" 2>"$T/err" <<'SH'
. "$lib/gateway.sh"
PYTHONPATH="$T/py" PYTHONDONTWRITEBYTECODE=1 python3 -W ignore "$T/add.py"
ip route add 0.0.0.0 dev cali0 table 200
for table in 100 200; do ip route show table $table | awk '{ print $1 }' | sort | paste -sd ' '; done
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "10.65.0.3 default;0.0.0.0" ] || changed "pyroute2 0.9.7: $got $(tail -1 "$T/err")"
seen "routes to 10.65.0.3 and 0.0.0.0 by pyroute2 0.9.7, then to 0.0.0.0 by ip: $got"
