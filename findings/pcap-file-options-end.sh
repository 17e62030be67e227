#!/bin/sh
# pcap-file 2.0.0 refuses a block whose options end with the block and not with opt_endofopt.
#
# Expected: draft-ietf-opsawg-pcapng, 3.5: who reads must not count on opt_endofopt, and must look for the end of the
#           block as well.
# Seen:     "Invalid option" for an interface with if_tsresol and nothing behind it; nothing after it can be read.
#           tshark, tcpdump, Scapy, dpkt and pcap-parser read the same file.
# Meets it: who gives a capture of such a writer to a Rust program; arplab's `identify --pcap` was one of them.
set -eu
. "$(dirname "$0")/lib/common.sh"

python - >"$T/noend.pcapng" <<'PY'
import sys
from blocks import *
sys.stdout.buffer.write(section() + interface(option(9, b"\x09")) + enhanced(START * 10**9))
PY
ARGS="$T/noend.pcapng" crates pcap-file@=2.0.0 >"$T/out" <<'RS'
use pcap_file::pcapng::PcapNgReader;
fn main() {
    let name = std::env::args().nth(1).unwrap();
    let mut reader = PcapNgReader::new(std::fs::File::open(name).unwrap()).unwrap();
    match reader.next_block().unwrap() {
        Ok(_) => println!("read"),
        Err(e) => println!("{e}"),
    }
}
RS
got=$(cat "$T/out")
case $got in
*"Invalid option"*) seen "pcap-file 2.0.0 says of a valid interface block: $got" ;;
*) changed "pcap-file 2.0.0 says: $got" ;;
esac
