#!/bin/sh
# Any interface that goes down takes with it the proxy ARP answers that wait for all the others.
#
# Expected: arp(7), proxy_delay: an answer is delayed, and then given; what other interfaces do has no part in it.
# Seen:     requests on cali0 that wait for their delay are never answered when another interface of the namespace, with
#           no part in any of it, is set down meanwhile. Seen on a kernel of 6.18; iproute2 6.1.0.
# Meets it: whose node has proxy_delay at its default of 0.8 s, and pods that come and go.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
cat >"$T/ask.py" <<'PY'
# twenty requests for the gateway at once, then what the first argument says, then the number of answers in 2 s
import select, socket, subprocess, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind(("eth0", 0x0806))
mac = s.getsockname()[4]
for n in range(20):
    sender = mac + bytes([10, 65, 0, 2])
    s.send(b"\xff" * 6 + mac + bytes.fromhex("0806000108000604" "0001") + sender + bytes(6) + bytes([169, 254, 1, 1]))
open(sys.argv[1], "w").close()
answers, end = 0, time.time() + 2
while time.time() < end:
    if select.select([s], [], [], 0.1)[0]:
        answers += s.recv(2000)[20:22] == b"\0\2"
print(answers)
PY
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
. "$lib/gateway.sh"
ip link add other type veth peer name another
ip link set other up
ip link set another up
try() {
    rm -f "$T/asked"
    ip netns exec pod python3 "$T/ask.py" "$T/asked" >"$T/answers" &
    while [ ! -e "$T/asked" ]; do sleep 0.01; done
    $2
    wait
    n=$(cat "$T/answers")
    if [ "$n" -ge 15 ]; then echo "$1: answered"; elif [ "$n" -le 5 ]; then echo "$1: silent"; else echo "$1: $n of 20"; fi
}
echo 80 >/proc/sys/net/ipv4/neigh/cali0/proxy_delay
try "left alone" true
try "another interface down" "ip link set other down"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "left alone: answered;another interface down: silent" ] || changed "Linux $(uname -r): $got"
seen "twenty delayed answers: $got"
