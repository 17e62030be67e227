#!/bin/sh
# An IPv6 address waits up to a second although duplicate address detection is to send nothing.
#
# Expected: the kernel's ip-sysctl, dad_transmits: how many probes to send; RFC 4862, 5.1: 0 means that the detection is
#           not performed, so nothing is to be waited for.
# Seen:     with dad_transmits=0 the address is tentative at first all the same: the random delay before the first
#           probe is waited for, and then none is sent. With accept_dad=0 it is usable at once. Seen on a kernel of 6.18;
#           iproute2 6.1.0.
# Meets it: who sets dad_transmits to 0 in pods so that their first packet need not wait.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add cali0 type veth peer name eth0
ip link set cali0 up
ip link set eth0 up
sleep 3
try() {
    echo "$2" >/proc/sys/net/ipv6/conf/eth0/$1
    n=0
    for i in 1 2 3 4 5 6 7 8 9 10; do
        ip addr add 2001:db8:$i::2/64 dev eth0
        n=$((n + $(ip -6 addr show dev eth0 tentative | grep -c "2001:db8:$i::2" || true)))
    done
    sleep 3
    late=$(ip -6 addr show dev eth0 tentative | grep -c 2001:db8 || true)
    ip -6 addr flush dev eth0 scope global
    echo "$1=$2: $([ $n -ge 5 ] && echo tentative || echo "usable") at first, $late tentative after 3 s"
}
try dad_transmits 0
try accept_dad 0
SH
got=$(paste -sd ';' "$T/out")
want="dad_transmits=0: tentative at first, 0 tentative after 3 s;accept_dad=0: usable at first, 0 tentative after 3 s"
[ "$got" = "$want" ] || changed "Linux $(uname -r): $got"
seen "$got"
