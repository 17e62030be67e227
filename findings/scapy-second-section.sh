#!/bin/sh
# Scapy 2.8.0 and dpkt 1.9.8 count the time of a pcapng file's second section with the clock of its first.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2: an interface belongs to the section it stands in, and its number is counted
#           from 0 again in the next. Files put one behind the other (cat a b) are a valid file, so the draft, 4.1.
# Seen:     after a section in nanoseconds, a frame in microseconds of 2023 is dated January 1970. tshark, tcpdump and
#           pcap-parser read the same file right.
# Meets it: who joins arplab's capture (nanoseconds) with one of tcpdump or dumpcap (microseconds) and reads the whole.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.8.0 dpkt==1.9.8
python - >"$T/two.pcapng" <<'PY'
import sys
from blocks import *
nano = section() + interface(option(9, b"\x09") + END) + enhanced(START * 10**9)
micro = section() + interface() + enhanced(START * 10**6)
sys.stdout.buffer.write(nano + micro)
PY
python - "$T/two.pcapng" 2>"$T/log" >"$T/out" <<'PY'
import sys
from scapy.utils import rdpcap
import dpkt
print("scapy", *(int(p.time) for p in rdpcap(sys.argv[1])))
print("dpkt", *(int(t) for t, _ in dpkt.pcapng.Reader(open(sys.argv[1], "rb"))))
PY
got=$(paste -sd ';' "$T/out")
[ "$got" = "scapy 1700000000 1700000;dpkt 1700000000 1700000" ] || changed "$got $(tail -1 "$T/log")"
seen "two frames of second 1700000000, one in each section: $got"
