//! What answers in the place of the node's kernel, for a real pod: a responder of one's own and a
//! program of the datapath.

use crate::process::{Run, events, nothing_left};
use arplab::addr::Mac;
use arplab::choice::Seeded;
use arplab::explore::{Answer, Responder};
use arplab::gateway::SmoltcpOutside;
use arplab::host::HostState;
use arplab::live::{self, LiveEnd, LiveOptions};
use arplab::scenario::{Overrides, Plan, catalogue};
use arplab::sim::World;
use arplab::trace::{Observed, Trace, observe};
use arplab::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REQUEST};
use std::collections::BTreeSet;
use std::sync::Arc;

crate::live_tests! {
    a_responder_of_ones_own_answers_a_real_pod,
    a_responder_of_ones_own_keeps_a_real_pod_waiting,
    a_real_node_answers_for_itself,
    a_datapath_answers_a_real_pod_whatever_the_node_thinks,
}

const MAC: Mac = Mac([0x02, 0, 0, 0, 0xa7, 0xb1]);

/// Answers every request from one MAC, or none.
#[derive(Debug)]
struct Own {
    answers: bool,
}

impl Responder for Own {
    fn answer(&self, _: &HostState, frame: &[u8]) -> Answer {
        let Ok(eth) = EthFrame::parse(frame) else { return Answer::Pass };
        match Arp::parse(eth.payload) {
            Ok(arp) if eth.ethertype == ETHERTYPE_ARP && arp.op == OP_REQUEST && arp.spa != arp.tpa => {
                if !self.answers {
                    return Answer::Silent;
                }
                let reply = Arp::reply(MAC, arp.tpa, arp.sha, arp.spa);
                Answer::Reply(reply.frame(arp.sha, MAC).as_slice().into())
            }
            _ => Answer::Pass,
        }
    }
}

/// A node that never answers by itself, with that responder in front of it.
fn plan(answers: bool) -> Plan {
    let scenario = catalogue::find("host-owns-gateway").unwrap().remove(0);
    let mut plan = scenario.plan(&Overrides::default()).unwrap();
    for client in &mut plan.clients {
        client.count = Some(4);
    }
    plan.own_responder = Some(Arc::new(Own { answers }));
    plan
}

fn simulated(plan: Plan) -> Observed {
    let plan = Arc::new(plan);
    let (mut chooser, mut events) = (Seeded::new(1), Trace::new(&plan));
    let outside = SmoltcpOutside::new(plan.outside.clone(), 1);
    let mut world = World::new(plan, outside, &mut chooser);
    world.start(&mut chooser, &mut events);
    while world.step(&mut chooser, &mut events).is_none() {}
    world.finish(&mut events);
    observe(&events)
}

fn options(responder: live::LiveNode) -> LiveOptions {
    LiveOptions { responder, seed: 1, link: None, progress: false }
}

fn played(plan: Plan) -> Observed {
    let mut events = Trace::new(&Arc::new(plan));
    let end = live::run(&options(live::LiveNode::Smoltcp), &mut events).unwrap();
    assert_eq!(end, LiveEnd::ClientsDone);
    observe(&events)
}

fn a_responder_of_ones_own_answers_a_real_pod() {
    let (sim, live) = (simulated(plan(true)), played(plan(true)));
    for seen in [&sim, &live] {
        assert_eq!(seen.unanswered(), 0, "{:?}", seen.asked);
        assert_eq!(seen.lladdr, Some(MAC));
    }
    assert_eq!(sim.reasons, live.reasons);
}

fn a_responder_of_ones_own_keeps_a_real_pod_waiting() {
    let (sim, live) = (simulated(plan(false)), played(plan(false)));
    for seen in [&sim, &live] {
        assert!(seen.asked.len() >= 3 && seen.asked.iter().all(|a| a.answered_ns.is_none()));
        assert_eq!(seen.reasons.iter().copied().collect::<Vec<_>>(), ["responder"]);
        assert_eq!(seen.clients["ping"].answered, 0);
    }
}

fn a_real_node_answers_for_itself() {
    let mut events = Trace::new(&Arc::new(plan(true)));
    let refused = live::run(&options(live::LiveNode::Kernel), &mut events).unwrap_err();
    assert!(refused.to_string().contains("a responder of one's own"), "{refused}");
}

fn a_datapath_answers_a_real_pod_whatever_the_node_thinks() {
    let args = ["run", "host-owns-gateway", "--with", "cilium-like-responder", "--json"];
    let seen = |extra: &[&str]| {
        let run = Run::start(&[&args[..], extra].concat());
        let (output, mark) = run.end();
        nothing_left(&mark, &BTreeSet::new());
        let (_, verdict) = events(&output);
        verdict["seen"].clone()
    };
    let (sim, live) = (seen(&[]), seen(&["--live"]));
    assert_eq!(sim["clients"]["ping"]["answered"], 20);
    for key in ["reasons", "lladdr"] {
        assert_eq!(sim[key], live[key], "{key}");
    }
    assert_eq!(sim["clients"]["ping"]["answered"], live["clients"]["ping"]["answered"]);
}
