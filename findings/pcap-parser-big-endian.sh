#!/bin/sh
# pcap-parser 0.17.0 reads the numbers in the options of a big-endian section as little-endian.
#
# Expected: draft-ietf-opsawg-pcapng, 3.5 and 4.1: all of a section, the options' values with it, has the byte order of
#           its magic. The crate reads the blocks' fixed fields so.
# Seen:     an if_tsoffset of 1,700,000,000 s comes out as 67,927,162,644,070,400 s, and no way is given to read it right.
# Meets it: who takes a capture on a big-endian router (the uplink of a node, say) and joins it with one of the node.
set -eu
. "$(dirname "$0")/lib/common.sh"

python - >"$T/be.pcapng" <<'PY'
import struct, sys
from blocks import *
options = option(9, b"\x09", ">") + option(14, struct.pack(">q", START), ">") + END
sys.stdout.buffer.write(section(">") + interface(options, ">") + enhanced(5, order=">"))
PY
ARGS="$T/be.pcapng" crates pcap-parser@=0.17.0 >"$T/out" <<'RS'
use pcap_parser::{traits::PcapReaderIterator, Block, PcapBlockOwned, PcapNGReader};
fn main() {
    let file = std::fs::File::open(std::env::args().nth(1).unwrap()).unwrap();
    let mut reader = PcapNGReader::new(65536, file).unwrap();
    while let Ok((length, block)) = reader.next() {
        match block {
            PcapBlockOwned::NG(Block::InterfaceDescription(i)) => println!("offset {}", i.ts_offset()),
            PcapBlockOwned::NG(Block::EnhancedPacket(p)) => println!("ticks {}", p.ts_low),
            _ => {}
        }
        reader.consume(length);
    }
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "offset 67927162644070400;ticks 5" ] || changed "pcap-parser 0.17.0 gives $got"
seen "pcap-parser 0.17.0, big-endian, if_tsoffset 1700000000 and a frame at tick 5: $got"
