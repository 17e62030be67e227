//! What tells the best candidates apart.

use super::{Candidate, Observation, Sight, Signature, Vantage};
use std::collections::BTreeSet;

/// One trait of a signature, as a text to compare.
type Pick = fn(&Signature) -> String;

/// What to look at next: of what nobody has looked at, that in which the best candidates differ.
#[must_use]
pub fn next_looks(best: &[Candidate], seen: &Observation) -> Vec<&'static str> {
    // a trace tells all of it; a capture tells who asked and who answered
    let (trace, captured) = (seen.sight.as_ref().is_some_and(Sight::is_trace), seen.sight.is_some());
    let at_pod = seen.sight.as_ref().is_some_and(|s| s.vantage == Some(Vantage::Pod));
    let looks: [(bool, &'static str, Pick); 10] = [
        (
            !trace && seen.entry.is_none(),
            "the pod's entry: `ip neigh show 169.254.1.1 nud all` in the pod (--entry)",
            |s| format!("{:?}", s.entry),
        ),
        (!captured && seen.asked.is_none(), "requests in the pod: `tcpdump -ni eth0 arp` (--asked)", |s| {
            format!("{:?}", s.asked)
        }),
        (
            (!captured || at_pod && !trace) && seen.heard.is_none(),
            "requests on the host: `tcpdump -ni CALI arp` (--heard)",
            |s| format!("{:?}", s.heard),
        ),
        (!captured && seen.answered.is_none(), "replies on the host: the same capture (--answered)", |s| {
            format!("{:?}", s.answered)
        }),
        (
            !captured && seen.held_back.is_none(),
            "replies that take up to 0.8 s: `tcpdump -ttt -ni CALI arp` on the host (--held-back)",
            |s| format!("{:?}", s.held_back),
        ),
        (!captured && seen.mac.is_none(), "the MAC in the pod's entry (--mac)", |s| format!("{:?}", s.macs)),
        (
            !captured && seen.wrong_mac.is_none(),
            "whether that MAC is the one of `ip link show CALI` on the host (--wrong-mac)",
            |s| format!("{:?}", s.wrong_mac),
        ),
        (
            !captured && seen.two_macs.is_none(),
            "whether two MACs claim one address: `tcpdump -eni eth0 arp` in the pod (--two-macs)",
            |s| format!("{:?}", s.two_macs),
        ),
        (
            !trace && seen.host_entry.is_none(),
            "the host's entry for the pod: `ip neigh show dev CALI` on the host (--host-entry)",
            |s| format!("{:?}", s.host_entry),
        ),
        (!trace && seen.error.is_none(), "what a client says (--error)", |s| format!("{:?}", s.errors)),
    ];
    let differ = |of: &Pick| best.iter().map(|c| of(&c.signature)).collect::<BTreeSet<_>>().len() > 1;
    looks.iter().filter(|(open, _, of)| *open && differ(of)).map(|l| l.1).collect()
}
