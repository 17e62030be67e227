//! What happens in a run, as values. Text is made of them where it is written: see [`words`](super::words)
//! and the writers beside it.

use super::stream::Kinds;
use super::view::View;
use crate::addr::{IfName, Mac};
use crate::control::{Act, ActorName, Errand, PodId, Refusal, Side, StepId, Until};
use crate::host::conf::SysctlKey;
use crate::host::{NsReason, Pointer, Reason, Refused};
use crate::neigh::{Cause, Nud};
use crate::packet::{Frame, FrameId, IpBytes};
use crate::pod::{ClientId, Failure};
use crate::scenario::Corner;
use crate::stack::DropWhy;
use crate::time::{Span, Time};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr};

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FrameFate {
    /// It arrived.
    Delivered,
    /// It never arrived, and why.
    Lost(Loss),
}

/// Why a frame never arrived.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Loss {
    /// The veth did not carry it: the condition of the host end.
    Carrier(Reason),
    /// A fault of the link took it.
    Fault,
    /// The pod's end was down (live).
    PodDown,
}

/// What a client was told.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Failed {
    /// What the model knows, too.
    Known(Failure),
    /// Words of a real kernel or a real socket that the model has no value for.
    Other(String),
}

/// News of a client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ClientNews {
    /// It starts.
    Start,
    /// It sends, or begins an attempt.
    Try {
        /// Which one, from 1.
        seq: u32,
    },
    /// An answer came, or the connection stands.
    Success {
        /// To which.
        seq: u32,
        /// How long after it was sent.
        took: Span,
    },
    /// An error came back.
    Failure {
        /// To which.
        seq: u32,
        /// What it said.
        failed: Failed,
    },
    /// It is done.
    End {
        /// Sent or attempted.
        sent: u32,
        /// Answered.
        answered: u32,
    },
}

/// Why a question for a neighbour stays unanswered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// A condition of ARP.
    Arp(Reason),
    /// A condition of IPv6 neighbour discovery.
    Nd(NsReason),
    /// A responder of one's own keeps silent.
    Responder,
    /// A real kernel was silent, and the model knows no reason.
    Unexplained,
    /// A real kernel was silent after it was told something that the model has no term for.
    Unmodelled,
}

impl Why {
    /// Its short name, and where to read on.
    #[must_use]
    pub const fn pointer(&self) -> Pointer {
        match self {
            Why::Arp(reason) => reason.pointer(),
            Why::Nd(reason) => reason.pointer(),
            Why::Responder => Pointer::bare("responder"),
            Why::Unexplained => Pointer::bare("unexplained"),
            Why::Unmodelled => Pointer::bare(crate::scenario::UNMODELLED),
        }
    }
}

/// What came of a question for a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ruling {
    /// It is answered at once.
    Answered,
    /// It is answered when it has waited out `proxy_delay`.
    Delayed,
    /// It is not answered.
    Silent {
        /// The condition that kept it silent.
        why: Why,
        /// A real kernel kept silent, which gives no reasons: this one is the model's.
        inferred: bool,
    },
}

impl Ruling {
    /// Answered, at once or later.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        !matches!(self, Ruling::Silent { .. })
    }
}

/// What keeps a step from starting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeldUntil {
    /// A hold, which ends so.
    Hold(Until),
    /// The schedule that is followed makes something else first.
    Schedule,
}

/// Why a step's acts were not all done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Undone {
    /// The actor gave up waiting.
    GaveUp,
    /// One was refused.
    Refused(Refusal),
}

/// In what a real kernel and the model beside it disagree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Differs {
    /// The kernel made a change that the model refuses, for that reason.
    Made(Refused),
    /// The kernel refuses, in these words, a change that the model makes.
    Refused(Refusal),
    /// The kernel answered a request for which the model is silent.
    Answered {
        /// When the pod asked.
        asked: Time,
        /// When the answer was on the wire.
        at: Time,
        /// The model's reason.
        why: Why,
    },
    /// The kernel did not answer a request, and the model knows no reason.
    Silent {
        /// When the pod asked.
        asked: Time,
    },
}

