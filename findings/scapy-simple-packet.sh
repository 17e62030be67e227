#!/bin/sh
# Scapy 2.8.0 empties the frames of a pcapng file's Simple Packet Blocks when the interface has no snap length.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2: a SnapLen of 0 means no limit; so 4.4's "smaller of the two lengths" is the
#           packet's own.
# Seen:     the frame is cut to 0 bytes, and what Scapy shows is an Ethernet header of its own making, with no ARP in it.
#           With a snap length of 262,144 the same frame is whole.
# Meets it: who reads a capture of a small device with Scapy and concludes that nobody asked.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.8.0
got=$(
    python - "$T" 2>"$T/log" <<'PY'
import sys
from blocks import *
from scapy.layers.l2 import ARP
from scapy.utils import rdpcap
for limit in 0, 262144:
    name = f"{sys.argv[1]}/{limit}.pcapng"
    open(name, "wb").write(section() + interface(snaplen=limit) + simple())
    (frame,) = rdpcap(name)
    print(f"snap length {limit}: {'ARP' if ARP in frame else 'no ARP'};", end=" ")
PY
)
[ "$got" = "snap length 0: no ARP; snap length 262144: ARP; " ] || changed "Scapy 2.8.0: $got $(tail -1 "$T/log")"
seen "Scapy 2.8.0, the same request in a Simple Packet Block: $got"
