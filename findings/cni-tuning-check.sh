#!/bin/sh
# The CNI plugin `tuning` 1.1.1 fails its own CHECK right after its ADD for a sysctl of more than one number.
#
# Expected: CNI specification 1.0.0, CHECK: it must be possible right after a successful ADD, and a runtime may take its
#           failure to mean that the container stays misconfigured for good.
# Seen:     the value was written as given, with a blank; the kernel shows it with a tab, and the two texts are compared.
#           One number is right, however it is spelled by the kernel.
# Meets it: who adds a sysctl to a pod beside Calico's plugin in a chain, for a ping group or a range of ports, say.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'containernetworking-plugins=1.1.1+ds1-3*'
namespaces >"$T/out" <<'SH'
ip netns add pod
export CNI_PATH="$T/root/usr/lib/cni" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=lo
try() {
    conf='{"cniVersion": "1.0.0", "name": "n", "type": "tuning", "dataDir": "/run/tuning", "sysctl": {"'$1'": "'$2'"},
      "prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "lo", "sandbox": "/run/netns/pod"}], "ips": []}}'
    for command in ADD CHECK; do
        if echo "$conf" | CNI_COMMAND=$command "$CNI_PATH/tuning" >/dev/null; then
            echo "$1 $command: success"
        else
            echo "$1 $command: error"
        fi
    done
}
try net.ipv4.conf.lo.arp_announce 2
try net.ipv4.ip_local_port_range "2000 3000"
SH
got=$(paste -sd ',' "$T/out" | sed 's/,/, /g; s/net.ipv4.//g')
want="conf.lo.arp_announce ADD: success, conf.lo.arp_announce CHECK: success, ip_local_port_range ADD: success, ip_local_port_range CHECK: error"
[ "$got" = "$want" ] || changed "tuning 1.1.1: $got"
seen "tuning 1.1.1: $got"
