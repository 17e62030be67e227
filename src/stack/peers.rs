//! The limit on ICMP errors per destination (ip_error, inet_peer_xrlim_allow): one bucket per
//! peer, which an error about an unroutable packet pays twice, for being decided and for being
//! sent. So of a ping a second through a host without a route, four are refused audibly and the
//! rest in silence.

use crate::neigh::KernelClock;
use crate::time::{Span, Time};
use smallvec::SmallVec;
use std::net::IpAddr;

/// What one error costs: a second of refill (ip_rt_error_cost; net.ipv4.icmp_ratelimit, which
/// nobody changes).
const COST: Span = Span::from_secs(1);
/// Errors in a row that may be decided (ip_rt_error_burst).
pub(super) const DECIDE_BURST: u64 = 5;
/// Errors in a row that may be sent (XRLIM_BURST_FACTOR).
pub(super) const SEND_BURST: u64 = 6;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Peer {
    ip: IpAddr,
    tokens: u64,
    last: u64,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Peers(SmallVec<[Peer; 1]>);

impl Peers {
    /// Takes the cost of one error about or to `ip`, if its bucket of `burst` holds it. The
    /// bucket of a new peer is full.
    pub(super) fn take(&mut self, clock: &KernelClock, now: Time, ip: IpAddr, burst: u64) -> bool {
        let (cost, j) = (clock.ticks(COST), clock.jiffies(now));
        let at = self.0.iter().position(|p| p.ip == ip).unwrap_or_else(|| {
            self.0.push(Peer { ip, tokens: burst * cost, last: j });
            self.0.len() - 1
        });
        let peer = &mut self.0[at];
        peer.tokens = (peer.tokens + (j - peer.last)).min(burst * cost);
        peer.last = j;
        let pays = peer.tokens >= cost;
        if pays {
            peer.tokens -= cost;
        }
        pays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_of_a_ping_a_second_are_refused_audibly() {
        let (clock, mut peers) = (KernelClock::new(250, 0), Peers::default());
        let ip = "10.65.0.2".parse().unwrap();
        let heard = |second: u64, peers: &mut Peers| {
            let now = Time::ZERO + Span::from_secs(second);
            peers.take(&clock, now, ip, DECIDE_BURST) && peers.take(&clock, now, ip, SEND_BURST)
        };
        let heard: Vec<bool> = (0..6).map(|s| heard(s, &mut peers)).collect();
        assert_eq!(heard, [true, true, true, true, false, false]);
    }
}
