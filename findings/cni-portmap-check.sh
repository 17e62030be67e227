#!/bin/sh
# The CNI plugin `portmap` 1.1.1 fails its own CHECK right after its ADD for a pod that has IPv4 alone, and its DEL leaves a
# table of IPv6 behind that was not there before.
#
# Expected: CNI specification 1.0.0, CHECK: it must be possible right after a successful ADD. DEL: what ADD made is gone
#           afterwards, and nothing is said of making something.
# Seen:     ADD makes its chains in IPv4's nat table, as the pod has no other address; CHECK wants the chain of IPv6 too.
#           Through iptables-nft, DEL's look for IPv6 chains makes the empty table `ip6 nat`, which stays.
# Meets it: who runs CHECK (as runtimes may, since 0.4.0) on a pod with a host port, or compares a node's rules before ADD
#           and after DEL.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'containernetworking-plugins=1.1.1+ds1-3*' 'iptables=1.8.9-2*' 'nftables=1.0.6*' 'libnftables1=1.0.6*' \
    'libxtables12=1.8.9-2*' 'libip4tc2=1.8.9-2*' 'libip6tc2=1.8.9-2*' 'libnftnl11=1.2.4*' 'libmnl0=1.0.4*'
namespaces >"$T/out" 2>"$T/err" <<'SH'
mkdir -p "$T/bin"
ln -s "$T/root/usr/sbin/xtables-nft-multi" "$T/bin/iptables"
ln -s "$T/root/usr/sbin/xtables-nft-multi" "$T/bin/ip6tables"
XTABLES_LIBDIR=$(echo "$T"/root/usr/lib/*-linux-gnu/xtables)
export XTABLES_LIBDIR PATH="$T/bin:$PATH"
ip netns add pod
export CNI_PATH="$T/root/usr/lib/cni" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0
conf='{"cniVersion": "1.0.0", "name": "n", "type": "portmap", "snat": false,
  "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
  "prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/pod"}],
    "ips": [{"address": "10.1.0.5/24", "interface": 0}]}}'
tables() {
    "$T/root/usr/sbin/nft" list tables | sed 's/^table //' | sort | paste -sd '+' | sed 's/^$/none/; s/+/ + /g'
}
echo "tables: $(tables)"
for command in ADD CHECK DEL; do
    if echo "$conf" | CNI_COMMAND=$command "$CNI_PATH/portmap" >"$T/answer"; then
        echo "$command: success"
    else
        echo "$command: $(python3 -c 'import json, sys; print(json.load(sys.stdin)["msg"].split(":")[0])' <"$T/answer")"
    fi
    echo "tables: $(tables)"
done
SH
got=$(paste -sd ',' "$T/out" | sed 's/,/, /g')
want="tables: none, ADD: success, tables: ip nat, CHECK: could not check ipv6 dnat, tables: ip nat, DEL: success, tables: ip nat + ip6 nat"
[ "$got" = "$want" ] || changed "portmap 1.1.1: $got $(cat "$T/err")"
seen "portmap 1.1.1, IPv4 alone: $got"
