#!/bin/sh
# pcap-file 2.0.0 hands out the padding of a Simple Packet Block as part of the frame.
#
# Expected: draft-ietf-opsawg-pcapng, 4.4: the frame has min(snap length, original length) bytes; the padding to 32 bits
#           is not part of it. The crate's Enhanced Packet Block holds to that.
# Seen:     an ARP frame of 42 bytes comes out with 44.
# Meets it: who judges the length of frames (a reply of Linux has 42 bytes, unpadded on a veth; a padded one was on a
#           real wire), or writes such frames on.
set -eu
. "$(dirname "$0")/lib/common.sh"

python - >"$T/spb.pcapng" <<'PY'
import sys
from blocks import *
sys.stdout.buffer.write(section() + interface() + simple() + enhanced(START * 10**6))
PY
ARGS="$T/spb.pcapng" crates pcap-file@=2.0.0 >"$T/out" <<'RS'
use pcap_file::pcapng::{Block, PcapNgReader};
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let mut reader = PcapNgReader::new(std::fs::File::open(name).unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        match block.unwrap() {
            Block::SimplePacket(p) => println!("simple {} of {}", p.data.len(), p.original_len),
            Block::EnhancedPacket(p) => println!("enhanced {} of {}", p.data.len(), p.original_len),
            _ => {}
        }
    }
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "simple 44 of 42;enhanced 42 of 42" ] || changed "pcap-file 2.0.0 gives: $got"
seen "pcap-file 2.0.0, one ARP frame of 42 bytes in two kinds of block: $got"
