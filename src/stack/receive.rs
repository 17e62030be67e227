//! Frames in: ARP is judged, IP is delivered or forwarded.

use super::output::upper;
use super::{DropWhy, Note, Output, Stack, own, params};
use crate::addr::Mac;
use crate::choice::{ChoiceKind, Chooser};
use crate::host::{
    AddrType, After, Decision, FibMiss, IfIndex, InputFault, InputPacket, InputRoute, Learn, Reason, Request,
    RouteKind, RuleAction, process,
};
use crate::neigh::Nud;
use crate::packet::{IpBytes, Packet};
use crate::time::Time;
use crate::wire::{self, Arp, Cast, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthFrame, Unreachable};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// Flows whose leg is remembered: more senders than a lab has.
const FLOWS_MAX: usize = 256;

/// What a leg depends on, and how many there were.
pub(super) type ArpFlow = (Mac, Ipv4Addr, Mac, u32);

impl Stack {
    /// A frame arrived at a device.
    pub fn receive(&mut self, now: Time, dev: IfIndex, frame: &[u8], chooser: &mut dyn Chooser) {
        let Some(link) = self.state.link(dev) else {
            return self.note_unheard(dev, None, Reason::NoInterface);
        };
        let mac = link.mac();
        let eth = match EthFrame::parse(frame) {
            Ok(eth) => eth,
            Err(fault) => return self.note_unheard(dev, None, Reason::Frame(fault)),
        };
        let cast = Cast::of(eth.dst, mac);
        if let Some(bridge) = self.bridge_of(dev) {
            return self.receive_by_bridge(now, bridge, dev, frame, chooser);
        }
        self.receive_eth(now, dev, cast, &eth, chooser);
    }

    /// A frame that a bridge took from its port: stations on other ports may be meant, and the
    /// bridge's own interface.
    fn receive_by_bridge(
        &mut self,
        now: Time,
        bridge: IfIndex,
        port: IfIndex,
        frame: &[u8],
        chooser: &mut dyn Chooser,
    ) {
        let Ok(eth) = EthFrame::parse(frame) else { return };
        let arp = if eth.ethertype == ETHERTYPE_ARP { Arp::parse(eth.payload).ok() } else { None };
        let up = |s: &Self, dev| s.state.link(dev).is_some_and(crate::host::Link::is_up);
        let cast = self.bridge_cast(bridge, eth.dst);
        let works = up(self, port) && up(self, bridge);
        if !(works && arp.is_some_and(|arp| self.bridge_answers(bridge, cast, arp))) {
            self.note_unheard(port, arp, Reason::BridgePort);
        }
        if !works {
            return;
        }
        self.bridge_forward(bridge, port, frame, eth.src, eth.dst);
        if cast != Cast::OtherHost {
            self.receive_eth(now, bridge, cast, &eth, chooser);
        }
    }

    fn receive_eth(
        &mut self,
        now: Time,
        dev: IfIndex,
        cast: Cast,
        eth: &EthFrame<'_>,
        chooser: &mut dyn Chooser,
    ) {
        match eth.ethertype {
            ETHERTYPE_ARP => match Arp::parse(eth.payload) {
                Ok(arp) => {
                    let sender_known = self.knows(dev, arp.spa);
                    // the kernel hashes the flow to pick a leg of a multipath route
                    let leg = self.draw_leg(&arp, chooser);
                    let request = Request { dev, cast, arp, sender_known, again: false, leg };
                    self.judge(now, request, chooser);
                }
                Err(fault) => self.note_unheard(dev, None, Reason::Frame(fault)),
            },
            ETHERTYPE_IPV4 => self.receive_ip(now, dev, cast, eth.payload, chooser),
            ETHERTYPE_IPV6 => self.receive_ip6(now, dev, cast, eth.payload, chooser),
            ethertype => self.note_unheard(dev, None, Reason::NotForUs { ethertype }),
        }
    }

