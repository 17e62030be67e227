//! Why a request was not answered by a real kernel. The kernel drops it without a word, so the
//! reason is the model's: the node's state as the model has it at the moment of the request.
//! Whether it was answered comes from the wire.

use super::differs::of_answer;
use crate::control::Side;
use crate::host::conf::NeighVar;
use crate::host::{
    After, Decision, HostState, IfIndex, NsDecision, NsRequest, Reason, Request, decide, decide_ns,
};
use crate::time::{Span, Time};
use crate::trace::{Differs, FrameId, Ruling, What, Why};
use crate::wire::{Arp, Cast};
use std::collections::VecDeque;
use std::net::IpAddr;

/// A change of the node takes effect somewhere between its request to the kernel and the kernel's
/// answer; a frame is looked at a little after it was stamped. Between these times, this much
/// wider on both sides, either state may have been met.
const SLACK: Span = Span::from_ms(5);
/// An answer that is sent at once has been captured within this, even where softirqs and this
/// program wait for a processor. It delays what is told, not what is seen.
const PATIENCE: Span = Span::from_secs(2);
/// The longest that anybody looks back.
const KEPT: Span = Span::from_secs(5);
/// The timer wheel rounds delays above 63 jiffies up by at most an eighth.
const WHEEL_EIGHTHS: u64 = 9;

/// The node at one moment, as the model sees it.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    pub(crate) state: HostState,
    /// The host end, while it is in the node's namespace.
    pub(crate) dev: Option<IfIndex>,
    /// Both ends of the pair are up.
    pub(crate) carries: bool,
}

/// What the pod asks its gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Arp(Arp, Cast),
    /// Its interface is the one that the view has.
    Solicit(NsRequest),
}

impl Question {
    fn target(&self) -> IpAddr {
        match self {
            Question::Arp(arp, _) => arp.tpa.into(),
            Question::Solicit(request) => request.ns.target.into(),
        }
    }

    fn sender(&self) -> IpAddr {
        match self {
            Question::Arp(arp, _) => arp.spa.into(),
            Question::Solicit(request) => request.src.into(),
        }
    }
}

impl NodeView {
    /// Its queue takes no more, when so many answers wait.
    fn full(&self, question: &Question, waiting: usize) -> Option<Why> {
        let link = self.state.link(self.dev?)?;
        let parms = match question {
            Question::Arp(..) => link.neigh4(),
            Question::Solicit(_) => link.neigh6(),
        };
        let limit = parms.get(NeighVar::ProxyQlen);
        let over = usize::try_from(limit).map_or(true, |limit| waiting > limit);
        over.then_some(Why::Arp(Reason::QueueFull { limit }))
    }

    /// All that it may make of the question: which leg of a multipath route the kernel's hash picks
    /// for a sender nobody can tell.
    fn decide_all(&self, question: &Question) -> impl Iterator<Item = Result<After, Why>> {
        let legs = match question {
            Question::Arp(arp, _) => self.state.legs(arp.spa, arp.tpa),
            Question::Solicit(_) => 1,
        };
        (0..legs).map(|leg| self.decide(question, leg))
    }

    fn decide(&self, question: &Question, leg: u32) -> Result<After, Why> {
        match *question {
            Question::Arp(arp, cast) => {
                match decide_in(&self.state, self.dev, self.carries, arp, cast, leg) {
                    Decision::Reply { after, .. } => Ok(after),
                    Decision::Silent(reason) => Err(Why::Arp(reason)),
                }
            }
            Question::Solicit(request) => {
                let dev = self.dev.ok_or(Why::Arp(Reason::NoInterface))?;
                match decide_ns(&self.state, &NsRequest { dev, ..request }) {
                    NsDecision::Reply { .. } if !self.carries => Err(Why::Arp(Reason::NoCarrier)),
                    NsDecision::Reply { after, .. } => Ok(after),
                    NsDecision::Silent(reason) => Err(Why::Nd(reason)),
                }
            }
        }
    }
}

/// What a node in that state makes of a request of the pod. In the name of a bridge's port the
/// bridge may answer.
pub(crate) fn decide_in(
    state: &HostState,
    dev: Option<IfIndex>,
    carries: bool,
    arp: Arp,
    cast: Cast,
    leg: u32,
) -> Decision {
    let Some(dev) = dev else { return Decision::Silent(Reason::NoInterface) };
    let request = Request { dev, cast, arp, sender_known: true, again: false, leg };
    let by_bridge = state.link(dev).filter(|l| l.is_up()).and_then(crate::host::Link::master);
    let by_bridge = by_bridge.map(|dev| decide(state, &Request { dev, ..request }));
    let answered = by_bridge.filter(|d| matches!(d, Decision::Reply { .. }));
    match answered.unwrap_or_else(|| decide(state, &request)) {
        Decision::Reply { .. } if !carries => Decision::Silent(Reason::NoCarrier),
        decision => decision,
    }
}

