//! What a run found, for people.

use crate::host::{After, Decision, LinkChange, Mutation, NsDecision, Reason};
use crate::strategies::HostCase;
use core::fmt;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much was compared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ComparedCounts {
    /// Changes made in both.
    pub changes: u64,
    /// Of those, refused by both with the same error.
    pub refused: u64,
    /// Frames sent.
    pub frames: u64,
    /// Requests answered at once.
    pub answered: u64,
    /// Requests answered after a wait.
    pub delayed: u64,
    /// Unanswered ARP requests, by reason.
    pub silent: BTreeMap<&'static str, u64>,
    /// Unanswered neighbour solicitations, by reason.
    pub silent6: BTreeMap<&'static str, u64>,
    /// Reasons that were repaired in both and the request asked again.
    pub repaired: BTreeMap<&'static str, u64>,
    /// Requests that were answered once all reasons had been repaired.
    pub healed: u64,
}

impl ComparedCounts {
    pub(super) fn count(&mut self, decision: &Decision) {
        match decision {
            Decision::Reply { after: After::Now, .. } => self.answered += 1,
            Decision::Reply { .. } => self.delayed += 1,
            Decision::Silent(reason) => *self.silent.entry(reason.pointer().code).or_default() += 1,
        }
    }

    fn add(&mut self, other: &ComparedCounts) {
        let ComparedCounts { changes, refused, frames, answered, delayed, healed, silent, silent6, repaired } =
            other;
        self.changes += changes;
        self.refused += refused;
        self.frames += frames;
        self.answered += answered;
        self.delayed += delayed;
        self.healed += healed;
        for (mine, theirs) in
            [(&mut self.silent, silent), (&mut self.silent6, silent6), (&mut self.repaired, repaired)]
        {
            for (code, count) in theirs {
                *mine.entry(code).or_default() += count;
            }
        }
    }

    pub(super) fn count6(&mut self, decision: &NsDecision) {
        match decision {
            NsDecision::Reply { after: After::Now, .. } => self.answered += 1,
            NsDecision::Reply { .. } => self.delayed += 1,
            NsDecision::Silent(reason) => *self.silent6.entry(reason.pointer().code).or_default() += 1,
        }
    }

    pub(super) fn repaired(&mut self, reason: &Reason) {
        *self.repaired.entry(reason.pointer().code).or_default() += 1;
    }
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The seed; with it and the same version the states are the same again.
    pub seed: u64,
    /// States in which both agreed.
    pub agreed: u64,
    /// States in which they did not.
    pub disagreements: Vec<Disagreement>,
    /// What was compared.
    pub tally: ComparedCounts,
    /// How long it took.
    pub took: Duration,
    /// Differences that did not show again and so were none.
    pub fleeting: u64,
}

impl Summary {
    pub(super) fn new(seed: u64) -> Summary {
        let (took, tally) = (Duration::ZERO, ComparedCounts::default());
        Summary { seed, agreed: 0, disagreements: Vec::new(), tally, took, fleeting: 0 }
    }

    /// Takes in another part of the same run.
    pub(super) fn add(&mut self, part: Summary) {
        self.agreed += part.agreed;
        self.fleeting += part.fleeting;
        self.disagreements.extend(part.disagreements);
        self.tally.add(&part.tally);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.tally;
        let states = self.agreed + self.disagreements.len() as u64;
        let tenths = (self.took.as_millis() / 100).max(1);
        writeln!(
            f,
            "seed {}: {states} states in {}.{} s ({} a second), {} agree, {} do not",
            self.seed,
            tenths / 10,
            tenths % 10,
            u128::from(states) * 10 / tenths,
            self.agreed,
            self.disagreements.len(),
        )?;
        writeln!(f, "{} changes, {} of them refused by both with the same error", t.changes, t.refused)?;
        let silent: u64 = t.silent.values().chain(t.silent6.values()).sum();
        writeln!(
            f,
            "{} requests: {} answered at once, {} after a wait, {silent} not; {} frames sent",
            t.answered + t.delayed + silent,
            t.answered,
            t.delayed,
            t.frames,
        )?;
        writeln!(f, "silent for: {}", list(&t.silent))?;
        writeln!(f, "silent for, IPv6: {}", list(&t.silent6))?;
        write!(f, "repaired in both: {}; {} requests answered in the end", list(&t.repaired), t.healed)?;
        if self.fleeting > 0 {
            write!(f, "\n{} differences did not show again in new namespaces", self.fleeting)?;
        }
        Ok(())
    }
}

