//! Group X: what one frame does to the pod's entry in each state.

use super::command::parse as command;
use super::error::{PodMismatch, RecordError};
use super::pod_fit::{at, rel, watch};
use super::pod_record::{PodRecord, PodTrial};
use super::pod_setup::build;
use super::pod_trace::PodMarks;
use crate::addr::Side;
use crate::choice::Seeded;
use crate::gateway::{Endpoint, Reflex, ReflexOutside, Service};
use crate::neigh::{HZ_DEFAULT, KernelClock, Nud};
use crate::pair::lab::{SERVER, bench};
use crate::pair::{Bench, Input};
use crate::pod::{ClientId, ClientSpec, UdpSpec};
use core::ops::ControlFlow;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// Phases of the wheel each case is run in.
const PHASES: u64 = 8;
/// When the recorder read the entry.
const READ_S: f64 = 0.2;
/// A state is prepared so long before the frame, unless the trial shows when.
const FRESH_S: f64 = -0.3;
const OLD_S: f64 = -1.3;
const FAILED_S: f64 = -1.8;
/// Nobody listens there: the server's refusal makes the host look for the pod.
const CLOSED: u16 = 9;

/// Replays one trial in several phases.
pub(super) fn replay(record: &PodRecord, trial: &PodTrial) -> Result<(), PodMismatch> {
    for phase in 0..PHASES {
        let clock = KernelClock::new(HZ_DEFAULT, phase * KernelClock::phases_ns(HZ_DEFAULT) / PHASES + phase);
        replay_in(record, trial, clock).map_err(|why| match why {
            PodMismatch::Differs(why) => format!("phase {phase}: {why}").into(),
            PodMismatch::Record(_) => why,
        })?;
    }
    Ok(())
}

fn replay_in(record: &PodRecord, trial: &PodTrial, clock: KernelClock) -> Result<(), PodMismatch> {
    let setup = build(record)?;
    let world: ReflexOutside = Reflex::new(&[Endpoint { addr: SERVER, service: Service::Host }]).into();
    let mut chooser = Seeded::new(1);
    let mut lab = bench(setup.node, setup.pod, world, clock, &mut chooser);
    prepare(record, trial, &mut lab)?;
    for frame in &trial.stimulus {
        lab.at(at(frame.t), Input::Frame(Side::Pod, SmallVec::from_slice(&frame.hex)));
    }
    let mut trace = PodMarks::default();
    lab.run(at(READ_S), &mut chooser, &mut |now, output| {
        watch(&mut trace, rel(now), output);
        ControlFlow::Continue(())
    });
    compare(trial, &lab, &trace)
}

/// Brings the entry into the state the frame is to meet.
fn prepare(record: &PodRecord, trial: &PodTrial, lab: &mut Bench<ReflexOutside>) -> Result<(), RecordError> {
    let Some(prior) = record.text("prior") else { return Ok(()) };
    let before = |via: &str| trial.neigh.iter().find(|n| n.t < 0.0 && n.via == via).map(|n| n.t);
    let usual = match prior {
        "INCOMPLETE" => FRESH_S,
        "FAILED" => FAILED_S,
        _ if record.flag("locked") == Some(true) => FRESH_S,
        _ => OLD_S,
    };
    let sender = |lab: &mut Bench<ReflexOutside>| -> ClientId {
        let to: SocketAddr = (SERVER, CLOSED).into();
        lab.pair.add_client(ClientSpec::Udp(UdpSpec { count: Some(1), ..UdpSpec::to(to) }))
    };
    match prior {
        "INCOMPLETE" | "FAILED" => {
            let id = sender(lab);
            lab.at(at(before("output").unwrap_or(usual)), Input::Start(id));
        }
        "DELAY" => {
            let set = before("update").unwrap_or(usual - 0.001);
            lab.at(at(set), set_entry("stale")?);
            let id = sender(lab);
            lab.at(at(before("output").unwrap_or(usual)), Input::Start(id));
        }
        state => {
            let set = before("update").unwrap_or(usual);
            lab.at(at(set), set_entry(&state.to_lowercase())?);
        }
    }
    Ok(())
}

fn set_entry(nud: &str) -> Result<Input, RecordError> {
    let text = format!("ip neigh replace 169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee nud {nud}");
    command(&text).map(Input::Pod)
}

fn compare(trial: &PodTrial, lab: &Bench<ReflexOutside>, trace: &PodMarks) -> Result<(), PodMismatch> {
    // the entry that was looked at is the gateway's, whoever the frame spoke of
    let entry = lab.pair.pod().stack().neighbours().get(lab.pair.pod().dev(), trace.asked.ip);
    let state = entry.map(|e| e.state().name().to_owned());
    let mac = entry.and_then(crate::neigh::Entry::lladdr).map(|m| m.to_string()).unwrap_or_default();
    let ours = [state, Some(mac)];
    if trial.got != ours {
        return Err(format!("entry {ours:?}, recorded {:?}", trial.got).into());
    }
    let after = |t: f64| t >= -1e-6;
    let sent: Vec<String> =
        trace.sent_to.iter().filter(|(t, _)| after(*t)).map(|(_, m)| m.to_string()).collect();
    if sent != trial.queued_packet_sent_to {
        return Err(format!("packets went to {sent:?}, recorded {:?}", trial.queued_packet_sent_to).into());
    }
    let replies: Vec<Vec<u8>> =
        trace.replies_out.iter().filter(|(t, _)| after(*t)).map(|(_, f)| f.clone()).collect();
    let recorded: Vec<Vec<u8>> = trial.pod_replies.iter().map(|r| r.hex.clone()).collect();
    if replies != recorded {
        return Err(format!("the pod answered {replies:02x?}, recorded {recorded:02x?}").into());
    }
    let monitored = |s: Nud| s.is_notified();
    let changed = trace.states.iter().rfind(|m| m.at >= 0.0).and_then(|m| m.state).filter(|s| monitored(*s));
    let notified = trial.neigh.iter().rfind(|n| n.t >= 0.0 && n.ip == "169.254.1.1");
    match (changed, notified.and_then(|n| Nud::by_name(&n.state)).filter(|s| monitored(*s))) {
        (ours, theirs) if ours == theirs => Ok(()),
        (ours, theirs) => Err(format!("the last change was to {ours:?}, recorded {theirs:?}").into()),
    }
}
