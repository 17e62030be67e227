//! From what the parts report to events of the trace.

use crate::control::{HoldNews, Side, StepTable, Taken, TaskResult, Until};
use crate::host::{After, Decision, HostState, NsDecision, Reason};
use crate::pod::{ClientEvent, ClientId, Failure, Outcome};
use crate::scenario::Plan;
use crate::stack::{DropWhy, Note};
use crate::time::Time;
use crate::trace::{ClientNews, Fate, FrameId, Sink, What, describe, describe_ip};
use std::sync::Arc;

/// Builds events, if the sink wants any.
#[derive(Clone, Debug)]
pub(crate) struct Emitter {
    plan: Arc<Plan>,
    frame: Option<FrameId>,
}

impl Emitter {
    pub(crate) fn new(plan: &Arc<Plan>) -> Emitter {
        Emitter { plan: Arc::clone(plan), frame: None }
    }

    /// What is reported next is about this frame.
    pub(crate) fn begin_frame(&mut self, id: FrameId) {
        self.frame = Some(id);
    }

    pub(crate) fn end_frame(&mut self) {
        self.frame = None;
    }

    fn steps(&self) -> &StepTable {
        &self.plan.steps
    }

    pub(crate) fn step<S: Sink>(&self, now: Time, taken: &Taken, result: &TaskResult, sink: &mut S) {
        if !S::WANTED {
            return;
        }
        let acts = taken.acts.iter().map(ToString::to_string).filter(|a| !a.is_empty()).collect();
        let refused = match result {
            TaskResult::Done if taken.timed_out => Some("gave up waiting".to_owned()),
            TaskResult::Done => None,
            TaskResult::Refused(why) => Some(why.clone()),
        };
        let step = self.steps().info(taken.task.step).name.clone();
        sink.take(now, What::Step { step, actor: taken.actor, acts, refused });
    }

    pub(crate) fn hold<S: Sink>(&self, now: Time, news: HoldNews, sink: &mut S) {
        if !S::WANTED {
            return;
        }
        let name = |step| self.steps().info(step).name.clone();
        sink.take(
            now,
            match news {
                HoldNews::Held(step, until) => What::Held { step: name(step), until: self.until(until) },
                HoldNews::Released(step) => What::Released { step: name(step) },
            },
        );
    }

    fn until(&self, until: Until) -> String {
        match until {
            Until::Elapsed(span) => format!("for {span}"),
            Until::At(time) => format!("until {time}"),
            Until::Done(step) | Until::Nth(step, 1) => {
                format!("until {} is done", self.steps().info(step).name)
            }
            Until::Nth(step, n) => format!("until {} is done {n} times", self.steps().info(step).name),
            Until::Requests(n) => format!("until the pod has asked {n} times"),
            Until::Tries(n) => format!("until the clients have tried {n} times"),
            Until::Never => "for ever".to_owned(),
        }
    }

    pub(crate) fn frame<S: Sink>(
        &self,
        now: Time,
        id: FrameId,
        from: Side,
        frame: &[u8],
        fate: Fate,
        sink: &mut S,
    ) {
        if S::WANTED {
            let summary = describe(frame).summary;
            sink.take(now, What::Frame { id, from, summary, bytes: frame.to_vec(), fate });
        }
    }

    pub(crate) fn gateway<S: Sink>(&self, now: Time, silence: Option<Reason>, sink: &mut S) {
        sink.take(
            now,
            What::Gateway {
                answers: silence.is_none(),
                reason: silence.map(|r| r.pointer().code.to_owned()),
                why: silence.map(|r| r.to_string()),
            },
        );
    }