    /// The kernel hashes the flow's addresses to pick a leg of a multipath route, and takes them
    /// from where an IP header has them. In an ARP packet these are bytes of the sender's two
    /// addresses and of the target's MAC, never its IP address: a sender keeps its leg for good.
    fn draw_leg(&mut self, arp: &Arp, chooser: &mut dyn Chooser) -> u32 {
        let most = self.state.legs(arp.spa, arp.tpa);
        if most < 2 {
            return 0;
        }
        let flow = (arp.sha, arp.spa, arp.tha, most);
        if let Some((_, leg)) = self.legs.iter().find(|(f, _)| *f == flow) {
            return *leg;
        }
        let leg = chooser.choose(ChoiceKind::FlowHash, u64::from(most)) as u32;
        if self.legs.len() < FLOWS_MAX {
            self.legs.push((flow, leg));
        }
        leg
    }

    /// Decides about a request and does what follows: learn, answer, hold back.
    pub(super) fn judge(&mut self, now: Time, request: Request, chooser: &mut dyn Chooser) {
        let outcome = process(&self.state, &request);
        let Request { dev, arp, again, .. } = request;
        self.note(Note::Judged { dev, arp: Some(arp), decision: outcome.decision, again });
        self.learn(now, &request, outcome.learn, chooser);
        match outcome.decision {
            Decision::Reply { mac, after: After::Now } => {
                let reply = Arp::reply(mac, arp.tpa, arp.sha, arp.spa);
                let frame = SmallVec::from_slice(&reply.frame(arp.sha, mac));
                self.emit(Output::Transmit { dev, frame });
            }
            Decision::Reply { after: After::Delay { below }, .. } => {
                self.delay_request(now, request, below, chooser);
            }
            Decision::Silent(_) => {}
        }
    }

    fn learn(&mut self, now: Time, request: &Request, learn: Learn, chooser: &mut dyn Chooser) {
        let Request { dev, arp, sender_known, .. } = *request;
        let makes = matches!(learn, Learn::Sender | Learn::Update { create: true, .. });
        let full = makes && !sender_known && !self.has_room(now, chooser);
        let set = params(&self.state, dev, false);
        let mut events = VecDeque::new();
        match learn {
            Learn::Sender if !full => {
                if self.state.addr_type(arp.spa) == AddrType::Broadcast {
                    self.neigh.ensure_noarp(now, dev, arp.spa.into(), Mac::BROADCAST, &set, &mut events);
                }
                self.neigh.learn_sender(now, dev, arp.spa.into(), arp.sha, &set, &mut events);
            }
            Learn::Update { reachable, gratuitous, create } => {
                let nud = if reachable { Nud::Reachable } else { Nud::Stale };
                let create = create && !full;
                let ip = arp.spa.into();
                self.neigh.refresh(now, dev, ip, arp.sha, nud, gratuitous, create, &set, &mut events);
            }
            Learn::Sender | Learn::Nothing => {}
        }
        self.act(now, events, chooser);
    }

    pub(super) fn drop_packet(&mut self, packet: &[u8], why: DropWhy) {
        self.note(Note::Dropped { packet: SmallVec::from_slice(packet), why });
    }

    /// An IPv4 packet in a frame: ip_rcv, then the input route.
    fn receive_ip(&mut self, now: Time, dev: IfIndex, cast: Cast, payload: &[u8], chooser: &mut dyn Chooser) {
        if cast == Cast::OtherHost {
            return self.drop_packet(payload, DropWhy::OtherHost);
        }
        if !self.state.link(dev).is_some_and(crate::host::Link::is_up) {
            return self.drop_packet(payload, DropWhy::DeviceDown);
        }
        // the Ethernet payload may be padded; the IP header tells the length
        let len = payload.get(2..4).map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        let Some((wire::Ends::V4(src, dst), ..)) = payload.get(..len).and_then(wire::ip_parts) else {
            return self.drop_packet(payload, DropWhy::Malformed);
        };
        let packet = SmallVec::from_slice(&payload[..len]);
        self.route_packet(now, dev, cast, src, dst, packet, chooser);
    }

