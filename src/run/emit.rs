//! From what the parts report to events of the trace.

use crate::control::{HoldNews, Side, Taken, TaskResult};
use crate::host::{After, Decision, HostState, NsDecision, Reason};
use crate::packet::FrameId;
use crate::pod::{ClientEvent, ClientId};
use crate::stack::Note;
use crate::time::Time;
use crate::trace::{ClientNews, Failed, HeldUntil, Kinds, Ruling, Sink, Undone, What, Why};
use crate::wire::OP_REQUEST;

/// Builds events, those that the sink wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Emitter {
    frame: Option<FrameId>,
}

impl Emitter {
    /// What is reported next is about this frame.
    pub(crate) fn begin_frame(&mut self, id: FrameId) {
        self.frame = Some(id);
    }

    pub(crate) fn end_frame(&mut self) {
        self.frame = None;
    }

    /// A step was done, or not; its acts go into the trace.
    pub(crate) fn step<S: Sink>(now: Time, taken: &mut Taken, result: &TaskResult, sink: &mut S) {
        if !S::WANTS.has(Kinds::STEP) {
            return;
        }
        let undone = match result {
            TaskResult::Done => taken.timed_out.then_some(Undone::GaveUp),
            TaskResult::Refused(why) => Some(Undone::Refused(why.clone())),
        };
        let (step, actor, acts) = (taken.task.step, taken.actor, core::mem::take(&mut taken.acts));
        sink.take(now, What::Step { step, actor, acts, undone });
    }

    pub(crate) fn hold<S: Sink>(now: Time, news: HoldNews, sink: &mut S) {
        if S::WANTS.has(Kinds::HOLD) {
            sink.take(
                now,
                match news {
                    HoldNews::Held(step, until) => What::Held { step, until: HeldUntil::Hold(until) },
                    HoldNews::Released(step) => What::Released { step },
                },
            );
        }
    }

    pub(crate) fn gateway<S: Sink>(now: Time, silence: Option<Reason>, sink: &mut S) {
        sink.take(now, What::Gateway { silence });
    }

    /// A note of a namespace: what it judged, learned, dropped.
    pub(crate) fn stack_note<S: Sink>(
        &self,
        now: Time,
        side: Side,
        state: &HostState,
        note: Note,
        sink: &mut S,
    ) {
        let kind = match note {
            Note::Judged { .. } | Note::JudgedNs { .. } => Kinds::JUDGED,
            Note::Neigh { .. } => Kinds::NEIGH,
            Note::Dropped { .. } => Kinds::DROPPED,
        };
        if S::WANTS.has(kind)
            && let Some(what) = self.of_note(side, state, note)
        {
            sink.take(now, what);
        }
    }

    fn of_note(&self, side: Side, state: &HostState, note: Note) -> Option<What> {
        let judged = |target, sender, why: Option<Why>, delayed, again| {
            let ruling = match why {
                Some(why) => Ruling::Silent { why, inferred: false },
                // what is settled by the reply that follows says nothing
                None if again => return None,
                None if delayed => Ruling::Delayed,
                None => Ruling::Answered,
            };
            Some(What::Judged { frame: self.frame, side, target, sender, ruling })
        };
        match note {
            Note::Judged { arp: Some(arp), decision, again, .. } => {
                // the rest is no question
                if arp.op != OP_REQUEST {
                    return None;
                }
                let delayed = matches!(decision, Decision::Reply { after: After::Delay { .. }, .. });
                judged(arp.tpa.into(), arp.spa.into(), decision.reason().map(Why::Arp), delayed, again)
            }
            Note::Judged { arp: None, decision, .. } => {
                decision.reason().map(|reason| What::Ignored { side, why: Why::Arp(reason) })
            }
            Note::JudgedNs { request: Some(request), decision, again, .. } => {
                let delayed = matches!(decision, NsDecision::Reply { after: After::Delay { .. }, .. });
                let (target, sender) = (request.ns.target.into(), request.src.into());
                judged(target, sender, decision.reason().map(Why::Nd), delayed, again)
            }
            Note::JudgedNs { request: None, decision, .. } => {
                decision.reason().map(|reason| What::Ignored { side, why: Why::Nd(reason) })
            }
            Note::Neigh { dev, ip, old, new, lladdr, cause } => {
                let dev = state.name_of(dev);
                Some(What::Neigh { side, dev, ip, old, new, lladdr, cause: Some(cause) })
            }
            Note::Dropped { packet, why } => Some(What::Dropped { side, packet, why }),
        }
    }

    pub(crate) fn client_start<S: Sink>(now: Time, client: ClientId, sink: &mut S) {
        if S::WANTS.has(Kinds::CLIENT) {
            sink.take(now, What::Client { client, news: ClientNews::Start });
        }
    }

    pub(crate) fn client<S: Sink>(now: Time, client: ClientId, event: &ClientEvent, sink: &mut S) {
        if !S::WANTS.has(Kinds::CLIENT) {
            return;
        }
        if let Some(news) = Emitter::news_of(event) {
            sink.take(now, What::Client { client, news });
        }
    }

    /// What is told of something that a modelled client did.
    pub(crate) fn news_of(event: &ClientEvent) -> Option<ClientNews> {
        Some(match *event {
            ClientEvent::Began { number, .. } => ClientNews::Try { seq: number },
            ClientEvent::Answered { number, rtt, duplicate: false, .. } => {
                ClientNews::Success { seq: number, took: rtt }
            }
            ClientEvent::Failed { number, failure, .. } => {
                ClientNews::Failure { seq: number, failed: Failed::Known(failure) }
            }
            ClientEvent::Answered { .. } | ClientEvent::Retransmit { .. } | ClientEvent::Finished => {
                return None;
            }
        })
    }

    pub(crate) fn client_end<S: Sink>(
        now: Time,
        client: ClientId,
        (sent, answered): (u32, u32),
        sink: &mut S,
    ) {
        if S::WANTS.has(Kinds::CLIENT) {
            let news = ClientNews::End { sent, answered };
            sink.take(now, What::Client { client, news });
        }
    }
}
