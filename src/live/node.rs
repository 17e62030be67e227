//! Who stands at the host's end: the model behind a wire, or a kernel in a namespace.

use super::capture::{Capture, Captured};
use super::judge::{Judge, View};
use super::link::{LinkKind, Wire};
use super::space::Space;
use super::terms::LiveError;
use super::uplink::Uplink;
use super::watch::Known;
use crate::addr::{IfName, Mac};
use crate::control::{LinkEvent, Side};
use crate::gateway::{Gateway, GatewayOutput, SmoltcpOutside};
use crate::host::conf::{Conf4, Global, NeighVar, Scope, SysctlKey};
use crate::host::{HostState, KernelChange, LinkChange, LinkKind as DeviceKind, Mutation};
use crate::scenario::Plan;
use crate::time::Time;
use netns_lab::Change;

/// The host's side of a run.
pub(super) enum Node {
    /// The software gateway; the pod's `eth0` is the near end of its wire.
    Model(Box<ModelNode>),
    /// A namespace of the node, joined to the pod's by a veth pair.
    Kernel(Box<KernelNode>),
}

pub(super) struct ModelNode {
    pub(super) gateway: Gateway<SmoltcpOutside>,
    pub(super) wire: Option<Wire>,
    /// What the pod's end was last told.
    pub(super) carrier: bool,
    pub(super) prefer: Option<LinkKind>,
}

pub(super) struct KernelNode {
    pub(super) space: Space,
    /// What the model makes of the changes that the kernel got.
    pub(super) state: HostState,
    pub(super) uplink: Uplink,
    pub(super) capture: Option<Capture>,
    pub(super) judge: Judge,
    /// IFF_RUNNING of the host end, as netlink told; `None` while it is not there.
    pub(super) running: Option<bool>,
    pub(super) known: Known,
}

/// Something that reached the lab from the host's side or the wire.
pub(super) enum NodeEvent {
    /// The pod's frame for the modelled node; `None` when the wire is gone.
    FromPod(Option<Vec<u8>>),
    /// A frame on the veth pair; `None` when it is gone.
    Captured(Option<Captured>),
    /// A frame out of the real node's uplink.
    Uplink(Vec<u8>),
    /// The real node's netlink news.
    Netlink(netns_lab::Event),
}

impl Node {
    /// The node's state as the model has it.
    pub(super) fn state(&self) -> &HostState {
        match self {
            Node::Model(m) => m.gateway.state(),
            Node::Kernel(k) => &k.state,
        }
    }

    pub(super) fn is_model(&self) -> bool {
        matches!(self, Node::Model(_))
    }

    /// What the modelled node has to say.
    pub(super) fn model_output(&mut self) -> Option<GatewayOutput> {
        match self {
            Node::Model(m) => m.gateway.poll_output(),
            Node::Kernel(_) => None,
        }
    }

    /// When its timers want to run.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Node::Model(m) => m.gateway.poll_timeout(),
            Node::Kernel(k) => k.uplink.poll_timeout(),
        }
    }

    /// When a request is given up, once nothing else waits.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self {
            Node::Model(_) => None,
            Node::Kernel(k) => k.judge.deadline(),
        }
    }

    /// The next thing to come. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> NodeEvent {
        match self {
            Node::Model(m) => match &mut m.wire {
                Some(wire) => NodeEvent::FromPod(wire.recv().await),
                None => std::future::pending().await,
            },
            Node::Kernel(k) => k.next().await,
        }
    }
}

impl KernelNode {
    /// A node's namespace as the scenario begins: an uplink to the world, and the set-up.
    pub(super) async fn build(
        plan: &Plan,
        outside: SmoltcpOutside,
        prefer: Option<LinkKind>,
    ) -> Result<(KernelNode, Option<String>), LiveError> {
        let mut space = Space::new(Side::Host)?;
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
                        Wire::make(&space.netns, &space.rtnl, s.uplink.as_str(), uplink_mac, prefer).await;
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
        let (wire, hint) = wire.ok_or_else(|| {
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
            known: Known::default(),
        };
        Ok((node, hint))
    }

    async fn next(&mut self) -> NodeEvent {
        let capture = &mut self.capture;
        tokio::select! {
            biased;
            frame = async {
                match capture {
                    Some(capture) => capture.next().await,
                    None => std::future::pending().await,
                }
            } => NodeEvent::Captured(frame),
            frame = self.uplink.recv() => NodeEvent::Uplink(frame),
            Ok(event) = self.space.monitor.next() => NodeEvent::Netlink(event),
        }
    }

    /// What a netlink listener on the node learns of the host end; the model's carrier follows.
    pub(super) fn link_news(&mut self, change: &Change, cali: IfName) -> Option<LinkEvent> {
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
        match (before, now) {
            (None, Some(_)) => Some(LinkEvent::New),
            (Some(_), None) => Some(LinkEvent::Gone),
            (Some(false), Some(true)) => Some(LinkEvent::Running),
            (Some(true), Some(false)) => Some(LinkEvent::Stopped),
            _ => None,
        }
    }

    /// The node's kernel has noticed the carrier of another interface; true if that is so.
    pub(super) fn carrier_news(&mut self, change: &Change) -> bool {
        let Change::Link(link) = change else { return false };
        let Ok(dev) = link.name.parse::<IfName>() else { return false };
        let noticed = link.up && self.state.link_named(dev).is_some_and(|l| l.has_carrier() != link.running);
        let change = Mutation::LinkSet { dev, change: LinkChange::Carrier(link.running) };
        noticed && self.state.apply(&change).is_ok()
    }

    /// The node's kernel has ended a test for duplicates of the host end; true if that is so.
    pub(super) fn dad_news(&mut self, change: &Change, cali: IfName) -> bool {
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

    pub(super) fn view(&self, dev: Option<crate::host::IfIndex>, carries: bool) -> View {
        View { state: self.state.clone(), dev, carries }
    }

    /// The switches that decide about the pod's requests, as the kernel has them.
    pub(super) fn sysctls(&self, cali: IfName) -> Vec<String> {
        let dev = Scope::Dev(cali);
        let conf4 = [Conf4::ProxyArp, Conf4::Forwarding, Conf4::RpFilter, Conf4::RouteLocalnet];
        let mut keys = vec![
            SysctlKey::Global(Global::IpForward),
            SysctlKey::Conf4(Scope::All, Conf4::RpFilter),
            SysctlKey::Neigh4(dev, NeighVar::ProxyDelay),
        ];
        keys.extend(conf4.map(|k| SysctlKey::Conf4(dev, k)));
        self.space.sysctls(&keys)
    }
}

/// The model takes the change that the kernel took.
fn follow(state: &mut HostState, change: &Mutation) -> Result<(), LiveError> {
    let done = state.apply(change);
    done.map(|_| ()).map_err(|e| LiveError::Build(format!("the model refuses the node's set-up: {e}")))
}

/// A veth end or a plain device, as the model adds it.
pub(super) fn link_add(name: IfName, mac: Option<Mac>) -> Mutation {
    Mutation::LinkAdd { name, kind: DeviceKind::Veth, mac }
}
