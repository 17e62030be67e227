//! Steps of traced plugins that are held by their names, `POD/STEP=DURATION`.

use super::{Namer, StepName};
use crate::control::{Pattern, pod_in_front};
use crate::time::Span;
use netns_lab::supervise::{Request, Rules, Then, Verdict};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A step that is held: of which pods, which, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepHold {
    /// The pod's name, or `*`.
    pod: String,
    /// With `cni.` in front, as scenario files have it.
    step: String,
    /// For how long.
    pub length: Span,
}

/// Why a text is no hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no hold: POD/STEP=DURATION is wanted, such as pod2/route-add=200ms ({why})")]
pub struct StepHoldError {
    text: String,
    why: String,
}

/// A hold that names what is not there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoSuchHold {
    /// The pod.
    #[error("--hold {hold}: there is no {pod}; {pods}")]
    Pod {
        /// The hold.
        hold: StepHold,
        /// What it calls the pod.
        pod: String,
        /// Those there are, in a sentence.
        pods: String,
    },
    /// The step.
    #[error("--hold {hold}: the plugins make no such request; there are these:\n  {steps}")]
    Step {
        /// The hold.
        hold: StepHold,
        /// Those there are, those that change something first.
        steps: String,
    },
}

impl FromStr for StepHold {
    type Err = StepHoldError;
    fn from_str(text: &str) -> Result<Self, StepHoldError> {
        let fail = |why: String| StepHoldError { text: text.to_owned(), why };
        let (name, length) = text.rsplit_once('=').ok_or_else(|| fail("there is no =".into()))?;
        let length = length.trim().parse().map_err(|e: crate::time::SpanError| fail(e.to_string()))?;
        let (pod, step) = pod_in_front(name);
        let pod = pod.unwrap_or("*");
        let step = format!("cni.{}", step.trim().trim_start_matches("cni."));
        if pod.is_empty() || Pattern::read(&step).is_none() {
            return Err(fail("it names no step".into()));
        }
        Ok(StepHold { pod: pod.to_owned(), step, length })
    }
}

impl fmt::Display for StepHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}={}", self.pod, shown(&self.step), self.length)
    }
}

fn shown(name: &str) -> &str {
    name.trim_start_matches("cni.")
}

impl StepHold {
    fn is_of(&self, pod: &str) -> bool {
        self.pod == "*" || self.pod == pod
    }

    /// Whether a request is meant, `met` being those of the pod that would have been before it.
    fn means(&self, name: &StepName, met: &mut usize) -> bool {
        if self.step == name.name {
            return true;
        }
        let Some(pattern) = Pattern::read(&self.step) else { return false };
        if !(pattern.fits(&name.plain) || pattern.fits(&name.own)) {
            return false;
        }
        *met += 1;
        pattern.nth.is_none_or(|nth| nth == *met)
    }
}

/// Holds what it is told of one pod's steps, and notes what they are called.
#[derive(Debug)]
pub(super) struct Holder<'h> {
    pod: &'h str,
    holds: &'h [StepHold],
    /// Of each hold, the requests that fitted it.
    met: Vec<usize>,
    /// Of each hold, whether it has held something.
    pub(super) struck: Vec<bool>,
    namer: Option<Namer>,
    turns: usize,
    /// What was held in this verb: the plugin's place in it, and the request's number.
    pub(super) held: Vec<(usize, usize)>,
    /// Names of all requests.
    pub(super) names: Vec<StepName>,
}

impl<'h> Holder<'h> {
    pub(super) fn new(pod: &'h str, holds: &'h [StepHold]) -> Holder<'h> {
        Holder {
            pod,
            holds,
            met: vec![0; holds.len()],
            struck: vec![false; holds.len()],
            namer: None,
            turns: 0,
            held: Vec::new(),
            names: Vec::new(),
        }
    }

    /// A verb begins.
    pub(super) fn begin(&mut self, namer: impl FnOnce(Option<&str>) -> Namer) {
        let host_end = self.namer.as_ref().and_then(Namer::host_end).map(str::to_owned);
        self.namer = Some(namer(host_end.as_deref()));
        self.turns = 0;
        self.held.clear();
    }
}

