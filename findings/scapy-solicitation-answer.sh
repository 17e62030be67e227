#!/bin/sh
# Scapy 2.8.0's sr() does not take the answer to a duplicate address detection for an answer.
#
# Expected: RFC 4861, 7.2.4: a solicitation from :: is answered with an advertisement to all nodes (ff02::1), not marked
#           as solicited; RFC 4862, 5.4.4, waits for just that. `answers()` is what sr() and sr1() match by.
# Seen:     `answers()` says no to it and yes to the same advertisement sent to the asker's own address; so sr1() reports
#           an address as free that another has just defended.
# Meets it: who tests with Scapy what a node's NDP proxy or responder says to a pod's duplicate address detection.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.8.0
got=$(
    python - 2>"$T/log" <<'PY'
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
target, asker = "fe80::1", "fe80::2"
def advert(to, solicited):
    lladdr = ICMPv6NDOptDstLLAddr(lladdr="ee:ee:ee:ee:ee:ee")
    return IPv6(bytes(IPv6(src=target, dst=to) / ICMPv6ND_NA(tgt=target, S=solicited, O=1) / lladdr))
def solicit(source):
    return IPv6(bytes(IPv6(src=source, dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt=target)))
print(f"resolution: {advert(asker, 1).answers(solicit(asker))}, detection: {advert('ff02::1', 0).answers(solicit('::'))}")
PY
)
[ "$got" = "resolution: True, detection: False" ] || changed "Scapy 2.8.0: $got $(tail -1 "$T/log")"
seen "Scapy 2.8.0, does the advertisement answer: $got"
