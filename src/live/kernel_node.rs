//! A node that is a namespace of the running kernel.

use super::capture::{Capture, Captured};
use super::link::{PodLinkKind, PodWire};
use super::node::{NodeEvent, NodeNews, PairNow, Real};
use super::space::{Space, refusal};
use super::terms::{LiveError, broke};
use super::uplink::Uplink;
use super::watch::KnownEntries;
use crate::addr::{IfName, Mac, Side};
use crate::control::{LinkEvent, Setting};
use crate::gateway::SmoltcpOutside;
use crate::host::conf::{Conf4, Global, NeighVar, Scope, SysctlKey};
use crate::host::{HostState, IfIndex, KernelChange, Link, LinkChange, Mutation, NsRequest};
use crate::packet::FrameId;
use crate::pair::Veth;
use crate::run::{Judge, Judged, NodeView, Question};
use crate::scenario::Plan;
use crate::time::Time;
use crate::wire::{
    Arp, Cast, ETHERTYPE_ARP, ETHERTYPE_IPV6, EthFrame, OP_REPLY, OP_REQUEST,
    nd::{self, NdMessage},
};
use netns_lab::rtnl::VethEnd;
use netns_lab::{Change, PacketOptions, PacketSocket};

/// The number of the host end. Both ends of a pair with equal numbers look to the kernel like plain
/// devices, whose carrier it handles at most once a second; on a node of many pods they differ.
const HOST_END_INDEX: u32 = 37;

/// A namespace that stands for the node.
pub(super) struct KernelNode {
    pub(super) space: Space,
    /// What the model makes of the changes that the kernel got.
    pub(super) state: HostState,
    pub(super) uplink: Uplink,
    pub(super) capture: Option<Capture>,
    pub(super) judge: Judge,
    /// IFF_RUNNING of the host end, as netlink told; `None` while it is not there.
    running: Option<bool>,
    known: KnownEntries,
    /// The pair carried frames, when last looked at.
    carried: bool,
}

impl KernelNode {
    /// A node's namespace as the scenario begins: an uplink to the world, and the set-up.
    pub(super) async fn build(
        plan: &Plan,
        outside: SmoltcpOutside,
        prefer: Option<PodLinkKind>,
    ) -> Result<(KernelNode, Option<String>), LiveError> {
        let mut space = Space::new(Side::Host, &plan.host)?;
        let s = &plan.setting;
        let build = |e: super::link::LinkFault| LiveError::Build(format!("the node's uplink: {e}"));
        let mut state = HostState::new();
        let mut wire = None;
        let mut uplink_mac = Mac::ZERO;
        for change in space.levelled.clone() {
            follow(&mut state, &change)?;
        }
        for change in &plan.host_setup {
            match change {
                Mutation::LinkAdd { name, mac, .. } if *name == s.uplink => {
                    uplink_mac = mac.unwrap_or(Mac([0x02, 0, 0xc6, 0x33, 0x64, 0x0a]));
                    let made =
                        PodWire::make(&space.netns, &space.rtnl, s.uplink.as_str(), uplink_mac, prefer).await;
                    let made = made.map_err(build)?;
                    made.0.set_carrier(true).await.map_err(build)?;
                    space.level_device(s.uplink)?;
                    // the node has been up for long: its own addresses are tested already
                    let key = format!("net.ipv6.conf.{}.accept_dad", s.uplink);
                    if let Err(e) = space.netns.sysctl().poke(key.as_str(), 0) {
                        tracing::debug!(%e, "no IPv6 on the uplink");
                    }
                    wire = Some(made);
                }
                _ => space.set_up(core::slice::from_ref(change)).await?,
            }
            follow(&mut state, change)?;
        }
        let (wire, no_tap) = wire.ok_or_else(|| {
            LiveError::Build(format!("the scenario's node has no uplink {} to the world", s.uplink))
        })?;
        let uplink = Uplink::new(wire, outside, uplink_mac);
        let node = KernelNode {
            space,
            state,
            uplink,
            capture: None,
            judge: Judge::default(),
            running: None,
            known: KnownEntries::default(),
            carried: false,
        };
        Ok((node, no_tap))
    }

    pub(super) async fn next(&mut self) -> NodeEvent {
        let capture = &mut self.capture;
        tokio::select! {
            biased;
            frame = async {
                match capture {
                    Some(capture) => capture.next().await,
                    None => std::future::pending().await,
                }
            } => frame.map_or(NodeEvent::Gone, NodeEvent::Captured),
            frame = self.uplink.recv() => NodeEvent::Uplink(frame),
            Ok(event) = self.space.monitor.next() => NodeEvent::Netlink(event),
        }
    }

