#!/bin/sh
# `arping -D` finds 169.254.1.1 free to take while the node answers for it.
#
# Expected: iputils' arping(8), -D: duplicate address detection (RFC 2131, 4.4.1); exit 0 when the address is free.
#           Somebody answers every other request for it.
# Seen:     exit 0 and no answer: a probe comes from 0.0.0.0 (RFC 5227, 2.1.1), and Linux answers probes for its own
#           addresses alone, never for those that it proxies. iputils 20221126; seen on a kernel of 6.18.
# Meets it: who tests a pod's gateway with -D, or trusts it before giving an address to a pod on a proxying node.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'iputils-arping=3:20221126-1*'
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
arping() { ip netns exec pod "$T/root/usr/bin/arping" "$@" >"$T/said" 2>&1; }
arping -c 1 -w 2 -I eth0 169.254.1.1 && echo "asked: $(grep Received "$T/said")"
arping -D -c 1 -w 2 -I eth0 169.254.1.1 && echo "probed: $(grep Received "$T/said"), exit 0"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "asked: Received 1 response(s);probed: Received 0 response(s), exit 0" ] || changed "$got"
seen "iputils arping 20221126 at a proxying gateway: $got"
