//! Two kinds of group K that are numbers rather than traces: how much an entry's queue holds, and
//! how long REACHABLE lasts.

use super::command::parse as command;
use super::error::{PodMismatch, RecordError};
use super::pod_fit::{at, rel, watch};
use super::pod_record::{PodRecord, PodTrial};
use super::pod_setup::build;
use super::pod_trace::PodMarks;
use crate::choice::{ChoiceKind, Chooser, Seeded};
use crate::gateway::{Endpoint, Outside, Reflex, ReflexOutside, Service};
use crate::neigh::{HZ_DEFAULT, KernelClock, Nud};
use crate::packet::IpBytes;
use crate::pair::Input;
use crate::pair::lab::{PORT, SERVER, bench};
use crate::pod::{ClientSpec, UdpSpec};
use crate::time::{Span, Time};
use crate::wire::{self, Payload};
use core::ops::ControlFlow;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// When the gateway begins to answer: after the last datagram, before the second request.
const ANSWERS_S: f64 = 0.5;
/// How long the recording went on.
const QUEUE_END_S: f64 = 1.5;
/// Resolutions drawn for the distribution of REACHABLE.
const DRAWS: u64 = 400;

/// A world that keeps what reached it.
#[derive(Clone)]
struct KeptWorld {
    world: ReflexOutside,
    packets: Vec<IpBytes>,
}

impl Outside for KeptWorld {
    fn handle_packet(&mut self, now: Time, packet: &[u8], local: bool) {
        self.packets.push(IpBytes::from_slice(packet));
        self.world.handle_packet(now, packet, local);
    }
    fn poll_packet(&mut self) -> Option<IpBytes> {
        self.world.poll_packet()
    }
    fn poll_timeout(&self) -> Option<Time> {
        self.world.poll_timeout()
    }
    fn handle_timeout(&mut self, now: Time) {
        self.world.handle_timeout(now);
    }
}

/// So many datagrams at once into an unresolved entry: which of them arrive.
pub(super) fn replay_queue(record: &PodRecord, trial: &PodTrial) -> Result<(), PodMismatch> {
    let setup = build(record)?;
    let number = |key: &str| record.number(key).map(|n| n as u64);
    let (count, size) = (
        number("n").ok_or(RecordError::Lacks("how many were sent (n)"))?,
        number("size").ok_or(RecordError::Lacks("their size"))?,
    );
    let endpoints = [Service::Host, Service::Udp(PORT)].map(|service| Endpoint { addr: SERVER, service });
    let mut chooser = Seeded::new(1);
    let clock = KernelClock::new(HZ_DEFAULT, 0);
    let world = KeptWorld { world: Reflex::new(&endpoints).into(), packets: Vec::new() };
    let mut lab = bench(setup.node, setup.pod, world, clock, &mut chooser);
    let to: SocketAddr = (SERVER, PORT).into();
    let size = u16::try_from(size).map_err(RecordError::value)?;
    let spec = UdpSpec { interval: Span::ZERO, count: Some(count as u32), size, ..UdpSpec::to(to) };
    let id = lab.pair.add_client(ClientSpec::Udp(spec));
    lab.at(at(0.0), Input::Start(id));
    lab.at(at(ANSWERS_S), Input::Host(command("sysctl -w net.ipv4.conf.cali0.proxy_arp=1")?));
    lab.run(at(QUEUE_END_S), &mut chooser, &mut |_, _| ControlFlow::Continue(()));
    let number = |packet: &IpBytes| match wire::parse(packet) {
        // the recorder counted from zero
        Some((_, Payload::Udp { data, .. })) => {
            Some(u64::from(u32::from_be_bytes(*data.first_chunk::<4>()?)) - 1)
        }
        _ => None,
    };
    let arrived: Vec<u64> = lab.pair.gateway().outside().packets.iter().filter_map(number).collect();
    let ours = json!({
        "sent": lab.pair.outcome(id).sent,
        "delivered": arrived.len(),
        "first": arrived.first(),
        "last": arrived.last(),
        "in_order": arrived.is_sorted(),
    });
    let theirs = Value::Object(trial.client.clone());
    if ours == theirs { Ok(()) } else { Err(format!("{ours}, recorded {theirs}").into()) }
}

/// REACHABLE's length over many resolutions, each after a write of base_reachable_time_ms: every
/// recorded one is possible, and their quarters lie where the model's lie.
pub(super) fn replay_distribution(record: &PodRecord, trial: &PodTrial) -> Result<(), PodMismatch> {
    let mut ours = (0..DRAWS).map(|seed| reachable_for(record, seed)).collect::<Result<Vec<_>, _>>()?;
    ours.sort_by(f64::total_cmp);
    let mut theirs = trial.samples.clone();
    theirs.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (ours.first(), ours.last()) else {
        return Err(String::from("nothing drawn").into());
    };
    // a tick more or less at the ends, which few draws reach
    if let Some(strange) = theirs.iter().find(|t| !(low - 0.02..=high + 0.02).contains(*t)) {
        return Err(format!("{strange} recorded, {low} to {high} drawn").into());
    }
    // Kolmogorov and Smirnov: at this many samples a greater distance has a chance below 1 in 1000
    let limit = 1.95 / (theirs.len() as f64).sqrt();
    let below = |list: &[f64], t: f64| list.partition_point(|x| *x <= t) as f64 / list.len() as f64;
    let distance = theirs.iter().map(|t| (below(&ours, *t) - below(&theirs, *t)).abs()).fold(0.0, f64::max);
    if distance > limit {
        return Err(format!("the distributions are {distance:.3} apart, {limit:.3} is allowed").into());
    }
    Ok(())
}

fn reachable_for(record: &PodRecord, seed: u64) -> Result<f64, PodMismatch> {
    let setup = build(record)?;
    let mut chooser = Seeded::new(seed);
    let phase = chooser.choose(ChoiceKind::WheelPhase, KernelClock::phases_ns(HZ_DEFAULT));
    let clock = KernelClock::new(HZ_DEFAULT, phase);
    let world: ReflexOutside = Reflex::new(&[Endpoint { addr: SERVER, service: Service::Host }]).into();
    let mut lab = bench(setup.node, setup.pod, world, clock, &mut chooser);
    // the recorder's base of 1 s stands in the title; it is put back before the state is read
    let base = "sysctl -w net.ipv4.neigh.eth0.base_reachable_time_ms=1000";
    lab.at(at(-0.1), Input::Pod(command(base)?));
    let spec = UdpSpec { count: Some(1), ..UdpSpec::to((SERVER, 9).into()) };
    let id = lab.pair.add_client(ClientSpec::Udp(spec));
    lab.at(at(0.0), Input::Start(id));
    let mut trace = PodMarks::default();
    lab.run(at(2.0), &mut chooser, &mut |now, output| {
        watch(&mut trace, rel(now), output);
        ControlFlow::Continue(())
    });
    let when = |state| trace.states.iter().find(|m| m.state == Some(state)).map(|m| m.at);
    when(Nud::Stale)
        .zip(when(Nud::Reachable))
        .map(|(end, begin)| end - begin)
        .ok_or_else(|| String::from("never stale").into())
}
