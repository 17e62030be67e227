//! Many connections at once behind a gateway that answers late: how many are told of the failure,
//! and how long the others wait.
//!
//! A failed resolution turns each queued packet into an ICMP error, and the kernel rations those
//! to about fifty at once. A connection that hears nothing goes on by its own schedule of SYNs.

use super::delay::wheel_phase;
use super::{Input, PairOutput, lab};
use crate::choice::Seeded;
use crate::host::Mutation;
use crate::neigh::{HZ_DEFAULT, KernelClock};
use crate::pod::{ClientSpec, ConnectSpec, Fate};
use crate::time::{Span, Time};
use core::ops::ControlFlow;

/// What became of the connections of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Crowd {
    /// Connections that were dialled.
    pub dialled: u32,
    /// Those that failed, with whatever error.
    pub failed: u32,
    /// When the first failure came.
    pub first_failure: Option<Span>,
    /// Those that stand in the end.
    pub connected: u32,
    /// When the last of them stood.
    pub last_success: Option<Span>,
}

/// The model's time when the connections are dialled.
const START: Time = Time(2_000_000_000);
/// Longer than the kernel's patience with a connect().
const PATIENCE: Span = Span::from_secs(150);

/// `connections` dialled at once, each once, when the gateway begins to answer after `window`.
/// `run` numbers the phase of the timer wheel and the draws.
///
/// # Panics
/// Never: the commands are literals that parse.
#[must_use]
pub fn crowd(connections: u32, window: Span, run: u32) -> Crowd {
    let proxy_arp = |on: u8| {
        let text = format!("sysctl -w net.ipv4.conf.cali0.proxy_arp={on}");
        text.parse::<Mutation>().unwrap_or_else(|e| panic!("{e}"))
    };
    let mut chooser = Seeded::new(u64::from(run));
    let mut host = lab::host_state();
    host.apply(&proxy_arp(0)).unwrap_or_else(|e| panic!("{e}"));
    let clock = KernelClock::new(HZ_DEFAULT, wheel_phase(run));
    let mut lab = lab::bench(host, lab::pod_state(), lab::world(), clock, &mut chooser);
    let spec = ConnectSpec { parallel: connections, ..ConnectSpec::once((lab::SERVER, lab::PORT).into()) };
    let client = lab.pair.add_client(ClientSpec::TcpConnect(spec));
    lab.at(START, Input::Start(client));
    lab.at(START + window, Input::Host(proxy_arp(1)));
    let mut watch = |_: Time, _: &PairOutput| ControlFlow::Continue(());
    lab.run_clients(START + window + PATIENCE, &mut chooser, &mut watch);
    let mut crowd = Crowd { dialled: connections, ..Crowd::default() };
    for attempt in &lab.pair.outcome(client).attempts {
        let at = attempt.ended.map(|t| t.since(START));
        match attempt.fate {
            Fate::Answered => {
                crowd.connected += 1;
                crowd.last_success = crowd.last_success.max(at);
            }
            Fate::Failed(_) => {
                crowd.failed += 1;
                crowd.first_failure = [crowd.first_failure, at].into_iter().flatten().min();
            }
            Fate::Pending => {}
        }
    }
    crowd
}
