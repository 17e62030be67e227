//! Crafted frames into a state: what is answered, how, when, and what the neighbour tables take
//! from it. Frames for the pod find its entry in a state that is prepared first.

use super::build::{Built, build};
use super::error::RecordError;
use super::record::{Record, Shot, Transition, Trial};
use super::rig::{HOST_END, POD_END, Rig, Side, StateChange};
use super::spread::Spread;
use super::{AT_ONCE, Compared, Deviation, span};
use crate::addr::{IfName, Mac};
use crate::host::{Mutation, Op, SetNud};
use crate::neigh::Nud;
use crate::packet::{Owner, Packet};
use crate::time::{Span, Time};
use crate::wire::{self, Arp, ETHERTYPE_ARP, ETHERTYPE_IPV6, Ends, EthFrame, OP_REPLY, nd};
use core::fmt::Write;
use std::net::IpAddr;

/// How long after the last frame the recordings went on listening, at least.
const LISTEN: Span = Span::from_ms(1300);
/// More ways than the multipath routes of a recording have.
const LEGS_MAX: u64 = 4;
/// Repetitions that tell how the model's delays are spread.
const DRAWS: u64 = 300;

pub(super) fn replay(record: &Record) -> Result<Compared, RecordError> {
    let mut differences = Vec::new();
    let mut adjusted = Vec::new();
    let (mut delayed, mut late) = (Vec::new(), Vec::new());
    for (at, trial) in record.trials.iter().enumerate() {
        let built = build(record, at as u64, false)?;
        adjusted.clone_from(&built.adjusted);
        let run = CraftRun::play_some_way(&built, record, trial, at, &mut differences)?;
        if run.is_delayed() {
            delayed.extend(run.latencies());
            late.extend(kernel_latencies(trial));
        }
    }
    if !delayed.is_empty() {
        for seed in 0..DRAWS {
            let run = CraftRun::play(build(record, 1000 + seed, false)?, &record.trials[0])?;
            delayed.extend(run.latencies());
        }
        let (model, kernel) = (Spread::new(delayed), Spread::new(late));
        if model.contradicts(&kernel) {
            differences.push(Deviation {
                trial: None,
                what: "delays",
                kernel: kernel.to_string(),
                model: model.to_string(),
            });
        }
    }
    Ok((differences, adjusted))
}

/// One replay, finished.
struct CraftRun {
    rig: Rig,
    side: Side,
    zero: Time,
    shots: Vec<Time>,
    sender: Option<IpAddr>,
    /// The sender's entry right after each frame.
    after: Vec<String>,
}

impl CraftRun {
    /// Plays a trial and compares it. Which way of a multipath route the kernel's hash took is
    /// not known, so any will do.
    fn play_some_way(
        built: &Built,
        record: &Record,
        trial: &Trial,
        at: usize,
        differences: &mut Vec<Deviation>,
    ) -> Result<CraftRun, RecordError> {
        let mut run = CraftRun::play(built.clone(), trial)?;
        let mut found = run.compare(record, trial, at);
        for leg in 0..LEGS_MAX {
            if found.is_empty() || !run.rig.draws.hashed {
                break;
            }
            let mut again = built.clone();
            again.rig.draws.leg = Some(leg);
            run = CraftRun::play(again, trial)?;
            found = run.compare(record, trial, at);
        }
        differences.extend(found);
        Ok(run)
    }

    fn play(built: Built, trial: &Trial) -> Result<CraftRun, RecordError> {
        let mut rig = built.rig;
        let side = if trial.stimulus.iter().any(|s| s.dir == "host->pod") { Side::Pod } else { Side::Host };
        let lead = trial.neigh.iter().flatten().map(|n| n.t).fold(0.0, f64::min);
        let zero = rig.now() + span(lead);
        prepare(&mut rig, side, zero, trial)?;
        let (mut shots, mut after) = (Vec::new(), Vec::new());
        for shot in stimuli(trial) {
            let at = zero + span(shot.t);
            rig.run_until(at);
            rig.inject(side, &shot.hex);
            shots.push(at);
            let ip = sender(&shot.hex);
            after.push(ip.and_then(|ip| entry(&rig, side, ip)).map_or("none".into(), entry_text));
        }
        rig.run_for(LISTEN);
        let sender = trial.stimulus.last().and_then(|s| sender(&s.hex));
        Ok(CraftRun { rig, side, zero, shots, sender, after })
    }

    fn answers(&self) -> impl Iterator<Item = (Time, &[u8])> {
        let from =
            |s: &&super::rig::SeenFrame| s.from == self.side && s.at >= self.zero && is_answer(&s.frame);
        self.rig.seen().iter().filter(from).map(|s| (s.at, &s.frame[..]))
    }

    fn latencies(&self) -> Vec<Span> {
        let since = |at: Time| {
            let shot = self.shots.iter().rev().find(|s| **s <= at);
            at.since(shot.copied().unwrap_or(at))
        };
        self.answers().map(|(at, _)| since(at)).collect()
    }

    fn is_delayed(&self) -> bool {
        self.latencies().iter().any(|l| l.as_ns() > 0)
    }

