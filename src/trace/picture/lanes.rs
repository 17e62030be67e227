//! Events sorted into lanes.

use super::{Bar, Mark, Tone};
use crate::addr::Mac;
use crate::control::{ActorName, Side, StepId, StepOrigin};
use crate::neigh::Nud;
use crate::packet::FrameId;
use crate::pod::ClientId;
use crate::time::Time;
use crate::trace::describe::{describe, describe_ip};
use crate::trace::event::{ClientNews, FrameFate, Ruling, What, is_gateway};
use crate::trace::stream::{Event, Trace};
use crate::trace::words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A lane, from the top of the picture to its bottom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Actor(usize),
    Lab,
    Node,
    NodeEntry(IpAddr),
    Wire,
    PodEntry(IpAddr),
    Pod,
    Client(u32),
}

/// What stands beside a lane.
#[derive(Serialize)]
pub(super) struct Heading {
    name: String,
    /// What one sees in it.
    title: String,
    kind: &'static str,
}

/// Something that lasts and has not ended yet.
struct Open {
    from: Time,
    tone: Tone,
    text: String,
}

/// Everything of a run, in lanes.
pub(super) struct Lanes<'a> {
    trace: &'a Trace,
    bars: Vec<(Lane, Bar)>,
    marks: Vec<(Lane, Mark)>,
    entries: BTreeMap<Lane, Open>,
    held: BTreeMap<StepId, (Lane, Open)>,
    tries: BTreeMap<(ClientId, u32), Time>,
    /// Where the mark of a frame is, for what is said of it afterwards.
    frames: BTreeMap<FrameId, usize>,
}

