#!/bin/sh
# The CNI plugin `bridge` 1.1.1 has the pod announce its MAC, and the announcement never gets past the pod's own veth.
#
# Expected: containernetworking/plugins pull request 687 (in 1.1.0) sets arp_notify in the pod so that the kernel sends the
#           gratuitous ARP that the plugin sent before, for neighbours that still know the address with another MAC.
# Seen:     the frame leaves the pod before the host's end is a forwarding port of the bridge: it is on the host's end,
#           and neither on the bridge nor on its other port. (Issue 463 tells it of an older version, issue 756 tells
#           the ten seconds that follow when an address is used again.)
# Meets it: who stages "an address used again" with this plugin and counts on its announcement.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'containernetworking-plugins=1.1.1+ds1-3*'
cat >"$T/listen.py" <<'PY'
# says on which interfaces the pod's announcement is seen within two seconds
import select, socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print("ready", file=open(sys.argv[1], "w"), flush=True)
on, end = set(), time.time() + 2
while time.time() < end:
    if select.select([s], [], [], 0.1)[0]:
        frame, where = s.recvfrom(2000)
        if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42] == bytes([10, 1, 0, 5]):
            on.add("host's end" if where[0].startswith("veth") else where[0])
print(" ".join(sorted(on)) or "nowhere")
PY
namespaces >"$T/out" <<'SH'
mount -t tmpfs none /var/lib
ip link add cni0 type bridge
ip link set cni0 up
ip link add port type veth peer name other
ip link set port master cni0
ip link set port up
ip link set other up
ip netns add pod
python3 "$T/listen.py" "$T/ready" &
while [ ! -s "$T/ready" ]; do sleep 0.05; done
export CNI_PATH="$T/root/usr/lib/cni" CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0
"$CNI_PATH/bridge" >"$T/added" <<'CONF'
{"cniVersion": "1.0.0", "name": "n", "type": "bridge", "bridge": "cni0",
 "ipam": {"type": "static", "addresses": [{"address": "10.1.0.5/24"}]}}
CONF
wait
ip netns exec pod cat /proc/sys/net/ipv4/conf/eth0/arp_notify
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "host's end;1" ] || changed "bridge 1.1.1: the announcement and arp_notify: $got"
seen "bridge 1.1.1 sets arp_notify=1, and the pod's announcement is seen on the $(head -1 "$T/out") alone, not on cni0 or its other port"
