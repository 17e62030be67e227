#!/bin/sh
# pcap-parser 0.17.0 has no time for any interface whose ticks are a power of two.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2, if_tsresol: with the highest bit set the other seven are a power of two; the
#           draft's own example is 0x8A, 1/1024 s. `ts_resolution` promises None for what is too large.
# Seen:     None for 0x8A: the limit of 63 is held against the byte with its highest bit.
# Meets it: who reads captures of hardware that counts in binary fractions, beside one of arplab's.
set -eu
. "$(dirname "$0")/lib/common.sh"

python - >"$T/pow2.pcapng" <<'PY'
import sys
from blocks import *
sys.stdout.buffer.write(section() + interface(option(9, b"\x8a") + END) + enhanced(START * 1024 + 512))
PY
ARGS="$T/pow2.pcapng" crates pcap-parser@=0.17.0 >"$T/out" <<'RS'
use pcap_parser::{traits::PcapReaderIterator, Block, PcapBlockOwned, PcapNGReader};
fn main() {
    let file = std::fs::File::open(std::env::args().nth(1).unwrap()).unwrap();
    let mut reader = PcapNGReader::new(65536, file).unwrap();
    while let Ok((length, block)) = reader.next() {
        if let PcapBlockOwned::NG(Block::InterfaceDescription(i)) = block {
            println!("{:#x}: {:?}", i.if_tsresol, i.ts_resolution());
        }
        reader.consume(length);
    }
}
RS
got=$(cat "$T/out")
[ "$got" = "0x8a: None" ] || changed "pcap-parser 0.17.0 gives $got"
seen "pcap-parser 0.17.0, if_tsresol and ticks per second: $got (1024 is right)"