fn list(counts: &BTreeMap<&'static str, u64>) -> String {
    let mut all: Vec<(&str, u64)> = counts.iter().map(|(k, v)| (*k, *v)).collect();
    all.sort_by_key(|(_, n)| core::cmp::Reverse(*n));
    let all: Vec<String> = all.iter().map(|(k, n)| format!("{k} {n}")).collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}

/// Where a difference showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Where {
    /// At that change.
    Change(usize),
    /// In the state that the changes led to, or that the requests left.
    State,
    /// At that request.
    Ask(usize),
    /// At that solicitation.
    Solicit(usize),
    /// When a reason had been repaired.
    Repair {
        /// Of that request.
        ask: usize,
        /// The reason that was to be repaired.
        reason: Reason,
        /// The repairs so far.
        made: Vec<Mutation>,
    },
}

/// What each of the two said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contrast {
    /// At which change, question or repair.
    pub at: Where,
    /// What the kernel did, in words.
    pub kernel: String,
    /// What the model did, in words.
    pub model: String,
}

/// A state in which kernel and model differ, as small as it could be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the state in the run.
    pub state: u64,
    /// The state and its requests.
    pub case: HostCase,
    /// The first thing in which kernel and model differ.
    pub difference: Contrast,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contrast { at, kernel, model } = &self.difference;
        writeln!(f, "state {} of seed {} differs; the least that still does:", self.state, self.seed)?;
        writeln!(f, "  ip netns add node\n  ip netns add far")?;
        let until = if let Where::Change(at) = at { at + 1 } else { self.case.changes.len() };
        for change in &self.case.changes[..until.min(self.case.changes.len())] {
            writeln!(f, "{}", Command(change))?;
        }
        let asks: &[_] = match at {
            Where::Change(_) | Where::Solicit(_) => &[],
            Where::State => &self.case.asks,
            Where::Ask(n) | Where::Repair { ask: n, .. } => &self.case.asks[..=*n],
        };
        for ask in asks {
            writeln!(f, "  # {ask}")?;
        }
        let solicits = if let Where::Solicit(n) = at { n + 1 } else { self.case.solicits.len() };
        for solicit in &self.case.solicits[..solicits] {
            writeln!(f, "  # {solicit}")?;
        }
        if let Where::Repair { reason, made, .. } = at {
            writeln!(f, "  # repairing {}", reason.pointer().code)?;
            for change in made {
                writeln!(f, "{}", Command(change))?;
            }
        }
        let what = match at {
            Where::Change(_) => "the last change",
            Where::State => "the state",
            Where::Ask(_) | Where::Solicit(_) | Where::Repair { .. } => "the last request",
        };
        writeln!(f, "{what}:")?;
        writeln!(f, "  kernel: {kernel}")?;
        writeln!(f, "  model:  {model}")?;
        write!(f, "again: arplab differential --seed {} --first {} --states 1", self.seed, self.state)
    }
}

/// A change as one types it, with two namespaces for the two ends of each veth.
struct Command<'a>(&'a Mutation);

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Mutation::LinkAdd { name, mac, .. } => {
                write!(f, "  ip -n node link add {name}")?;
                if let Some(mac) = mac {
                    write!(f, " address {mac}")?;
                }
                // both ends have the same name, as they are apart
                writeln!(f, " type veth peer name {name} netns far")?;
                write!(f, "  ip -n far link set {name} arp off up")
            }
            Mutation::LinkSet { dev, change: LinkChange::Carrier(on) } => {
                write!(f, "  ip -n far link set {dev} {}", if *on { "up" } else { "down" })
            }
            change => {
                let text = change.to_string();
                match text.strip_prefix("ip ") {
                    Some(rest) => write!(f, "  ip -n node {rest}"),
                    None => write!(f, "  ip netns exec node {text}"),
                }
            }
        }
    }
}
