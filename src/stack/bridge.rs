//! Bridges: a port gives its frames up (br_handle_frame), so a request that reaches a port is
//! answered, if at all, by the bridge's own interface, and other ports hear it too.

use super::{Output, Stack};
use crate::addr::Mac;
use crate::host::{Decision, IfIndex, Request, decide};
use crate::packet::Frame;
use crate::wire::{Arp, Cast};
use smallvec::SmallVec;

/// Where a station was last heard: bridge, station, port (net_bridge_fdb_entry).
pub(super) type Station = (IfIndex, Mac, IfIndex);

/// Stations that are remembered; the kernel has no such limit, but a lab's bridge has few ports.
const STATIONS_MAX: usize = 1024;

impl Stack {
    /// The bridge that takes the frames of a port.
    pub(super) fn bridge_of(&self, port: IfIndex) -> Option<IfIndex> {
        self.state.link(port)?.master()
    }

    /// How a frame that came in by a port concerns the bridge's own interface: its MAC is any of
    /// its ports', too.
    pub(super) fn bridge_cast(&self, bridge: IfIndex, dst: Mac) -> Cast {
        let own =
            |l: &crate::host::Link| l.mac() == dst && (l.index() == bridge || l.master() == Some(bridge));
        if self.state.links().iter().any(own) { Cast::Host } else { Cast::of(dst, Mac::ZERO) }
    }

    /// The bridge's own interface answers that request, so that nobody is met by silence.
    pub(super) fn bridge_answers(&self, bridge: IfIndex, cast: Cast, arp: Arp) -> bool {
        let request = Request { dev: bridge, cast, arp, sender_known: true, again: false, leg: 0 };
        cast != Cast::OtherHost && matches!(decide(&self.state, &request), Decision::Reply { .. })
    }

    /// Learns where the sender is and passes on what is not for this host alone.
    pub(super) fn bridge_forward(
        &mut self,
        bridge: IfIndex,
        port: IfIndex,
        frame: &[u8],
        src: Mac,
        dst: Mac,
    ) {
        if !src.is_group() {
            self.stations.retain(|(b, mac, _)| (*b, *mac) != (bridge, src));
            if self.stations.len() < STATIONS_MAX {
                self.stations.push((bridge, src, port));
            }
        }
        if self.bridge_cast(bridge, dst) != Cast::Host {
            self.bridge_send(bridge, Some(port), dst, frame);
        }
    }

    /// A frame leaves by the port its destination was heard at, or by all but the one it came by.
    pub(super) fn bridge_send(&mut self, bridge: IfIndex, from: Option<IfIndex>, dst: Mac, frame: &[u8]) {
        let known = self.stations.iter().find(|(b, mac, _)| (*b, *mac) == (bridge, dst)).map(|s| s.2);
        let ports: SmallVec<[IfIndex; 4]> = self
            .state
            .links()
            .iter()
            .filter(|l| l.master() == Some(bridge) && l.is_up() && l.has_carrier())
            .map(crate::host::Link::index)
            .filter(|p| known.map_or(Some(*p) != from, |k| k == *p && Some(*p) != from))
            .collect();
        for dev in ports {
            self.emit(Output::Transmit { dev, frame: Frame::from_slice(frame) });
        }
    }
}
