#!/bin/sh
# tshark 4.0.17 calls an address duplicate because a node answers for it by proxy ARP on another interface.
#
# Expected: an address has one owner on a link; the interfaces of a capture (pcapng has a number for each) are links of
#           their own, and on each of these two the address has one MAC alone.
# Seen:     pod 10.65.0.3 asks for its gateway on cali1, and the node answers pod 10.65.0.2 for 10.65.0.3 on cali0:
#           "Duplicate IP address configured (10.65.0.3)". With cali0's frames alone there is no warning.
# Meets it: who captures a node's cali interfaces into one file: proxy ARP, which works as it should, looks like a
#           conflict of addresses.
set -eu
. "$(dirname "$0")/lib/common.sh"

tshark_debs
python - "$T" <<'PY'
import sys
from ipaddress import ip_address
from blocks import *
POD, NODE, NOBODY = bytes.fromhex("0200000a4103"), b"\xee" * 6, bytes(6)
def arp(operation, sha, spa, tha, tpa, to):
    head = to + sha + bytes.fromhex("080600010800060400") + bytes([operation])
    return head + sha + ip_address(spa).packed + tha + ip_address(tpa).packed
asks = arp(1, POD, "10.65.0.3", NOBODY, "169.254.1.1", b"\xff" * 6)
proxied = arp(2, NODE, "10.65.0.3", REQUEST[6:12], "10.65.0.2", REQUEST[6:12])
ends = interface(option(2, b"cali0") + END) + interface(option(2, b"cali1") + END)
both = enhanced(START * 10**6, asks, on=1) + enhanced(START * 10**6 + 9, proxied)
open(f"{sys.argv[1]}/both.pcapng", "wb").write(section() + ends + both)
open(f"{sys.argv[1]}/cali0.pcapng", "wb").write(section() + ends + enhanced(START * 10**6 + 9, proxied))
PY
for file in both cali0; do
    tshark -r "$T/$file.pcapng" -Y arp.duplicate-address-detected -T fields -e frame.interface_name -e _ws.expert.message \
        >"$T/$file" || cannot "tshark: $(tail -1 "$T/log")"
done
got="both: $(tr '\t' ' ' <"$T/both"); cali0 alone: $(cat "$T/cali0")"
[ "$got" = "both: cali0 Duplicate IP address configured (10.65.0.3); cali0 alone: " ] || changed "tshark 4.0.17: $got"
seen "tshark 4.0.17, ${got}no warning"
