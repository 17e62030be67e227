//! The world behind the host, as a reflex: what a packet is answered with follows from the packet
//! alone. The explorer can snapshot it for nothing, because there is nothing in it.

use super::outside::{Outside, OutsideSpec};
use crate::packet::IpBytes;
use crate::time::Time;
use crate::wire::{self, Payload, Unreachable};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::net::IpAddr;
use std::sync::Arc;

/// Something that answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The host itself: it answers echo requests and refuses what is not served on it.
    Host,
    /// A TCP port that accepts connections and sends back what it gets.
    Tcp(u16),
    /// A UDP port that sends back what it gets.
    Udp(u16),
}

/// A service at an address. A host exists as soon as one endpoint has its address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The address that answers.
    pub addr: IpAddr,
    /// What is there for the pod to reach.
    pub service: Service,
}

/// A world of hosts that answer at once and remember nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reflex {
    endpoints: Arc<[Endpoint]>,
}

impl Reflex {
    /// A world of those endpoints.
    #[must_use]
    pub fn new(endpoints: &[Endpoint]) -> Reflex {
        Reflex { endpoints: endpoints.into() }
    }

    /// Who is there, in the order given.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    fn serves(&self, addr: IpAddr, service: Service) -> bool {
        self.endpoints.contains(&Endpoint { addr, service })
    }

    /// The answer to a packet: nothing when its destination is no host of this world, when it is
    /// an answer itself, or when it cannot be read.
    #[must_use]
    pub fn answer(&self, packet: &[u8]) -> Option<IpBytes> {
        let (ends, payload) = wire::parse(packet)?;
        let here = ends.dst();
        if !self.endpoints.iter().any(|e| e.addr == here) {
            return None;
        }
        let back = ends.reversed();
        match payload {
            Payload::Echo { reply: false, ident, seq, data } => {
                Some(wire::echo(back, true, ident, seq, data))
            }
            Payload::Udp { src_port, dst_port, data } if self.serves(here, Service::Udp(dst_port)) => {
                Some(wire::udp(back, dst_port, src_port, data))
            }
            Payload::Udp { .. } => Some(wire::unreachable(back, Unreachable::Port, packet)),
            Payload::Tcp(segment) => {
                let open = self.serves(here, Service::Tcp(segment.dst_port));
                wire::answer_tcp(back, &segment, open)
            }
            Payload::Echo { .. } | Payload::Unreachable { .. } | Payload::Other => None,
        }
    }
}

/// A reflex as the world behind a node.
#[derive(Clone, Debug)]
pub struct ReflexOutside {
    world: Reflex,
    out: SmallVec<[IpBytes; 1]>,
}

impl core::hash::Hash for ReflexOutside {
    // the world does not change
    fn hash<H: core::hash::Hasher>(&self, h: &mut H) {
        self.out.hash(h);
    }
}

impl ReflexOutside {
    /// The world that a plan describes.
    #[must_use]
    pub fn new(spec: &OutsideSpec) -> ReflexOutside {
        let at = |addr, service| Endpoint { addr, service };
        let mut all: Vec<Endpoint> = spec.hosts.iter().map(|ip| at(*ip, Service::Host)).collect();
        all.extend(spec.tcp.iter().map(|a| at(a.ip(), Service::Tcp(a.port()))));
        all.extend(spec.udp.iter().map(|a| at(a.ip(), Service::Udp(a.port()))));
        Reflex::new(&all).into()
    }
}

impl From<Reflex> for ReflexOutside {
    fn from(world: Reflex) -> Self {
        ReflexOutside { world, out: SmallVec::new() }
    }
}

impl Outside for ReflexOutside {
    fn handle_packet(&mut self, _: Time, packet: &[u8], _: bool) {
        self.out.extend(self.world.answer(packet));
    }
    fn poll_packet(&mut self) -> Option<IpBytes> {
        if self.out.is_empty() { None } else { Some(self.out.remove(0)) }
    }
    fn poll_timeout(&self) -> Option<Time> {
        None
    }
    fn handle_timeout(&mut self, _: Time) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ends, Segment, SegmentFlag};

    fn world() -> Reflex {
        let addr = "198.51.100.10".parse().unwrap();
        let services = [Service::Host, Service::Tcp(80), Service::Udp(53)];
        Reflex::new(&services.map(|service| Endpoint { addr, service }))
    }

    fn ends(dst: &str) -> Ends {
        Ends::new("10.65.0.2".parse().unwrap(), dst.parse().unwrap()).unwrap()
    }

    fn syn(dst_port: u16) -> Segment<'static> {
        Segment { src_port: 40_000, dst_port, control: SegmentFlag::Syn, seq: 7, ack: None, data: &[] }
    }

    #[test]
    fn served_hosts_answer_and_others_do_not() {
        let (w, there) = (world(), ends("198.51.100.10"));
        let answer = w.answer(&wire::echo(there, false, 1, 2, b"x")).unwrap();
        let echoed = Payload::Echo { reply: true, ident: 1, seq: 2, data: b"x" };
        assert_eq!(wire::parse(&answer), Some((there.reversed(), echoed)));
        assert_eq!(w.answer(&wire::echo(ends("198.51.100.11"), false, 1, 2, b"x")), None);
        assert_eq!(w.answer(&answer), None, "an answer is not answered");
        assert_eq!(w.answer(b"junk"), None);
    }

    #[test]
    fn udp_ports_echo_or_refuse() {
        let (w, there) = (world(), ends("198.51.100.10"));
        let answer = w.answer(&wire::udp(there, 9999, 53, b"who?")).unwrap();
        let echoed = Payload::Udp { src_port: 53, dst_port: 9999, data: b"who?" };
        assert_eq!(wire::parse(&answer), Some((there.reversed(), echoed)));
        let refused = w.answer(&wire::udp(there, 9999, 54, b"who?")).unwrap();
        assert!(matches!(wire::parse(&refused), Some((_, Payload::Unreachable { code: 3, .. }))));
    }

    #[test]
    fn tcp_accepts_resets_and_echoes() {
        let (w, there) = (world(), ends("198.51.100.10"));
        let read = |bytes: &IpBytes| match wire::parse(bytes) {
            Some((_, Payload::Tcp(s))) => (s.control, s.seq, s.ack, s.data.to_vec()),
            other => panic!("{other:?}"),
        };
        let accepted = w.answer(&wire::tcp(there, &syn(80))).unwrap();
        let (control, seq, ack, _) = read(&accepted);
        assert_eq!((control, ack), (SegmentFlag::Syn, Some(8)));
        assert_eq!(w.answer(&wire::tcp(there, &syn(80))).unwrap(), accepted, "a copy gets a copy");
        let (control, _, ack, _) = read(&w.answer(&wire::tcp(there, &syn(81))).unwrap());
        assert_eq!((control, ack), (SegmentFlag::Rst, Some(8)));
        let data = Segment {
            control: SegmentFlag::None,
            seq: 8,
            ack: Some(seq.wrapping_add(1)),
            data: b"hi",
            ..syn(80)
        };
        let echo = read(&w.answer(&wire::tcp(there, &data)).unwrap());
        assert_eq!(echo, (SegmentFlag::None, seq.wrapping_add(1), Some(10), b"hi".to_vec()));
        let ack = Segment { data: &[], ..data };
        assert_eq!(w.answer(&wire::tcp(there, &ack)), None);
        assert_eq!(w.answer(&wire::tcp(there, &Segment { control: SegmentFlag::Rst, ..ack })), None);
    }
}