/// What a real kernel's own tables hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelTables {
    /// Whose namespace they are.
    pub side: Side,
    /// Routes of IPv4's main table.
    #[cfg(feature = "live")]
    pub routes: Vec<netns_lab::rtnl::Route>,
    /// Rules of IPv4.
    #[cfg(feature = "live")]
    pub rules: Vec<netns_lab::rtnl::Rule>,
    /// Neighbour entries of IPv4.
    #[cfg(feature = "live")]
    pub neighbours: Vec<netns_lab::rtnl::Neighbour>,
    /// Switches that decide about the gateway, with their values (the host's only).
    pub sysctls: Vec<(SysctlKey, i32)>,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The run begins.
    Start(Box<Start>),
    /// A step was done.
    Step {
        /// The step, by its number in the plan.
        step: StepId,
        /// Who did it.
        actor: ActorName,
        /// What was done.
        acts: SmallVec<[Act; 2]>,
        /// Why not all of it.
        undone: Option<Undone>,
    },
    /// A step could have started but is held.
    Held {
        /// The step, by its number in the plan.
        step: StepId,
        /// What it waits for.
        until: HeldUntil,
    },
    /// A held step goes on.
    Released {
        /// The step, by its number in the plan.
        step: StepId,
    },
    /// A frame on the link between pod and host.
    Frame {
        /// Its number.
        id: FrameId,
        /// Who sent it.
        from: Side,
        /// The whole frame, from the Ethernet header on.
        bytes: Frame,
        /// The same, read.
        view: View,
        /// What became of it.
        fate: FrameFate,
        /// The MAC of the host's end at that moment, if there is one.
        host_mac: Option<Mac>,
    },
    /// A neighbour request was judged by the host (or by the pod, when the host asks).
    Judged {
        /// The frame that brought it.
        frame: Option<FrameId>,
        /// Whose kernel judged the request.
        side: Side,
        /// Who was asked for.
        target: IpAddr,
        /// The address that the request came from.
        sender: IpAddr,
        /// What came of it.
        ruling: Ruling,
    },
    /// A frame of neighbour discovery that is no question was put aside.
    Ignored {
        /// Who put the frame aside.
        side: Side,
        /// The condition that kept it silent.
        why: Why,
    },
    /// A neighbour entry changed.
    Neigh {
        /// In whose table the entry is.
        side: Side,
        /// Device.
        dev: IfName,
        /// Address.
        ip: IpAddr,
        /// State before; `None` for a new entry.
        old: Option<Nud>,
        /// State after; `None` when the entry is gone.
        new: Option<Nud>,
        /// The MAC it holds.
        lladdr: Option<Mac>,
        /// Why; `None` where the kernel does not say (live).
        cause: Option<Cause>,
    },
    /// A packet was lost inside a namespace.
    Dropped {
        /// On whose side it was dropped.
        side: Side,
        /// The packet.
        packet: IpBytes,
        /// What the kernel dropped it for.
        why: DropWhy,
    },
    /// From now on a request of the pod for its gateway would be answered, or not.
    Gateway {
        /// The condition that fails; `None` when it is answered.
        silence: Option<Reason>,
    },
    /// What a real kernel's own tables hold at the end.
    Kernel(Box<KernelTables>),
    /// The real kernel did other than the model says.
    Differs(Differs),
    /// A kernel was told something that the model has no term for: from here on the model's answers
    /// are not held against the kernel's.
    Unmodelled {
        /// In which namespace.
        side: Side,
        /// The command.
        command: String,
    },
    /// News of a client.
    Client {
        /// Which; see [`Plan::client`](crate::scenario::Plan::client).
        client: ClientId,
        /// The news.
        news: ClientNews,
    },
    /// A real plugin failed, in these words.
    PluginFailed {
        /// For which pod.
        pod: PodId,
        /// What the plugin was to do.
        errand: Errand,
        /// The plugin and its answer.
        why: String,
    },
    /// This machine gives no TAP, in these words; a veth and a packet socket take its place.
    NoTap {
        /// What stood in the way.
        why: String,
    },
    /// The run ends.
    End {
        /// Events of the simulator, or nothing in live runs.
        steps: Option<u64>,
    },
}

/// What a run is, beyond its plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// The scenario's id.
    pub scenario: String,
    /// The scenario's title.
    pub title: String,
    /// How it is run.
    pub corner: Corner,
    /// The seed of all draws, with which it can be run again.
    pub seed: u64,
    /// Fixes applied.
    pub fixes: Vec<String>,
    /// Holds set on the command line.
    pub holds: Vec<String>,
}

impl What {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kinds {
        match self {
            What::Start(_) => Kinds::START,
            What::Step { .. } => Kinds::STEP,
            What::Held { .. } | What::Released { .. } => Kinds::HOLD,
            What::Frame { .. } => Kinds::FRAME,
            What::Judged { .. } | What::Ignored { .. } => Kinds::JUDGED,
            What::Neigh { .. } => Kinds::NEIGH,
            What::Dropped { .. } => Kinds::DROPPED,
            What::Gateway { .. } => Kinds::GATEWAY,
            What::Client { .. } => Kinds::CLIENT,
            What::Kernel(_)
            | What::Differs(_)
            | What::Unmodelled { .. }
            | What::PluginFailed { .. }
            | What::NoTap { .. } => Kinds::LIVE,
            What::End { .. } => Kinds::END,
        }
    }

    /// The step that was done in full, if that is what happened.
    #[must_use]
    pub const fn done(&self) -> Option<StepId> {
        match self {
            What::Step { step, undone: None, .. } => Some(*step),
            _ => None,
        }
    }
}

/// True for the pod's gateway, of either family; that of IPv4 has the address `four`.
#[must_use]
pub(crate) fn is_gateway(ip: IpAddr, four: Ipv4Addr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip == four,
        // the only link-local neighbour of a pod is its gateway, whatever MAC it is made of
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// True for the sender of a test for duplicates (RFC 4862): it asks about an address of its own.
#[must_use]
pub(crate) fn is_dad(sender: IpAddr) -> bool {
    sender == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
}
