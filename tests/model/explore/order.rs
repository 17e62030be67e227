//! The basic race once more, as an order of names: counted by dynamic programming over its down
//! sets, and explored by the model checker stateright. Nothing here comes from the simulator.
use arplab::explore::Program;
use stateright::{Checker, Model, Property, StateRecorder};
use std::collections::HashMap;

/// A partial order: each event with those that come before it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    names: Vec<String>,
    needs: Vec<u64>,
    /// The pod's events: it starts, wakes for each further request, and wakes to end.
    pod: Vec<usize>,
}

impl Order {
    /// The kubelet, these programs, and a pod that asks so often.
    pub(crate) fn of(programs: &[&Program], asks: u32) -> Order {
        let mut events: Vec<(String, Vec<String>)> = vec![
            ("kubelet.sandbox-create".into(), vec![]),
            ("kubelet.container-start".into(), vec!["cni.add-return".into()]),
        ];
        for program in programs {
            for step in program.steps() {
                let needs = program.needs(step).iter().map(|s| (*s).to_owned()).collect();
                events.push((step.to_owned(), needs));
            }
        }
        let mut before = "kubelet.container-start".to_owned();
        let first_pod = events.len();
        for wake in 0..=asks {
            let name = format!("pod.{wake}");
            events.push((name.clone(), vec![before]));
            before = name;
        }
        let names: Vec<String> = events.iter().map(|e| e.0.clone()).collect();
        let place = |n: &String| names.iter().position(|m| m == n).unwrap_or_else(|| panic!("{n}"));
        let needs = events.iter().map(|e| e.1.iter().fold(0, |m, n| m | 1 << place(n))).collect();
        Order { pod: (first_pod..names.len()).collect(), needs, names }
    }

    fn ready(&self, done: u64) -> impl Iterator<Item = usize> + '_ {
        (0..self.names.len()).filter(move |i| done & (1 << i) == 0 && self.needs[*i] & !done == 0)
    }

    fn place(&self, name: &str) -> usize {
        self.names.iter().position(|n| n == name).unwrap()
    }

    fn has(&self, done: u64, name: &str) -> bool {
        done & (1 << self.place(name)) != 0
    }

    /// The number of its linear extensions: ways to empty it from below, by down set.
    pub(crate) fn linear_extensions(&self) -> u128 {
        fn count(order: &Order, done: u64, known: &mut HashMap<u64, u128>) -> u128 {
            if done.count_ones() as usize == order.names.len() {
                return 1;
            }
            if let Some(n) = known.get(&done) {
                return *n;
            }
            let next: Vec<usize> = order.ready(done).collect();
            let n = next.into_iter().map(|i| count(order, done | 1 << i, known)).sum();
            known.insert(done, n);
            n
        }
        count(self, 0, &mut HashMap::new())
    }

    /// The rule of the answer, for this race: every switch and the route.
    fn answers(&self, done: u64) -> bool {
        ["cni.host-up", "cni.pod-up", "felix.sysctl.proxy_arp", "felix.host-route-add"]
            .iter()
            .all(|s| self.has(done, s))
    }
}

/// A state of the race.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    done: u64,
    /// Of each step that is ready, which of the pod's events it was ready after: its clock.
    ready_since: Vec<u8>,
    /// Whether each request was answered.
    answered: Vec<bool>,
    /// Whether the gateway would have answered when ADD returned.
    returned: Option<bool>,
}

struct Race {
    order: Order,
    asks: u32,
}

impl Race {
    fn clocks(&self, before: &State, done: u64) -> Vec<u8> {
        let now = self.order.pod.iter().filter(|p| done & (1 << **p) != 0).count() as u8;
        (0..self.order.names.len())
            .map(|i| {
                let is = |d: u64| !self.order.pod.contains(&i) && self.order.ready(d).any(|r| r == i);
                match (is(done), is(before.done)) {
                    (false, _) => 0,
                    (true, true) if !before.ready_since.is_empty() => before.ready_since[i],
                    (true, _) => now,
                }
            })
            .collect()
    }
}

impl Model for Race {
    type State = State;
    type Action = usize;

    fn init_states(&self) -> Vec<State> {
        let empty = State { done: 0, ready_since: Vec::new(), answered: Vec::new(), returned: None };
        vec![State { ready_since: self.clocks(&empty, 0), ..empty }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<usize>) {
        actions.extend(self.order.ready(state.done));
    }

    fn next_state(&self, last: &State, action: usize) -> Option<State> {
        let mut next = last.clone();
        next.done |= 1 << action;
        next.ready_since = self.clocks(last, next.done);
        // the pod asks when it starts and whenever it wakes but for the last time
        if self.order.pod.contains(&action) && last.answered.len() < self.asks as usize {
            next.answered.push(self.order.answers(last.done));
        }
        if action == self.order.place("cni.add-return") {
            next.returned = Some(self.order.answers(next.done));
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // never refuted, so that the checker goes on to the last state
            Property::always("explored", |_, _| true),
            Property::sometimes("asked in vain", |_, s: &State| s.answered.contains(&false)),
            Property::sometimes("never in vain", |m: &Race, s: &State| {
                s.answered.len() == m.asks as usize && !s.answered.contains(&false)
            }),
        ]
    }
}

/// What the model checker saw.
pub(crate) struct Seen {
    /// States in which there is something to decide.
    pub(crate) decisions: u64,
    /// A request can go unanswered.
    pub(crate) asked_in_vain: bool,
    /// All can be answered.
    pub(crate) never_in_vain: bool,
}

/// Explores the race with stateright.
pub(crate) fn abstract_states(order: &Order, asks: u32) -> Seen {
    let (recorder, states) = StateRecorder::new_with_accessor();
    let race = Race { order: order.clone(), asks };
    let checker = race.checker().visitor(recorder).spawn_bfs().join();
    let states = states();
    let decides = |s: &&State| order.ready(s.done).count() > 1;
    Seen {
        decisions: states.iter().filter(decides).count() as u64,
        asked_in_vain: checker.discovery("asked in vain").is_some(),
        never_in_vain: checker.discovery("never in vain").is_some(),
    }
}
