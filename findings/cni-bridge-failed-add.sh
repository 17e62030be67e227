#!/bin/sh
# The CNI plugin `bridge` 1.1.1 fails a node's second ADD when its first one had no address to give.
#
# Expected: CNI specification 1.0.0, section 3: after an ADD that failed and a DEL, the same container may be added again.
#           The first ADD fails since the IPAM plugin has no free address; when one is free the next ADD succeeds.
# Seen:     the bridge stays without ports, and so with the MAC 00:00:00:00:00:00. The next ADD notes that MAC before it
#           gives the bridge a port, and sets it again when it has given the bridge its address: "could not set bridge's
#           mac: invalid argument". The ADD after that succeeds, since the address is there by then.
# Meets it: a node whose first pod could not get an address: its next one fails too, with another error.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'containernetworking-plugins=1.1.1+ds1-3*'
namespaces >"$T/out" <<'SH'
mount -t tmpfs none /var/lib
export CNI_PATH="$T/root/usr/lib/cni" CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0
one='"subnet": "198.51.100.0/24", "rangeStart": "198.51.100.10", "rangeEnd": "198.51.100.10"'
conf="{\"cniVersion\": \"1.0.0\", \"name\": \"n\", \"type\": \"bridge\", \"bridge\": \"cni0\", \"isGateway\": true,
  \"ipam\": {\"type\": \"host-local\", \"dataDir\": \"/var/lib/leases\", \"ranges\": [[{$one}]]}}"
ip netns add pod
# the one address is another container's
mkdir -p /var/lib/leases/n
printf 'other\r\neth0' >/var/lib/leases/n/198.51.100.10
ask() {
    if said=$(echo "$conf" | CNI_COMMAND="$1" "$CNI_PATH/bridge"); then
        echo "$1: success"
    else
        echo "$1: $(echo "$said" | sed -n 's/.*"msg": "\(.*\)"$/\1/p' | cut -d: -f1,2)"
    fi
}
ask ADD
ask DEL
rm /var/lib/leases/n/198.51.100.10
ask ADD
ask DEL
ask ADD
SH
got=$(paste -sd ',' "$T/out" | sed 's/,/, /g')
mac="failed to set bridge addr: could not set bridge's mac"
want="ADD: failed to allocate for range 0: no IP addresses available in range set, DEL: success, ADD: $mac, DEL: success, ADD: success"
[ "$got" = "$want" ] || changed "bridge 1.1.1: $got"
seen "bridge 1.1.1: $got"