#[derive(Debug)]
struct Turn {
    begin: Time,
    end: Time,
    view: NodeView,
}

#[derive(Debug)]
struct Pending {
    at: Time,
    frame: FrameId,
    question: Question,
    /// The model's reason for silence, if it has one.
    silent: Option<Why>,
    /// The model may answer, and then so.
    reply: Option<After>,
    deadline: Time,
}

/// What a request came to.
#[derive(Debug)]
pub(crate) struct Judged {
    /// When it was sent.
    pub(crate) at: Time,
    pub(crate) what: What,
    /// The kernel did other than the model says: how.
    pub(crate) differs: Option<Differs>,
}

/// What passed the pod's end.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Asked(FrameId, Question),
    Answered(IpAddr),
}

/// Keeps the node's past and the requests whose answer is open.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    turns: VecDeque<Turn>,
    pending: VecDeque<Pending>,
    /// When each change began whose end is not known yet.
    under_way: Vec<Time>,
    /// What passed since the first of them began, the oldest first: the state that it met is known when
    /// they are over.
    seen: VecDeque<(Time, Seen)>,
    /// When interfaces of the node went down, which empties the queue of delayed answers.
    purges: VecDeque<Time>,
}

impl Judge {
    /// From here on the node may be changed; [`Judge::over`] with the same moment says that this has ended.
    pub(crate) fn begun(&mut self, begin: Time) {
        self.under_way.push(begin);
    }

    /// The change that began then has come to its end, and [`Judge::turn`] has had what came of it, if
    /// anything did. What waited for that is judged.
    pub(crate) fn over(&mut self, begin: Time) -> Vec<Judged> {
        if let Some(at) = self.under_way.iter().position(|t| *t == begin) {
            self.under_way.remove(at);
        }
        let mut judged = Vec::new();
        while let Some((at, seen)) = self.seen.pop_front() {
            if self.may_be_changed(at) {
                self.seen.push_front((at, seen));
                break;
            }
            judged.extend(self.look(at, seen));
        }
        judged
    }

    /// A change that is under way may have taken effect by then.
    fn may_be_changed(&self, at: Time) -> bool {
        self.under_way.iter().any(|begin| *begin <= at + SLACK)
    }

    fn see(&mut self, at: Time, seen: Seen) -> Option<Judged> {
        if !self.seen.is_empty() || self.may_be_changed(at) {
            self.seen.push_back((at, seen));
            return None;
        }
        self.look(at, seen)
    }

    fn look(&mut self, at: Time, seen: Seen) -> Option<Judged> {
        match seen {
            Seen::Asked(frame, question) => {
                self.take(at, frame, question);
                None
            }
            Seen::Answered(from) => self.resolve(at, from),
        }
    }

    /// The node was changed between these two moments, and is so since.
    pub(crate) fn turn(&mut self, begin: Time, end: Time, view: NodeView) {
        while self.turns.len() > 1 && self.turns[1].end + KEPT < begin {
            self.turns.pop_front();
        }
        self.turns.push_back(Turn { begin, end, view });
    }

    /// An interface of the node went down.
    pub(crate) fn purged(&mut self, at: Time) {
        while self.purges.front().is_some_and(|t| *t + KEPT < at) {
            self.purges.pop_front();
        }
        self.purges.push_back(at);
    }

    /// The states that a frame of that moment may have met, the latest first.
    fn met(&self, at: Time) -> impl Iterator<Item = &NodeView> {
        let settled = self.turns.iter().rposition(|t| t.end + SLACK <= at).unwrap_or(0);
        let begun = move |t: &&Turn| t.begin <= at + SLACK;
        self.turns.range(settled.min(self.turns.len())..).filter(begun).rev().map(|t| &t.view)
    }

    /// The pod asked for its gateway.
    pub(crate) fn asked(&mut self, at: Time, frame: FrameId, question: Question) {
        self.see(at, Seen::Asked(frame, question));
    }

