//! The IPv6 part of a case: addresses, and what neighbour solicitations are answered.

use super::check::{CENTISECOND, CaseCheck, CheckStop, DRAWS, LATE, differs};
use super::heard::HeardReplies;
use super::report::Where;
use crate::addr::Mac;
use crate::host::{After, KernelChange, Mutation, NsDecision, NsReason, NsReply, NsRequest, process_ns};
use crate::strategies::Solicitation;
use crate::wire::{
    Cast, ETHERTYPE_IPV6, EthFrame,
    nd::{self, Advert, NdMessage},
};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

/// The kernel starts an address in the background, in less than this.
const SETTLE: Duration = Duration::from_millis(500);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(1);
impl CaseCheck<'_, '_> {
    /// Every IPv6 address, with whether it is still being tested for duplicates. Where there is
    /// no test the kernel still takes a moment.
    pub(super) fn addresses6(&mut self) -> Result<(), CheckStop> {
        if self.case.solicits.is_empty() {
            return Ok(());
        }
        let text = |dev: &str, net: &dyn core::fmt::Display, tentative: bool| {
            format!("{net} dev {dev}{}", if tentative { " tentative" } else { "" })
        };
        let links = self.node.model.links().iter();
        let model =
            links.flat_map(|l| l.addrs6().iter().map(move |a| text(l.name().as_str(), &a.net, a.tentative)));
        let mut model: Vec<String> = model.collect();
        model.sort();
        let end = Instant::now() + SETTLE;
        loop {
            let addresses = self.node.addresses()?;
            let six = addresses.iter().filter(|a| a.net.addr().is_ipv6());
            let mut kernel: Vec<String> =
                six.map(|a| text(a.dev.name().unwrap_or("?"), &a.net, a.tentative)).collect();
            kernel.sort();
            if kernel == model {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(differs(Where::State, kernel.join(" | "), model.join(" | ")));
            }
            std::thread::sleep(LOOK);
        }
    }

    pub(super) fn solicits(&mut self) -> Result<(), CheckStop> {
        for (at, solicit) in self.case.solicits.iter().enumerate() {
            let Some(link) = self.node.model.link_named(solicit.dev) else { continue };
            if link.is_up() && !link.has_carrier() {
                continue;
            }
            let dev = link.index();
            self.solicit(at, solicit, dev)?;
        }
        Ok(())
    }

    fn solicit(
        &mut self,
        at: usize,
        solicit: &Solicitation,
        dev: crate::host::IfIndex,
    ) -> Result<(), CheckStop> {
        let mut seen = HeardReplies::default();
        let mut expected = None;
        for _ in 0..DRAWS {
            let asker = self.next_asker();
            let request = self.request(solicit, dev, asker);
            let decision = self.in_the_end(&request);
            let (later, below) = match decision {
                NsDecision::Reply { after: After::Delay { below }, .. } => (true, below),
                _ => (false, 0),
            };
            seen = self.hear(solicit, asker, later, below)?;
            let reply = self.reply(&request, decision, asker);
            let count = seen.at_once.len() + seen.later.len();
            let alike = seen.at_once.iter().chain(&seen.later).all(|f| Some(f) == reply.as_ref());
            let timely = later || seen.later.is_empty();
            let agrees = alike && timely && count == usize::from(reply.is_some());
            expected = Some(decision);
            // a wait may be drawn so short that it does not show
            if agrees && later && seen.later.is_empty() {
                continue;
            }
            if !agrees {
                break;
            }
            self.tally.count6(&decision);
            return self.follow(solicit, dev, decision);
        }
        let model = expected.map_or("nothing".into(), |d| decision_text(&d));
        Err(differs(Where::Solicit(at), heard_text(&seen), model))
    }

    /// What is answered in the end: what has waited is looked at once more.
    fn in_the_end(&self, request: &NsRequest) -> NsDecision {
        let first = process_ns(&self.node.model, request).decision;
        let NsDecision::Reply { after: After::Delay { .. }, .. } = first else { return first };
        let again = process_ns(&self.node.model, &NsRequest { again: true, ..*request }).decision;
        if again.reason().is_some() { again } else { first }
    }

