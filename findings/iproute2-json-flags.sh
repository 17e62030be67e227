#!/bin/sh
# iproute2 6.1.0 writes flags into JSON as keys without a value, so that a reader takes "not" and "managed" for absent.
#
# Expected: a flag that is set to be true in JSON (RFC 8259 has the word), as `ip -j netconf` of the same package does.
# Seen:     `"not": null`, `"managed": null`, `"proxy": null`. In Python and JavaScript null is false; serde's
#           Option<bool> is None for null as for no key at all. A rule "not from 10.65.0.2" is then read as its opposite.
# Meets it: who reads a node's rules and neighbours from `ip -j` to say which way an answer goes.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add cali0 type veth peer name eth0
ip link set cali0 up
ip rule add priority 10 not from 10.65.0.2 lookup 100
ip neigh add 10.65.0.2 dev cali0 managed
ip neigh add proxy 169.254.1.1 dev cali0
ip -j rule show priority 10
echo
ip -j neigh show
echo
ip -j neigh show proxy
echo
ip -j netconf show dev cali0
SH
got=$(python - "$T/out" <<'PY'
import json, sys
rule, entry, proxy, conf = (json.loads(line)[0] for line in open(sys.argv[1]) if line.strip())
print(f"not={rule['not']} managed={entry['managed']} proxy={proxy['proxy']} proxy_neigh={conf['proxy_neigh']}")
PY
)
[ "$got" = "not=None managed=None proxy=None proxy_neigh=False" ] || changed "iproute2 6.1.0: $got"
seen "iproute2 6.1.0, set flags as a JSON reader has them: $got"
