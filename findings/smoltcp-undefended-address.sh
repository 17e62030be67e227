#!/bin/sh
# smoltcp 0.14.0 does not defend its IPv6 address against another's duplicate address detection.
#
# Expected: RFC 4861, 7.2.4: a solicitation from the unspecified address is answered with an advertisement to all nodes;
#           RFC 4862, 5.4.3: that is how the asker learns that the address is taken.
# Seen:     nothing; the same solicitation with a source address is answered.
# Meets it: who tests duplicate addresses with a smoltcp gateway at the other end: every pod may take its address.
set -eu
. "$(dirname "$0")/lib/common.sh"

smoltcp_host >"$T/out" <<'RS'
fn main() {
    let pod = EthernetAddress([2, 0, 0, 0, 0, 2]);
    let [group, own, asker]: [Ipv6Address; 3] = ["ff02::1:ff00:1", "fe80::1", "fe80::2"].map(|a| a.parse().unwrap());
    for source in [asker, Ipv6Address::UNSPECIFIED] {
        let (mut i, mut w) = host("fe80::1/64");
        let mut s = SocketSet::new(vec![]);
        let what = NdiscRepr::NeighborSolicit { target_addr: own, lladdr: None };
        let frame = ndp(pod, source, EthernetAddress([0x33, 0x33, 0xff, 0, 0, 1]), group, what);
        let sent = hear(&mut i, &mut w, &mut s, 0, frame);
        println!("from {source}: {}", names(&sent));
    }
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "from fe80::2: solicitation to 33-33-ff-00-00-02;from ::: nothing" ] || changed "smoltcp 0.14.0: $got"
seen "smoltcp 0.14.0, a solicitation for its address $got"
