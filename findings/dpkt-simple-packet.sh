#!/bin/sh
# dpkt 1.9.8 leaves out the frames of a pcapng file's Simple Packet Blocks, without a word.
#
# Expected: draft-ietf-opsawg-pcapng, 4.4: a Simple Packet Block stores a packet, and a reader of packets gives it or
#           says that it cannot.
# Seen:     of a request in a simple block and a reply in an enhanced one only the reply is given: an answer that
#           nobody asked for. tshark and tcpdump give both.
# Meets it: who counts requests without an answer in a capture of a small device, which has no clock to stamp frames.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips dpkt==1.9.8
python - >"$T/spb.pcapng" <<'PY'
import sys
from blocks import *
sys.stdout.buffer.write(section() + interface() + simple() + enhanced(START * 10**6))
PY
got=$(python - "$T/spb.pcapng" <<'PY'
import sys
import dpkt
print(*(len(f) for _, f in dpkt.pcapng.Reader(open(sys.argv[1], "rb"))))
PY
)
[ "$got" = 42 ] || changed "dpkt 1.9.8 gives frames of $got bytes"
seen "dpkt 1.9.8, two frames of 42 bytes, one in a Simple Packet Block: one frame is given"
