#!/bin/sh
# arptables-nft 1.8.9 forgets a MAC with a mask of whole bytes when it lists or saves; restored, the rule drops all ARP.
#
# Expected: arptables(8): --source-mac address[/mask]; what arptables-save writes restores the same rules.
# Seen:     the rule in the kernel is right ("arp saddr ether 02:00:00:00:00:00/24"), the saved one is "-j DROP" alone.
#           A mask of all 48 bits, or one that ends within a byte, is kept.
# Meets it: who silences one maker's MACs towards a node with arptables, and reloads the saved rules at boot: then no
#           pod's gateway answers any more.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iptables=1.8.9-2 'nftables=1.0.6*' 'libnftables1=1.0.6*' libnftnl11=1.2.4-2 'libxtables12=1.8.9-2' libjansson4=2.14-2
namespaces >"$T/out" <<'SH'
PATH="$T/root/usr/sbin:$PATH"
XTABLES_LOCKFILE=/run/xtables.lock
export XTABLES_LOCKFILE
arptables-nft -A INPUT --source-mac 02:00:00:00:00:00/ff:ff:ff:00:00:00 -j DROP
kernel() { nft list table arp filter | sed -n 's/.*\(arp plen 4.*\) counter.*/\1/p'; }
echo "made: $(kernel)"
arptables-nft-save >"$T/saved"
echo "saved: $(grep -e -A "$T/saved")"
arptables-nft -F
arptables-nft-restore <"$T/saved"
echo "restored: $(kernel)"
SH
got=$(paste -sd ';' "$T/out")
want="made: arp plen 4 arp saddr ether 02:00:00:00:00:00/24;saved: -A INPUT -j DROP;restored: arp plen 4"
[ "$got" = "$want" ] || changed "arptables-nft 1.8.9: $got"
seen "arptables-nft 1.8.9: $got"