    /// A packet came in by `dev` as if from the wire: the way of packets from the uplink.
    pub fn receive_packet(&mut self, now: Time, dev: IfIndex, packet: IpBytes, chooser: &mut dyn Chooser) {
        match wire::ip_parts(&packet) {
            Some((wire::Ends::V4(src, dst), ..)) => {
                self.route_packet(now, dev, Cast::Host, src, dst, packet, chooser);
            }
            Some((wire::Ends::V6(..), ..)) => {
                self.receive_ip6(now, dev, Cast::Host, &packet, chooser);
            }
            None => self.drop_packet(&packet, DropWhy::Malformed),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn route_packet(
        &mut self,
        now: Time,
        dev: IfIndex,
        cast: Cast,
        src: Ipv4Addr,
        dst: Ipv4Addr,
        mut packet: IpBytes,
        chooser: &mut dyn Chooser,
    ) {
        let input = InputPacket { dst, src, dev, mark: 0, upper: upper(&packet), is_arp: false, leg: 0 };
        let hop = match self.state.route_input(&input) {
            Ok(InputRoute::Local(_) | InputRoute::Broadcast) => {
                return self.emit(Output::Deliver { dev, packet });
            }
            Ok(InputRoute::Unicast(hit)) => hit.hop,
            Err(fault) => {
                self.input_error(now, dev, &fault, &packet, chooser);
                return self.drop_packet(&packet, DropWhy::Input(fault));
            }
        };
        if cast != Cast::Host {
            return self.drop_packet(&packet, DropWhy::OtherHost);
        }
        if !decrement_ttl(&mut packet) {
            return self.drop_packet(&packet, DropWhy::Expired);
        }
        let next = hop.via.unwrap_or(dst).into();
        if let Err(error) = self.send_by(now, hop.dev, next, own(packet), chooser) {
            tracing::trace!(%error, "a forwarded packet is lost");
        }
    }

    /// What the sender of an unroutable packet is told (ip_error): nothing when forwarding is off,
    /// the source is not credible, or the route says blackhole.
    fn input_error(
        &mut self,
        now: Time,
        dev: IfIndex,
        fault: &InputFault,
        about: &[u8],
        chooser: &mut dyn Chooser,
    ) {
        let InputFault::NoRoute(miss) = fault else { return };
        let forwarding =
            self.state.link(dev).is_some_and(|l| l.conf4().get(crate::host::conf::Conf4::Forwarding) != 0);
        let why = match miss {
            FibMiss::NoRoute | FibMiss::Rule { action: RuleAction::Unreachable, .. } => Unreachable::Net,
            FibMiss::Rejected { kind: RouteKind::Unreachable, .. } => Unreachable::Host,
            FibMiss::Rejected { kind: RouteKind::Prohibit, .. }
            | FibMiss::Rule { action: RuleAction::Prohibit, .. } => Unreachable::Prohibited,
            FibMiss::Rejected { .. } | FibMiss::Rule { .. } => return,
        };
        let Some((wire::Ends::V4(sender, _), ..)) = wire::ip_parts(about) else { return };
        if !forwarding || !self.allow_refusal(now, sender.into(), chooser) {
            return;
        }
        let Some(own_ip) = self.select_addr(dev, sender) else { return };
        let error = wire::unreachable(wire::Ends::V4(own_ip, sender), why, about);
        let packet = Packet { bytes: error, owner: None };
        if let Err(error) = self.send(now, packet, chooser) {
            tracing::trace!(%sender, %error, "the error about an unroutable packet has no way back");
        }
    }
}

/// One hop less to live, with the header's sum kept right (RFC 1624); false when none is left.
fn decrement_ttl(packet: &mut IpBytes) -> bool {
    if packet[8] <= 1 {
        return false;
    }
    packet[8] -= 1;
    let mut p = smoltcp::wire::Ipv4Packet::new_unchecked(&mut packet[..]);
    p.fill_checksum();
    true
}
