#!/bin/sh
# pcap-file 2.0.0 takes the ticks of a pcapng time stamp for nanoseconds, whatever the interface says they are.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2, if_tsresol: without the option a tick is a microsecond (10^-6). The crate's
#           own `EnhancedPacketBlock::timestamp` is a `Duration`, which is a real length of time.
# Seen:     a frame of 1,700,000,000.123456 s is given as 1,700,000.000123456 s, in January 1970.
# Meets it: who reads a capture of tcpdump or dumpcap with it (microseconds are their habit).
set -eu
. "$(dirname "$0")/lib/common.sh"

python - >"$T/us.pcapng" <<'PY'
import sys
from blocks import *
sys.stdout.buffer.write(section() + interface() + enhanced(START * 10**6 + 123_456))
PY
ARGS="$T/us.pcapng" crates pcap-file@=2.0.0 >"$T/out" <<'RS'
use pcap_file::pcapng::{Block, PcapNgReader};
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let mut reader = PcapNgReader::new(std::fs::File::open(name).unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(p) = block.unwrap() {
            println!("{}", p.timestamp.as_nanos());
        }
    }
}
RS
got=$(cat "$T/out")
[ "$got" = 1700000000123456 ] || changed "pcap-file 2.0.0 gives $got ns"
seen "pcap-file 2.0.0 reads 1700000000.123456 s, counted in microseconds, as $got ns: a thousandth of it"
