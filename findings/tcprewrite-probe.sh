#!/bin/sh
# tcprewrite 4.4.3, asked to disguise addresses, makes an ordinary request of a duplicate address probe.
#
# Expected: tcprewrite(1), --seed: source and destination addresses are changed at random and keep their relations. 0.0.0.0 is
#           not an address of anybody: in ARP it is what makes a request a probe (RFC 5227, 1.1), and in IPv4 it means
#           "this host" (RFC 1122, 3.2.1.3).
# Seen:     the sender 0.0.0.0 becomes an address like any other.
# Meets it: who disguises a capture before showing it: a probe, which a proxying node rightly does not answer, is then an
#           unanswered request.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs tcpreplay=4.4.3-1 libdumbnet1=1.16.3-1 libopts25
python - "$T/probe.pcap" <<'PY'
import struct, sys
from blocks import *
probe = bytearray(REQUEST)
probe[28:32] = bytes(4)  # the sender's address
head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
open(sys.argv[1], "wb").write(head + struct.pack("<IIII", START, 0, len(probe), len(probe)) + probe)
PY
"$T/root/usr/bin/tcprewrite" --seed=423 -i "$T/probe.pcap" -o "$T/out.pcap" 2>"$T/log" || cannot "tcprewrite: $(cat "$T/log")"
got=$(python - "$T/probe.pcap" "$T/out.pcap" <<'PY'
import sys
print(*(".".join(map(str, open(name, "rb").read()[40 + 28 : 40 + 32])) for name in sys.argv[1:]))
PY
)
case $got in
"0.0.0.0 0.0.0.0") changed "tcprewrite 4.4.3 leaves 0.0.0.0 alone" ;;
"0.0.0.0 "*.*.*.*) seen "tcprewrite 4.4.3, a probe's sender before and after: $got" ;;
*) changed "tcprewrite 4.4.3: $got" ;;
esac
