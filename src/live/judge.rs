//! Why a request was not answered by a real kernel. The kernel drops it without a word, so the
//! reason is the model's: the node's state as the model has it at the moment of the request.
//!
//! Whether it was answered comes from the wire. Where wire and model disagree that is said; it
//! is what the lab is for.

use crate::control::{GATEWAY, Side};
use crate::host::frame::{Arp, Cast};
use crate::host::{After, Decision, HostState, IfIndex, Reason, Request, decide};
use crate::time::{Span, Time};
use crate::trace::{FrameId, What};
use std::collections::VecDeque;

/// A change of the node takes effect somewhere between its request to the kernel and the kernel's
/// answer; a frame is looked at a little after it was stamped. Between these times, this much
/// wider on both sides, either state may have been met.
const SLACK: Span = Span::from_ms(5);
/// An answer that is sent at once has been captured within this, even where softirqs and this
/// program wait for a processor. It delays what is told, not what is seen.
const PATIENCE: Span = Span::from_secs(2);
/// The timer wheel rounds delays above 63 jiffies up by at most an eighth.
const WHEEL_EIGHTHS: u64 = 9;

/// The node at one moment, as the model sees it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) state: HostState,
    /// The host end, while it is in the node's namespace.
    pub(super) dev: Option<IfIndex>,
    /// Both ends of the pair are up.
    pub(super) carries: bool,
}

impl View {
    pub(super) fn decide(&self, arp: Arp, cast: Cast) -> Decision {
        decide_in(&self.state, self.dev, self.carries, arp, cast)
    }
}

/// What a node in that state makes of a request of the pod.
pub(super) fn decide_in(
    state: &HostState,
    dev: Option<IfIndex>,
    carries: bool,
    arp: Arp,
    cast: Cast,
) -> Decision {
    let Some(dev) = dev else { return Decision::Silent(Reason::NoInterface) };
    let request = Request { dev, cast, arp, sender_known: true, again: false, leg: 0 };
    match decide(state, &request) {
        Decision::Reply { .. } if !carries => Decision::Silent(Reason::NoCarrier),
        decision => decision,
    }
}

#[derive(Debug)]
struct Turn {
    begin: Time,
    end: Time,
    view: View,
}

#[derive(Debug)]
struct Pending {
    at: Time,
    frame: FrameId,
    arp: Arp,
    cast: Cast,
    /// The model's reason for silence, if it has one.
    silent: Option<Reason>,
    /// The model may answer, and then so.
    reply: Option<After>,
    deadline: Time,
}

/// What a request came to.
#[derive(Debug)]
pub(super) struct Verdict {
    /// When it was sent.
    pub(super) at: Time,
    pub(super) what: What,
    /// The kernel did other than the model says: how.
    pub(super) differs: Option<String>,
}

/// Keeps the node's past and the requests whose answer is open.
#[derive(Debug, Default)]
pub(super) struct Judge {
    turns: VecDeque<Turn>,
    pending: VecDeque<Pending>,
}

impl Judge {
    /// The node was changed between these two moments, and is so since.
    pub(super) fn turn(&mut self, begin: Time, end: Time, view: View) {
        // the longest that anybody looks back
        const KEPT: Span = Span::from_secs(3);
        while self.turns.len() > 1 && self.turns[1].end + KEPT < begin {
            self.turns.pop_front();
        }
        self.turns.push_back(Turn { begin, end, view });
    }

    /// The states that a frame of that moment may have met, the latest first.
    fn met(&self, at: Time) -> impl Iterator<Item = &View> {
        let settled = self.turns.iter().rposition(|t| t.end + SLACK <= at).unwrap_or(0);
        let begun = move |t: &&Turn| t.begin <= at + SLACK;
        self.turns.range(settled.min(self.turns.len())..).filter(begun).rev().map(|t| &t.view)
    }

    /// The pod asked for its gateway.
    pub(super) fn asked(&mut self, at: Time, frame: FrameId, arp: Arp, cast: Cast) {
        let (mut silent, mut reply) = (None, None);
        for view in self.met(at) {
            match view.decide(arp, cast) {
                Decision::Silent(reason) => silent = Some(reason),
                Decision::Reply { after, .. } => reply = Some(after),
            }
        }
        let wait = match reply {
            Some(After::Delay { below }) => Span::from_ms(u64::from(below) * 10 * WHEEL_EIGHTHS / 8),
            _ => Span::ZERO,
        };
        self.pending.push_back(Pending {
            at,
            frame,
            arp,
            cast,
            silent,
            reply,
            deadline: at + wait + PATIENCE,
        });
    }

    /// The pod got an answer for its gateway.
    pub(super) fn answered(&mut self, at: Time) -> Option<Verdict> {
        let p = self.pending.remove(self.answered_by(at)?)?;
        let differs = match (p.reply, p.silent) {
            (None, Some(reason)) => Some(format!(
                "the kernel answered at {at} a request of {}, for which the model has a reason to be silent: {reason}",
                p.at
            )),
            _ => None,
        };
        let what = p.judged(true, None);
        Some(Verdict { at: p.at, what, differs })
    }

    /// Which request a reply is for; it does not say. One that is answered at once is answered before
    /// the next is sent; delayed ones are answered in any order, so the oldest will do.
    fn answered_by(&self, at: Time) -> Option<usize> {
        let before = |p: &Pending| p.at <= at;
        let now = self.pending.iter().rposition(|p| before(p) && p.reply == Some(After::Now));
        let later = || self.pending.iter().position(|p| before(p) && p.reply.is_some());
        let other = || self.pending.iter().rposition(before);
        now.or_else(later).or_else(other)
    }

