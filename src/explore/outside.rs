//! The world behind the node without memory, so that a state is small and quick to copy.

use crate::gateway::{Endpoint, Outside, OutsideSpec, Reflex, Service};
use crate::packet::IpBytes;
use crate::time::Time;
use smallvec::SmallVec;

/// What exists out there, as a reflex: the answer to a packet follows from the packet alone.
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
        ReflexOutside { world: Reflex::new(&all), out: SmallVec::new() }
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
