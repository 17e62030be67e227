#!/bin/sh
# smoltcp 0.14.0 answers no ARP request whose sender is outside its own subnet.
#
# Expected: RFC 826, packet reception: the target address is compared with one's own, the sender's is not; Linux answers a
#           pod (10.65.0.2/32) that asks for 169.254.1.1.
# Seen:     nothing with 169.254.1.1/32 or /16; an answer with /0.
# Meets it: who writes a gateway for Calico-like pods on smoltcp: it is silent to every pod.
set -eu
. "$(dirname "$0")/lib/common.sh"

smoltcp_host >"$T/out" <<'RS'
fn main() {
    let pod = EthernetAddress([2, 0, 0, 0, 0, 2]);
    for length in [32, 16, 0] {
        let (mut i, mut w) = host(&format!("169.254.1.1/{length}"));
        let mut s = SocketSet::new(vec![]);
        let request = arp(ArpOperation::Request, pod, Ipv4Address::new(10, 65, 0, 2), Ipv4Address::new(169, 254, 1, 1));
        println!("/{length}: {}", names(&hear(&mut i, &mut w, &mut s, 0, request)));
    }
}
RS
got=$(paste -sd ';' "$T/out")
[ "$got" = "/32: nothing;/16: nothing;/0: ARP reply to 02-00-00-00-00-02" ] || changed "smoltcp 0.14.0: $got"
seen "smoltcp 0.14.0, 10.65.0.2 asks for 169.254.1.1, which it has with the prefix $got"