    /// A rival takes the address away.
    fn follow(
        &mut self,
        solicit: &Solicitation,
        dev: crate::host::IfIndex,
        decision: NsDecision,
    ) -> Result<(), CheckStop> {
        if decision.reason() != Some(NsReason::Rival) {
            return Ok(());
        }
        let model = &mut self.node.model;
        let link = model.link(dev);
        let net =
            link.and_then(|l| l.addrs6().iter().find(|a| a.net.addr() == solicit.target)).map(|a| a.net);
        if let Some(net) = net {
            let change = Mutation::Kernel(KernelChange::DadFailed(solicit.dev, net));
            model.apply(&change).map_err(crate::namespace::StageError::from)?;
        }
        Ok(())
    }

    fn request(&self, solicit: &Solicitation, dev: crate::host::IfIndex, asker: Mac) -> NsRequest {
        let model = &self.node.model;
        let own = model.link(dev).map_or(Mac::ZERO, crate::host::Link::mac);
        NsRequest {
            dev,
            cast: Cast::of(solicit.eth_dst(model), own),
            src: solicit.src,
            dst: solicit.dst(),
            hop_limit: solicit.hop_limit,
            ns: solicit.message(asker),
            own_nonce: false,
            // with its MAC it does not matter, and whoever asks without is asking for the first time
            sender_known: false,
            again: false,
        }
    }

    fn hear(
        &mut self,
        solicit: &Solicitation,
        asker: Mac,
        later: bool,
        below: u32,
    ) -> Result<HeardReplies, CheckStop> {
        let frame = solicit.frame(&self.node.model, asker);
        let target = solicit.target;
        let is_reply = |bytes: &[u8]| advert(bytes).is_some_and(|(_, _, na)| na.target == target);
        let longest = CENTISECOND * (below + 2);
        let (wanted, patience) = if later { (1, LATE + longest) } else { (0, self.patience) };
        self.tally.frames += 1;
        let Some(port) = self.node.open(solicit.dev)? else { return Ok(HeardReplies::default()) };
        Ok(port.ask(&frame, 1, asker, &is_reply, wanted, patience)?)
    }

    /// The frame that answers, if one does.
    fn reply(&self, request: &NsRequest, decision: NsDecision, asker: Mac) -> Option<Vec<u8>> {
        let NsDecision::Reply { reply: NsReply { src, dst, advert }, .. } = decision else { return None };
        let own = self.node.model.link(request.dev)?.mac();
        let to = if dst.is_multicast() { Mac::ipv6_multicast(dst) } else { asker };
        let mut frame = to.0.to_vec();
        frame.extend(own.0);
        frame.extend(ETHERTYPE_IPV6.to_be_bytes());
        frame.extend(nd::advert_packet(src, dst, &advert));
        Some(frame)
    }
}

/// The advertisement in a frame.
fn advert(bytes: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, Advert)> {
    let eth = EthFrame::parse(bytes).ok().filter(|e| e.ethertype == ETHERTYPE_IPV6)?;
    let packet = nd::in_packet(eth.payload)?;
    match packet.message {
        NdMessage::Advert(na) => Some((packet.src, packet.dst, na)),
        NdMessage::Solicit(_) => None,
    }
}

fn advert_text(src: Ipv6Addr, dst: Ipv6Addr, na: &Advert) -> String {
    let flag = |on, name| if on { name } else { "" };
    let flags = [flag(na.router, "R"), flag(na.solicited, "S"), flag(na.replace, "O")].concat();
    let mac = na.mac.map_or("no MAC".into(), |m| m.to_string());
    format!("{src} > {dst}: {} is at {mac} [{flags}]", na.target)
}

fn heard_text(seen: &HeardReplies) -> String {
    let first = seen.at_once.iter().chain(&seen.later).next();
    let Some((src, dst, na)) = first.and_then(|f| advert(f)) else { return "silent".into() };
    let text = advert_text(src, dst, &na);
    format!("{text}: {} at once, {} later", seen.at_once.len(), seen.later.len())
}

fn decision_text(decision: &NsDecision) -> String {
    match decision {
        NsDecision::Silent(reason) => format!("silent: {reason} ({})", reason.pointer().code),
        NsDecision::Reply { reply, after } => {
            let text = advert_text(reply.src, reply.dst, &reply.advert);
            match after {
                After::Now => format!("{text}: at once"),
                After::Delay { below } => format!("{text}: within {below}/100 s"),
            }
        }
    }
}
