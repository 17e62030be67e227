#!/bin/sh
# smoltcp 0.14.0 files a neighbour advertisement under the address it came from, not under the one it is about.
#
# Expected: RFC 4861, 7.2.5: the target address of the advertisement is looked up in the cache. 7.2.8: a proxy answers
#           for another's address; Linux's proxy sends from an address of its own node.
# Seen:     a proxied advertisement changes nothing: the host asks again. From the target's own address it is taken.
# Meets it: who puts smoltcp into an IPv6 pod behind proxy_ndp: it never reaches any address that is proxied.
set -eu
. "$(dirname "$0")/lib/common.sh"

smoltcp_host >"$T/out" <<'RS'
fn main() {
    let gateway = EthernetAddress([0xee; 6]);
    let [target, link_local, own]: [Ipv6Address; 3] = ["2001:db8::8", "fe80::ee", "2001:db8::1"].map(|a| a.parse().unwrap());
    for source in [link_local, target] {
        let (mut i, mut w) = host("2001:db8::1/64");
        let (mut s, socket) = client();
        send(&mut s, socket, "2001:db8::8");
        turn(&mut i, &mut w, &mut s, 0);
        let flags = NdiscNeighborFlags::SOLICITED | NdiscNeighborFlags::ROUTER;
        let what = NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr: Some(gateway.into()) };
        hear(&mut i, &mut w, &mut s, 0, ndp(gateway, source, OWN, own, what));
        send(&mut s, socket, "2001:db8::8");
        let sent = turn(&mut i, &mut w, &mut s, 2);
        println!("from {source}: {}", sent.first().map_or("nothing".to_owned(), |f| name(f)));
    }
}
RS
got=$(paste -sd ';' "$T/out")
want="from fe80::ee: solicitation to 33-33-ff-00-00-08;from 2001:db8::8: datagram to ee-ee-ee-ee-ee-ee"
[ "$got" = "$want" ] || changed "smoltcp 0.14.0: $got"
seen "smoltcp 0.14.0, sends after an advertisement of 2001:db8::8 $got"