    /// What a netlink listener on the node learns of the host end; the model's carrier follows.
    fn link_news(&mut self, change: &Change, cali: IfName) -> Option<LinkEvent> {
        let now = match change {
            Change::Link(link) if link.name == cali.as_str() => Some(link.running),
            Change::LinkGone(link) if link.name == cali.as_str() => None,
            _ => return None,
        };
        let before = core::mem::replace(&mut self.running, now);
        if let Some(on) = now {
            let change = Mutation::LinkSet { dev: cali, change: LinkChange::Carrier(on) };
            // an end that the model has moved on from has no carrier
            let _ = self.state.apply(&change);
        }
        LinkEvent::between(before, now)
    }

    /// The node's kernel has noticed the carrier of another interface; true if that is so.
    fn carrier_news(&mut self, change: &Change) -> bool {
        let Change::Link(link) = change else { return false };
        let Ok(dev) = link.name.parse::<IfName>() else { return false };
        let noticed = link.up && self.state.link_named(dev).is_some_and(|l| l.has_carrier() != link.running);
        let change = Mutation::LinkSet { dev, change: LinkChange::Carrier(link.running) };
        noticed && self.state.apply(&change).is_ok()
    }

    /// The node's kernel has ended a test for duplicates of the host end; true if that is so.
    fn dad_news(&mut self, change: &Change, cali: IfName) -> bool {
        let Change::Address(address) = change else { return false };
        let net = address.net;
        if address.tentative || address.dev.name().is_some_and(|name| name != cali.as_str()) {
            return false;
        }
        let ipnet::IpNet::V6(net) = net else { return false };
        let waits = |l: &crate::host::Link| l.addrs6().iter().any(|a| a.net == net && a.tentative);
        let change = Mutation::Kernel(KernelChange::DadDone(cali, net));
        self.state.link_named(cali).is_some_and(waits) && self.state.apply(&change).is_ok()
    }

    /// What the node's netlink says: links, which Felix hears of, and neighbours.
    pub(super) fn netlink(&mut self, change: &Change, cali: IfName) -> NodeNews {
        if let Some(event) = self.link_news(change, cali) {
            return NodeNews::Link(event);
        }
        match self.known.take(change).filter(|entry| entry.dev == cali) {
            Some(entry) => NodeNews::Entry(entry),
            None if self.carrier_news(change) || self.dad_news(change, cali) => NodeNews::Turned,
            None => NodeNews::Nothing,
        }
    }

    /// The real pod's own carrier, for its model.
    pub(super) fn pod_carrier(change: &Change, eth: IfName) -> Option<Mutation> {
        match change {
            Change::Link(link) if link.name == eth.as_str() => {
                Some(Mutation::LinkSet { dev: eth, change: LinkChange::Carrier(link.running) })
            }
            _ => None,
        }
    }

    /// The node was changed between these two moments.
    pub(super) fn turned(&mut self, begin: Time, end: Time, veth: &Veth) {
        let (dev, carries) = (veth.host_index(&self.state), veth.carries());
        self.judge.turn(begin, end, NodeView { state: self.state.clone(), dev, carries });
    }

    /// A change of the node; `None` for one of the pod.
    pub(super) async fn change(
        &mut self,
        side: Side,
        change: &Mutation,
        s: &Setting,
    ) -> Result<Option<Real>, LiveError> {
        if side == Side::Pod {
            return Ok(None);
        }
        if let Mutation::LinkSet { dev, change: LinkChange::Carrier(on) } = change
            && *dev == s.uplink
        {
            // the model's node notices when the kernel says that it has
            self.uplink.set_carrier(*on).await?;
            return Ok(Some(Real::Outside));
        }
        self.space.apply(change).await.map(|done| Some(done.into()))
    }

    /// A real pair, made from where the host end is to be born.
    pub(super) async fn create(&mut self, pod: &Space, born: Side, s: &Setting) -> Result<Real, LiveError> {
        let far = VethEnd::new(s.cali.as_str()).index(HOST_END_INDEX);
        let near = VethEnd::new(s.eth.as_str()).mac(crate::namespace::mac_of(s.pod_mac));
        let made = match born {
            Side::Pod => pod.rtnl.add_veth(&far, &near).await,
            Side::Host => self.space.rtnl.add_veth(&far, &near.in_netns(&*pod.netns)).await,
        };
        if made.is_ok() {
            pod.level_device(s.eth)?;
            if born == Side::Host { &self.space } else { pod }.level_device(s.cali)?;
            self.capture = Some(Capture::open(&pod.netns, s.eth.as_str())?);
        }
        Ok(made.into())
    }

