//! What the actors do, done: each act on the real namespaces, and on the model beside them.

use super::capture::Capture;
use super::engine::{Client, Lab};
use super::link::Wire;
use super::node::{Node, link_add};
use super::space::{Space, refusal};
use super::terms::{LiveError, broke};
use super::watch::Known;
use crate::addr::IfName;
use crate::control::{GATEWAY, LinkEvent, Refusal, Side};
use crate::host::conf::{Global, SysctlKey};
use crate::host::{Errno, HostState, LinkChange, Mutation, Refused};
use crate::run::{Came, Deed, Doing, Order};
use crate::time::Time;
use crate::trace::{Sink, What};
use netns_lab::rtnl::VethEnd;
use netns_lab::{PacketOptions, PacketSocket, RtnlError};
use std::sync::Arc;

/// The number of the host end. Both ends of a pair with equal numbers look to the kernel like plain
/// devices, whose carrier it handles at most once a second; on a node of many pods they differ.
const HOST_END_INDEX: u32 = 37;

/// What a change came to; the error is the kernel's refusal, which the actor hears of.
type Done = Result<(), Refusal>;

impl Lab {
    pub(super) async fn carry_out(&mut self, mut doing: Doing) -> Result<(), LiveError> {
        loop {
            let now = self.now();
            let Some(order) = self.run.next_order(&mut doing, now, self.node.state(), &mut self.chooser)
            else {
                break;
            };
            let came = self.obey(&order).await?;
            self.run.came(&mut doing, came, self.now(), self.node.state(), &mut self.chooser);
        }
        self.run.finish(doing, self.now(), self.node.state(), &mut self.chooser, &mut self.events);
        Ok(())
    }

    /// Carries an order out on what is real, and on the model beside it.
    pub(super) async fn obey(&mut self, order: &Order<'_>) -> Result<Came, LiveError> {
        let begin = self.now();
        let done = match &order.deed {
            Deed::Change(side, change) => self.change(*side, change).await?,
            Deed::Create { host_end, pod_up } => self.create_veth(*host_end, *pod_up).await?,
            Deed::Move => self.move_veth().await?,
            Deed::Delete(from) => {
                let s = &self.plan.setting;
                let dev = if *from == Side::Host { s.cali } else { s.eth };
                self.change(*from, &Mutation::LinkDel { dev }).await?
            }
            Deed::Reset => {
                self.reset_pod().await?;
                Ok(())
            }
            Deed::Send(frame) => return self.send_by_hand(frame).await.map(Came::from),
            Deed::LookAtEntry => return Ok(self.look_for_monitor().await),
            Deed::DownElsewhere => return Ok(Came::Done),
            Deed::Start(client) => {
                self.start_client(*client);
                return Ok(Came::Done);
            }
            Deed::Stop(client) => {
                if let Some(client) = self.clients.get_mut(client.0 as usize) {
                    (client.running, client.finished) = (None, true);
                }
                return Ok(Came::Done);
            }
            Deed::Renew(client) => {
                if let Some(client) = self.clients.get_mut(client.0 as usize) {
                    client.renew();
                }
                return Ok(Came::Done);
            }
        };
        if let (Deed::Change(Side::Host, change), Node::Kernel(k)) = (&order.deed, &mut self.node)
            && change.takes_down()
        {
            k.judge.purged(begin);
        }
        self.node_turned(begin);
        Ok(done.into())
    }

    /// `ip neigh show 169.254.1.1` in the pod, for whoever watches it.
    async fn look_for_monitor(&mut self) -> Came {
        let entries = match self.pod.rtnl.neighbours().await {
            Ok(entries) => entries,
            Err(e) => return Came::Refused(refused_by(&e)),
        };
        let gateway = entries.iter().find(|n| n.address == std::net::IpAddr::V4(GATEWAY));
        Came::Entry(gateway.and_then(|n| super::watch::nud_of(n.state)))
    }

    /// A frame out of the host end, as a program on the node sends it.
    async fn send_by_hand(&mut self, frame: &[u8]) -> Result<Done, LiveError> {
        match &self.node {
            Node::Model(_) => {
                self.send_to_pod(frame).await?;
                Ok(Ok(()))
            }
            Node::Kernel(k) => {
                let cali = self.plan.setting.cali;
                let sent = PacketSocket::open(&k.space.netns, cali.as_str(), &PacketOptions::new())
                    .and_then(|socket| socket.send(frame));
                Ok(sent.map_err(|e| refusal(None, &e)))
            }
        }
    }

