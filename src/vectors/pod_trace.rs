//! What was seen at the pod's device and in its neighbour table, recorded or modelled, and the
//! comparison of the two.

use super::error::PodMismatch;
use super::pod_record::PodTrial;
use crate::addr::{Mac, Side};
use crate::neigh::Nud;
use crate::wire::{
    self, Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, EthFrame, OP_REPLY, OP_REQUEST, Payload,
    SegmentFlag,
    nd::{self, NdMessage},
};
use std::net::{IpAddr, Ipv4Addr};

/// Whose entry a recording is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asked {
    /// Where the client runs, and so who asks.
    pub(super) by: Side,
    /// What it asks for.
    pub(super) ip: IpAddr,
}

/// The pod asks for its gateway, where nothing else is told.
impl Default for Asked {
    fn default() -> Asked {
        Asked { by: Side::Pod, ip: IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)) }
    }
}

/// How far a recorded time may lie from the model's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Tolerance {
    early_s: f64,
    late_s: f64,
}

/// A recorded time may be earlier by the recorder's own zero, and later by what a busy machine of
/// two processors makes of a timer: two ticks and a bit.
pub(super) const EXACT: Tolerance = Tolerance { early_s: 0.0025, late_s: 0.010 };
/// A process that is scheduled late arms its next sleep in another bucket; three of them are 96 ms.
pub(super) const LATE_PROCESS: Tolerance = Tolerance { early_s: 0.1, late_s: 0.1 };

impl Tolerance {
    /// How far a length of time may be off, between two moments that may both be late.
    pub(super) fn length_s(self) -> f64 {
        self.early_s + self.late_s
    }

    /// A recorded time fits one of the model.
    pub(super) fn fits(self, recorded: f64, modelled: f64) -> bool {
        (-self.early_s..=self.late_s).contains(&(recorded - modelled))
    }
}

/// States held for a shorter time than this count as passed through: the tracepoints of two
/// processors overtake each other there.
const BLINK_S: f64 = 0.006;

/// The lists of a trace that are compared mark by mark.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum MarkKind {
    /// Requests of the client's side to all, or solicitations to a group.
    Broadcast,
    /// Its requests to one station.
    Unicast,
    /// Answers that reached it.
    Reply,
    /// Retransmissions that TCP's timer asked for.
    Retransmit,
    /// SYNs that left.
    Syn,
    /// Datagrams that left.
    Datagram,
}

const KINDS: usize = 6;

/// A trace.
#[derive(Clone, Debug, Default)]
pub(super) struct PodMarks {
    pub(super) asked: Asked,
    pub(super) marks: [Vec<f64>; KINDS],
    pub(super) states: Vec<StateMark>,
    /// Destination MACs of the IP frames that left, with their times.
    pub(super) sent_to: Vec<(f64, Mac)>,
    /// ARP replies that left.
    pub(super) replies_out: Vec<(f64, Vec<u8>)>,
    /// Who answered, in the order of the answers.
    pub(super) answered_by: Vec<Mac>,
}

/// A state of the entry.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct StateMark {
    pub(super) at: f64,
    /// `None` when the entry is removed.
    pub(super) state: Option<Nud>,
    pub(super) mac: Option<Mac>,
    /// Its timer brought it there.
    pub(super) timer: bool,
}

impl PodMarks {
    pub(super) fn list(&self, kind: MarkKind) -> &[f64] {
        &self.marks[kind as usize]
    }

    pub(super) fn mark(&mut self, kind: MarkKind, at: f64) {
        self.marks[kind as usize].push(at);
    }

    /// A frame the client's side sent; what kind of mark it made.
    pub(super) fn frame_out(&mut self, at: f64, frame: &[u8]) -> Option<MarkKind> {
        let eth = EthFrame::parse(frame).ok()?;
        if let Some(packet) = nd::in_packet(eth.payload).filter(|_| eth.ethertype == ETHERTYPE_IPV6) {
            let NdMessage::Solicit(solicit) = packet.message else { return None };
            // a test for duplicates asks for nobody
            let ours = IpAddr::V6(solicit.target) == self.asked.ip && !packet.src.is_unspecified();
            let kind = if eth.dst.is_group() { MarkKind::Broadcast } else { MarkKind::Unicast };
            return ours.then(|| self.mark(kind, at)).map(|()| kind);
        }
        match eth.ethertype {
            ETHERTYPE_ARP => {
                let arp = Arp::parse(eth.payload).ok()?;
                if arp.op == OP_REPLY {
                    self.replies_out.push((at, frame.to_vec()));
                    return None;
                }
                let kind = if eth.dst.is_broadcast() { MarkKind::Broadcast } else { MarkKind::Unicast };
                (arp.op == OP_REQUEST).then(|| self.mark(kind, at)).map(|()| kind)
            }
            ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => {
                self.sent_to.push((at, eth.dst));
                let kind = match wire::parse(eth.payload)?.1 {
                    Payload::Tcp(s) if s.control == SegmentFlag::Syn => MarkKind::Syn,
                    Payload::Udp { .. } => MarkKind::Datagram,
                    _ => return None,
                };
                self.mark(kind, at);
                Some(kind)
            }
            _ => None,
        }
    }