    fn compare(&self, record: &Record, trial: &Trial, at: usize) -> Vec<Deviation> {
        let mut out = Vec::new();
        let mut differ = |what, kernel: String, model: String| {
            if kernel != model {
                out.push(Deviation { trial: Some(at), what, kernel, model });
            }
        };
        let (count, frames) = kernel_answers(trial);
        let model: Vec<&[u8]> = self.answers().map(|(_, f)| f).collect();
        if let Some(count) = count {
            differ("number of answers", count.to_string(), model.len().to_string());
        }
        if trial.replies.is_some() {
            for (kernel, model) in frames.iter().zip(&model) {
                differ("bytes of an answer", hex(kernel), hex(model));
            }
        }
        if !self.is_delayed() {
            let slow = kernel_latencies(trial).into_iter().find(|l| *l > AT_ONCE);
            if let Some(slow) = slow {
                differ("time of an answer", slow.to_string(), "at once".into());
            }
        }
        let dev = if self.side == Side::Host { HOST_END } else { POD_END };
        if trial.neigh.is_some() {
            let kernel = kernel_changes(trial, dev);
            let model: Vec<String> =
                self.rig.changes().iter().filter(|c| self.concerns(c, dev)).map(change_text).collect();
            differ("neighbour entries", kernel.join(" "), model.join(" "));
        }
        for (shot, model) in trial.stimulus.iter().zip(&self.after) {
            if let Some(kernel) = &shot.after {
                differ("entry after a frame", kernel.clone(), model.clone());
            }
        }
        self.compare_end(record, trial, dev, &mut differ);
        out
    }

    /// The state of the entry in the end.
    fn compare_end(
        &self,
        record: &Record,
        trial: &Trial,
        dev: IfName,
        differ: &mut impl FnMut(&'static str, String, String),
    ) {
        let ip =
            if self.side == Side::Pod { prepared_entry(trial, dev).or(self.sender) } else { self.sender };
        let entry = ip.and_then(|ip| entry(&self.rig, self.side, ip));
        let (state, mac) = match entry {
            Some((state, mac)) if is_shown(state) => (Some(state.name()), mac),
            _ => (None, None),
        };
        let text = |s: Option<&str>| s.unwrap_or("none").to_owned();
        let full = state.map(|s| format!("{s}:{}", mac.map(|m| m.to_string()).unwrap_or_default()));
        if trial.host_neigh.is_some() || matches!(record.group.as_str(), "H" | "M") {
            differ("sender's entry", text(trial.host_neigh.as_deref()), text(full.as_deref()));
        }
        if trial.client.contains_key("host_entry") {
            differ("sender's entry", text(trial.noted("host_entry")), text(state));
        }
        if trial.client.contains_key("predicted_state") {
            differ("entry", text(trial.noted("state")), text(state));
            let kernel = trial.noted("lladdr").unwrap_or_default();
            differ("entry's MAC", kernel.to_owned(), mac.map(|m| m.to_string()).unwrap_or_default());
        }
    }

    fn concerns(&self, change: &StateChange, dev: IfName) -> bool {
        change.side == self.side
            && Some(change.dev) == self.rig.index(self.side, dev)
            && change.at >= self.zero
            && !is_group(change.ip)
    }
}

/// The entry of an address at a side's end of the veth.
fn entry(rig: &Rig, side: Side, ip: IpAddr) -> Option<(Nud, Option<Mac>)> {
    let dev = rig.index(side, if side == Side::Host { HOST_END } else { POD_END })?;
    rig.neighbours(side).get(dev, ip).map(|e| (e.state(), e.lladdr()))
}

fn entry_text((state, mac): (Nud, Option<Mac>)) -> String {
    format!("{state}{}", mac.map(|m| format!(":{m}")).unwrap_or_default())
}

/// Entries of groups need no resolution and are not modelled.
fn is_group(ip: IpAddr) -> bool {
    ip.is_multicast()
}

/// States that `ip neigh` shows.
fn is_shown(state: Nud) -> bool {
    !matches!(state, Nud::None | Nud::Noarp)
}

/// Brings the entry into the state the kernel's had before the first frame, by what brought it
/// there: commands, and packets that wanted out.
fn prepare(rig: &mut Rig, side: Side, zero: Time, trial: &Trial) -> Result<(), RecordError> {
    let before = trial.neigh.iter().flatten().filter(|n| n.t < 0.0);
    for step in before {
        rig.run_until(Time(zero.0.saturating_sub(span(step.t).as_ns())));
        match step.via.as_str() {
            "update" => set_entry(rig, side, step)?,
            "output" => {
                let packet = packet_to(rig, side, step)?;
                rig.pod_sends(packet);
            }
            _ => {}
        }
    }
    Ok(())
}

fn set_entry(rig: &mut Rig, side: Side, step: &Transition) -> Result<(), RecordError> {
    let nud = SetNud::by_name(&step.state.to_lowercase())
        .ok_or_else(|| RecordError::Value(format!("no entry can be set to {}", step.state)))?;
    let change = Mutation::Neigh {
        op: Op::Replace,
        dev: step.dev.parse().map_err(RecordError::value)?,
        ip: step.ip.parse().map_err(RecordError::value)?,
        lladdr: step.lladdr.parse().ok(),
        nud,
        extern_learn: false,
    };
    Ok(rig.apply(side, &change)?)
}

/// A packet whose next hop is the entry's address.
fn packet_to(rig: &Rig, side: Side, step: &Transition) -> Result<Packet, RecordError> {
    if side == Side::Host {
        return Err(RecordError::Value("the host's entry was prepared by a packet".into()));
    }
    let dst: IpAddr = match step.ip.parse().map_err(RecordError::value)? {
        IpAddr::V4(_) => [203, 0, 113, 8].into(),
        IpAddr::V6(_) => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 8].into(),
    };
    let state = rig.state(side);
    let link = state.link_named(POD_END).ok_or(RecordError::Lacks("what interface the pod has"))?;
    let src: Option<IpAddr> = match dst {
        IpAddr::V4(_) => link.addrs().first().map(|a| a.net.addr().into()),
        IpAddr::V6(dst) => state.select_src6(link.index(), dst).map(IpAddr::from),
    };
    let ends = src
        .and_then(|src| Ends::new(src, dst))
        .ok_or(RecordError::Lacks("from which address the pod sends"))?;
    Ok(Packet { bytes: wire::udp(ends, 40_000, 9, b"x"), owner: Some(Owner(0)) })
}

