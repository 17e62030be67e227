//! What reaches the task that owns a live run: news of clients, of tables and links, frames.

use super::capture::Captured;
use super::client::{ClientReport, Message};
use super::engine::Lab;
use super::node::{NodeEvent, NodeNews};
use super::terms::LiveError;
use super::watch::EntryNews;
use crate::control::Side;
use crate::gateway::Answer;
use crate::host::IfIndex;
use crate::packet::Frame;
use crate::pair::no_carrier;
use crate::pod::ClientId;
use crate::run::{ClientDid, Deed, Judged, Order, PodId};
use crate::time::Time;
use crate::trace::{ClientNews, FrameFate, FrameId, Loss, Ruling, Sink, View, What};
use std::net::IpAddr;

impl Lab {
    pub(super) async fn client_news(&mut self, message: Message) -> Result<(), LiveError> {
        let Some(client) = self.clients.get_mut(message.client) else { return Ok(()) };
        if client.finished || client.life != message.life {
            return Ok(());
        }
        let id = ClientId(message.client as u32);
        let what = match message.what {
            ClientReport::Finished => {
                client.finished = true;
                ClientDid::Finished
            }
            ClientReport::News(news) => {
                let what = match news {
                    ClientNews::Try { .. } => {
                        client.sent += 1;
                        ClientDid::Began
                    }
                    ClientNews::Success { .. } => {
                        client.answered += 1;
                        ClientDid::Other
                    }
                    _ => ClientDid::Other,
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
                && let Some(order) = self.heard(id, (ClientDid::Finished, answers))
            {
                self.obey(&order).await?;
            }
        }
        Ok(())
    }

    fn heard(&mut self, client: ClientId, what: (ClientDid, u32)) -> Option<Order<'static>> {
        let (now, from) = (self.now(), (PodId::default(), client));
        self.run.heard(now, from, what, self.node.state(), &mut self.chooser)
    }

    fn time_of(&self, at_ns: u64) -> Time {
        Time(at_ns.saturating_sub(self.zero_ns))
    }

    pub(super) fn neigh_news(&mut self, event: &netns_lab::Event) {
        let at = self.time_of(event.at_ns);
        if let Some(carrier) = self.node.pod_carrier(&event.change, self.plan.setting.eth) {
            let _ = self.mirror.pod.apply(&carrier);
        }
        if let Some(entry) = self.known.take(&event.change) {
            self.tell_entry(at, Side::Pod, entry);
        }
    }

    fn tell_entry(&mut self, at: Time, side: Side, entry: EntryNews) {
        let EntryNews { dev, ip, old, new, lladdr } = entry;
        if side == Side::Pod && ip == IpAddr::V4(self.plan.setting.gateway) {
            self.progress.entry(new.map_or("no entry".into(), |n| n.to_string()));
        }
        self.events.take(at, What::Neigh { side, dev, ip, old, new, lladdr, cause: None });
    }

    /// A frame on the link, read once.
    pub(super) fn tell_frame(
        &mut self,
        at: Time,
        (id, from, fate): (FrameId, Side, FrameFate),
        bytes: &[u8],
    ) -> View {
        let view = View::of(bytes);
        let gateway = self.plan.setting.gateway;
        if from == Side::Pod && view.asks_gateway4(gateway) {
            self.in_vain.asked(at);
        } else if from == Side::Host && view.answers().is_some_and(|(ip, _)| ip == IpAddr::V4(gateway)) {
            self.in_vain.answered();
        }
        let host_mac = self.node.state().link_named(self.plan.setting.cali).map(crate::host::Link::mac);
        let bytes = Frame::from_slice(bytes);
        self.events.take(at, What::Frame { id, from, bytes, view, fate, host_mac });
        view
    }

    /// What came from the host's side.
    pub(super) async fn node_news(&mut self, event: NodeEvent) -> Result<(), LiveError> {
        match event {
            NodeEvent::FromPod(frame) => self.heard_pod(&frame).await?,
            NodeEvent::Captured(frame) => self.captured(&frame).await,
            NodeEvent::Gone => self.node.lost(),
            NodeEvent::Uplink(frame) => {
                let now = self.now();
                self.node.uplink(now, &frame).await?;
            }
            NodeEvent::Netlink(event) => self.netlink_news(&event),
        }
        Ok(())
    }

    /// The real node's netlink: its links, which Felix hears of, and its neighbours.
    fn netlink_news(&mut self, event: &netns_lab::Event) {
        match self.node.netlink(&event.change, self.plan.setting.cali) {
            NodeNews::Link(news) => {
                let now = self.now();
                self.node_turned(now);
                self.run.link(now, news, self.node.state(), &mut self.chooser);
            }
            NodeNews::Entry(entry) => self.tell_entry(self.time_of(event.at_ns), Side::Host, entry),
            NodeNews::Turned => self.node_turned(self.time_of(event.at_ns)),
            NodeNews::Nothing => {}
        }
    }

    /// A frame on a real veth pair, as the pod's end saw it.
    async fn captured(&mut self, frame: &Captured) {
        let at = self.time_of(frame.at_ns);
        self.frames += 1;
        let id = FrameId(self.frames);
        let from = if frame.from_pod { Side::Pod } else { Side::Host };
        let asks = self
            .tell_frame(at, (id, from, FrameFate::Delivered), &frame.bytes)
            .asks_gateway4(self.plan.setting.gateway);
        let verdict = self.node.judge(at, id, frame, &self.plan.setting);
        self.tell_verdicts(verdict);
        if frame.from_pod && asks {
            self.run.asked(self.now(), &mut self.chooser);
            self.look_at_entry().await;
        }
    }

    /// Requests that have waited too long for an answer have none; nor have those that are open at
    /// the end.
    pub(super) fn judge_late(&mut self, over: bool) {
        let verdicts = self.node.judge_late((!over).then(|| self.now()));
        self.tell_verdicts(verdicts);
    }

    pub(super) fn tell_verdicts(&mut self, verdicts: impl IntoIterator<Item = Judged>) {
        for judged in verdicts {
            if matches!(judged.what, What::Judged { ruling: Ruling::Silent { .. }, .. }) {
                self.progress.unanswered();
            }
            self.run.tell_judged(judged, &mut self.events);
        }
    }

    /// A frame of the pod for the modelled node: into the trace, then to the gateway.
    async fn heard_pod(&mut self, frame: &[u8]) -> Result<(), LiveError> {
        let now = self.now();
        self.frames += 1;
        let id = FrameId(self.frames);
        let host = self.mirror.veth.host_index(self.node.state());
        let arrives = self.mirror.veth.carries() && host.is_some();
        let fate = if arrives {
            FrameFate::Delivered
        } else {
            FrameFate::Lost(Loss::Carrier(no_carrier(self.node.state(), self.plan.setting.cali)))
        };
        let asks =
            self.tell_frame(now, (id, Side::Pod, fate), frame).asks_gateway4(self.plan.setting.gateway);
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
        match self.run.meet(now, self.node.state(), dev, frame, &mut self.events) {
            Answer::Pass => self.node.receive(now, dev, frame, &mut self.chooser),
            Answer::Silent => {}
            Answer::Reply(reply) => self.send_to_pod(&reply).await?,
        }
        Ok(())
    }

    /// An entry that was made NOARP, or that failed without a request, was never announced: looks at
    /// the table for what nobody has told.
    pub(super) async fn look_for_untold_entry(&mut self) {
        let Ok(entries) = self.pod.rtnl.neighbours().await else { return };
        let (now, gateway) = (self.now(), self.plan.setting.gateway);
        for n in entries.iter().filter(|n| n.address == IpAddr::V4(gateway)) {
            if !self.known.knows(n)
                && let Some(entry) = self.known.see(n)
            {
                self.tell_entry(now, Side::Pod, entry);
            }
        }
    }

    /// INCOMPLETE is never announced: looks at the table while the pod is asking.
    async fn look_at_entry(&mut self) {
        let Ok(entries) = self.pod.rtnl.neighbours().await else { return };
        let (now, gateway) = (self.now(), self.plan.setting.gateway);
        for n in entries.iter().filter(|n| n.address == IpAddr::V4(gateway)) {
            if n.state == netns_lab::rtnl::NudState::Incomplete
                && let Some(entry) = self.known.see(n)
            {
                self.tell_entry(now, Side::Pod, entry);
            }
        }
    }
}
