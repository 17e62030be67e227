//! The order of tests itself: `arp_rcv()` and `arp_process()` of net/ipv4/arp.c, generic over who
//! listens (see [`crate::host::arp::condition`]).

use super::condition::{Branch, Condition, Witness, require};
use super::decide::{After, Decision, Learn, Processed, Request};
use super::met;
use super::reason::Reason;
use crate::host::fib::AddrType;
use crate::host::fib::input::{InputPacket, InputRoute};
use crate::host::state::HostState;
use crate::host::state::conf::Conf4;
use crate::host::state::hook::{HookFrame, HookPoint};
use crate::host::state::link::Link;
use crate::host::state::selectors::Upper;
use crate::wire::{Arp, Cast, ETHERTYPE_IPV4, OP_REPLY, OP_REQUEST};

/// [`process`](crate::host::process()), with a listener.
pub(in crate::host) fn process_with<W: Witness>(
    state: &HostState,
    request: &Request,
    witness: &mut W,
) -> Processed {
    let link = state.link(request.dev);
    let exists = require(
        witness,
        Condition::Interface,
        link.is_some(),
        || Reason::NoInterface,
        || met::interface(state, request.dev),
    );
    match (link, exists) {
        (Some(link), Ok(())) => Judge { state, link, request, witness }.process(),
        _ => Processed::silent(Reason::NoInterface),
    }
}

/// One request under judgement.
pub(in crate::host) struct Judge<'a, W> {
    pub(in crate::host) state: &'a HostState,
    pub(in crate::host) link: &'a Link,
    pub(in crate::host) request: &'a Request,
    pub(in crate::host) witness: &'a mut W,
}

impl<'a, W: Witness> Judge<'a, W> {
    pub(in crate::host) fn require(
        &mut self,
        condition: Condition,
        holds: bool,
        reason: impl FnOnce() -> Reason,
        met: impl FnOnce(&'a HostState, &'a Link) -> String,
    ) -> Result<(), Reason> {
        let (state, link) = (self.state, self.link);
        require(self.witness, condition, holds, reason, || met(state, link))
    }

    fn process(mut self) -> Processed {
        if let Err(reason) = self.receive().and_then(|()| self.header()) {
            return Processed::silent(reason);
        }
        if self.request.arp.spa.is_unspecified() {
            self.witness.branch(Branch::Probe);
            return self.probe().unwrap_or_else(Processed::silent);
        }
        if let Err(reason) = self.is_request() {
            return self.update(reason);
        }
        let input = InputPacket {
            dst: self.request.arp.tpa,
            src: self.request.arp.spa,
            dev: self.request.dev,
            mark: 0,
            upper: Upper::default(),
            is_arp: true,
            leg: self.request.leg,
        };
        match self.state.route_input_with(&input, self.witness) {
            // what is not answered of an own address is not learned either
            Ok(InputRoute::Local(_)) => self.local().unwrap_or_else(Processed::silent),
            Ok(InputRoute::Unicast(hit)) => match self.may_proxy(&hit) {
                Ok(()) => self.proxied(),
                Err(reason) => self.update(reason),
            },
            Ok(InputRoute::Broadcast) => self.update(Reason::TargetBroadcast),
            Err(fault) => self.update(Reason::Unroutable(fault)),
        }
    }

    /// Reception: what keeps a frame from ARP altogether.
    fn receive(&mut self) -> Result<(), Reason> {
        let (link, cast, arp) = (self.link, self.request.cast, self.request.arp);
        self.require(Condition::LinkUp, link.is_up(), || Reason::LinkDown, |_, l| met::up(l))?;
        let bridged = link.master().is_some();
        self.require(Condition::NotBridged, !bridged, || Reason::BridgePort, met::master)?;
        self.require(Condition::ArpOn, !link.is_noarp(), || Reason::NoArp, |_, l| met::arp_flag(l))?;
        let ours = cast != Cast::OtherHost;
        self.require(Condition::Addressed, ours, || Reason::OtherHost, |_, l| met::cast(cast, l))?;
        // the hook is not asked again when a delayed request is taken up
        if self.request.again {
            return Ok(());
        }
        let passes = !self.hooked(HookPoint::Input, &arp);
        self.require(
            Condition::InputHook,
            passes,
            || Reason::Filtered(HookPoint::Input),
            |s, l| met::hooks(s, l, HookPoint::Input),
        )
    }