    /// A change on either side: on what is real there, and on the model of it.
    async fn change(&mut self, side: Side, change: &Mutation) -> Result<Done, LiveError> {
        if let Mutation::LinkDel { dev } = change
            && let Some(link) = self.state(side).link_named(*dev)
            && self.veth.is_end(side, link.index())
        {
            return self.delete_pair().await.map(Ok);
        }
        let before = self.host_running();
        let modelled = self.node.is_model() && names_device(change, self.plan.setting.cali);
        let done = match (side, &mut self.node) {
            (Side::Host, Node::Model(_)) => self.model(side, change),
            (Side::Pod, _) if modelled => self.model(side, change),
            (Side::Host, Node::Kernel(k)) => {
                if let Mutation::LinkSet { dev, change: LinkChange::Carrier(on) } = change
                    && *dev == self.plan.setting.uplink
                {
                    // the model's node notices when the kernel says that it has
                    k.uplink.set_carrier(*on).await?;
                    return Ok(Ok(()));
                }
                let done = k.space.apply(change).await?;
                self.follow(side, change, &done);
                done
            }
            (Side::Pod, _) => {
                let done = self.pod.apply(change).await?;
                self.follow(side, change, &done);
                done
            }
        };
        if done.is_ok() {
            self.update_carrier(before).await?;
        }
        Ok(done)
    }

    /// The model makes the change that the kernel made, or was refused. What it would have done
    /// otherwise is told.
    fn follow(&mut self, side: Side, change: &Mutation, done: &Done) {
        let modelled = match done {
            Ok(()) => self.model(side, change),
            // whether an entry is there only a neighbour table knows, and this model is without
            Err(_) if matches!(change, Mutation::Neigh { .. }) => return,
            Err(_) => self.state(side).clone().apply(change).map(|_| ()).map_err(Refusal::from),
        };
        self.tell_differs(done, &modelled);
    }

    async fn update_carrier(&mut self, before: Option<bool>) -> Result<(), LiveError> {
        let now = self.now();
        let plan = Arc::clone(&self.plan);
        let carried = self.veth.carries();
        self.veth.update(now, self.node.state(), &self.shadow, &mut self.chooser);
        // the cable is out while the host end is down, whatever the pod does to its own end
        let host_up = self.far_end_up();
        if let Node::Model(m) = &mut self.node
            && let Some(wire) = &m.wire
        {
            wire.set_carrier(host_up).await?;
            if m.carrier != host_up {
                m.carrier = host_up;
                // On a node the kernel handles a veth's carrier at once; that of a TAP, or of a pair
                // whose ends have the same number, at most once a second, and until then the pod's
                // requests leave (linkwatch_urgent_event). Who asks after one link has it handled
                // now (rtnl_getlink, since 6.7). The pod may have taken the link away.
                let _ = self.pod.rtnl.link(plan.setting.eth.as_str()).await;
            }
        }
        if let Node::Kernel(k) = &self.node
            && carried != self.veth.carries()
        {
            // at once is soon, and the next step may be sooner: the same question
            let _ = k.space.rtnl.link(plan.setting.cali.as_str()).await;
        }
        self.tell_running(before);
        Ok(())
    }

    fn far_end_up(&self) -> bool {
        self.veth.far(self.node.state(), &self.shadow).is_some_and(crate::host::Link::is_up)
    }

    /// When the modelled host notices its carrier; a real one says so by netlink.
    pub(super) fn carrier_timeout(&self) -> Option<Time> {
        if self.node.is_model() { self.veth.poll_timeout() } else { None }
    }

    /// The modelled host (and the pod's shadow) notice the carrier; the real pod does by itself.
    pub(super) fn notice_carrier(&mut self, now: Time) {
        let Some(changes) = self.veth.take_notice(now, self.node.state(), &self.shadow) else { return };
        for (side, change) in changes {
            let before = self.host_running();
            match (side, &mut self.node) {
                (Side::Host, Node::Model(m)) => {
                    let _ = m.gateway.apply(now, &change, &mut self.chooser);
                }
                _ => {
                    let _ = self.shadow.apply(&change);
                }
            }
            self.tell_running(before);
        }
    }

    /// The real pod's own carrier, for its shadow.
    pub(super) fn pod_carrier(&mut self, change: &netns_lab::Change) {
        let eth = self.plan.setting.eth;
        if let netns_lab::Change::Link(link) = change
            && link.name == eth.as_str()
        {
            let change = LinkChange::Carrier(link.running);
            let _ = self.shadow.apply(&Mutation::LinkSet { dev: eth, change });
        }
    }

    fn host_running(&self) -> Option<bool> {
        self.node.state().link_named(self.plan.setting.cali).map(|l| l.is_up() && l.has_carrier())
    }