impl<'a> Lanes<'a> {
    pub(super) fn of(trace: &'a Trace, end: Time) -> Lanes<'a> {
        let mut lanes = Lanes {
            trace,
            bars: Vec::new(),
            marks: Vec::new(),
            entries: BTreeMap::new(),
            held: BTreeMap::new(),
            tries: BTreeMap::new(),
            frames: BTreeMap::new(),
        };
        for event in trace.iter() {
            lanes.event(event);
        }
        for (lane, open) in core::mem::take(&mut lanes.entries) {
            lanes.bar(lane, open, end);
        }
        for (lane, open) in core::mem::take(&mut lanes.held).into_values() {
            lanes.bar(lane, open, end);
        }
        lanes
    }

    /// The lanes that have something in them, and what that is.
    pub(super) fn drawn(self) -> (Vec<Heading>, Vec<Bar>, Vec<Mark>) {
        let used = self.bars.iter().map(|(lane, _)| *lane).chain(self.marks.iter().map(|(lane, _)| *lane));
        let used: BTreeSet<Lane> = used.chain([Lane::Wire]).collect();
        let index: BTreeMap<Lane, usize> = used.iter().enumerate().map(|(at, lane)| (*lane, at)).collect();
        let headings = used.iter().map(|lane| heading(self.trace, *lane)).collect();
        let bars = self.bars.into_iter().map(|(lane, bar)| Bar { lane: index[&lane], ..bar });
        let marks = self.marks.into_iter().map(|(lane, mark)| Mark { lane: index[&lane], ..mark });
        (headings, bars.collect(), marks.collect())
    }

    fn mark(&mut self, lane: Lane, t: Time, tone: Tone, text: String) {
        self.marks.push((lane, Mark { lane: 0, t, tone, text, more: String::new(), up: None }));
    }

    fn bar(&mut self, lane: Lane, open: Open, to: Time) {
        let Open { from, tone, text } = open;
        self.bars.push((lane, Bar { lane: 0, from, to, tone, text }));
    }

    fn actor(&self, step: StepId) -> Lane {
        of_actor(self.trace.plan.steps.info(step).actor)
    }

    fn event(&mut self, event: &Event) {
        let t = event.t_ns;
        match &event.what {
            What::Step { step, actor, acts, undone } => {
                let of_other = undone.is_none() && words::is_of_other(self.trace, *step, acts);
                if of_other || self.trace.plan.steps.info(*step).origin == StepOrigin::Question {
                    return;
                }
                let name = self.trace.step_name(*step);
                let what = words::commands(acts).join("; ");
                let text = if what.is_empty() { name.to_owned() } else { format!("{name}: {what}") };
                let tone = if undone.is_some() { Tone::Bad } else { Tone::Plain };
                self.mark(of_actor(*actor), t, tone, text);
                if let (Some(why), Some((_, mark))) = (undone, self.marks.last_mut()) {
                    mark.more = why.to_string();
                }
            }
            What::Held { step, until } => {
                let until = words::until(self.trace, *until);
                let text = format!("{} is held {until}", self.trace.step_name(*step));
                self.held.insert(*step, (self.actor(*step), Open { from: t, tone: Tone::Bad, text }));
            }
            What::Released { step } => {
                if let Some((lane, open)) = self.held.remove(step) {
                    self.bar(lane, open, t);
                }
            }
            What::Frame { id, from, bytes, fate, .. } => self.frame(t, *id, *from, bytes, *fate),
            What::Judged { frame, side, ruling, .. } => self.judged(*frame, *side, *ruling),
            What::Ignored { side, why } => {
                self.mark(of_side(*side), t, Tone::Dim, words::ignored(*side, *why));
            }
            What::Neigh { side, ip, new, lladdr, .. } => self.neigh(t, *side, *ip, *new, *lladdr),
            What::Dropped { side, packet, why } => {
                let what = describe_ip(packet).summary;
                let text = format!(
                    "drops {what}: {}",
                    words::dropped(words::teller(self.trace, *side, packet), *why)
                );
                self.mark(of_side(*side), t, Tone::Dim, text);
            }
            What::Gateway { silence } => {
                let gateway = words::gateway4(self.trace);
                let (tone, text) = match silence {
                    None => (Tone::Good, format!("{gateway} would answer")),
                    Some(why) => (Tone::Bad, format!("{gateway} would be silent: {why}")),
                };
                let open = Open { from: t, tone, text };
                if let Some(before) = self.entries.insert(Lane::Node, open) {
                    self.bar(Lane::Node, before, t);
                }
            }
            What::Client { client, news } => self.client(t, *client, news),
            What::Unmodelled { side, command } => {
                self.mark(Lane::Lab, t, Tone::Bad, words::unmodelled(command));
                // what the node would answer from here on nobody can say
                if *side == Side::Host
                    && let Some(before) = self.entries.remove(&Lane::Node)
                {
                    self.bar(Lane::Node, before, t);
                }
            }
            What::Differs(how) => {
                self.mark(Lane::Lab, t, Tone::Bad, format!("model and kernel differ: {how}"));
            }
            What::PluginFailed { pod, errand, why } => {
                self.mark(Lane::Lab, t, Tone::Bad, words::plugin_failed(*pod, *errand, why));
            }
            What::NoTap { why } => self.mark(Lane::Lab, t, Tone::Dim, words::no_tap(why)),
            What::Start(_) | What::Kernel(_) | What::End { .. } => {}
        }
    }

    fn frame(&mut self, t: Time, id: FrameId, from: Side, bytes: &[u8], fate: FrameFate) {
        let tone = if fate == FrameFate::Delivered { Tone::Plain } else { Tone::Bad };
        self.frames.insert(id, self.marks.len());
        self.mark(Lane::Wire, t, tone, describe(bytes).summary);
        if let Some((_, mark)) = self.marks.last_mut() {
            mark.up = Some(from == Side::Pod);
            mark.more = fate.loss().map_or_else(String::new, |loss| format!("lost: {loss}"));
        }
    }

    fn judged(&mut self, frame: Option<FrameId>, side: Side, ruling: Ruling) {
        let Some(at) = frame.and_then(|id| self.frames.get(&id)) else { return };
        let mark = &mut self.marks[*at].1;
        (mark.tone, mark.more) = match ruling {
            Ruling::Answered => (Tone::Good, "answered".to_owned()),
            Ruling::Delayed => (Tone::Good, "answered after proxy_delay".to_owned()),
            Ruling::Silent { why, inferred } => {
                let code = why.pointer().code;
                (Tone::Bad, format!("no reply: {} [{code}]", words::silence(side, why, inferred)))
            }
        };
    }

    /// The entries that a run is about lie as bars, what else happens to a table is a mark.
    fn neigh(&mut self, t: Time, side: Side, ip: IpAddr, new: Option<Nud>, lladdr: Option<Mac>) {
        let mac = lladdr.map(|mac| format!(" lladdr {mac}")).unwrap_or_default();
        let text = format!("{ip}{mac} {}", new.map_or("(no entry)", Nud::name));
        let setting = &self.trace.plan.setting;
        let own = [Some(IpAddr::V4(setting.pod_ip)), setting.pod_ip6.map(IpAddr::V6)];
        let lane = match side {
            Side::Pod if is_gateway(ip, self.trace.gateway4()) => Lane::PodEntry(ip),
            Side::Host if own.contains(&Some(ip)) => Lane::NodeEntry(ip),
            side => return self.mark(of_side(side), t, Tone::Dim, text),
        };
        if let Some(before) = self.entries.remove(&lane) {
            self.bar(lane, before, t);
        }
        let tone = match new {
            None => return,
            Some(Nud::Incomplete | Nud::Failed) => Tone::Bad,
            Some(Nud::Reachable | Nud::Permanent) => Tone::Good,
            Some(_) => Tone::Plain,
        };
        self.entries.insert(lane, Open { from: t, tone, text });
    }

    fn client(&mut self, t: Time, client: ClientId, news: &ClientNews) {
        let lane = Lane::Client(client.0);
        let (seq, tone, text) = match news {
            ClientNews::Start => {
                let text = format!("starts: {}", words::client(self.trace, client));
                return self.mark(lane, t, Tone::Plain, text);
            }
            ClientNews::Try { seq } => {
                self.tries.insert((client, *seq), t);
                return self.mark(lane, t, Tone::Dim, format!("{seq}: sent"));
            }
            ClientNews::Success { seq, took } => (*seq, Tone::Good, format!("{seq}: answered after {took}")),
            ClientNews::Failure { seq, failed } => (*seq, Tone::Bad, format!("{seq}: {failed}")),
            ClientNews::End { sent, answered } => {
                let tone = if sent == answered { Tone::Good } else { Tone::Bad };
                return self.mark(lane, t, tone, format!("ends: {answered} of {sent} answered"));
            }
        };
        if let Some(from) = self.tries.remove(&(client, seq)) {
            self.bar(lane, Open { from, tone, text: text.clone() }, t);
        }
        self.mark(lane, t, tone, text);
    }
}

fn of_actor(actor: ActorName) -> Lane {
    Lane::Actor(ActorName::ALL.iter().position(|a| *a == actor).unwrap_or(ActorName::ALL.len()))
}

const fn of_side(side: Side) -> Lane {
    match side {
        Side::Pod => Lane::Pod,
        Side::Host => Lane::Node,
    }
}

fn heading(trace: &Trace, lane: Lane) -> Heading {
    let (name, title, kind) = match lane {
        Lane::Actor(at) => {
            let name = ActorName::ALL.get(at).map_or("?", |a| a.name());
            (name.to_owned(), format!("steps of {name}, and how long they are held"), "actor")
        }
        Lane::Lab => ("lab".to_owned(), "what the lab itself has to say".to_owned(), "note"),
        Lane::Node => {
            ("node".to_owned(), "whether the gateway would answer, and what is dropped".to_owned(), "node")
        }
        Lane::NodeEntry(ip) => {
            (format!("node: {ip}"), format!("the node's neighbour entry for {ip}"), "entry")
        }
        Lane::Wire => ("wire".to_owned(), "frames between node and pod".to_owned(), "wire"),
        Lane::PodEntry(ip) => (format!("pod: {ip}"), format!("the pod's neighbour entry for {ip}"), "entry"),
        Lane::Pod => ("pod".to_owned(), "what else happens in the pod".to_owned(), "pod"),
        Lane::Client(id) => {
            let id = ClientId(id);
            (trace.client_name(id).to_owned(), words::client(trace, id), "client")
        }
    };
    Heading { name, title, kind }
}
