//! A real kernel and the model beside it, held against each other: here and nowhere else. What a
//! change came to in both is told as it happens ([`Run::compare`]); what a request came to, when its
//! answer has come or can come no more ([`Run::tell_judged`]).

use super::{Judged, Run};
use crate::control::Refusal;
use crate::host::Refused;
use crate::time::Time;
use crate::trace::{Differs, Ruling, Sink, What, Why};

/// A change, done or refused by both, is no difference.
fn of_change(kernel: &Result<(), Refusal>, model: Result<(), Refused>) -> Option<Differs> {
    match (kernel, model) {
        (Ok(()), Err(why)) => Some(Differs::Made(why)),
        (Err(why), Ok(())) => Some(Differs::Refused(why.clone())),
        _ => None,
    }
}

/// A request of `asked`, which the kernel answered at some time or not at all. The model may answer it
/// (`answers`), and may be silent for that reason; both where the moment decides.
pub(super) fn of_answer(
    asked: Time,
    answered: Option<Time>,
    answers: bool,
    silent: Option<Why>,
) -> Option<Differs> {
    match (answered, silent) {
        (Some(at), Some(why)) if !answers => Some(Differs::Answered { asked, at, why }),
        (None, None) => Some(Differs::Silent { asked }),
        _ => None,
    }
}

impl Run {
    /// A kernel was told something that the model has no term for. From now on nothing is held against
    /// the model.
    pub(crate) fn go_beyond(&mut self, now: Time) {
        self.beyond.get_or_insert(now);
    }

    /// A kernel was told something that the model has no term for.
    pub(crate) fn is_beyond(&self) -> bool {
        self.beyond.is_some()
    }

    /// What a change came to where it is real, and what in the model.
    pub(crate) fn compare<S: Sink>(
        &self,
        now: Time,
        kernel: &Result<(), Refusal>,
        model: Result<(), Refused>,
        sink: &mut S,
    ) {
        if let Some(differs) = of_change(kernel, model).filter(|_| !self.is_beyond()) {
            sink.take(now, What::Differs(differs));
        }
    }

    /// What a request came to, where the judge knows.
    pub(crate) fn tell_judged<S: Sink>(&self, judged: Judged, sink: &mut S) {
        let Judged { at, mut what, mut differs } = judged;
        if self.beyond.is_some_and(|since| at >= since) {
            differs = None;
            if let What::Judged { ruling: Ruling::Silent { why, .. }, .. } = &mut what {
                *why = Why::Unmodelled;
            }
        }
        sink.take(at, what);
        if let Some(differs) = differs {
            sink.take(at, What::Differs(differs));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Errno, Reason};

    const AT: Time = Time::ZERO;

    #[test]
    fn only_what_one_of_the_two_did_is_a_difference() {
        let refused = Refused { command: "ip link del eth0".into(), errno: Errno::Enodev, why: "it is gone" };
        let kernel = || Refusal::Kernel { errno: Some(19), words: "No such device".into() };
        assert_eq!(of_change(&Ok(()), Ok(())), None);
        assert_eq!(of_change(&Err(kernel()), Err(refused.clone())), None);
        assert_eq!(of_change(&Ok(()), Err(refused.clone())), Some(Differs::Made(refused)));
        assert_eq!(of_change(&Err(kernel()), Ok(())), Some(Differs::Refused(kernel())));
    }

    #[test]
    fn what_the_model_may_do_is_no_difference() {
        let why = Why::Arp(Reason::NoCarrier);
        for answers in [false, true] {
            assert_eq!(of_answer(AT, None, answers, Some(why)), None);
            assert_eq!(of_answer(AT, None, answers, None), Some(Differs::Silent { asked: AT }));
        }
        assert_eq!(of_answer(AT, Some(AT), true, Some(why)), None);
        let differs = Differs::Answered { asked: AT, at: AT, why };
        assert_eq!(of_answer(AT, Some(AT), false, Some(why)), Some(differs));
    }
}