    pub(super) async fn move_host_end(&mut self, pod: &Space, cali: IfName) -> Result<Real, LiveError> {
        let moved = pod.rtnl.move_link(cali.as_str(), &*self.space.netns).await;
        if moved.is_ok() {
            self.space.level_device(cali)?;
        }
        Ok(moved.into())
    }

    /// Either end takes the other along; what is still in a capture is read before its end.
    pub(super) async fn delete(pod: &Space, eth: IfName) -> Result<Real, LiveError> {
        match pod.rtnl.delete_link(eth.as_str()).await {
            Err(e) if !e.not_found() => Err(broke(e)),
            done => Ok(done.into()),
        }
    }

    /// Its kernel notices a carrier at once; that is soon, and the next step may be sooner. Who asks
    /// after a link has it handled now.
    pub(super) async fn align(&mut self, now: PairNow, cali: IfName) {
        if core::mem::replace(&mut self.carried, now.carries) != now.carries {
            // an end that is gone says nothing
            let _ = self.space.rtnl.link(cali.as_str()).await;
        }
    }

    pub(super) fn send_by_hand(&self, frame: &[u8], cali: IfName) -> Real {
        let sent = PacketSocket::open(&self.space.netns, cali.as_str(), &PacketOptions::new())
            .and_then(|socket| socket.send(frame));
        sent.map_err(|e| refusal(None, &e)).into()
    }

    /// A frame on the pair: what the pod asks of its gateway, of either family, and the answers.
    pub(super) fn judge_frame(
        &mut self,
        at: Time,
        id: FrameId,
        frame: &Captured,
        s: &Setting,
    ) -> Option<Judged> {
        let eth = EthFrame::parse(&frame.bytes).ok()?;
        let cast = Cast::of(eth.dst, self.state.link_named(s.cali).map_or(eth.dst, Link::mac));
        if eth.ethertype == ETHERTYPE_ARP {
            let arp = Arp::parse(eth.payload).ok()?;
            if frame.from_pod && arp.op == OP_REQUEST && arp.tpa == s.gateway {
                self.judge.asked(at, id, Question::Arp(arp, cast));
            } else if !frame.from_pod && arp.op == OP_REPLY && arp.spa == s.gateway {
                return self.judge.answered(at, s.gateway.into());
            }
            return None;
        }
        let packet = Some(eth.payload).filter(|_| eth.ethertype == ETHERTYPE_IPV6).and_then(nd::in_packet)?;
        let (src, dst, hop_limit) = (packet.src, packet.dst, packet.hop_limit);
        match packet.message {
            NdMessage::Solicit(ns)
                if frame.from_pod && ns.target.is_unicast_link_local() && !src.is_unspecified() =>
            {
                // its interface is the one that the judge's view has
                let (dev, own_nonce, sender_known, again) = (IfIndex(0), false, true, false);
                let request =
                    NsRequest { dev, cast, src, dst, hop_limit, ns, own_nonce, sender_known, again };
                self.judge.asked(at, id, Question::Solicit(request));
                None
            }
            // one that nobody asked for answers nobody
            NdMessage::Advert(na) if !frame.from_pod && na.solicited => {
                self.judge.answered(at, na.target.into())
            }
            _ => None,
        }
    }

    /// The switches that decide about the pod's requests, as the kernel has them.
    pub(super) fn sysctls(&self, cali: IfName) -> Vec<(SysctlKey, i32)> {
        let dev = Scope::Dev(cali);
        let conf4 = [Conf4::ProxyArp, Conf4::Forwarding, Conf4::RpFilter, Conf4::RouteLocalnet];
        let mut keys = vec![
            SysctlKey::Global(Global::IpForward),
            SysctlKey::Conf4(Scope::All, Conf4::RpFilter),
            SysctlKey::Neigh4(dev, NeighVar::ProxyDelay),
        ];
        keys.extend(conf4.map(|k| SysctlKey::Conf4(dev, k)));
        self.space.sysctls(keys)
    }
}

/// The model takes the change that the kernel took.
fn follow(state: &mut HostState, change: &Mutation) -> Result<(), LiveError> {
    let done = state.apply(change);
    done.map(|_| ()).map_err(|e| LiveError::Build(format!("the model refuses the node's set-up: {e}")))
}
