#!/bin/sh
# Scapy 2.8.0 gives a neighbour solicitation the hop limit 255 that it must have, but not behind an extension header.
#
# Expected: RFC 4861, 4.3 and 7.1.1: 255, and a receiver drops a solicitation with any other; an extension header before
#           it changes nothing about that. Scapy fills in 255 where the hop limit is left out.
# Seen:     64 with a destination options header in between, and Linux is silent about it without a word: as if it
#           did not read extension headers; with 255 said it answers.
# Meets it: who asks a responder with less usual frames (arplab's `probe` does so for ARP) and judges its silence.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips scapy==2.8.0
cat >"$T/ask.py" <<'PY'
import time
from scapy.all import AsyncSniffer, Ether, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.all import conf, sendp
conf.verb = 0
MAC = "02:00:00:00:00:02"
def ask(**hop_limit):
    options = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    head = Ether(src=MAC, dst="33:33:ff:00:00:01") / IPv6(src="fe80::2", dst="ff02::1:ff00:1", **hop_limit)
    frame = head / options / ICMPv6ND_NS(tgt="fe80::1") / ICMPv6NDOptSrcLLAddr(lladdr=MAC)
    sniffer = AsyncSniffer(iface="eth0", lfilter=lambda f: ICMPv6ND_NA in f)
    sniffer.start()
    time.sleep(1)
    sendp(frame, iface="eth0")
    time.sleep(1)
    return f"{Ether(bytes(frame))[IPv6].hlim} {'answered' if sniffer.stop() else 'silent'}"
print(f"left out: {ask()}; said: {ask(hlim=255)}")
PY
namespaces >"$T/out" 2>"$T/err" <<'SH'
ip link add eth0 type veth peer name cali0
ip netns add node
ip link set cali0 netns node
ip link set eth0 up
ip -n node link set cali0 up
ip -n node addr add fe80::1/64 dev cali0 nodad
sleep 2
PYTHONPATH="$T/py" PYTHONDONTWRITEBYTECODE=1 python3 -W ignore "$T/ask.py"
SH
got=$(cat "$T/out")
[ "$got" = "left out: 64 silent; said: 255 answered" ] || changed "Scapy 2.8.0: $got $(tail -1 "$T/err")"
seen "Scapy 2.8.0, solicitation behind destination options, hop limit $got"