    /// A frame that reached the client's side.
    pub(super) fn frame_in(&mut self, at: f64, frame: &[u8]) -> Option<MarkKind> {
        let eth = EthFrame::parse(frame).ok()?;
        let mac = match eth.ethertype {
            ETHERTYPE_ARP => {
                let arp = Arp::parse(eth.payload).ok()?;
                (arp.op == OP_REPLY && IpAddr::V4(arp.spa) == self.asked.ip).then_some(arp.sha)
            }
            ETHERTYPE_IPV6 => match nd::in_packet(eth.payload)?.message {
                // one that names no MAC has its sender's
                NdMessage::Advert(a) if IpAddr::V6(a.target) == self.asked.ip => {
                    Some(a.mac.unwrap_or(eth.src))
                }
                _ => None,
            },
            _ => None,
        };
        self.answered_by.push(mac?);
        self.mark(MarkKind::Reply, at);
        Some(MarkKind::Reply)
    }

    /// A recorded trial.
    pub(super) fn recorded(trial: &PodTrial) -> PodMarks {
        let unicast = &trial.arp_requests_unicast;
        let near = |t: &f64| unicast.iter().any(|u| (u - t).abs() < 1e-6);
        let broadcast = trial.arp_requests.iter().copied().filter(|t| !near(t)).collect();
        PodMarks {
            marks: [
                broadcast,
                unicast.clone(),
                trial.arp_replies.clone(),
                trial.tcp_retransmits.clone(),
                trial.syn_on_wire.clone().unwrap_or_default(),
                trial.udp_on_wire.clone(),
            ],
            states: trial
                .neigh
                .iter()
                .map(|n| {
                    let state = Nud::by_name(&n.state);
                    let mac = n.lladdr.parse().ok().filter(|_| state.is_some_and(Nud::is_valid));
                    StateMark { at: n.t, state, mac, timer: n.via == "timer" }
                })
                .collect(),
            ..PodMarks::default()
        }
    }
}

/// States without those that were only passed through, and without repetitions.
pub(super) fn settled(states: &[StateMark], before: Option<Nud>) -> Vec<StateMark> {
    let mut out: Vec<StateMark> = Vec::new();
    let mut last = (before, None);
    for (at, mark) in states.iter().enumerate() {
        let blink = states.get(at + 1).is_some_and(|next| next.at - mark.at < BLINK_S);
        // an entry that was removed for the recording
        let prepared = mark.state.is_none() && mark.at < 0.0;
        if blink || prepared || mark.state == Some(Nud::None) {
            continue;
        }
        // the MAC the entry had before is not known until it is named
        let same_mac = last.1.is_none() || last.1 == mark.mac;
        if mark.state != last.0 || !same_mac {
            out.push(*mark);
        }
        last = (mark.state, mark.mac);
    }
    out
}

/// Holds the model's marks against the recorded ones as they come, so that a wrong phase is
/// given up early.
pub(super) struct Matcher<'a> {
    recorded: &'a PodMarks,
    compared: [bool; KINDS],
    next: [usize; KINDS],
    until: f64,
    tolerance: Tolerance,
    reached: f64,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(
        recorded: &'a PodMarks,
        compared: [bool; KINDS],
        until: f64,
        tolerance: Tolerance,
    ) -> Matcher<'a> {
        Matcher { recorded, compared, next: [0; KINDS], until, tolerance, reached: f64::MIN }
    }

    /// A mark of the model; the complaint, if it is not in the recording.
    pub(super) fn mark(&mut self, kind: MarkKind, at: f64) -> Result<(), PodMismatch> {
        if !self.compared[kind as usize] {
            return Ok(());
        }
        self.reached = at;
        let list = self.recorded.list(kind);
        let next = &mut self.next[kind as usize];
        match list.get(*next) {
            Some(recorded) if self.tolerance.fits(*recorded, at) => {
                *next += 1;
                Ok(())
            }
            Some(recorded) => Err(format!("{kind:?} at {at:.4}, recorded at {recorded:.4}").into()),
            None if at > self.until => Ok(()),
            None => Err(format!("{kind:?} at {at:.4}, not recorded").into()),
        }
    }

    /// The time of the last mark that was compared.
    pub(super) fn reached(&self) -> f64 {
        self.reached
    }

    /// What was recorded and is not in the model.
    pub(super) fn missing(&self) -> Result<(), PodMismatch> {
        for kind in [
            MarkKind::Broadcast,
            MarkKind::Unicast,
            MarkKind::Reply,
            MarkKind::Retransmit,
            MarkKind::Syn,
            MarkKind::Datagram,
        ] {
            if !self.compared[kind as usize] {
                continue;
            }
            if let Some(at) = self.recorded.list(kind).get(self.next[kind as usize])
                && *at < self.until
            {
                return Err(format!("{kind:?} recorded at {at:.4}, not in the model").into());
            }
        }
        Ok(())
    }
}

/// Compares the entry's states up to a time.
pub(super) fn same_states(
    recorded: &[StateMark],
    modelled: &[StateMark],
    before: Option<Nud>,
    until: f64,
    tolerance: Tolerance,
) -> Result<(), PodMismatch> {
    let cut = |marks: &[StateMark]| -> Vec<StateMark> {
        settled(marks, before).into_iter().filter(|m| m.at <= until).collect()
    };
    let (recorded, modelled) = (cut(recorded), cut(modelled));
    let fits = |(r, m): (&StateMark, &StateMark)| {
        r.state == m.state && (r.mac.is_none() || r.mac == m.mac) && tolerance.fits(r.at, m.at)
    };
    if recorded.len() == modelled.len() && recorded.iter().zip(&modelled).all(fits) {
        return Ok(());
    }
    let show = |marks: &[StateMark]| -> String {
        let one = |m: &StateMark| format!("{:.3} {}", m.at, m.state.map_or("gone", Nud::name));
        marks.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    Err(format!("states [{}], recorded [{}]", show(&modelled), show(&recorded)).into())
}
