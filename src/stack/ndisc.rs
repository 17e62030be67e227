//! Neighbour discovery: the IPv6 twin of ARP.

use super::{DropWhy, Note, Output, SendError, Stack};
use crate::addr::Mac;
use crate::choice::Chooser;
use crate::host::frame::Cast;
use crate::host::{IfIndex, RouteKind};
use crate::packet::Packet;
use crate::time::Time;
use crate::wire::{self, Ends};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv6Addr};

impl Stack {
    pub(super) fn send6(
        &mut self,
        now: Time,
        packet: Packet,
        chooser: &mut dyn Chooser,
    ) -> Result<(), SendError> {
        let Some((Ends::V6(_, dst), ..)) = wire::ip_parts(&packet.bytes) else {
            return Err(SendError::Invalid);
        };
        if self.owns6(dst) {
            return self.loop_back(packet);
        }
        let route = self.state.lookup6(dst).ok_or(SendError::NetUnreachable)?;
        let (dev, via) = match (route.kind, route.dev) {
            (RouteKind::Unicast, Some(dev)) => (dev, route.via.unwrap_or(dst)),
            (RouteKind::Prohibit, _) => return Err(SendError::Prohibited),
            (RouteKind::Blackhole, _) => return Err(SendError::Invalid),
            _ => return Err(SendError::HostUnreachable),
        };
        self.send_by(now, dev, IpAddr::V6(via), packet, chooser)
    }

    /// The source for `dst` out of the route's device: an address of the same scope first.
    pub(super) fn source_for6(&self, dst: Ipv6Addr) -> Result<IpAddr, SendError> {
        if self.owns6(dst) {
            return Ok(dst.into());
        }
        let dev = self.state.lookup6(dst).and_then(|r| r.dev).ok_or(SendError::NetUnreachable)?;
        let addrs = self.state.link(dev).map_or(&[][..], crate::host::Link::addrs6);
        let usable = || addrs.iter().filter(|a| !a.tentative).map(|a| a.net.addr());
        let same_scope = |a: &Ipv6Addr| a.is_unicast_link_local() == dst.is_unicast_link_local();
        let best = usable().find(same_scope).or_else(|| usable().next());
        best.map(IpAddr::V6).ok_or(SendError::AddressNotAvailable)
    }

    pub(super) fn owns6(&self, ip: Ipv6Addr) -> bool {
        self.state.links().iter().any(|l| l.addrs6().iter().any(|a| a.net.addr() == ip))
    }

    pub(super) fn solicit6(
        &mut self,
        _dev: IfIndex,
        _target: Ipv6Addr,
        _to: Option<Mac>,
        _src: Option<IpAddr>,
    ) {
    }

    pub(super) fn receive_ip6(
        &mut self,
        _now: Time,
        dev: IfIndex,
        cast: Cast,
        payload: &[u8],
        _chooser: &mut dyn Chooser,
    ) {
        let packet = SmallVec::from_slice(payload);
        if cast == Cast::OtherHost {
            return self.note(Note::Dropped { packet, why: DropWhy::OtherHost });
        }
        match wire::ip_parts(payload) {
            Some((Ends::V6(_, dst), ..)) if self.owns6(dst) => self.emit(Output::Deliver { dev, packet }),
            _ => self.note(Note::Dropped { packet, why: DropWhy::Malformed }),
        }
    }
}
