//! One case: staged, compared, asked, repaired.

use super::heard::{HeardReplies, is_arp_reply};
use super::report::{ComparedCounts, Contrast, Where};
use super::rig::{KernelLab, Said, StagedNode};
use super::run::LabError;
use super::start::read;
use crate::addr::Mac;
use crate::host::conf::{Conf4, Scope, SysctlKey};
use crate::host::{
    After, Decision, HostState, Learn, Mutation, Processed, Reason, Request, process, process_frame,
};
use crate::namespace::StageError;
use crate::strategies::{HostCase, Inquiry};
use core::fmt::Write;
use netns_lab::Netns;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// More ways than a multipath route of the strategies has.
const LEGS_MAX: u32 = 3;
/// Reasons that stand behind one another.
const REPAIRS_MAX: usize = 8;
/// What a busy machine may add to a delay.
pub(super) const LATE: Duration = Duration::from_millis(700);
/// One unit of `proxy_delay`, and a tick of the slowest kernel.
pub(super) const CENTISECOND: Duration = Duration::from_millis(10);
/// A wait may be drawn as none; so often is asked again before it counts as none.
pub(super) const DRAWS: usize = 4;

/// Whom the model expects to answer an ask, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Expected {
    at_once: usize,
    later: usize,
    /// The longest wait, in 1/100 s.
    below: u32,
    reply: Vec<u8>,
    outcome: Processed,
    request: Option<Request>,
}

/// A case under way.
pub(super) struct CaseCheck<'a, 'b> {
    pub(super) node: StagedNode<'a>,
    pub(super) case: &'b HostCase,
    /// Further listening, in which late replies to what seems unanswered would come.
    pub(super) patience: Duration,
    pub(super) tally: &'b mut ComparedCounts,
    asker: &'b mut u32,
    /// Senders that the host should know by now.
    known: BTreeSet<(crate::addr::IfName, Ipv4Addr)>,
}

/// A difference, or trouble in the lab itself.
pub(super) enum CheckStop {
    Differs(Contrast),
    Lab(LabError),
}

impl<E: Into<LabError>> From<E> for CheckStop {
    fn from(e: E) -> CheckStop {
        CheckStop::Lab(e.into())
    }
}

/// Stages a case and asks it; the first difference ends it.
pub(super) fn check(
    lab: &mut KernelLab,
    case: &HostCase,
    patience: Duration,
    tally: &mut ComparedCounts,
    asker: &mut u32,
) -> Result<(), CheckStop> {
    let netns = Arc::new(Netns::new("node").map_err(StageError::from)?);
    // on the namespace's own thread, so that nothing has to travel there
    let done = netns.exec(|| {
        let node = StagedNode::new(lab, &netns, !case.solicits.is_empty())?;
        let mut check = CaseCheck { node, case, patience, tally, asker, known: BTreeSet::new() };
        check.stage()?;
        check.settings()?;
        check.routes()?;
        check.addresses6()?;
        check.solicits()?;
        check.asks()?;
        check.learned()?;
        check.repairs()
    });
    lab.reap(netns);
    done.map_err(StageError::from)?
}

pub(super) fn differs(at: Where, kernel: impl Into<String>, model: impl Into<String>) -> CheckStop {
    CheckStop::Differs(Contrast { at, kernel: kernel.into(), model: model.into() })
}

fn said(said: Said) -> String {
    said.map_or_else(|errno| format!("refused, {}", netns_lab::Errno::from_raw(errno)), |()| "done".into())
}

impl CaseCheck<'_, '_> {
    fn stage(&mut self) -> Result<(), CheckStop> {
        for (at, change) in self.case.changes.iter().enumerate() {
            self.make(change, Where::Change(at))?;
        }
        Ok(())
    }

    fn make(&mut self, change: &Mutation, at: Where) -> Result<(), CheckStop> {
        let verdicts = self.node.change(change)?;
        self.tally.changes += 1;
        if verdicts.kernel.is_err() {
            self.tally.refused += 1;
        }
        if verdicts.kernel == verdicts.model {
            return Ok(());
        }
        let words = if verdicts.kernel.is_err() { verdicts.words } else { said(verdicts.kernel) };
        Err(differs(at, words, said(verdicts.model)))
    }

