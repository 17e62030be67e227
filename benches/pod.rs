//! What one run of the basic race costs: a pod and its host, a client that starts at zero, a
//! gateway that answers after two and a half seconds.
//!
//! The states are built once; a run is a copy of the pair, as the explorer makes one, and its
//! events.

#![allow(missing_docs)] // the macro of criterion makes a public function

use arplab::choice::First;
use arplab::gateway::ReflexOutside;
use arplab::host::Mutation;
use arplab::neigh::KernelClock;
use arplab::pair::{Bench, Input, lab};
use arplab::pod::{ClientSpec, ConnectSpec, PingSpec};
use arplab::time::{Span, Time};
use core::ops::ControlFlow;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

const WINDOW: Span = Span::from_ms(2500);

fn change(text: &str) -> Mutation {
    text.parse().unwrap()
}

/// A node that does not answer yet, and a client that waits for its start.
fn prepared(spec: ClientSpec, window: Option<Span>) -> Bench<ReflexOutside> {
    let mut host = lab::host_state();
    host.apply(&change("sysctl -w net.ipv4.conf.cali0.proxy_arp=0")).unwrap();
    let clock = KernelClock::new(250, 1_000_000);
    let mut pair = lab::bench(host, lab::pod_state(), lab::world(), clock, &mut First);
    let client = pair.pair.add_client(spec);
    pair.at(Time::ZERO, Input::Start(client));
    if let Some(window) = window {
        let answer = change("sysctl -w net.ipv4.conf.cali0.proxy_arp=1");
        pair.at(Time::ZERO + window, Input::Host(answer));
    }
    pair
}

fn run(pair: &Bench<ReflexOutside>) -> Bench<ReflexOutside> {
    let mut pair = pair.clone();
    let end = Time::ZERO + Span::from_secs(10);
    pair.run_clients(end, &mut First, &mut |_, _| ControlFlow::Continue(()));
    pair
}

fn race(c: &mut Criterion) {
    let server = (lab::SERVER, lab::PORT).into();
    let ping = |count| ClientSpec::Ping(PingSpec { count: Some(count), ..PingSpec::to(lab::SERVER) });
    let once = ClientSpec::TcpConnect(ConnectSpec::once(server));
    let again = ClientSpec::TcpConnect(ConnectSpec { retry: Some(Span::ZERO), ..ConnectSpec::once(server) });
    let mut group = c.benchmark_group("race");
    for (name, pair) in [
        ("copy the pair", None),
        ("one ping, answered after 2.5 s", Some(prepared(ping(1), Some(WINDOW)))),
        ("connect, EHOSTUNREACH after 3 s", Some(prepared(once, None))),
        ("connect until answered, 2.5 s", Some(prepared(again, Some(WINDOW)))),
    ] {
        let copied = prepared(ping(1), Some(WINDOW));
        group.bench_function(name, |b| match &pair {
            None => b.iter(|| black_box(copied.clone())),
            Some(pair) => b.iter(|| black_box(run(pair))),
        });
    }
    group.finish();
}

criterion_group!(benches, race);
criterion_main!(benches);
