#!/bin/sh
# nft 1.0.6 lists an ingress chain in JSON without its device, and refuses its own listing for want of it.
#
# Expected: libnftables-json(5): a chain object has "dev", the interface of a chain in the netdev family; what
#           `nft -j list ruleset` prints, `nft -j -f` reads. The listing as text goes to and fro.
# Seen:     no "dev"; "Missing `device' in this chain definition", and nothing of the whole ruleset is loaded.
# Meets it: who keeps a node's nft rules as JSON to stage them elsewhere, with ARP dropped at a cali interface's ingress:
#           the listing does not say at which.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs 'nftables=1.0.6*' 'libnftables1=1.0.6*' libnftnl11=1.2.4-2 libjansson4=2.14-2
namespaces >"$T/out" <<'SH'
PATH="$T/root/usr/sbin:$PATH"
ip link add cali0 type veth peer name eth0
nft add table netdev t
nft add chain netdev t in '{ type filter hook ingress device "cali0" priority 0; }'
nft add rule netdev t in arp operation request drop
nft list ruleset >"$T/text"
nft -j list ruleset >"$T/json"
echo "text names cali0: $(grep -c cali0 "$T/text")"
echo "JSON names cali0: $(grep -c cali0 "$T/json" || true)"
nft flush ruleset
nft -f "$T/text" && echo "text is read"
nft flush ruleset
nft -j -f "$T/json" 2>&1 | grep -o 'Missing.*definition'
SH
got=$(paste -sd ';' "$T/out")
want="text names cali0: 1;JSON names cali0: 0;text is read;Missing \`device' in this chain definition"
[ "$got" = "$want" ] || changed "nft 1.0.6: $got"
seen "nft 1.0.6: $got"