    /// Every IPv4 switch of every interface.
    fn settings(&mut self) -> Result<(), CheckStop> {
        let model = &self.node.model;
        let devices = model.links().iter().map(|l| Scope::Dev(l.name()));
        let scopes: Vec<Scope> = [Scope::All, Scope::Default].into_iter().chain(devices).collect();
        let keys = scopes.iter().flat_map(|s| Conf4::ALL.iter().map(|k| SysctlKey::Conf4(*s, *k)));
        let keys: Vec<SysctlKey> = keys.collect();
        let kernel = self.node.exec(|| keys.iter().map(|key| read(*key)).collect::<Vec<_>>())?;
        for (key, kernel) in keys.iter().zip(kernel) {
            let model = model.sysctl(key);
            // a key that this kernel does not have says nothing
            if kernel.is_some() && kernel != model {
                let show = |v: Option<i32>| v.map_or("no such key".to_owned(), |v| format!("{key} = {v}"));
                return Err(differs(Where::State, show(kernel), show(model)));
            }
        }
        Ok(())
    }

    /// Every IPv4 route of every table.
    fn routes(&mut self) -> Result<(), CheckStop> {
        let mut kernel: Vec<String> =
            self.node.routes()?.iter().filter(|r| r.destination.addr().is_ipv4()).map(kernel_route).collect();
        let mut model = model_routes(&self.node.model);
        kernel.sort();
        model.sort();
        if kernel == model {
            return Ok(());
        }
        let only = |a: &[String], b: &[String]| {
            let rest: Vec<&str> = a.iter().filter(|r| !b.contains(r)).map(String::as_str).collect();
            format!("{} routes, alone in having: {}", a.len(), rest.join(" | "))
        };
        Err(differs(Where::State, only(&kernel, &model), only(&model, &kernel)))
    }

    fn asks(&mut self) -> Result<(), CheckStop> {
        for (at, ask) in self.case.asks.iter().enumerate() {
            let expected = self.compare(ask, || Where::Ask(at))?;
            if let Some(expected) = &expected {
                self.learn(ask, expected);
                self.tally.count(&expected.outcome.decision);
            }
        }
        Ok(())
    }

    fn learn(&mut self, ask: &Inquiry, expected: &Expected) {
        let learned = matches!(expected.outcome.learn, Learn::Sender | Learn::Update { create: true, .. });
        if learned {
            self.known.insert((ask.dev, ask.arp.spa));
        }
    }

    /// The host's own neighbour table: who asked, and was learned.
    fn learned(&mut self) -> Result<(), CheckStop> {
        let kernel: BTreeSet<(String, IpAddr)> = self
            .node
            .neighbours()?
            .into_iter()
            .filter_map(|n| Some((n.dev.name()?.to_owned(), n.address)))
            .filter(|(dev, ip)| dev != "lo" && ip.is_ipv4())
            .collect();
        let model: BTreeSet<(String, IpAddr)> =
            self.known.iter().map(|(dev, ip)| (dev.to_string(), IpAddr::V4(*ip))).collect();
        if kernel == model {
            return Ok(());
        }
        let show = |set: &BTreeSet<(String, IpAddr)>| {
            let names: Vec<String> = set.iter().map(|(dev, ip)| format!("{ip} at {dev}")).collect();
            format!("knows [{}]", names.join(", "))
        };
        Err(differs(Where::State, show(&kernel), show(&model)))
    }