fn prepared_entry(trial: &Trial, dev: IfName) -> Option<IpAddr> {
    let steps = trial.neigh.iter().flatten();
    steps.filter(|n| n.dev == dev.as_str()).find_map(|n| n.ip.parse().ok())
}

/// The frames that were sent; of a long burst only the first were kept, and the rest were the
/// same.
fn stimuli(trial: &Trial) -> Vec<Shot> {
    let mut shots = trial.stimulus.clone();
    let count = trial.n_stimulus.unwrap_or(shots.len());
    while let Some(last) = shots.last().filter(|_| shots.len() < count) {
        let next = last.clone();
        shots.push(next);
    }
    shots
}

/// Who a frame says it is from: the sender of an ARP packet, the source of a solicitation, the
/// target of an advertisement.
fn sender(frame: &[u8]) -> Option<IpAddr> {
    let eth = EthFrame::parse(frame).ok()?;
    match eth.ethertype {
        ETHERTYPE_ARP => Arp::parse(eth.payload).ok().map(|a| a.spa.into()),
        ETHERTYPE_IPV6 => match nd::in_packet(eth.payload).map(|p| p.message) {
            Some(nd::NdMessage::Advert(na)) => Some(na.target.into()),
            _ => wire::ip_parts(eth.payload).map(|parts| parts.0.src()),
        },
        _ => None,
    }
}

/// ARP replies and advertisements; what else a host says of its own accord is not an answer.
fn is_answer(frame: &[u8]) -> bool {
    let Ok(eth) = EthFrame::parse(frame) else { return false };
    match eth.ethertype {
        ETHERTYPE_ARP => Arp::parse(eth.payload).is_ok_and(|a| a.op == OP_REPLY),
        ETHERTYPE_IPV6 => nd::type_in(eth.payload) == Some(nd::TYPE_ADVERT),
        _ => false,
    }
}

fn kernel_answers(trial: &Trial) -> (Option<usize>, Vec<&[u8]>) {
    let kept = trial.replies.iter().flatten().filter(|r| is_answer(&r.hex));
    let counted = trial.counted("n_replies").and_then(|n| usize::try_from(n).ok());
    (trial.n_replies.or(counted), kept.map(|r| &r.hex[..]).collect())
}

fn kernel_latencies(trial: &Trial) -> Vec<Span> {
    let shots = stimuli(trial);
    let since = |t: f64| {
        let shot = shots.iter().rev().map(|s| s.t).find(|s| *s <= t);
        span(t - shot.unwrap_or(t))
    };
    trial.replies.iter().flatten().filter(|r| is_answer(&r.hex)).map(|r| since(r.t)).collect()
}

fn kernel_changes(trial: &Trial, dev: IfName) -> Vec<String> {
    let ours = |n: &&Transition| {
        n.t >= 0.0 && n.dev == dev.as_str() && n.ip.parse().is_ok_and(|ip: IpAddr| !is_group(ip))
    };
    let text = |n: &Transition| {
        let mac = n.lladdr.parse::<Mac>().ok().filter(|m| n.state != "FAILED" || *m != Mac::ZERO);
        format!("{}>{}{}", n.ip, n.state, mac.map(|m| format!(":{m}")).unwrap_or_default())
    };
    trial.neigh.iter().flatten().filter(ours).map(text).collect()
}

fn change_text(change: &StateChange) -> String {
    let state = change.state.map_or("gone", Nud::name);
    format!("{}>{state}{}", change.ip, change.lladdr.map(|m| format!(":{m}")).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // writing to a string cannot fail
        let _ = write!(text, "{byte:02x}");
    }
    text
}
