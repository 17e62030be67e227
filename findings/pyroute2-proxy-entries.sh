#!/bin/sh
# pyroute2 0.9.7 adds proxy entries and cannot list them.
#
# Expected: `neigh("add", flags=8)` (NTF_PROXY) makes one; `neigh("dump", flags=8)` or get_neighbours() with it lists them,
#           as `ip neigh show proxy` does: the kernel lists proxies when the request has that flag.
# Seen:     an empty list: the flag filters what the kernel was not asked for. A filter on the state works.
# Meets it: who collects from a node, in Python, for which addresses it answers by `ip neigh add proxy`: for none.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips pyroute2==0.9.7
cat >"$T/list.py" <<'PY'
from pyroute2 import IPRoute
with IPRoute() as ip:
    cali0 = ip.link_lookup(ifname="cali0")[0]
    ip.neigh("add", dst="169.254.1.1", ifindex=cali0, flags=8)
    ip.neigh("add", dst="10.65.0.9", lladdr="02:00:00:00:00:09", ifindex=cali0)
    dump = lambda **filters: [n.get_attr("NDA_DST") for n in ip.neigh("dump", family=2, **filters)]
    print(f"permanent {dump(state=128)}, proxies {dump(flags=8)}")
PY
namespaces >"$T/out" 2>"$T/err" <<'SH'
. "$lib/gateway.sh"
PYTHONPATH="$T/py" PYTHONDONTWRITEBYTECODE=1 python3 -W ignore "$T/list.py"
echo "ip: $(ip neigh show proxy)"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "permanent ['10.65.0.9'], proxies [];ip: 169.254.1.1 dev cali0 proxy " ] || changed "pyroute2 0.9.7: $got $(tail -1 "$T/err")"
seen "pyroute2 0.9.7: $got"