    /// What a listener on the modelled node would hear; a real node is listened to.
    fn tell_running(&mut self, before: Option<bool>) {
        if !self.node.is_model() {
            return;
        }
        let event = match (before, self.host_running()) {
            (None, Some(_)) => LinkEvent::New,
            (Some(_), None) => LinkEvent::Gone,
            (Some(false), Some(true)) => LinkEvent::Running,
            (Some(true), Some(false)) => LinkEvent::Stopped,
            _ => return,
        };
        self.run.link(self.now(), event, self.node.state(), &mut self.chooser);
    }

    async fn create_veth(&mut self, host_end: Side, pod_up: bool) -> Result<Done, LiveError> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let before = self.host_running();
        let done = if self.node.is_model() {
            let modelled = self.model_pair(host_end);
            if modelled.is_ok() {
                self.make_wire().await?;
            }
            modelled
        } else {
            let made = self.make_pair(host_end).await?;
            self.follow_with(&made, |lab| lab.model_pair(host_end));
            made
        };
        if done.is_err() {
            return Ok(done);
        }
        self.veth.place(host_end, self.node.state(), &self.shadow);
        self.tell_running(before);
        if pod_up {
            let up = Mutation::LinkSet { dev: s.eth, change: LinkChange::Up(true) };
            return self.change(Side::Pod, &up).await;
        }
        Ok(Ok(()))
    }

    /// The model's pair: both ends or none, as the kernel makes it.
    fn model_pair(&mut self, host_end: Side) -> Done {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        self.model(Side::Pod, &link_add(s.eth, Some(s.pod_mac)))?;
        let done = self.model(host_end, &link_add(s.cali, None));
        if done.is_err() {
            let _ = self.model(Side::Pod, &Mutation::LinkDel { dev: s.eth });
        }
        done
    }

    /// The model's host end goes from one namespace to the other, or stays where it is.
    fn model_move(&mut self) -> Done {
        let cali = self.plan.setting.cali;
        let end = self.shadow.link_named(cali).ok_or_else(|| not_in_pod(cali))?;
        let add = link_add(cali, Some(end.mac()));
        self.model(Side::Host, &add)?;
        self.model(Side::Pod, &Mutation::LinkDel { dev: cali })
    }

    /// A namespace as the model has it.
    fn state(&self, side: Side) -> &HostState {
        if side == Side::Host { self.node.state() } else { &self.shadow }
    }

    /// A change of the model alone.
    fn model(&mut self, side: Side, change: &Mutation) -> Done {
        let now = self.now();
        let done = match (side, &mut self.node) {
            (Side::Host, Node::Model(m)) => m.gateway.apply(now, change, &mut self.chooser),
            (Side::Host, Node::Kernel(k)) => k.state.apply(change).map(|_| ()),
            (Side::Pod, _) => self.shadow.apply(change).map(|_| ()),
        };
        done.map_err(Refusal::from)
    }

    /// The model beside a real node does what the kernel did, or was refused. What it would have
    /// done otherwise is told, and goes no further.
    fn follow_with(&mut self, done: &Done, change: impl FnOnce(&mut Lab) -> Done) {
        let Node::Kernel(k) = &self.node else { return };
        let kept = (k.state.clone(), self.shadow.clone());
        let modelled = change(self);
        if done.is_err()
            && let Node::Kernel(k) = &mut self.node
        {
            (k.state, self.shadow) = kept;
        }
        self.tell_differs(done, &modelled);
    }

    fn tell_differs(&mut self, kernel: &Done, model: &Done) {
        let text = match (kernel, model) {
            (Ok(()), Err(refused)) => format!("the kernel made a change that the model refuses: {refused}"),
            (Err(why), Ok(())) => format!("the kernel refuses a change that the model makes: {why}"),
            _ => return,
        };
        let now = self.now();
        self.events.take(now, What::Differs { text });
    }

    /// The pod's end alone, its wire in this program's hands.
    async fn make_wire(&mut self) -> Result<(), LiveError> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let now = self.now();
        let Node::Model(m) = &mut self.node else { return Ok(()) };
        match Wire::make(&self.pod.netns, &self.pod.rtnl, s.eth.as_str(), s.pod_mac, m.prefer).await {
            Ok((wire, note)) => {
                self.pod.level_device(s.eth)?;
                if let Some(text) = note {
                    self.events.take(now, What::Note { text });
                }
                wire.set_carrier(false).await?;
                (m.wire, m.carrier) = (Some(wire), false);
                Ok(())
            }
            // this machine refuses, not the scenario
            Err(e) => Err(LiveError::Build(e.to_string())),
        }
    }

    /// A real pair, made from where the host end is to be born.
    async fn make_pair(&mut self, host_end: Side) -> Result<Done, LiveError> {
        let plan = Arc::clone(&self.plan);
        let s = &plan.setting;
        let Node::Kernel(k) = &mut self.node else { return Ok(Ok(())) };
        let far = VethEnd::new(s.cali.as_str()).index(HOST_END_INDEX);
        let near = VethEnd::new(s.eth.as_str()).mac(crate::namespace::mac_of(s.pod_mac));
        let made = match host_end {
            Side::Pod => self.pod.rtnl.add_veth(&far, &near).await,
            Side::Host => k.space.rtnl.add_veth(&far, &near.in_netns(&*self.pod.netns)).await,
        };
        if let Err(e) = made {
            return Ok(Err(refused_by(&e)));
        }
        self.pod.level_device(s.eth)?;
        if host_end == Side::Host { &k.space } else { &self.pod }.level_device(s.cali)?;
        k.capture = Some(Capture::open(&self.pod.netns, s.eth.as_str())?);
        Ok(Ok(()))
    }

    async fn move_veth(&mut self) -> Result<Done, LiveError> {
        let plan = Arc::clone(&self.plan);
        let cali = plan.setting.cali;
        let before = self.host_running();
        let done = if self.node.is_model() {
            self.model_move()
        } else {
            let moved = self.move_end(cali).await?;
            self.follow_with(&moved, Lab::model_move);
            moved
        };
        if done.is_err() {
            return Ok(done);
        }
        self.veth.place(Side::Host, self.node.state(), &self.shadow);
        self.update_carrier(before).await?;
        Ok(Ok(()))
    }

    /// The real host end.
    async fn move_end(&mut self, cali: IfName) -> Result<Done, LiveError> {
        let Node::Kernel(k) = &self.node else { return Ok(Ok(())) };
        match self.pod.rtnl.move_link(cali.as_str(), &*k.space.netns).await {
            Err(e) => Ok(Err(refused_by(&e))),
            Ok(()) => k.space.level_device(cali).map(Ok),
        }
    }

    /// Either end goes and takes the other along, whatever they are called by now.
    async fn delete_pair(&mut self) -> Result<(), LiveError> {
        let before = self.host_running();
        let far = self.veth.host_end.zip(self.veth.far(self.node.state(), &self.shadow));
        let far = far.map(|(side, link)| (side, link.name()));
        let near = self.veth.near(&self.shadow).map(|link| (Side::Pod, link.name()));
        self.veth.reset();
        let Some((_, eth)) = near else { return Ok(()) };
        // what is still in a capture is read before its end; dropping a wire's descriptor deletes a TAP
        let gone = match &mut self.node {
            Node::Model(m) => !matches!(m.wire.take(), Some(Wire::Veth { .. })),
            Node::Kernel(_) => false,
        };
        let deleted = if gone { Ok(()) } else { self.pod.rtnl.delete_link(eth.as_str()).await };
        let deleted = match deleted {
            Err(e) if !e.not_found() => return Err(broke(e)),
            done => done.map_err(|e| refused_by(&e)),
        };
        for (side, dev) in far.into_iter().chain(near) {
            let modelled = self.model(side, &Mutation::LinkDel { dev });
            self.tell_differs(&deleted, &modelled);
        }
        self.tell_running(before);
        Ok(())
    }

    async fn reset_pod(&mut self) -> Result<(), LiveError> {
        if self.veth.host_end.is_some() {
            self.delete_pair().await?;
        }
        self.clients.iter_mut().for_each(Client::renew);
        self.pod = Space::new(Side::Pod)?;
        self.known = Known::default();
        self.shadow = self.plan.pod.clone();
        let plan = Arc::clone(&self.plan);
        self.pod.set_up(&plan.pod_setup).await?;
        if plan.icmp_errors_filtered {
            // no credit for errors is as good as a filter for those that the pod's kernel sends
            let key = |g| SysctlKey::Global(g);
            for key in [key(Global::IcmpMsgsPerSec), key(Global::IcmpMsgsBurst)] {
                self.pod.set_up(&[Mutation::Sysctl { key, value: 0 }]).await?;
            }
        }
        Ok(())
    }
}

/// A kernel's refusal.
fn refused_by(e: &RtnlError) -> Refusal {
    refusal(e.errno().map(netns_lab::Errno::raw), e)
}

fn not_in_pod(cali: IfName) -> Refusal {
    let command = format!("ip link set {cali} netns node");
    Refused { command, errno: Errno::Enodev, why: "the host end is not in the pod's namespace" }.into()
}

/// True for a change of that device in particular.
fn names_device(change: &Mutation, dev: IfName) -> bool {
    match change {
        Mutation::LinkSet { dev: d, .. }
        | Mutation::LinkDel { dev: d }
        | Mutation::LinkAdd { name: d, .. } => *d == dev,
        Mutation::Sysctl { key, .. } => key.device() == Some(dev),
        _ => false,
    }
}