    /// Repairs what the model says is wrong, one reason after another, in both.
    fn repairs(&mut self) -> Result<(), CheckStop> {
        for (at, ask) in self.case.asks.iter().enumerate() {
            let (mut made, mut met) = (Vec::new(), Vec::new());
            for _ in 0..REPAIRS_MAX {
                let Some((reason, changes)) = self.reason(ask) else { break };
                // two repairs that undo each other
                if met.contains(&reason) {
                    break;
                }
                met.push(reason);
                self.tally.repaired(&reason);
                for change in &changes {
                    made.push(change.clone());
                    let whence = Where::Repair { ask: at, reason, made: made.clone() };
                    self.make(change, whence)?;
                }
                let whence = || Where::Repair { ask: at, reason, made: made.clone() };
                let Some(expected) = self.compare(ask, whence)? else { break };
                if expected.outcome.decision.reason().is_none() {
                    self.tally.healed += 1;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Why it is silent and what would help; nothing when it answers or nothing would.
    fn reason(&self, ask: &Inquiry) -> Option<(Reason, Vec<Mutation>)> {
        let model = &self.node.model;
        let dev = model.link_named(ask.dev)?.index();
        let (outcome, request) = process_frame(model, dev, &ask.frame(model), |_| false)?;
        let reason = outcome.decision.reason()?;
        Some((reason, reason.repair(model, &request?)?))
    }

    /// Asks both. `None` when the request cannot reach the host.
    fn compare(&mut self, ask: &Inquiry, at: impl Fn() -> Where) -> Result<Option<Expected>, CheckStop> {
        let mut ask = ask.clone();
        let link = self.node.model.link_named(ask.dev);
        if link.is_none_or(|l| l.is_up() && !l.has_carrier()) {
            return Ok(None);
        }
        let mut seen = HeardReplies::default();
        let mut expected = Vec::new();
        for _ in 0..DRAWS {
            self.sign(&mut ask);
            let frame = ask.frame(&self.node.model);
            expected = expectations(&self.node.model, &ask, &frame);
            seen = self.listen(&ask, &frame, &expected)?;
            let right = expected.iter().find(|e| e.agrees(&seen));
            // a wait may be drawn so short that it does not show
            let shown = right.is_some_and(|e| e.later == 0 || !seen.later.is_empty());
            match right {
                Some(right) if shown => return Ok(Some(right.clone())),
                Some(_) => {}
                None => break,
            }
        }
        let model = expected.first().map_or("nothing".into(), Expected::to_text);
        Err(differs(at(), heard_text(&seen), model))
    }

    /// Gives the asker a MAC of its own, unless it is to be an odd one.
    fn sign(&mut self, ask: &mut Inquiry) {
        if ask.arp.sha.is_group() || ask.arp.sha == Mac::ZERO {
            return;
        }
        ask.arp.sha = self.next_asker();
    }

    pub(super) fn next_asker(&mut self) -> Mac {
        *self.asker = self.asker.wrapping_add(1);
        let n = self.asker.to_be_bytes();
        Mac([0x02, 0x0a, n[0], n[1], n[2], n[3]])
    }

    fn listen(
        &mut self,
        ask: &Inquiry,
        frame: &[u8],
        expected: &[Expected],
    ) -> Result<HeardReplies, CheckStop> {
        let later = expected.iter().map(|e| e.later).max().unwrap_or(0);
        let wanted = expected.iter().map(|e| e.at_once + e.later).max().unwrap_or(0);
        let below = expected.iter().map(|e| e.below).max().unwrap_or(0);
        self.tally.frames += u64::from(ask.times);
        let longest = CENTISECOND * (below + 2);
        let patience = self.patience;
        let Some(port) = self.node.open(ask.dev)? else { return Ok(HeardReplies::default()) };
        let (wanted, patience) = match (later, ask.times) {
            (0, _) => (0, patience),
            (_, 1) => (wanted, LATE + longest),
            // some may be lost to a full queue: all must have had their time
            _ => (0, longest + patience),
        };
        let asker = ask.arp.sha;
        Ok(port.ask(frame, ask.times, asker, &|f| is_arp_reply(f, asker), wanted, patience)?)
    }
}

/// What the model expects, for each leg that the kernel's hash may choose.
fn expectations(model: &HostState, ask: &Inquiry, frame: &[u8]) -> Vec<Expected> {
    let Some(link) = model.link_named(ask.dev) else { return Vec::new() };
    let Some((outcome, request)) = process_frame(model, link.index(), frame, |_| false) else {
        return Vec::new();
    };
    let several = model.tables().iter().flat_map(|(_, routes)| routes).any(|r| r.hops.len() > 1);
    let legs = if several && request.is_some() { LEGS_MAX } else { 1 };
    let mut all: Vec<Expected> = Vec::new();
    for leg in 0..legs {
        let request = request.map(|r| Request { leg, ..r });
        let one = expect(model, ask, outcome, request);
        if all.iter().all(|e| *e != one) {
            all.push(one);
        }
    }
    all
}

fn expect(model: &HostState, ask: &Inquiry, outcome: Processed, request: Option<Request>) -> Expected {
    let mut expected = Expected { at_once: 0, later: 0, below: 0, reply: Vec::new(), outcome, request };
    let Some(request) = request else { return expected };
    let mut model = model.clone();
    for time in 0..ask.times {
        let outcome = process(&model, &request);
        if time == 0 {
            expected.outcome = outcome;
        }
        let Decision::Reply { mac, after } = outcome.decision else { continue };
        let arp = request.arp;
        let reply = crate::wire::Arp::reply(mac, arp.tpa, arp.sha, arp.spa);
        expected.reply = reply.frame(arp.sha, mac).to_vec();
        match after {
            After::Now => expected.at_once += 1,
            After::Delay { below } => {
                let again = process(&model, &Request { again: true, ..request });
                model.count_delayed(request.dev, crate::host::Family::Inet, true);
                // what waited may still be dropped on its way out
                if again.decision.reason().is_none() {
                    (expected.later, expected.below) = (expected.later + 1, below);
                }
            }
        }
    }
    expected
}

impl Expected {
    fn agrees(&self, seen: &HeardReplies) -> bool {
        let count = seen.at_once.len() + seen.later.len();
        let alike = seen.at_once.iter().chain(&seen.later).all(|f| *f == self.reply);
        let timely = self.later > 0 || seen.later.is_empty();
        alike && timely && count == self.at_once + self.later
    }

    fn to_text(&self) -> String {
        match self.outcome.decision {
            Decision::Silent(reason) => format!("silent: {reason} ({})", reason.pointer().code),
            Decision::Reply { mac, .. } => {
                let mut text = format!("is at {mac}: {} at once", self.at_once);
                if self.later > 0 {
                    let _ = write!(text, ", {} within {}/100 s", self.later, self.below);
                }
                text
            }
        }
    }
}

fn heard_text(seen: &HeardReplies) -> String {
    use crate::wire::{Arp, EthFrame};
    if seen.at_once.is_empty() && seen.later.is_empty() {
        return "silent".into();
    }
    let first = seen.at_once.iter().chain(&seen.later).next();
    let arp = first.and_then(|f| EthFrame::parse(f).ok().and_then(|e| Arp::parse(e.payload).ok()));
    let arp = arp.map_or(String::new(), |arp| arp.to_string());
    format!("{arp}: {} at once, {} later", seen.at_once.len(), seen.later.len())
}

fn kernel_route(route: &netns_lab::rtnl::Route) -> String {
    let mut text = format!("{} {} table {}", route.kind, route.destination, route.table);
    let _ = write!(text, " metric {} scope {}", route.metric.unwrap_or(0), route.scope.map_or(0, u8::from));
    let _ = write!(text, " proto {}", route.protocol.map_or(0, |p| p.0));
    if let Some(src) = route.preferred_source {
        let _ = write!(text, " src {src}");
    }
    for hop in &route.next_hops {
        let via = hop.gateway.map_or(String::new(), |via| format!(" via {via}"));
        let dev = hop.dev.as_ref().and_then(|d| d.name()).unwrap_or("?");
        let _ = write!(text, "{via} dev {dev}{}", if hop.link_down { " linkdown" } else { "" });
    }
    text
}

fn model_routes(model: &HostState) -> Vec<String> {
    let mut all = Vec::new();
    for (table, routes) in model.tables() {
        for route in routes {
            let mut text = format!("{} {} table {table}", route.kind.name(), route.dst);
            let _ = write!(text, " metric {} scope {}", route.metric, route.scope.0);
            let _ = write!(text, " proto {}", route.proto.0);
            if let Some(src) = route.src {
                let _ = write!(text, " src {src}");
            }
            for hop in &route.hops {
                let via = hop.via.map_or(String::new(), |via| format!(" via {via}"));
                let dev = model.name_of(hop.dev);
                let _ = write!(text, "{via} dev {dev}{}", if hop.linkdown { " linkdown" } else { "" });
            }
            all.push(text);
        }
    }
    all
}
