#!/bin/sh
# pcap-parser 0.17.0 looks for an interface's IPv6 addresses among its IPv4 addresses.
#
# Expected: `if_ipv6addr` gives the values of if_IPv6addr (draft-ietf-opsawg-pcapng, 4.2: option 5, 17 bytes), and None
#           where there is none, as its documentation says.
# Seen:     with an IPv6 address alone None; with an IPv4 address alone an error, "invalid length".
# Meets it: who tells a pod's end from the host's by the addresses in a dual-stack capture.
set -eu
. "$(dirname "$0")/lib/common.sh"

python - >"$T/addr.pcapng" <<'PY'
import ipaddress, sys
from blocks import *
v4 = option(4, bytes([10, 65, 0, 2, 255, 255, 255, 255]))
v6 = option(5, ipaddress.ip_address("2001:db8::2").packed + b"\x80")
sys.stdout.buffer.write(section() + interface(v6 + END) + interface(v4 + END))
PY
ARGS="$T/addr.pcapng" crates pcap-parser@=0.17.0 >"$T/out" <<'RS'
use pcap_parser::{traits::PcapReaderIterator, Block, PcapBlockOwned, PcapNGReader};
fn main() {
    let file = std::fs::File::open(std::env::args().nth(1).unwrap()).unwrap();
    let mut reader = PcapNGReader::new(65536, file).unwrap();
    while let Ok((length, block)) = reader.next() {
        if let PcapBlockOwned::NG(Block::InterfaceDescription(i)) = block {
            println!("{:?}", i.if_ipv6addr());
        }
        reader.consume(length);
    }
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "None;Some(Err(InvalidLength))" ] || changed "pcap-parser 0.17.0 gives $got"
seen "pcap-parser 0.17.0, if_ipv6addr of an interface with IPv6 alone, then of one with IPv4 alone: $got"
