#!/bin/sh
# Debian has two programs called arping, and with -b one of them asks from an address that Linux never answers.
#
# Expected: -b as in the other: iputils' arping(8) has it for "broadcast all requests", and gets its answers.
# Seen:     `arping -b` of the package arping (Habets) sends the request with sender 255.255.255.255, as its own manual
#           says; Linux drops such a request (the way back to it is no unicast route), and the gateway looks dead.
# Meets it: who follows a runbook written for the other arping; `which arping` tells nothing.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs arping=2.23-1 'iputils-arping=3:20221126-1*' libnet1=1.1.6+dfsg-3.2 libpcap0.8=1.10.3-1
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
try() {
    if ip netns exec pod "$@" >/dev/null 2>&1; then echo answered; else echo silent; fi
}
echo "iputils: $(try "$T/root/usr/bin/arping" -c 1 -w 2 -I eth0 169.254.1.1)"
echo "iputils -b: $(try "$T/root/usr/bin/arping" -b -c 1 -w 2 -I eth0 169.254.1.1)"
echo "Habets: $(try "$T/root/usr/sbin/arping" -c 1 -i eth0 169.254.1.1)"
echo "Habets -b: $(try "$T/root/usr/sbin/arping" -b -c 1 -i eth0 169.254.1.1)"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "iputils: answered;iputils -b: answered;Habets: answered;Habets -b: silent" ] || changed "$got"
seen "arping 2.23 (Habets) and iputils 20221126 at one gateway: $got"