    /// When [`Judge::expire`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.pending.iter().map(|p| p.deadline).min()
    }

    /// Requests whose answer cannot come any more.
    pub(super) fn expire(&mut self, now: Time) -> Vec<Verdict> {
        let (over, open) = self.pending.drain(..).partition(|p| p.deadline <= now);
        self.pending = open;
        let over: VecDeque<Pending> = over;
        over.iter().map(|p| self.unanswered(p)).collect()
    }

    /// The run is over: what the model is sure to be silence is said, the rest stays open.
    pub(super) fn finish(&mut self) -> Vec<Verdict> {
        let open = core::mem::take(&mut self.pending);
        open.iter().filter(|p| p.reply.is_none()).map(|p| self.unanswered(p)).collect()
    }

    fn unanswered(&self, p: &Pending) -> Verdict {
        let reason = p.silent.or_else(|| self.turned(p));
        let differs = reason.is_none().then(|| {
            format!("the kernel did not answer the request of {}, and the model knows no reason", p.at)
        });
        Verdict { at: p.at, what: p.judged(false, reason), differs }
    }

    /// A delayed answer is decided again when it is due; by then the node may have changed.
    fn turned(&self, p: &Pending) -> Option<Reason> {
        matches!(p.reply, Some(After::Delay { .. })).then_some(())?;
        let later = self.turns.iter().filter(|t| p.at <= t.end && t.begin <= p.deadline);
        later.map(|t| t.view.decide(p.arp, p.cast)).find_map(|d| d.reason())
    }
}

/// The code of a silence that the model cannot explain.
pub(super) const UNEXPLAINED: &str = "unexplained";

impl Pending {
    fn judged(&self, answered: bool, reason: Option<Reason>) -> What {
        let code = reason.map_or(UNEXPLAINED.to_owned(), |r| r.pointer().code.to_owned());
        let why = reason.map_or("the model knows no reason".to_owned(), |r| {
            format!("{r} (according to the model; the kernel itself does not say)")
        });
        What::Judged {
            frame: Some(self.frame),
            side: Side::Host,
            target: GATEWAY.into(),
            sender: self.arp.spa.into(),
            answered,
            delayed: answered && matches!(self.reply, Some(After::Delay { .. })),
            reason: (!answered).then_some(code),
            why: (!answered).then_some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Mac;
    use crate::gateway::lab;

    fn view(command: &str) -> View {
        let mut state = lab::host_state();
        if !command.is_empty() {
            state.apply(&command.parse().unwrap()).unwrap();
        }
        let dev = Some(lab::index(&state, lab::HOST_END));
        View { state, dev, carries: true }
    }

    fn request() -> Arp {
        Arp::request(Mac([2, 0, 0, 0, 0, 1]), "10.65.0.2".parse().unwrap(), GATEWAY)
    }

    fn ms(n: u64) -> Time {
        Time::ZERO + Span::from_ms(n)
    }

    fn judge() -> Judge {
        let mut judge = Judge::default();
        judge.turn(Time::ZERO, Time::ZERO, view("sysctl -w net.ipv4.conf.cali0.proxy_arp=0"));
        judge.turn(ms(1000), ms(1002), view(""));
        judge
    }

    fn code(v: &Verdict) -> Option<String> {
        match &v.what {
            What::Judged { reason, .. } => reason.clone(),
            _ => None,
        }
    }

    #[test]
    fn silence_has_the_reason_of_its_moment() {
        let mut judge = judge();
        judge.asked(ms(500), FrameId(1), request(), Cast::Broadcast);
        let verdicts = judge.expire(ms(5000));
        assert_eq!(code(&verdicts[0]).as_deref(), Some("proxy-arp-off"));
        assert!(verdicts[0].differs.is_none());
    }

    #[test]
    fn at_the_moment_of_a_change_both_are_right() {
        for answered in [false, true] {
            let mut judge = judge();
            judge.asked(ms(1001), FrameId(1), request(), Cast::Broadcast);
            let verdict = if answered { judge.answered(ms(1001)) } else { judge.expire(ms(9000)).pop() };
            assert!(verdict.is_some_and(|v| v.differs.is_none()));
        }
    }

    #[test]
    fn a_request_lost_at_a_change_does_not_take_the_next_ones_answer() {
        let mut judge = judge();
        judge.asked(ms(1001), FrameId(1), request(), Cast::Broadcast);
        for n in 0..5 {
            judge.asked(ms(1101 + n * 100), FrameId(2), request(), Cast::Broadcast);
            assert_eq!(judge.answered(ms(1102 + n * 100)).unwrap().at, ms(1101 + n * 100));
        }
        let rest = judge.expire(ms(9000));
        assert_eq!(rest.len(), 1);
        assert!(rest[0].differs.is_none());
    }

    #[test]
    fn a_kernel_that_does_otherwise_is_told_of() {
        let mut judge = judge();
        judge.asked(ms(500), FrameId(1), request(), Cast::Broadcast);
        assert!(judge.answered(ms(501)).unwrap().differs.is_some());
        judge.asked(ms(2000), FrameId(2), request(), Cast::Broadcast);
        let verdict = judge.expire(ms(9000)).pop().unwrap();
        assert!(verdict.differs.is_some());
        assert_eq!(code(&verdict).as_deref(), Some(UNEXPLAINED));
    }
}
