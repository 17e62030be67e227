//! The questions, and what follows from the answers.

use super::answer::Received;
use super::report::{Finding, Findings};
use super::{Answerer, AskError, Asker, Clause};
use crate::addr::Mac;
use crate::time::Span;
use crate::wire::{Arp, OP_REPLY, OP_REQUEST};
use std::net::Ipv4Addr;

/// A MAC of the range for documentation (RFC 7042), which no answerer has.
const STRANGER: Mac = Mac([0x00, 0x00, 0x5e, 0x00, 0x53, 0x01]);
/// Requests one after the other to see how soon they are answered.
const ROUNDS: usize = 5;
/// Requests in one burst: more than a pod sends in two resolutions.
const BURST: usize = 8;

/// Puts every question to an answerer.
pub fn probe(setting: &Asker, whom: &mut dyn Answerer) -> Result<Findings, AskError> {
    let mut p = Probe { s: *setting, whom, report: Findings::default(), answers: Vec::new(), mac: Mac::ZERO };
    if p.plain()? {
        p.questions()?;
        p.silences()?;
        p.judge_answers();
        let last = p.round()?;
        p.answered(Clause::Still, last.len(), 1);
    } else {
        p.give_up();
    }
    Ok(p.report)
}

struct Probe<'a> {
    s: Asker,
    whom: &'a mut dyn Answerer,
    report: Findings,
    /// Answers to plain questions of the pod for its gateway.
    answers: Vec<Received>,
    /// The answerer's MAC.
    mac: Mac,
}

