//! What reaches the task that owns a live run: news of clients, of tables and links, frames.

use super::capture::Captured;
use super::client::{Message, Report};
use super::engine::Lab;
use super::judge::{Question, Verdict};
use super::node::{Node, NodeEvent};
use super::terms::LiveError;
use super::watch::Entry;
use crate::control::{GATEWAY, Side};
use crate::gateway::Answer;
use crate::host::{IfIndex, NsRequest};
use crate::packet::Frame;
use crate::pair::no_carrier;
use crate::pod::ClientId;
use crate::run::{Deed, Heard, Order, PodId};
use crate::time::Time;
use crate::trace::{ClientNews, Fate, FrameId, Loss, Ruling, Sink, View, What};
use crate::wire::{
    Arp, Cast, ETHERTYPE_ARP, ETHERTYPE_IPV6, EthFrame, OP_REPLY, OP_REQUEST,
    nd::{self, NdMessage, NdPacket},
};
use std::net::IpAddr;

impl Lab {
    pub(super) async fn client_news(&mut self, message: Message) -> Result<(), LiveError> {
        let Some(client) = self.clients.get_mut(message.client) else { return Ok(()) };
        if client.finished || client.life != message.life {
            return Ok(());
        }
        let id = ClientId(message.client as u32);
        let what = match message.what {
            Report::Finished => {
                client.finished = true;
                Heard::Finished
            }
            Report::News(news) => {
                let what = match news {
                    ClientNews::Try { .. } => {
                        client.sent += 1;
                        Heard::Began
                    }
                    ClientNews::Success { .. } => {
                        client.answered += 1;
                        Heard::Other
                    }
                    _ => Heard::Other,
                };
                self.events.take(message.at, What::Client { client: id, news });
                what
            }
        };
        let answers = client.answered;
        if let Some(order) = self.heard(id, (what, answers)) {
            self.obey(&order).await?;
            // what a signal ends has ended
            if matches!(order.deed, Deed::Stop(_))
                && let Some(order) = self.heard(id, (Heard::Finished, answers))
            {
                self.obey(&order).await?;
            }
        }
        Ok(())
    }

