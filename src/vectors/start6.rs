//! The host end comes up: when does its link-local address answer, and what does the test for
//! duplicates send meanwhile?

use super::build::{build, set, set_up};
use super::error::RecordError;
use super::record::Record;
use super::rig::{HOST_END, Rig, Side};
use super::spread::Spread;
use super::{Compared, Deviation, span};
use crate::addr::Mac;
use crate::time::{Span, Time};
use crate::wire::{
    ETHERTYPE_IPV6, EthFrame,
    nd::{self, Advert, NdMessage, Solicit},
};
use std::net::Ipv6Addr;

/// The recordings asked so often.
const POLL: Span = Span::from_ms(25);
/// Longest a test may take: a random second, three solicitations, a link event, and lateness.
const PATIENCE: Span = Span::from_secs(8);
/// Runs of the model.
const RUNS: u64 = 200;

/// What to look at in the times of a test, and its name.
type StartView<'a> = (&'static str, &'a dyn Fn(&[Span]) -> Vec<Span>);

/// One start.
struct Start {
    /// When the first advertisement came.
    answered: Option<Span>,
    /// When the test's solicitations left.
    tests: Vec<Span>,
}

pub(super) fn replay(record: &Record) -> Result<Compared, RecordError> {
    let busy = record.params.get("busy").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let mut runs = Vec::new();
    for seed in 0..RUNS {
        let mut rig = build(record, seed, true)?.rig;
        for (param, key) in [("accept", "accept_dad"), ("transmits", "dad_transmits")] {
            if let Some(value) = record.params.get(param).and_then(serde_json::Value::as_i64) {
                set(&mut rig, &format!("net.ipv6.conf.{HOST_END}.{key}"), value)?;
            }
        }
        rig.draws.link_events_wait = busy;
        runs.push(start(&mut rig)?);
    }
    let mut differences = Vec::new();
    let seconds: Vec<f64> = record
        .trials
        .iter()
        .filter_map(|t| t.client.get("first_na_s").and_then(serde_json::Value::as_f64))
        .collect();
    let (kernel, model) = (Spread::of_seconds(&seconds), Spread::new(runs.iter().filter_map(|r| r.answered)));
    // how long a link event waits depends on what else happened, which was not recorded
    if model.leaves_out(&kernel) || (!busy && model.contradicts(&kernel)) {
        let (kernel, model) = (kernel.to_string(), model.to_string());
        differences.push(Deviation { trial: None, what: "first answer", kernel, model });
    }
    compare_tests(record, &runs, &mut differences);
    Ok((differences, Vec::new()))
}

fn compare_tests(record: &Record, runs: &[Start], out: &mut Vec<Deviation>) {
    let sent: Vec<Vec<f64>> =
        record.trials.iter().filter_map(|t| serde_json::from_str(t.noted("dad_probes_at")?).ok()).collect();
    let count = runs.first().map_or(0, |r| r.tests.len());
    for (at, kernel) in sent.iter().enumerate().filter(|(_, s)| s.len() != count) {
        let (kernel, model) = (kernel.len().to_string(), count.to_string());
        out.push(Deviation { trial: Some(at), what: "solicitations of the test", kernel, model });
    }
    let gaps = |times: &[Span]| times.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>();
    let first = |times: &[Span]| times.first().copied().into_iter().collect::<Vec<_>>();
    let views: [StartView<'_>; 2] =
        [("first solicitation of the test", &first), ("time between two solicitations", &gaps)];
    for (what, view) in views {
        let kernel = Spread::new(sent.iter().flat_map(|s| {
            let times: Vec<Span> = s.iter().map(|t| span(*t)).collect();
            view(&times)
        }));
        let model = Spread::new(runs.iter().flat_map(|r| view(&r.tests)));
        if model.contradicts(&kernel) {
            let (kernel, model) = (kernel.to_string(), model.to_string());
            out.push(Deviation { trial: None, what, kernel, model });
        }
    }
}

fn start(rig: &mut Rig) -> Result<Start, RecordError> {
    super::delay::pause(rig);
    let zero = rig.now();
    rig.forget();
    set_up(rig, HOST_END, true)?;
    let (question, gateway) = question(rig);
    while rig.now().since(zero) < PATIENCE {
        rig.inject(Side::Host, &question);
        if answered(rig, gateway).is_some() {
            break;
        }
        rig.run_for(POLL);
    }
    let tests = rig.seen().iter().filter(|s| s.from == Side::Host).filter(|s| is_test(&s.frame, gateway));
    Ok(Start {
        answered: answered(rig, gateway).map(|at| at.since(zero)),
        tests: tests.map(|s| s.at.since(zero)).collect(),
    })
}

fn message(frame: &[u8]) -> Option<(Ipv6Addr, NdMessage)> {
    let eth = EthFrame::parse(frame).ok().filter(|e| e.ethertype == ETHERTYPE_IPV6)?;
    nd::in_packet(eth.payload).map(|p| (p.src, p.message))
}

fn answered(rig: &Rig, gateway: Ipv6Addr) -> Option<Time> {
    let ours = |frame: &[u8]| matches!(message(frame), Some((_, NdMessage::Advert(Advert { target, .. }))) if target == gateway);
    rig.seen().iter().find(|s| s.from == Side::Host && ours(&s.frame)).map(|s| s.at)
}

fn is_test(frame: &[u8], gateway: Ipv6Addr) -> bool {
    matches!(
        message(frame),
        Some((src, NdMessage::Solicit(Solicit { target, .. }))) if target == gateway && src.is_unspecified()
    )
}

/// What the pod asked all the while.
fn question(rig: &Rig) -> (Vec<u8>, Ipv6Addr) {
    let mac = |side, name| rig.state(side).link_named(name).map_or(Mac::ZERO, crate::host::Link::mac);
    let (pod, host) = (mac(Side::Pod, super::rig::POD_END), mac(Side::Host, HOST_END));
    let gateway = host.link_local();
    let group = nd::solicited_node(gateway);
    let ns = Solicit { target: gateway, source: Some(pod), nonce: None };
    let mut frame = Vec::new();
    frame.extend_from_slice(&Mac::ipv6_multicast(group).0);
    frame.extend_from_slice(&pod.0);
    frame.extend_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
    frame.extend_from_slice(&nd::solicit_packet(pod.link_local(), group, &ns));
    (frame, gateway)
}
