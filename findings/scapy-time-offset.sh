#!/bin/sh
# Scapy 2.8.0 and python-pcapng 2.1.1 leave out if_tsoffset when they date a frame.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2, if_tsoffset: seconds that have to be added to the time of each packet to have
#           its absolute time; so a writer may count from the start of its run.
# Seen:     the frame is dated 0.5 s after the start of 1970. dpkt, tshark and tcpdump add the offset.
# Meets it: who lays a capture with an offset beside Felix's log or another capture and compares times.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.8.0 python-pcapng==2.1.1
got=$(
    python - "$T/off.pcapng" 2>"$T/log" <<'PY'
import struct, sys
from blocks import *
from pcapng import FileScanner
from scapy.utils import rdpcap
options = option(9, b"\x09") + option(14, struct.pack("<q", START)) + END
open(sys.argv[1], "wb").write(section() + interface(options) + enhanced(500_000_000))
(frame,) = rdpcap(sys.argv[1])
(block,) = (b for b in FileScanner(open(sys.argv[1], "rb")) if hasattr(b, "packet_data") and hasattr(b, "timestamp"))
print(f"scapy {float(frame.time)}, python-pcapng {block.timestamp}")
PY
)
[ "$got" = "scapy 0.5, python-pcapng 0.5" ] || changed "$got $(tail -1 "$T/log")"
seen "a frame of 0.5 s with an offset of 1700000000 s: $got"
