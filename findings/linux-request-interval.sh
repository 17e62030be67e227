#!/bin/sh
# ARP requests that are to be a second apart are 1.024 s apart.
#
# Expected: arp(7), retrans_time_ms: the milliseconds before a request is sent again; default 1000.
# Seen:     the second and third request of a resolution are 1.024 s apart at 250 and 1000 ticks a second (1.04 s at 100):
#           the kernel's timers of a second and more are rounded up to an eighth or less of their length, and the wheel's
#           step at 1 s is 32 ms. Seen on a kernel of 6.18.
# Meets it: who matches a capture with "one request a second": sixty requests take 61.4 s, and a failure 3.05 to 3.08 s.
set -eu
. "$(dirname "$0")/lib/common.sh"

cat >"$T/measure.py" <<'PY'
import socket, struct
SO_TIMESTAMPNS = 35
heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
heard.bind(("cali0", 0x0806))
heard.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
open("/run/ready", "w").close()
times = []
while len(times) < 3:
    frame, extra, _, _ = heard.recvmsg(2000, 100)
    if frame[38:42] == bytes([169, 254, 1, 1]):
        seconds, nanoseconds = struct.unpack("qq", extra[0][2])
        times.append(seconds + nanoseconds / 1e9)
print(f"{times[2] - times[1]:.3f}")
PY
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
echo 0 >/proc/sys/net/ipv4/conf/cali0/proxy_arp
timeout 10 python3 "$T/measure.py" &
while [ ! -e /run/ready ]; do sleep 0.05; done
ip netns exec pod python3 -c 'import socket; socket.socket(2, 2).sendto(b"", ("198.51.100.1", 9))'
wait
SH
got=$(cat "$T/out")
case $got in
1.02[2-9] | 1.0[34]*) seen "from the second request to the third: $got s" ;;
*) changed "Linux $(uname -r): $got s" ;;
esac
