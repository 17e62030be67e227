//! A scenario made ready to run: states, actors, holds, clients, faults.

use super::file::ClientKind;
use super::plugin::RealPlugin;
use crate::control::{Actors, CalicoVersion, Gate, Hold, Setting, Side, StepTable};
use crate::gateway::OutsideSpec;
use crate::host::command::Tool;
use crate::host::{HostState, Mutation};
use crate::pair::FaultRule;
use crate::pod::{ArpingSpec, ClientId, ClientSpec, ConnectSpec, PingSpec, Ports, StreamSpec, UdpSpec};
use crate::time::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Who answers ARP on the host end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Responder")]
pub enum InFront {
    /// The kernel's ARP.
    #[default]
    Kernel,
    /// A program at the host end's ingress that answers for every address but the pod's own,
    /// whatever routes and switches say, as Cilium's does.
    Datapath,
    /// The same for every address, the pod's own included, as Antrea's does in policy-only mode.
    DatapathAny,
}

/// Where a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// An address.
    Host(IpAddr),
    /// A port.
    Port(SocketAddr),
}

impl Target {
    /// The address alone, whatever port there is.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        match self {
            Target::Host(ip) => *ip,
            Target::Port(at) => at.ip(),
        }
    }
}

impl core::fmt::Display for Target {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Target::Host(ip) => write!(f, "{ip}"),
            Target::Port(at) => write!(f, "{at}"),
        }
    }
}

/// A client and when it starts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClientPlan {
    /// By which expectations and events speak of it.
    pub name: String,
    /// What it is.
    pub kind: ClientKind,
    /// Where it runs.
    pub from: Side,
    /// Whom it talks to.
    pub to: Target,
    /// What starts it.
    pub gate: Gate,
    /// How long after.
    pub delay: (Span, Span),
    /// Time between two sends.
    pub interval: Span,
    /// After so many attempts it is done; `None`: it goes on.
    pub count: Option<u32>,
    /// The identifier of its echoes, one for each client: a raw socket hears the answers to all.
    pub ident: u16,
    /// It stops after so many answers.
    pub stop_after: Option<u32>,
    /// When to give up altogether.
    pub deadline: Option<Span>,
    /// Pause before the next attempt.
    pub retry: Option<Span>,
    /// Patience with one attempt.
    pub timeout: Option<Span>,
    /// So many at once.
    pub parallel: u32,
    /// IP_RECVERR.
    pub recverr: bool,
}

impl ClientPlan {
    /// The client as the pod runs it.
    #[must_use]
    pub fn spec(&self) -> ClientSpec {
        match (self.kind, self.to) {
            (ClientKind::TcpConnect, Target::Port(to)) => ClientSpec::TcpConnect(ConnectSpec {
                retry: self.retry,
                timeout: self.timeout,
                attempts: self.count,
                parallel: self.parallel,
                ..ConnectSpec::once(to)
            }),
            (ClientKind::TcpStream, Target::Port(to)) => ClientSpec::TcpStream(StreamSpec {
                interval: self.interval,
                count: self.count,
                ..StreamSpec::to(to)
            }),
            (ClientKind::Udp, Target::Port(to)) => ClientSpec::Udp(UdpSpec {
                interval: self.interval,
                count: self.count,
                timeout: self.timeout,
                recverr: self.recverr,
                listens: self.timeout.is_none(),
                ..UdpSpec::to(to)
            }),
            (ClientKind::Arping, Target::Host(IpAddr::V4(to))) => ClientSpec::Arping(ArpingSpec {
                interval: self.interval,
                count: self.count,
                deadline: self.deadline,
                once: self.stop_after == Some(1),
                ..ArpingSpec::who_has(to)
            }),
            (_, to) => ClientSpec::Ping(PingSpec {
                interval: self.interval,
                count: self.count,
                deadline: self.deadline,
                ident: self.ident,
                ..PingSpec::to(to.ip())
            }),
        }
    }
}