    pub(in crate::host) fn hooked(&self, point: HookPoint, arp: &Arp) -> bool {
        let frame = HookFrame { point, dev: self.link.name(), op: arp.op, sender: arp.spa, target: arp.tpa };
        self.state.hooks().iter().any(|h| h.drops(&frame))
    }

    fn header(&mut self) -> Result<(), Reason> {
        let (state, link) = (self.state, self.link);
        let Arp { hrd, pro, op, spa, tpa, .. } = self.request.arp;
        let known = matches!(hrd, 1 | 6) && pro == ETHERTYPE_IPV4 && matches!(op, OP_REQUEST | OP_REPLY);
        self.require(
            Condition::Header,
            known,
            || Reason::Header { hrd, pro, op },
            |_, _| met::header(hrd, pro, op),
        )?;
        let bad = tpa.is_multicast() || (tpa.is_loopback() && !state.on4(link, Conf4::RouteLocalnet));
        self.require(Condition::Target, !bad, || Reason::TargetInvalid, |_, _| format!("target {tpa}"))?;
        let dropped = spa == tpa && state.on4(link, Conf4::DropGratuitousArp);
        self.require(
            Condition::GratuitousAllowed,
            !dropped,
            || Reason::GratuitousDropped,
            |s, l| met::gratuitous(s, l, spa, tpa),
        )
    }

    fn is_request(&mut self) -> Result<(), Reason> {
        let op = self.request.arp.op;
        self.require(
            Condition::IsRequest,
            op == OP_REQUEST,
            || Reason::NotARequest,
            |_, _| format!("operation {op}"),
        )
    }

    /// A probe of duplicate-address detection (RFC 5227; RFC 2131 section 4.4.1). Nothing is
    /// learned from it.
    fn probe(&mut self) -> Result<Processed, Reason> {
        self.is_request()?;
        let tpa = self.request.arp.tpa;
        let kind = self.state.addr_type(tpa);
        self.require(
            Condition::ProbeLocal,
            kind == AddrType::Local,
            || Reason::ProbeNotLocal,
            |_, _| met::addr_type(tpa, kind),
        )?;
        self.arp_ignore()?;
        Ok(Processed { decision: self.reply(After::Now), learn: Learn::Nothing })
    }

    /// The answer, unless the output hook drops it.
    pub(in crate::host) fn reply(&mut self, after: After) -> Decision {
        let Arp { sha, spa, tpa, .. } = self.request.arp;
        let mac = self.link.mac();
        let passes = !self.hooked(HookPoint::Output, &Arp::reply(mac, tpa, sha, spa));
        let hook = self.require(
            Condition::OutputHook,
            passes,
            || Reason::Filtered(HookPoint::Output),
            |s, l| met::hooks(s, l, HookPoint::Output),
        );
        hook.map_or_else(Decision::Silent, |()| Decision::Reply { mac, after })
    }

    /// Everything not answered may still refresh an entry ("Update our ARP tables").
    fn update(&self, reason: Reason) -> Processed {
        let Arp { op, sha, spa, tha, tpa, .. } = self.request.arp;
        let accept = match self.state.effective4(self.link, Conf4::ArpAccept) {
            1 => true,
            2 => self.state.in_subnet_of(self.link, spa),
            _ => false,
        };
        // only an entry that exists, or may be made, takes anything from the frame
        let gratuitous = spa == tpa && (op != OP_REPLY || tha == sha);
        let unicast =
            (gratuitous || (accept && op == OP_REPLY)) && self.state.addr_type(spa) == AddrType::Unicast;
        let gratuitous = gratuitous && unicast;
        let create = accept && unicast && (gratuitous || op == OP_REPLY);
        let reachable = op == OP_REPLY && self.request.cast == Cast::Host;
        let learn = Learn::Update { reachable, gratuitous, create };
        Processed { decision: Decision::Silent(reason), learn }
    }
}
