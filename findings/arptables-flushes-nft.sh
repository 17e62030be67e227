#!/bin/sh
# arptables-nft 1.8.9 cannot list the rules that nft made in a table `filter`, and flushes them all the same.
#
# Expected: arptables(8): -F flushes what -L lists; of a table that is not its own arptables-nft says that it is
#           incompatible and that nft is the tool for it.
# Seen:     -L shows two empty chains, -F empties nft's chain of another name.
# Meets it: whose node drops ARP by nft rules of its own and who runs `arptables -F` to be sure that it is not arptables;
#           the gateway then answers, or a proxy that was to be silent does.
set -eu
. "$(dirname "$0")/lib/common.sh"

debs iptables=1.8.9-2 'nftables=1.0.6*' 'libnftables1=1.0.6*' libnftnl11=1.2.4-2 'libxtables12=1.8.9-2' libjansson4=2.14-2
namespaces >"$T/out" <<'SH'
PATH="$T/root/usr/sbin:$PATH"
nft add table arp filter
nft add chain arp filter replies '{ type filter hook output priority 0; }'
nft add rule arp filter replies arp operation reply drop
rules() { nft list table arp filter | grep -c 'reply drop' || true; }
echo "rules of nft: $(rules)"
echo "listed by arptables: $(arptables-nft -L 2>/dev/null | grep -c DROP || true)"
arptables-nft -F
echo "rules of nft after arptables -F: $(rules)"
SH
got=$(paste -sd ';' "$T/out")
[ "$got" = "rules of nft: 1;listed by arptables: 0;rules of nft after arptables -F: 0" ] || changed "arptables-nft 1.8.9: $got"
seen "arptables-nft 1.8.9: $got"
