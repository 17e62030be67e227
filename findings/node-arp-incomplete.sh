#!/bin/sh
# The npm package node-arp 1.0.6 gives "(incomplete)" as a MAC.
#
# Expected: its README: getMAC(ip, callback) with an error or the MAC of the address.
# Seen:     no error and the text of `arp -n` for an entry that has failed.
# Meets it: who watches from Node.js whether a pod has its gateway's MAC: it always has something.
set -eu
. "$(dirname "$0")/lib/common.sh"

command -v npm >/dev/null || cannot "no npm"
debs 'net-tools=2.10-0.1*' 'iputils-ping=3:20221126-1*'
npm install --silent --no-audit --no-fund --cache "$T/npm" --prefix "$T" node-arp@1.0.6 >"$T/log" 2>&1 ||
    cannot "npm install: $(tail -1 "$T/log")"
cat >"$T/get.js" <<'JS'
require("node-arp").getMAC("169.254.1.1", (error, mac) => console.log(`error ${error}, MAC ${mac}`));
JS
namespaces >"$T/out" <<'SH'
. "$lib/gateway.sh"
echo 0 >/proc/sys/net/ipv4/conf/cali0/proxy_arp
cd "$T"
PATH="$T/root/usr/sbin:$T/root/bin:$PATH" ip netns exec pod node get.js
SH
got=$(cat "$T/out")
[ "$got" = "error false, MAC (incomplete)" ] || changed "node-arp 1.0.6: $got"
seen "node-arp 1.0.6, of a gateway that does not answer: $got"
