#!/bin/sh
# python-pcapng 2.1.1 cannot read a capture whose interface has an IPv6 address.
#
# Expected: draft-ietf-opsawg-pcapng, 4.2: if_IPv6addr has 16 bytes of address and one of prefix length; the package
#           lists it among the options that it decodes.
# Seen:     TypeError at the interface's block, so no frame behind it is read. With if_IPv4addr all is well.
# Meets it: who reads a dual-stack capture whose writer names the addresses of the pod's end and the host's.
set -eu
. "$(dirname "$0")/lib/common.sh"

pips python-pcapng==2.1.1
got=$(
    python - "$T/a.pcapng" 2>"$T/log" <<'PY'
import ipaddress, sys
from blocks import *
from pcapng import FileScanner
addresses = {
    "IPv4": option(4, bytes([10, 65, 0, 2, 255, 255, 255, 255])),
    "IPv6": option(5, ipaddress.ip_address("2001:db8::2").packed + b"\x80"),
}
for family, value in addresses.items():
    open(sys.argv[1], "wb").write(section() + interface(value + END) + enhanced(START * 10**6))
    try:
        print(f"{family}: {len(list(FileScanner(open(sys.argv[1], 'rb'))))} blocks;", end=" ")
    except TypeError as e:
        print(f"{family}: TypeError, {e}", end="")
PY
)
case $got in
"IPv4: 3 blocks; IPv6: TypeError, "*) seen "python-pcapng 2.1.1, a file of 3 blocks, the interface with an address: $got" ;;
*) changed "python-pcapng 2.1.1: $got $(tail -1 "$T/log")" ;;
esac
