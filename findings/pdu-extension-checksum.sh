#!/bin/sh
# pdu 1.5.1 computes a wrong checksum behind every IPv6 extension header.
#
# Expected: RFC 8200, 8.1: the length in the pseudo-header is that of the upper-layer packet: the payload length less the
#           extension headers. The crate finds the ICMPv6 message behind them.
# Seen:     the whole payload length is taken, so that a right message looks damaged. Linux sends every multicast
#           listener report behind such a header, when an address is added.
# Meets it: who checks frames of an IPv6 pod with it: what it sends first is "damaged".
set -eu
. "$(dirname "$0")/lib/common.sh"

# The report that a Linux pod sends for its solicited-node group, with a hop-by-hop header (router alert); and a neighbour
# solicitation without one. Both sums are right by RFC 8200.
python - >"$T/frames" <<'PY'
from ipaddress import ip_address
def frame(next_header, extension, body, dst):
    src = ip_address("fe80::2").packed
    dst = ip_address(dst).packed
    pseudo = src + dst + len(body).to_bytes(4, "big") + b"\0\0\0\x3a"
    words = pseudo + body
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + (0xFFFF - total).to_bytes(2, "big") + body[4:]
    payload = extension + body
    ip = b"\x60\0\0\0" + len(payload).to_bytes(2, "big") + bytes([next_header, 255]) + src + dst
    print((bytes.fromhex("3333000000160200000000028" "6dd") + ip + payload).hex())
group = ip_address("ff02::1:ff00:2").packed
frame(0, bytes.fromhex("3a00050200000100"), b"\x8f\0\0\0\0\0\0\x01\x04\0\0\0" + group, "ff02::16")
frame(58, b"", b"\x87\0\0\0\0\0\0\0" + ip_address("fe80::1").packed, "ff02::1:ff00:1")
PY
ARGS="$T/frames" crates pdu@=1.5.1 >"$T/out" <<'RS'
use pdu::{Ethernet, EthernetPdu, Ip, Ipv6};
fn main() {
    for line in std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap().lines() {
        let bytes: Vec<u8> = (0..line.len()).step_by(2).map(|i| u8::from_str_radix(&line[i..i + 2], 16).unwrap()).collect();
        let Ok(Ethernet::Ipv6(ip)) = EthernetPdu::new(&bytes).unwrap().into_inner() else { panic!("not IPv6") };
        let Ok(Ipv6::Icmp(icmp)) = ip.inner() else { panic!("not ICMPv6") };
        let right = icmp.checksum() == icmp.computed_checksum(&Ip::Ipv6(ip));
        println!("type {}: {}", icmp.message_type(), if right { "right" } else { "wrong" });
    }
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "type 143: wrong;type 135: right" ] || changed "pdu 1.5.1: $got"
seen "pdu 1.5.1, the checksum of a listener report behind a hop-by-hop header, and of a solicitation: $got"