    fn heard(&mut self, client: ClientId, what: (Heard, u32)) -> Option<Order<'static>> {
        let (now, from) = (self.now(), (PodId::default(), client));
        self.run.heard(now, from, what, self.node.state(), &mut self.chooser)
    }

    fn time_of(&self, at_ns: u64) -> Time {
        Time(at_ns.saturating_sub(self.zero_ns))
    }

    pub(super) fn neigh_news(&mut self, event: &netns_lab::Event) {
        let at = self.time_of(event.at_ns);
        if !self.node.is_model() {
            self.pod_carrier(&event.change);
        }
        if let Some(entry) = self.known.take(&event.change) {
            self.tell_entry(at, Side::Pod, entry);
        }
    }

    fn tell_entry(&mut self, at: Time, side: Side, entry: Entry) {
        let Entry { dev, ip, old, new, lladdr } = entry;
        if side == Side::Pod && ip == IpAddr::V4(GATEWAY) {
            self.progress.entry(new.map_or("no entry".into(), |n| n.to_string()));
        }
        self.events.take(at, What::Neigh { side, dev, ip, old, new, lladdr, cause: None });
    }

    /// A frame on the link, read once.
    pub(super) fn tell_frame(
        &mut self,
        at: Time,
        (id, from, fate): (FrameId, Side, Fate),
        bytes: &[u8],
    ) -> View {
        let view = View::of(bytes);
        let host_mac = self.node.state().link_named(self.plan.setting.cali).map(crate::host::Link::mac);
        let bytes = Frame::from_slice(bytes);
        self.events.take(at, What::Frame { id, from, bytes, view, fate, host_mac });
        view
    }

    /// What came from the host's side.
    pub(super) async fn node_news(&mut self, event: NodeEvent) -> Result<(), LiveError> {
        match event {
            NodeEvent::FromPod(Some(frame)) => return self.heard_pod(&frame).await,
            NodeEvent::FromPod(None) => {
                if let Node::Model(m) = &mut self.node {
                    m.wire = None;
                }
            }
            NodeEvent::Captured(Some(frame)) => self.captured(&frame).await,
            NodeEvent::Captured(None) => {
                if let Node::Kernel(k) = &mut self.node {
                    k.capture = None;
                }
            }
            NodeEvent::Uplink(frame) => {
                let now = self.now();
                if let Node::Kernel(k) = &mut self.node {
                    k.uplink.receive(now, &frame).await?;
                }
            }
            NodeEvent::Netlink(event) => self.netlink_news(&event),
        }
        Ok(())
    }

    /// The real node's netlink: its links, which Felix hears of, and its neighbours.
    fn netlink_news(&mut self, event: &netns_lab::Event) {
        let Node::Kernel(k) = &mut self.node else { return };
        let cali = self.plan.setting.cali;
        if let Some(news) = k.link_news(&event.change, cali) {
            let now = self.now();
            self.node_turned(now);
            self.run.link(now, news, self.node.state(), &mut self.chooser);
        } else if let Some(entry) = k.known.take(&event.change)
            && entry.dev == cali
        {
            self.tell_entry(self.time_of(event.at_ns), Side::Host, entry);
        } else if k.carrier_news(&event.change) || k.dad_news(&event.change, cali) {
            self.node_turned(self.time_of(event.at_ns));
        }
    }

    /// A frame on a real veth pair, as the pod's end saw it.
    async fn captured(&mut self, frame: &Captured) {
        let at = self.time_of(frame.at_ns);
        self.frames += 1;
        let id = FrameId(self.frames);
        let from = if frame.from_pod { Side::Pod } else { Side::Host };
        self.tell_frame(at, (id, from, Fate::Delivered), &frame.bytes);
        let Some((eth, arp)) = arp_of(&frame.bytes) else { return self.captured_nd(at, id, frame) };
        if frame.from_pod && arp.op == OP_REQUEST && arp.tpa == GATEWAY {
            let cali = self.node.state().link_named(self.plan.setting.cali);
            let cast = Cast::of(eth.dst, cali.map_or(eth.dst, crate::host::Link::mac));
            if let Node::Kernel(k) = &mut self.node {
                k.judge.asked(at, id, Question::Arp(arp, cast));
            }
            self.run.asked(self.now(), &mut self.chooser);
            self.look_at_entry().await;
        } else if !frame.from_pod && arp.op == OP_REPLY && arp.spa == GATEWAY {
            let verdict = match &mut self.node {
                Node::Kernel(k) => k.judge.answered(at, GATEWAY.into()),
                Node::Model(_) => None,
            };
            self.tell_verdicts(verdict);
        }
    }

    /// Neighbour discovery of IPv6, of which the pod's questions to its gateway are judged.
    fn captured_nd(&mut self, at: Time, id: FrameId, frame: &Captured) {
        let Some((eth, packet)) = nd_of(&frame.bytes) else { return };
        let (src, dst) = (packet.src, packet.dst);
        let cali = self.plan.setting.cali;
        let Node::Kernel(k) = &mut self.node else { return };
        let verdict = match packet.message {
            NdMessage::Solicit(ns)
                if frame.from_pod && ns.target.is_unicast_link_local() && !src.is_unspecified() =>
            {
                let cast =
                    Cast::of(eth.dst, k.state.link_named(cali).map_or(eth.dst, crate::host::Link::mac));
                let request = NsRequest {
                    dev: crate::host::IfIndex(0),
                    cast,
                    src,
                    dst,
                    hop_limit: packet.hop_limit,
                    ns,
                    own_nonce: false,
                    sender_known: true,
                    again: false,
                };
                k.judge.asked(at, id, Question::Solicit(request));
                None
            }
            NdMessage::Advert(na) if !frame.from_pod => k.judge.answered(at, na.target.into()),
            _ => return,
        };
        self.tell_verdicts(verdict);
    }

    /// Requests that have waited too long for an answer have none.
    pub(super) fn judge_late(&mut self) {
        let now = self.now();
        if let Node::Kernel(k) = &mut self.node {
            let verdicts = k.judge.expire(now);
            self.tell_verdicts(verdicts);
        }
    }

    pub(super) fn judge_rest(&mut self) {
        if let Node::Kernel(k) = &mut self.node {
            let verdicts = k.judge.finish();
            self.tell_verdicts(verdicts);
        }
    }

    fn tell_verdicts(&mut self, verdicts: impl IntoIterator<Item = Verdict>) {
        for Verdict { at, what, differs } in verdicts {
            if matches!(what, What::Judged { ruling: Ruling::Silent { .. }, .. }) {
                self.progress.unanswered();
            }
            self.events.take(at, what);
            if let Some(text) = differs {
                self.events.take(at, What::Differs { text });
            }
        }
    }

    /// A frame of the pod for the modelled node: into the trace, then to the gateway.
    async fn heard_pod(&mut self, frame: &[u8]) -> Result<(), LiveError> {
        let now = self.now();
        self.frames += 1;
        let id = FrameId(self.frames);
        let host = self.veth.host_index(self.node.state());
        let arrives = self.veth.carries() && host.is_some();
        let fate = if arrives {
            Fate::Delivered
        } else {
            Fate::Lost(Loss::Carrier(no_carrier(self.node.state(), self.plan.setting.cali)))
        };
        let asks = self.tell_frame(now, (id, Side::Pod, fate), frame).asks_gateway4();
        if asks {
            self.run.asked(now, &mut self.chooser);
        }
        if let Some(dev) = host.filter(|_| arrives) {
            self.run.emit.begin_frame(id);
            self.meet_model(now, dev, frame).await?;
            self.settle().await?;
            self.run.emit.end_frame();
        }
        if asks {
            self.look_at_entry().await;
        }
        Ok(())
    }

    /// A frame of the pod reaches the modelled node: what stands in front of its kernel, then that.
    async fn meet_model(&mut self, now: Time, dev: IfIndex, frame: &[u8]) -> Result<(), LiveError> {
        let Node::Model(m) = &mut self.node else { return Ok(()) };
        match self.run.meet(now, m.gateway.state(), dev, frame, &mut self.events) {
            Answer::Pass => m.gateway.receive(now, dev, frame, &mut self.chooser),
            Answer::Silent => {}
            Answer::Reply(reply) => self.send_to_pod(&reply).await?,
        }
        Ok(())
    }

    /// INCOMPLETE is never announced: looks at the table while the pod is asking.
    async fn look_at_entry(&mut self) {
        let Ok(entries) = self.pod.rtnl.neighbours().await else { return };
        let now = self.now();
        for n in entries.iter().filter(|n| n.address == IpAddr::V4(GATEWAY)) {
            if n.state == netns_lab::rtnl::NudState::Incomplete
                && let Some(entry) = self.known.see(n)
            {
                self.tell_entry(now, Side::Pod, entry);
            }
        }
    }
}

/// A frame that is a well-formed message of IPv6 neighbour discovery.
fn nd_of(frame: &[u8]) -> Option<(EthFrame<'_>, NdPacket)> {
    let eth = EthFrame::parse(frame).ok().filter(|eth| eth.ethertype == ETHERTYPE_IPV6)?;
    let packet = nd::in_packet(eth.payload)?;
    Some((eth, packet))
}

/// A frame that is a well-formed ARP packet.
fn arp_of(frame: &[u8]) -> Option<(EthFrame<'_>, Arp)> {
    let eth = EthFrame::parse(frame).ok().filter(|eth| eth.ethertype == ETHERTYPE_ARP)?;
    let arp = Arp::parse(eth.payload).ok()?;
    Some((eth, arp))
}
