#!/bin/sh
# smoltcp 0.14.0 does not take a neighbour's new MAC from a gratuitous ARP.
#
# Expected: RFC 826, packet reception: a sender that is already in the table has its hardware address updated before the
#           target is looked at at all. RFC 5227, 3, counts on it for announcements; Linux does it.
# Seen:     an announcement of the gateway, as a request or as a reply, is dropped because its target is not an address
#           of the interface; datagrams go on to the old MAC (for up to a minute, the age of an entry).
# Meets it: who puts smoltcp into a pod or a lab and announces a gateway that has moved.
set -eu
. "$(dirname "$0")/lib/common.sh"

smoltcp_host >"$T/out" <<'RS'
fn main() {
    let (old, new) = (EthernetAddress([0xee; 6]), EthernetAddress([2, 0, 0, 0, 0, 9]));
    let (gateway, own) = (Ipv4Address::new(10, 0, 0, 254), Ipv4Address::new(10, 0, 0, 1));
    let (mut i, mut w) = host("10.0.0.1/24");
    let (mut s, socket) = client();
    send(&mut s, socket, "10.0.0.254");
    turn(&mut i, &mut w, &mut s, 0);
    println!("{}", names(&hear(&mut i, &mut w, &mut s, 0, arp(ArpOperation::Reply, old, gateway, own))));
    hear(&mut i, &mut w, &mut s, 5, arp(ArpOperation::Request, new, gateway, gateway));
    hear(&mut i, &mut w, &mut s, 5, arp(ArpOperation::Reply, new, gateway, gateway));
    send(&mut s, socket, "10.0.0.254");
    println!("{}", names(&turn(&mut i, &mut w, &mut s, 6)));
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "datagram to ee-ee-ee-ee-ee-ee;datagram to ee-ee-ee-ee-ee-ee" ] || changed "smoltcp 0.14.0: $got"
seen "smoltcp 0.14.0, before and after the gateway announces 02-00-00-00-00-09: $got"