impl Probe<'_> {
    /// The pod's request for its gateway.
    fn request(&self) -> Arp {
        Arp::request(self.s.pod_mac, self.s.pod_ip, self.s.gateway)
    }

    fn frame(&self, arp: &Arp) -> Vec<u8> {
        arp.frame(Mac::BROADCAST, self.s.pod_mac).to_vec()
    }

    fn find(&mut self, clause: Clause, finding: Finding) {
        self.report.add(clause, finding);
    }

    fn answered(&mut self, clause: Clause, got: usize, wanted: usize) {
        let finding = match got {
            0 => Finding::Broken("no answer".into()),
            n if n < wanted => Finding::Broken(format!("{n} of {wanted} answered")),
            _ => Finding::Holds,
        };
        self.find(clause, finding);
    }

    /// One plain request.
    fn round(&mut self) -> Result<Vec<Received>, AskError> {
        let frame = self.frame(&self.request());
        let heard = self.whom.ask(&[frame], self.s.patience, 1)?;
        Ok(Received::all(&heard))
    }

    /// The plain request, some times over. False when nobody answers.
    fn plain(&mut self) -> Result<bool, AskError> {
        let (mut most, mut got) = (0, 0);
        for round in 0..ROUNDS {
            let answers = self.round()?;
            if round == 0 && answers.is_empty() {
                return Ok(false);
            }
            most = most.max(answers.len());
            got += usize::from(!answers.is_empty());
            self.answers.extend(answers);
        }
        self.answered(Clause::Broadcast, got, ROUNDS);
        let first = self.answers.first();
        self.mac = first.map_or(Mac::ZERO, |a| a.arp.map_or(a.src, |arp| arp.sha));
        let one = if most > 1 { Finding::Broken(format!("{most} answers")) } else { Finding::Holds };
        self.find(Clause::OneAnswer, one);
        let latest = self.answers.iter().map(|a| a.after).max().unwrap_or_default();
        let late = latest > self.s.at_once;
        let at_once = if late { Finding::Broken(format!("up to {latest}")) } else { Finding::Holds };
        self.find(Clause::AtOnce, at_once);
        self.report.slowest = Some(latest);
        // whoever answers late must be listened to for longer
        self.s.quiet = self.s.quiet.max(Span::from_ns(2 * latest.as_ns())).min(self.s.patience);
        Ok(true)
    }

    fn give_up(&mut self) {
        for clause in Clause::ALL {
            let finding = match clause {
                Clause::Broadcast => Finding::Broken("no answer".into()),
                _ => Finding::NotShown("a plain request is not answered, so silence shows nothing".into()),
            };
            self.find(*clause, finding);
        }
    }

    /// A question in other clothes that is to be answered like the plain one.
    fn question(&mut self, clause: Clause, frames: &[Vec<u8>]) -> Result<Vec<Received>, AskError> {
        let wanted = frames.len();
        let heard = self.whom.ask(frames, self.s.patience, wanted)?;
        let answers = Received::all(&heard);
        self.answered(clause, answers.len(), wanted);
        Ok(answers)
    }

    fn questions(&mut self) -> Result<(), AskError> {
        let (s, request) = (self.s, self.request());
        let unicast = request.frame(self.mac, s.pod_mac).to_vec();
        let answers = self.question(Clause::Unicast, &[unicast])?;
        self.answers.extend(answers);

        let mut padded = self.frame(&request);
        padded.resize(60, 0xa5);
        self.question(Clause::Padded, &[padded])?;
        self.question(Clause::TargetHardware, &[self.frame(&Arp { tha: STRANGER, ..request })])?;
        let other_source = request.frame(Mac::BROADCAST, STRANGER).to_vec();
        let answers = self.question(Clause::EthernetSource, &[other_source])?;
        self.judge(Clause::EthernetSource, &answers, |a| a.destination(s.pod_mac));

        let burst: Vec<Vec<u8>> = (0..BURST).map(|_| self.frame(&request)).collect();
        self.question(Clause::Burst, &burst)?;
        let beyond = Arp { tpa: s.beyond, ..request };
        let answers = self.question(Clause::Beyond, &[self.frame(&beyond)])?;
        self.judge(Clause::Beyond, &answers, |a| a.sender_address(s.beyond));
        let group = request.frame(Mac([0x01, 0, 0x5e, 0, 0, 1]), s.pod_mac).to_vec();
        self.question(Clause::GroupDestination, &[group])?;
        self.question(Clause::Ieee802, &[self.frame(&Arp { hrd: 6, ..request })])?;
        let answers = self.question(Clause::PriorityTag, &[tagged(&self.frame(&request), 0)])?;
        self.judge(Clause::PriorityTag, &answers, Received::header);
        let probe = self.frame(&Arp { spa: Ipv4Addr::UNSPECIFIED, ..request });
        if s.owns_gateway {
            self.question(Clause::Probe, &[probe])?;
        } else {
            self.silence(Clause::Probe, vec![("it is answered", probe)])?;
        }
        Ok(())
    }

    /// Questions that nobody may answer. Each is put alone, so that it is known which one was.
    fn silence(&mut self, clause: Clause, frames: Vec<(&str, Vec<u8>)>) -> Result<(), AskError> {
        for (what, frame) in frames {
            let heard = self.whom.ask(&[frame], self.s.quiet, 0)?;
            if let Some(answer) = Received::all(&heard).first() {
                self.find(clause, Finding::Broken(format!("{what}: {answer}")));
                return Ok(());
            }
        }
        self.find(clause, Finding::Holds);
        Ok(())
    }

    fn silences(&mut self) -> Result<(), AskError> {
        self.own_address()?;
        let (s, request) = (self.s, self.request());
        let frame = |arp: Arp| arp.frame(Mac::BROADCAST, s.pod_mac).to_vec();
        let op = |op| frame(Arp { op, ..request });
        let reply = Arp::reply(s.pod_mac, s.pod_ip, self.mac, s.gateway);
        let unicast = reply.frame(self.mac, s.pod_mac).to_vec();
        self.silence(Clause::Reply, vec![("broadcast", op(OP_REPLY)), ("unicast", unicast)])?;
        let operations = [("operation 0", 0), ("operation 3", 3), ("operation 8", 8), ("operation 257", 257)];
        self.silence(Clause::OtherOperation, operations.map(|(w, n)| (w, op(n))).to_vec())?;
        let types = [("type 0", 0), ("type 7", 7), ("type 32", 32), ("type 256", 256)];
        self.silence(
            Clause::HardwareType,
            types.map(|(w, hrd)| (w, frame(Arp { hrd, ..request }))).to_vec(),
        )?;
        let protocols = [("IPv6", 0x86dd), ("0x0008", 0x0008), ("0x1000", 0x1000)];
        self.silence(
            Clause::ProtocolType,
            protocols.map(|(w, pro)| (w, frame(Arp { pro, ..request }))).to_vec(),
        )?;
        let whole = self.frame(&request);
        let cut = [("8 bytes", 22), ("20 bytes", 34), ("27 bytes", 41)];
        self.silence(Clause::Truncated, cut.map(|(w, len)| (w, whole[..len].to_vec())).to_vec())?;
        let mut lengths = Vec::new();
        for (what, at, value) in [("hardware length 8", 18, 8), ("protocol length 16", 19, 16)] {
            let mut frame = whole.clone();
            frame[at] = value;
            lengths.push((what, frame));
        }
        self.silence(Clause::AddressLength, lengths)?;
        let other = request.frame(STRANGER, s.pod_mac).to_vec();
        self.silence(Clause::OtherStation, vec![("it is answered", other)])?;
        self.vlan(&whole)?;
        let targets = [("224.0.0.1", Ipv4Addr::new(224, 0, 0, 1)), ("255.255.255.255", Ipv4Addr::BROADCAST)];
        self.silence(
            Clause::TargetGroup,
            targets.map(|(w, tpa)| (w, frame(Arp { tpa, ..request }))).to_vec(),
        )?;
        let senders = [("224.0.0.1", Ipv4Addr::new(224, 0, 0, 1)), ("255.255.255.255", Ipv4Addr::BROADCAST)];
        self.silence(
            Clause::SenderInvalid,
            senders.map(|(w, spa)| (w, frame(Arp { spa, ..request }))).to_vec(),
        )?;
        let heard = self.whom.ask(&[], self.s.quiet.max(Span::from_ms(500)), 0)?;
        let unasked = Received::all(&heard);
        let finding = unasked.first().map_or(Finding::Holds, |a| Finding::Broken(a.to_string()));
        self.find(Clause::Unasked, finding);
        Ok(())
    }

    /// Only an untagged answer is wrong: there may be a VLAN 100 behind the answerer.
    fn vlan(&mut self, whole: &[u8]) -> Result<(), AskError> {
        let heard = self.whom.ask(&[tagged(whole, 100)], self.s.quiet, 0)?;
        let answer = Received::all(&heard).into_iter().find(|a| !a.tagged);
        self.find(Clause::Vlan, answer.map_or(Finding::Holds, |a| Finding::Broken(a.to_string())));
        Ok(())
    }

    fn own_address(&mut self) -> Result<(), AskError> {
        let s = self.s;
        let own = |spa| Arp { spa, tpa: s.pod_ip, ..self.request() };
        let probe = self.frame(&own(Ipv4Addr::UNSPECIFIED));
        let announce = self.frame(&own(s.pod_ip));
        let reply = self.frame(&Arp { op: OP_REPLY, ..own(s.pod_ip) });
        // a link-local sender, as another program in the pod may use
        let other = self.frame(&Arp { op: OP_REQUEST, ..own(Ipv4Addr::new(169, 254, 77, 7)) });
        self.silence(Clause::OwnProbe, vec![("it is answered", probe)])?;
        self.silence(Clause::OwnAnnouncement, vec![("as a request", announce), ("as a reply", reply)])?;
        self.silence(Clause::OwnRequest, vec![("it is answered", other)])
    }

    fn judge(&mut self, clause: Clause, answers: &[Received], flaw: impl Fn(&Received) -> Option<String>) {
        if let Some(why) = answers.iter().find_map(flaw) {
            self.find(clause, Finding::Broken(why));
        }
    }

    /// The fields of all answers to the pod's own questions for its gateway.
    fn judge_answers(&mut self) {
        let (s, answers) = (self.s, core::mem::take(&mut self.answers));
        let fields = [
            Clause::Operation,
            Clause::Header,
            Clause::SenderAddress,
            Clause::SenderHardware,
            Clause::Target,
            Clause::Destination,
            Clause::Length,
            Clause::OneMac,
        ];
        for clause in fields {
            self.find(clause, Finding::Holds);
        }
        self.judge(Clause::Operation, &answers, Received::operation);
        self.judge(Clause::Header, &answers, Received::header);
        self.judge(Clause::SenderAddress, &answers, |a| a.sender_address(s.gateway));
        self.judge(Clause::SenderHardware, &answers, |a| a.sender_hardware(s.mac));
        self.judge(Clause::Target, &answers, |a| a.target(s.pod_mac, s.pod_ip));
        self.judge(Clause::Destination, &answers, |a| a.destination(s.pod_mac));
        self.judge(Clause::Length, &answers, Received::length);
        let first = self.mac;
        self.judge(Clause::OneMac, &answers, |a| match a.arp {
            Some(arp) if arp.sha != first => Some(format!("{first} and {}", arp.sha)),
            _ => None,
        });
        self.report.mac = Some(first);
    }
}

/// The frame with an 802.1Q tag.
fn tagged(frame: &[u8], vid: u16) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    out.extend([0x81, 0x00]);
    out.extend(vid.to_be_bytes());
    out.extend(&frame[12..]);
    out
}
