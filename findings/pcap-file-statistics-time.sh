#!/bin/sh
# pcap-file 2.0.0 and python-pcapng 2.1.1 read the times in an Interface Statistics Block with their halves swapped.
#
# Expected: draft-ietf-opsawg-pcapng, 4.6: a time there has the form of an Enhanced Packet Block's: the high 32 bits
#           first, then the low, in both byte orders. Dumpcap and tshark write one such block into every capture.
# Seen:     little-endian, the eight bytes are read as one number, so that the low half counts 2^32 times: a capture
#           that began in 2023 began 1.7e18 microseconds after 1970. pcap-parser and tshark read it right.
# Meets it: who takes the length of a capture from its statistics to say how long a gateway was silent.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips python-pcapng==2.1.1
python - >"$T/isb.pcapng" <<'PY'
import sys
from blocks import *
start = START * 10**6
sys.stdout.buffer.write(section() + interface() + statistics(start, option(2, high_low(start)) + END))
PY
python - "$T/isb.pcapng" >"$T/py.out" <<'PY'
import sys
from pcapng import FileScanner
for block in FileScanner(open(sys.argv[1], "rb")):
    if type(block).__name__ == "InterfaceStatistics":
        print(block.options["isb_starttime"])
PY
ARGS="$T/isb.pcapng" crates pcap-file@=2.0.0 >"$T/rs.out" <<'RS'
use pcap_file::pcapng::{Block, PcapNgReader};
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let mut reader = PcapNgReader::new(std::fs::File::open(name).unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        if let Block::InterfaceStatistics(s) = block.unwrap() {
            println!("{}", s.timestamp);
        }
    }
}
RS
# 1_700_000_000_000_000 is 0x60a24_181e4000
right=1700000000000000
swapped=$((((right & 0xffffffff) << 32) | (right >> 32)))
[ "$(cat "$T/rs.out")" = "$swapped" ] || changed "pcap-file 2.0.0 gives $(cat "$T/rs.out")"
[ "$(cat "$T/py.out")" = "$swapped" ] || changed "python-pcapng 2.1.1 gives $(cat "$T/py.out")"
seen "pcap-file 2.0.0 and python-pcapng 2.1.1 read $right as $swapped"
