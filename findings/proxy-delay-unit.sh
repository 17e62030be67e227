#!/bin/sh
# proxy_delay does not count jiffies, as arp(7) says, but hundredths of a second.
#
# Expected: arp(7), man-pages 6.03: "up to proxy_delay jiffies"; a jiffy is a tick of the kernel (time(7): 4 ms at 250 Hz).
# Seen:     80 is 800 ms by the kernel's own word (`ip ntable`, which counts milliseconds), whatever its tick, which shows
#           in what becomes of a time of 1001 ms. Linux 6.18, iproute2 6.1.0.
# Meets it: who reckons from proxy_delay how late a gateway answers: 0 to 0.8 s with the default, not 0 to 0.32 s.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iproute2=6.1.0-3 manpages=6.03-2
namespaces >"$T/out" <<'SH'
PATH="$T/root/sbin:$PATH"
ip link add cali0 type veth peer name eth0
conf=/proc/sys/net/ipv4/neigh/cali0
echo 1001 >"$conf/retrans_time_ms"
echo "tick $(($(cat "$conf/retrans_time_ms") - 1000))"
echo 80 >"$conf/proxy_delay"
ip ntable show dev cali0 name arp_cache | grep -o 'proxy_delay [0-9]*'
SH
zcat "$T/root/usr/share/man/man7/arp.7.gz" | grep -q '^jiffies before replying' || changed "arp(7) says it otherwise"
tick=$(sed -n 's/tick //p' "$T/out")
[ "$tick" != 10 ] || cannot "this kernel's jiffy is a hundredth of a second"
got=$(sed -n 2p "$T/out")
[ "$got" = "proxy_delay 800" ] || changed "Linux $(uname -r): $got"
seen "a kernel with a tick of $tick ms: 80 is $got ms, not $((80 * tick))"