    fn take(&mut self, at: Time, frame: FrameId, question: Question) {
        let (mut silent, mut reply) = (None, None);
        for view in self.met(at) {
            for judged in view.decide_all(&question) {
                match judged {
                    Err(why) => silent = Some(why),
                    Ok(after) => reply = Some(after),
                }
            }
        }
        let waiting = self.pending.iter().filter(|p| matches!(p.reply, Some(After::Delay { .. }))).count();
        if matches!(reply, Some(After::Delay { .. })) {
            // what was purged is counted in, so the kernel may have had room
            let full = self.met(at).find_map(|v| v.full(&question, waiting));
            silent = silent.or(full);
        }
        let wait = match reply {
            Some(After::Delay { below }) => Span::from_ms(u64::from(below) * 10 * WHEEL_EIGHTHS / 8),
            _ => Span::ZERO,
        };
        self.pending.push_back(Pending {
            at,
            frame,
            question,
            silent,
            reply,
            deadline: at + wait + PATIENCE,
        });
    }

    /// The pod got an answer from its gateway `from`. While a change is under way the judgement comes later,
    /// from [`Judge::over`].
    pub(crate) fn answered(&mut self, at: Time, from: IpAddr) -> Option<Judged> {
        self.see(at, Seen::Answered(from))
    }

    fn resolve(&mut self, at: Time, from: IpAddr) -> Option<Judged> {
        let p = self.pending.remove(self.answered_by(at, from)?)?;
        let differs = of_answer(p.at, Some(at), p.reply.is_some(), p.silent);
        let what = p.judged(true, None);
        Some(Judged { at: p.at, what, differs })
    }

    /// Which request a reply is for; it does not say. One that is answered at once is answered before
    /// the next is sent; delayed ones are answered in any order, so the oldest will do.
    fn answered_by(&self, at: Time, from: IpAddr) -> Option<usize> {
        let before = |p: &Pending| p.at <= at && p.question.target() == from;
        let now = self.pending.iter().rposition(|p| before(p) && p.reply == Some(After::Now));
        let later = || self.pending.iter().position(|p| before(p) && p.reply.is_some());
        let other = || self.pending.iter().rposition(before);
        now.or_else(later).or_else(other)
    }

    /// When [`Judge::expire`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.pending.iter().map(|p| p.deadline).min()
    }

    /// Requests whose answer cannot come any more.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<Judged> {
        let (over, open) = self.pending.drain(..).partition(|p| p.deadline <= now);
        self.pending = open;
        let over: VecDeque<Pending> = over;
        over.iter().map(|p| self.unanswered(p)).collect()
    }

    /// The run is over: what the model is sure to be silence is said, the rest stays open.
    pub(crate) fn finish(&mut self) -> Vec<Judged> {
        let seen = core::mem::take(&mut self.seen);
        let mut judged: Vec<Judged> = seen.into_iter().filter_map(|(at, seen)| self.look(at, seen)).collect();
        let open = core::mem::take(&mut self.pending);
        let sure = |p: &&Pending| p.reply.is_none() || self.was_purged(p);
        judged.extend(open.iter().filter(sure).map(|p| self.unanswered(p)));
        judged
    }

    fn unanswered(&self, p: &Pending) -> Judged {
        let why = p.silent.or_else(|| self.turned(p));
        let differs = of_answer(p.at, None, p.reply.is_some(), why);
        Judged { at: p.at, what: p.judged(false, why), differs }
    }

    /// Its delayed answer was thrown away, if it had not gone.
    fn was_purged(&self, p: &Pending) -> bool {
        let waited = |t: &Time| p.at <= *t + SLACK && *t <= p.deadline;
        matches!(p.reply, Some(After::Delay { .. })) && self.purges.iter().any(waited)
    }

    /// A delayed answer is decided again when it is due; by then the node may have changed.
    fn turned(&self, p: &Pending) -> Option<Why> {
        matches!(p.reply, Some(After::Delay { .. })).then_some(())?;
        if self.was_purged(p) {
            return Some(Why::Arp(Reason::QueuePurged));
        }
        let later = self.turns.iter().filter(|t| p.at <= t.end && t.begin <= p.deadline);
        later.flat_map(|t| t.view.decide_all(&p.question)).find_map(Result::err)
    }
}