    pub(crate) fn stack_note<S: Sink>(
        &self,
        now: Time,
        side: Side,
        state: &HostState,
        note: Note,
        sink: &mut S,
    ) {
        if !S::WANTED {
            return;
        }
        let what = match note {
            Note::Judged { arp: Some(arp), decision, again, .. } => {
                // what is no question, or is settled by the reply that follows, says nothing
                if arp.op != 1 || (again && decision.reason().is_none()) {
                    return;
                }
                let reason = decision.reason();
                let delayed = matches!(decision, Decision::Reply { after: After::Delay { .. }, .. });
                What::Judged {
                    frame: self.frame,
                    side,
                    target: arp.tpa.into(),
                    sender: arp.spa.into(),
                    answered: reason.is_none(),
                    delayed,
                    reason: reason.map(|r| r.pointer().code.to_owned()),
                    why: reason.map(|r| r.to_string()),
                }
            }
            Note::Judged { arp: None, decision, .. } => match decision.reason() {
                Some(reason) => What::Note { text: format!("the {side} ignores a frame: {reason}") },
                None => return,
            },
            Note::JudgedNs { request: Some(request), decision, again, .. } => {
                if again && decision.reason().is_none() {
                    return;
                }
                let reason = decision.reason();
                What::Judged {
                    frame: self.frame,
                    side,
                    target: request.ns.target.into(),
                    sender: request.src.into(),
                    answered: reason.is_none(),
                    delayed: matches!(decision, NsDecision::Reply { after: After::Delay { .. }, .. }),
                    reason: reason.map(|r| r.pointer().code.to_owned()),
                    why: reason.map(|r| r.to_string()),
                }
            }
            Note::JudgedNs { request: None, decision, .. } => match decision.reason() {
                Some(reason) => What::Note { text: format!("the {side} ignores a frame: {reason}") },
                None => return,
            },
            Note::Neigh { dev, ip, old, new, lladdr, cause } => {
                let dev = state.name_of(dev).to_string();
                What::Neigh { side, dev, ip, old, new, lladdr, cause: Some(cause) }
            }
            Note::Dropped { packet, why } => {
                What::Dropped { side, summary: describe_ip(&packet), why: drop_text(why) }
            }
        };
        sink.take(now, what);
    }

    pub(crate) fn client_start<S: Sink>(&self, now: Time, at: usize, sink: &mut S) {
        if S::WANTED
            && let Some(plan) = self.plan.client(at)
        {
            let news = ClientNews::Start { title: format!("{} {}", plan.kind, plan.to) };
            sink.take(now, What::Client { client: plan.name.clone(), news });
        }
    }

    pub(crate) fn client<S: Sink>(&self, now: Time, id: ClientId, event: &ClientEvent, sink: &mut S) {
        if !S::WANTED {
            return;
        }
        let Some(plan) = self.plan.client(id.0 as usize) else { return };
        let news = match *event {
            ClientEvent::Began { number, .. } => ClientNews::Try { seq: number },
            ClientEvent::Answered { number, rtt, duplicate: false, .. } => {
                ClientNews::Success { seq: number, took_ns: rtt.as_ns() }
            }
            ClientEvent::Failed { number, failure, .. } => {
                ClientNews::Failure { seq: number, error: failure_text(failure) }
            }
            ClientEvent::Answered { .. } | ClientEvent::Retransmit { .. } | ClientEvent::Finished => return,
        };
        sink.take(now, What::Client { client: plan.name.clone(), news });
    }

    pub(crate) fn client_end<S: Sink>(&self, now: Time, id: ClientId, outcome: &Outcome, sink: &mut S) {
        if S::WANTED
            && outcome.started.is_some()
            && let Some(plan) = self.plan.client(id.0 as usize)
        {
            let news = ClientNews::End { sent: outcome.sent, answered: outcome.received };
            sink.take(now, What::Client { client: plan.name.clone(), news });
        }
    }
}

/// A failure as scenario files and tables name it: the errno's name with its text, ping's words.
pub(crate) fn failure_text(failure: Failure) -> String {
    match failure {
        Failure::Socket(error) => format!("{} ({})", error.name(), error.text()),
        other => other.name().to_owned(),
    }
}

pub(crate) fn drop_text(why: DropWhy) -> String {
    match why {
        DropWhy::Input(fault) => Reason::Unroutable(fault).to_string(),
        DropWhy::Neighbour(discarded) => match discarded {
            crate::neigh::Discarded::QueueOverflow => {
                "more waits for the neighbour than unres_qlen_bytes".into()
            }
            crate::neigh::Discarded::NoRequestsAllowed => "mcast_solicit is 0, so nobody is asked".into(),
            crate::neigh::Discarded::FailureRaced => {
                "it joined the neighbour's queue while that was being thrown away".into()
            }
            crate::neigh::Discarded::EntryFlushed => "the neighbour entry it waited in was flushed".into(),
        },
        DropWhy::Unreachable => "no neighbour answered; its sender is told".into(),
        DropWhy::ErrorRateLimited => {
            "no neighbour answered; the error to its sender exceeds icmp_msgs_burst".into()
        }
        DropWhy::ErrorUndeliverable => "no neighbour answered; the error cannot reach its sender".into(),
        DropWhy::OtherHost => "sent to a MAC that is nobody's here".into(),
        DropWhy::Malformed => "it cannot be read".into(),
        DropWhy::Expired => "its time to live ran out".into(),
        DropWhy::NoCarrier => "the device has no carrier".into(),
        DropWhy::DeviceDown => "the device is down".into(),
    }
}