/// The name of the client that an init container runs until the gateway answers.
pub const WAITER: &str = "wait-for-gateway";

/// A run, ready to begin.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version whose program the plugin and Felix follow.
    pub version: CalicoVersion,
    /// Names and addresses.
    pub setting: Arc<Setting>,
    /// The steps that can happen.
    pub steps: Arc<StepTable>,
    /// Those held up.
    pub holds: Vec<Hold>,
    /// Who does them.
    pub actors: Vec<Actors>,
    /// The node's namespace at the start.
    pub host: HostState,
    /// A new namespace of the pod, as the runtime hands it to the plugin.
    pub pod: HostState,
    /// The changes that made the node's namespace from a new one.
    pub host_setup: Vec<Mutation>,
    /// The changes that made the pod's.
    pub pod_setup: Vec<Mutation>,
    /// What of the two set-ups only a kernel can do, after those changes.
    pub tools: Vec<(Side, Tool)>,
    /// The pod's interface has no peer that its kernel knows, as a TAP: changes of its carrier are
    /// noticed at most once a second, and not at once as those of a veth.
    pub eth_is_plain: bool,
    /// An interface that goes down in any namespace throws delayed answers away (before 6.0).
    pub queue_purged_by_all: bool,
    /// A real plugin, which does ADD and DEL.
    pub plugin: Option<Arc<RealPlugin>>,
    /// Who answers ARP on the host end.
    pub responder: InFront,
    /// The pod filters the errors its kernel sends to it.
    pub icmp_errors_filtered: bool,
    /// The world behind the node.
    pub outside: OutsideSpec,
    /// What runs in the pod's containers.
    pub clients: Vec<ClientPlan>,
    /// What an init container runs before them, until the gateway answers.
    pub waiter: Option<ClientPlan>,
    /// What the link does.
    pub faults: Vec<FaultRule>,
    /// How long the run lasts at most.
    pub duration: Span,
    /// What answers the pod in the place of the node's kernel, where that is a model: in the simulator
    /// and in live runs with the software gateway.
    pub own_responder: Option<Arc<dyn crate::gateway::Responder>>,
    /// The run ends as soon as every client is done.
    pub until_clients_done: bool,
    /// Ticks a second.
    pub hz: u32,
}

impl Plan {
    /// A client by its number: the containers' own in their order, then the init container's.
    #[must_use]
    pub fn client(&self, at: usize) -> Option<&ClientPlan> {
        let waiter = || self.waiter.as_ref().filter(|_| at == self.clients.len());
        self.clients.get(at).or_else(waiter)
    }

    /// The ports of the pod that clients on the node go to: somebody serves them there.
    #[must_use]
    pub fn pod_ports(&self) -> Ports {
        let own = |ip| self.setting.is_pod(ip);
        let mut ports = Ports::default();
        for client in self.clients.iter().filter(|c| c.from == Side::Host) {
            match (client.kind, client.to) {
                (ClientKind::Udp, Target::Port(at)) if own(at.ip()) => ports.udp.push(at.port()),
                (_, Target::Port(at)) if own(at.ip()) => ports.tcp.push(at.port()),
                _ => {}
            }
        }
        ports
    }

    /// The number of a client among those of its side, as who runs them counts.
    #[must_use]
    pub fn number_there(&self, id: ClientId) -> ClientId {
        let at = id.0 as usize;
        let from = self.client(at).map(|c| c.from);
        ClientId(self.every_client().take(at).filter(|c| Some(c.from) == from).count() as u32)
    }

    /// The client that is the node's so manieth.
    #[must_use]
    pub fn number_of_node(&self, there: ClientId) -> Option<ClientId> {
        let of_node = self.every_client().enumerate().filter(|(_, c)| c.from == Side::Host);
        of_node.map(|(at, _)| ClientId(at as u32)).nth(there.0 as usize)
    }

    /// Every client, by its number.
    pub fn every_client(&self) -> impl Iterator<Item = &ClientPlan> {
        self.clients.iter().chain(&self.waiter)
    }
}