impl Pending {
    fn judged(&self, answered: bool, why: Option<Why>) -> What {
        let ruling = match (answered, self.reply) {
            (true, Some(After::Delay { .. })) => Ruling::Delayed,
            (true, _) => Ruling::Answered,
            (false, _) => Ruling::Silent { why: why.unwrap_or(Why::Unexplained), inferred: true },
        };
        What::Judged {
            frame: Some(self.frame),
            side: Side::Host,
            target: self.question.target(),
            sender: self.question.sender(),
            ruling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Mac;
    use crate::control::GATEWAY;
    use crate::pair::lab;

    fn view(command: &str) -> NodeView {
        let mut state = lab::host_state();
        if !command.is_empty() {
            state.apply(&command.parse().unwrap()).unwrap();
        }
        let dev = Some(lab::index(&state, lab::HOST_END));
        NodeView { state, dev, carries: true }
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

    fn why(v: &Judged) -> Option<Why> {
        match &v.what {
            What::Judged { ruling: Ruling::Silent { why, .. }, .. } => Some(*why),
            _ => None,
        }
    }

    #[test]
    fn silence_has_the_reason_of_its_moment() {
        let mut judge = judge();
        judge.asked(ms(500), FrameId(1), Question::Arp(request(), Cast::Broadcast));
        let verdicts = judge.expire(ms(5000));
        assert_eq!(why(&verdicts[0]), Some(Why::Arp(Reason::ProxyArpOff)));
        assert!(verdicts[0].differs.is_none());
    }

    #[test]
    fn at_the_moment_of_a_change_both_are_right() {
        for answered in [false, true] {
            let mut judge = judge();
            judge.asked(ms(1001), FrameId(1), Question::Arp(request(), Cast::Broadcast));
            let verdict = if answered {
                judge.answered(ms(1001), GATEWAY.into())
            } else {
                judge.expire(ms(9000)).pop()
            };
            assert!(verdict.is_some_and(|v| v.differs.is_none()));
        }
    }

    /// Requests and answers are heard before it is known what a change that was let go came to.
    #[test]
    fn what_passes_while_a_change_is_under_way_may_meet_both_states() {
        for answered in [false, true] {
            let mut judge = Judge::default();
            judge.turn(Time::ZERO, Time::ZERO, view("sysctl -w net.ipv4.conf.cali0.proxy_arp=0"));
            judge.begun(ms(1000));
            judge.begun(ms(1000));
            judge.asked(ms(1020), FrameId(1), Question::Arp(request(), Cast::Broadcast));
            if answered {
                assert!(judge.answered(ms(1021), GATEWAY.into()).is_none());
            }
            judge.turn(ms(1000), ms(1030), view(""));
            assert!(judge.over(ms(1000)).is_empty(), "another is under way");
            let mut verdicts = judge.over(ms(1000));
            assert_eq!(verdicts.len(), usize::from(answered));
            verdicts.extend(judge.expire(ms(9000)));
            assert_eq!(verdicts.len(), 1);
            assert!(verdicts[0].differs.is_none() && verdicts[0].at == ms(1020));
        }
    }

    #[test]
    fn a_change_that_comes_to_nothing_excuses_nothing() {
        let mut judge = judge();
        judge.begun(ms(400));
        judge.asked(ms(500), FrameId(1), Question::Arp(request(), Cast::Broadcast));
        assert!(judge.answered(ms(501), GATEWAY.into()).is_none());
        assert!(judge.over(ms(400))[0].differs.is_some());
        judge.begun(ms(600));
        judge.asked(ms(601), FrameId(2), Question::Arp(request(), Cast::Broadcast));
        judge.answered(ms(602), GATEWAY.into());
        assert!(judge.finish()[0].differs.is_some(), "the run may end before it");
    }

    #[test]
    fn a_request_lost_at_a_change_does_not_take_the_next_ones_answer() {
        let mut judge = judge();
        judge.asked(ms(1001), FrameId(1), Question::Arp(request(), Cast::Broadcast));
        for n in 0..5 {
            judge.asked(ms(1101 + n * 100), FrameId(2), Question::Arp(request(), Cast::Broadcast));
            assert_eq!(judge.answered(ms(1102 + n * 100), GATEWAY.into()).unwrap().at, ms(1101 + n * 100));
        }
        let rest = judge.expire(ms(9000));
        assert_eq!(rest.len(), 1);
        assert!(rest[0].differs.is_none());
    }

    #[test]
    fn a_kernel_that_does_otherwise_is_told_of() {
        let mut judge = judge();
        judge.asked(ms(500), FrameId(1), Question::Arp(request(), Cast::Broadcast));
        assert!(judge.answered(ms(501), GATEWAY.into()).unwrap().differs.is_some());
        judge.asked(ms(2000), FrameId(2), Question::Arp(request(), Cast::Broadcast));
        let verdict = judge.expire(ms(9000)).pop().unwrap();
        assert!(verdict.differs.is_some());
        assert_eq!(why(&verdict), Some(Why::Unexplained));
    }
}
