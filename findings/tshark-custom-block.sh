#!/bin/sh
# tshark 4.0.17 numbers a pcapng file's Custom Blocks as frames.
#
# Expected: draft-ietf-opsawg-pcapng, 4.7: a Custom Block holds what its maker wants, and is no packet; a reader that does
#           not know it skips it. capinfos of the same package counts one packet, and so do tcpdump and Scapy.
# Seen:     the block is frame 1, of 12 bytes and no time; the ARP request behind it is frame 2.
# Meets it: who keeps a lab's own events between the frames of a capture (gont does) and speaks of frames by number.
set -eu
. "$(dirname "$0")/lib/common.sh"

tshark_debs
python - >"$T/c.pcapng" <<'PY'
import struct, sys
from blocks import *
event = block(0xBAD, struct.pack("<I", 32473) + b"host-up held")  # the enterprise number for examples
sys.stdout.buffer.write(section() + interface() + event + enhanced(START * 10**6))
PY
got=$(tshark -r "$T/c.pcapng" -T fields -e frame.number -e frame.len -e frame.time_epoch -e arp.opcode | tr '\t\n' ' ;') ||
    cannot "tshark: $(tail -1 "$T/log")"
[ "$got" = "1 12  ;2 42 1700000000.000000000 1;" ] || changed "tshark 4.0.17: $got"
seen "tshark 4.0.17, an event and one ARP request: number, length, time, ARP operation: $got"
