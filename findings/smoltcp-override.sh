#!/bin/sh
# smoltcp 0.14.0 answers solicitations for its own address without the override flag.
#
# Expected: RFC 4861, 7.2.4: the flag should be set unless the target is an anycast address or is proxied; 7.2.5: without
#           it a neighbour keeps the MAC that it has.
# Seen:     "solicited" alone, to a multicast and to a unicast solicitation.
# Meets it: who has a gateway on smoltcp change its MAC and wonders that Linux, which just heard the answer, goes on
#           sending to the old one.
set -eu
. "$(dirname "$0")/lib/common.sh"

smoltcp_host >"$T/out" <<'RS'
fn main() {
    let pod = EthernetAddress([2, 0, 0, 0, 0, 2]);
    let [group, own, asker]: [Ipv6Address; 3] = ["ff02::1:ff00:1", "fe80::1", "fe80::2"].map(|a| a.parse().unwrap());
    for (mac, to) in [(EthernetAddress([0x33, 0x33, 0xff, 0, 0, 1]), group), (OWN, own)] {
        let (mut i, mut w) = host("fe80::1/64");
        let mut s = SocketSet::new(vec![]);
        let what = NdiscRepr::NeighborSolicit { target_addr: own, lladdr: Some(pod.into()) };
        println!("{}", names(&hear(&mut i, &mut w, &mut s, 0, ndp(pod, asker, mac, to, what))));
    }
}
RS
got=$(paste -sd ';' "$T/out")
one="advertisement without override to 02-00-00-00-00-02"
[ "$got" = "$one;$one" ] || changed "smoltcp 0.14.0: $got"
seen "smoltcp 0.14.0, to a multicast and a unicast solicitation: $got"
