#!/bin/sh
# busybox 1.35's arping, given a count with -c, says "0 broadcast(s)" of probes that were all broadcast.
#
# Expected: "Sent N probe(s) (M broadcast(s))" counts what was sent to ff:ff:ff:ff:ff:ff, as in iputils' arping, whose
#           output it has.
# Seen:     `arping -c 3`, no answer, three broadcasts on the wire: "Sent 3 probe(s) (0 broadcast(s))". Without -c each is
#           counted. (A proxying gateway is off here, so that nothing but the first form of probe is sent.)
# Meets it: who reads in a busybox or Alpine pod that its requests were unicast, to a MAC that is no longer the gateway's.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'busybox=1:1.35.0-4*'
cat >"$T/count.py" <<'PY'
# how many ARP requests of the next five seconds were broadcast, and how many not
import select, socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("cali0", 0x0806))
print("ready", file=open(sys.argv[1], "w"), flush=True)
to, end = [0, 0], time.time() + 5
while time.time() < end:
    if select.select([s], [], [], 0.1)[0]:
        to[s.recv(2000)[:6] != b"\xff" * 6] += 1
print(f"on the wire {to[0]} broadcast, {to[1]} not")
PY
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
echo 0 >/proc/sys/net/ipv4/conf/cali0/proxy_arp
python3 "$T/count.py" "$T/ready" >"$T/wire" &
while [ ! -s "$T/ready" ]; do sleep 0.05; done
ip netns exec pod "$T/root/bin/busybox" arping -c 3 -I eth0 169.254.1.1 | grep Sent
wait
cat "$T/wire"
ip netns exec pod "$T/root/bin/busybox" arping -w 2 -I eth0 169.254.1.1 | sed -n 's/Sent \([0-9]*\) probe(s) (\1 broadcast(s))/all counted/p'
SH
got=$(paste -sd ';' "$T/out")
want="Sent 3 probe(s) (0 broadcast(s));on the wire 3 broadcast, 0 not;all counted"
[ "$got" = "$want" ] || changed "busybox 1.35: $got"
seen "busybox 1.35, with -c, then without: $got"
