//! What no run may ever do, whatever its scenario, its holds, its faults and its seed.

use crate::random::{POD, scenario};
use crate::run::simulate;
use arplab::addr::Mac;
use arplab::control::{Act, Side};
use arplab::scenario::{Overrides, Scenario};
use arplab::sim::Ended;
use arplab::trace::{Event, FrameId, Ruling, Trace, What, observe, write_json, write_pcapng};
use arplab::wire::{Arp, ETHERTYPE_ARP, EthFrame, OP_REPLY};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

fn run(text: &str, seed: u64) -> (Ended, Trace) {
    let scenario = Scenario::parse("random.toml", text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    simulate(&scenario, &Overrides::default(), seed)
}

/// ARP replies of the host as it sent them, with what came before each.
fn replies(events: &[Event]) -> Vec<(usize, EthHead, Arp)> {
    let reply = |(at, event): (usize, &Event)| {
        let What::Frame { from: Side::Host, bytes, .. } = &event.what else { return None };
        let eth = EthFrame::parse(bytes).ok().filter(|e| e.ethertype == ETHERTYPE_ARP)?;
        let arp = Arp::parse(eth.payload).ok().filter(|a| a.op == OP_REPLY)?;
        Some((at, EthHead { src: eth.src, dst: eth.dst }, arp))
    };
    events.iter().enumerate().filter_map(reply).collect()
}

struct EthHead {
    src: Mac,
    dst: Mac,
}

/// What the commands that were carried out say about the host end, kept without the model: up or
/// not, proxy_arp or not, there or not.
#[derive(Default)]
struct HostEnd {
    up: bool,
    proxy_arp: bool,
    /// The host's route to the pod leaves by it.
    routed: bool,
}

impl HostEnd {
    fn hear(&mut self, act: &Act) {
        let command = act.to_string();
        let fresh = ["move the host end", "delete the veth", "create the veth", "throw the pod's namespace"];
        if fresh.iter().any(|f| command.starts_with(f)) {
            *self = HostEnd::default();
        }
        if command.starts_with("ip link set cali") {
            self.up |= command.ends_with(" up");
            self.up &= !command.ends_with(" down");
        }
        if command.starts_with("ip route add 10.42.0.123 dev cali")
            || command.starts_with("ip route replace 10.42.0.123 dev cali")
        {
            self.routed = true;
        }
        if command.starts_with("ip route del 10.42.0.123") {
            self.routed = false;
        }
        if let Some(value) = command.strip_prefix("sysctl -w net.ipv4.conf.cali") {
            self.proxy_arp |= value.ends_with(".proxy_arp=1");
            self.proxy_arp &= !value.ends_with(".proxy_arp=0");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_its_time_never_runs_backwards(text in scenario(), seed in any::<u64>()) {
        let (ended, events) = run(&text, seed);
        prop_assert_ne!(ended, Ended::TooManyEvents);
        prop_assert!(events.is_sorted_by_key(|e| e.t_ns));
        let ends = events.last().is_some_and(|e| matches!(e.what, What::End { .. }));
        prop_assert!(ends, "it ends with {:?}", events.last());
    }

    #[test]
    fn a_reply_never_comes_in_a_condition_of_silence(text in scenario(), seed in any::<u64>()) {
        let (_, events) = run(&text, seed);
        let mut end = HostEnd::default();
        let replies: BTreeMap<usize, Arp> = replies(&events).into_iter().map(|(at, _, arp)| (at, arp)).collect();
        let mut granted: BTreeMap<(Ipv4Addr, Ipv4Addr), u32> = BTreeMap::new();
        for (at, event) in events.iter().enumerate() {
            match &event.what {
                What::Step { acts, undone: None, .. } => acts.iter().for_each(|a| end.hear(a)),
                What::Judged {
                    side: Side::Host,
                    ruling: Ruling::Answered | Ruling::Delayed,
                    target: IpAddr::V4(target),
                    sender: IpAddr::V4(sender),
                    ..
                } => {
                    prop_assert!(end.up && end.proxy_arp, "granted while the host end is not ready: {event:?}");
                    *granted.entry((*target, *sender)).or_default() += 1;
                }
                _ => {}
            }
            if let Some(arp) = replies.get(&at) {
                prop_assert!(end.up && end.proxy_arp, "a reply while the host end is not ready: {event:?}");
                let left = granted.entry((arp.spa, arp.tpa)).or_default();
                prop_assert!(*left > 0, "a reply that was never granted: {event:?}");
                *left -= 1;
            }
        }
    }

    #[test]
    fn every_reply_is_from_the_gateway(text in scenario(), seed in any::<u64>()) {
        let (_, events) = run(&text, seed);
        for (_, eth, arp) in replies(&events) {
            prop_assert_eq!(eth.src, Mac::CALICO);
            prop_assert_eq!(arp.sha, Mac::CALICO);
            prop_assert_eq!(eth.dst, arp.tha);
        }
    }

    /// Linux does claim it for itself in one state, and so does the model: without a route to the
    /// pod and without a reverse path check, the pod's address is one like any other out there.
    #[test]
    fn no_reply_is_for_the_pod_itself(text in scenario(), seed in any::<u64>()) {
        let (_, events) = run(&text, seed);
        let pod: Ipv4Addr = POD.parse().unwrap();
        let replies: BTreeMap<usize, Arp> = replies(&events).into_iter().map(|(at, _, arp)| (at, arp)).collect();
        let mut end = HostEnd::default();
        for (at, event) in events.iter().enumerate() {
            if let What::Step { acts, undone: None, .. } = &event.what {
                for act in acts {
                    end.hear(act);
                }
            }
            if replies.get(&at).is_some_and(|arp| arp.spa == pod) {
                let unchecked = text.contains("rp_filter=0");
                prop_assert!(unchecked && !end.routed, "claims the pod's own address: {event:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_trace(text in scenario(), seed in any::<u64>()) {
        let outputs = |events: &Trace| {
            let (mut json, mut capture) = (Vec::new(), Vec::new());
            write_json(events, &mut json).unwrap();
            write_pcapng(events, &mut capture).unwrap();
            (json, capture)
        };
        prop_assert_eq!(outputs(&run(&text, seed).1), outputs(&run(&text, seed).1));
    }

    #[test]
    fn every_request_of_the_pod_that_arrives_is_judged_once(text in scenario(), seed in any::<u64>()) {
        prop_assume!(!text.contains("corrupt") && !text.contains("duplicate"));
        let (_, events) = run(&text, seed);
        let mut judged: BTreeMap<FrameId, u32> = BTreeMap::new();
        for event in events.iter() {
            if let What::Judged { side: Side::Host, frame: Some(id), .. } = &event.what {
                *judged.entry(*id).or_default() += 1;
            }
        }
        prop_assert!(judged.values().all(|n| *n == 1), "{judged:?}");
    }
}

/// The properties above would hold of runs in which nothing happens.
#[test]
fn random_scenarios_show_replies_and_silence() {
    let mut runner = TestRunner::deterministic();
    let (mut replied, mut silent, mut healed) = (0, 0, 0);
    for seed in 0..100 {
        let text = scenario().new_tree(&mut runner).expect("a scenario").current();
        let seen = observe(&run(&text, seed).1);
        replied += u32::from(!seen.replies.is_empty());
        silent += u32::from(seen.unanswered() > 0);
        healed += u32::from(seen.unanswered() > 0 && !seen.replies.is_empty());
    }
    assert!(replied >= 25 && silent >= 25 && healed >= 10, "{replied} {silent} {healed}");
}