impl Rules for Holder<'_> {
    fn decide(&mut self, request: &Request) -> Verdict {
        if request.number == 1 {
            self.turns += 1;
        }
        let Some(namer) = &mut self.namer else { return Verdict::LetGo };
        let name = namer.name(request);
        let mut length = None;
        for (at, hold) in self.holds.iter().enumerate().filter(|(_, hold)| hold.is_of(self.pod)) {
            if hold.means(&name, &mut self.met[at]) {
                self.struck[at] = true;
                length = length.max(Some(hold.length));
            }
        }
        self.names.push(name);
        let Some(length) = length else { return Verdict::LetGo };
        self.held.push((self.turns, request.number));
        Verdict::Hold { at_most: Some(Duration::from_nanos(length.as_ns())), then: Then::LetGo }
    }
}

/// Whether every hold names a pod and a step, as far as a run with nothing held shows.
pub(super) fn look_over(
    holds: &[StepHold],
    pods: &[String],
    shown_by: &[Vec<StepName>],
) -> Result<(), NoSuchHold> {
    for hold in holds {
        if !pods.iter().any(|pod| hold.is_of(pod)) {
            let (hold, pod) = (hold.clone(), hold.pod.clone());
            let pods = match pods {
                [only] => format!("the only pod is {only}"),
                _ => format!("the pods are {}, and * is any", pods.join(", ")),
            };
            return Err(NoSuchHold::Pod { hold, pod, pods });
        }
        // which pod gets which address is for the plugins, so any pod's steps will do
        let is_there = |names: &Vec<StepName>| {
            let mut met = 0;
            names.iter().any(|name| hold.means(name, &mut met))
        };
        if !shown_by.iter().any(is_there) {
            return Err(NoSuchHold::Step { hold: hold.clone(), steps: listed(shown_by) });
        }
    }
    Ok(())
}

/// The names of a run's steps, each once.
fn listed(shown_by: &[Vec<StepName>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for quiet in [false, true] {
        for name in shown_by.iter().flatten().filter(|name| name.quiet == quiet) {
            let name = shown(&name.name);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(text: &str) -> StepHold {
        text.parse().expect(text)
    }

    fn name(plain: &str) -> StepName {
        let plain = format!("cni.{plain}");
        StepName { name: plain.clone(), own: plain.clone(), words: plain.clone(), plain, quiet: false }
    }

    #[test]
    fn a_hold_is_a_pod_a_step_and_a_time() {
        let it = hold("pod2/route-add pod default=200ms");
        assert!(it.is_of("pod2") && !it.is_of("pod1"));
        assert_eq!(it.to_string(), "pod2/route-add pod default=200ms");
        assert_eq!(hold("cni.route-add=1s").to_string(), "*/route-add=1s");
        let file = hold("open /var/lib/cni/networks/*=1s");
        assert!(file.is_of("pod7") && file.means(&name("open node /var/lib/cni/networks/net/lock"), &mut 0));
        for bad in ["pod1/route-add", "route-add=soon", "pod1/=1s", "/route-add=1s", "=1s", "route-add#0=1s"]
        {
            assert!(bad.parse::<StepHold>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_number_counts_the_requests_that_fit() {
        let (mut met, it) = (0, hold("*/link-up#2=1s"));
        let names = ["link-up pod eth0", "route-add pod default", "link-up node host-end", "link-up pod lo"];
        let meant: Vec<bool> = names.iter().map(|it_is| it.means(&name(it_is), &mut met)).collect();
        assert_eq!(meant, [false, false, true, false]);
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let pods = ["pod1".to_owned(), "pod2".to_owned()];
        let shown_by = [vec![name("link-up pod eth0")], vec![name("link-up pod eth0"), name("setns pod")]];
        let said = |text: &str| look_over(&[hold(text)], &pods, &shown_by).map_err(|e| e.to_string());
        assert_eq!(said("pod2/link-up=1s"), Ok(()));
        let pod = said("pod3/link-up=1s").expect_err("no pod3");
        assert_eq!(pod, "--hold pod3/link-up=1s: there is no pod3; the pods are pod1, pod2, and * is any");
        let only = look_over(&[hold("pod3/link-up=1s")], &pods[..1], &shown_by).expect_err("no pod3");
        assert_eq!(only.to_string(), "--hold pod3/link-up=1s: there is no pod3; the only pod is pod1");
        let step = said("pod1/link-upp=1s").expect_err("no step");
        assert!(step.ends_with("there are these:\n  link-up pod eth0\n  setns pod"), "{step}");
    }
}
