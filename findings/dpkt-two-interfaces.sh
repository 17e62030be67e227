#!/bin/sh
# dpkt 1.9.8 counts the time of every interface of a pcapng file with the clock of the first.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2 and 4.3: a time stamp counts in the if_tsresol of the interface that the
#           packet names.
# Seen:     with a first interface in microseconds, the frames of a second one in nanoseconds are dated in the year
#           55841. Scapy, tshark and tcpdump read the same file right.
# Meets it: who merges a capture of the pod's end with one of the host's end (mergecap keeps both interfaces).
set -eu
. "$(dirname "$0")/lib/common.sh"

pips dpkt==1.9.8
python - >"$T/two.pcapng" <<'PY'
import sys
from blocks import *
ends = interface(option(2, b"eth0") + END) + interface(option(2, b"cali0") + option(9, b"\x09") + END)
sys.stdout.buffer.write(section() + ends + enhanced(START * 10**6) + enhanced(START * 10**9, on=1))
PY
got=$(python - "$T/two.pcapng" <<'PY'
import sys
import dpkt
print(*(int(t) for t, _ in dpkt.pcapng.Reader(open(sys.argv[1], "rb"))))
PY
)
[ "$got" = "1700000000 1700000000000" ] || changed "dpkt 1.9.8 gives $got"
seen "dpkt 1.9.8, a frame of second 1700000000 on each of two interfaces: $got"
