//! The features of a capture: what requests and packets met, one word each, and how long silences
//! lasted.

use super::frames::{FrameTells, HeardFrame, is_gateway, is_probe, pod_mac};
use crate::addr::Mac;
use crate::time::Span;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A request that waits longer than this is part of a silence: the kernel asks again after a
/// second (retrans_time_ms), and no delayed reply takes longer than 0.8 s (proxy_delay).
const SILENT: u64 = 900_000_000;
/// Packets that nothing comes back for are part of a silence when it lasts longer than this: one
/// lost packet of a client that sends every second is none.
const UNHEARD: u64 = 1_500_000_000;
/// A reply that takes longer was held back; a kernel under load stays well below it.
const HELD_BACK: u64 = 120_000_000;
/// A request to one MAC that comes so long after another is its repetition: the kernel probes an old
/// entry once a second (retrans_time_ms). Several programs that ask at once are none.
const REPEATED: u64 = 500_000_000;

/// How a kind of question fared over time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// Nobody asked.
    None,
    /// Answered throughout.
    Fine,
    /// Never answered.
    Never,
    /// At first silence, then answers.
    Late,
    /// At first answers, then silence to the end.
    Lost,
    /// Answers, silence, answers.
    Interrupted,
    /// More than one silence.
    Mixed,
}

impl Course {
    /// The same, where answers that all came count as no sign.
    pub(super) fn unanswered(self) -> Course {
        if self == Course::Fine { Course::None } else { self }
    }
}

/// Whose MAC the gateway's replies hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// No reply.
    None,
    /// ee:ee:ee:ee:ee:ee.
    Calico,
    /// Another.
    Other,
    /// More than one.
    Several,
}

/// The features of a capture.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Look {
    /// Requests for the gateway.
    pub gateway: Course,
    /// The longest silence that ended.
    pub gateway_silence: Option<Span>,
    /// The MAC in its replies.
    pub mac: Holder,
    /// A reply was held back.
    pub held_back: bool,
    /// A request to one MAC went unanswered and was repeated.
    pub probe: Probe,
    /// The gateway is asked for over IPv6.
    pub six: bool,
    /// The pod's packets: does anything come back?
    pub packets: Course,
    /// The longest time that nothing came back, and then something did.
    pub packets_silence: Option<Span>,
    /// The pod's packets go to a MAC that is not the host end's.
    pub to_nobody: bool,
    /// The host's packets go to a MAC that is not the pod's.
    pub past_the_pod: bool,
    /// The host tells the pod "unreachable".
    pub unreachable: bool,
    /// The host's requests for the pod.
    pub host_asks: Course,
    /// The pod's requests for other addresses than the gateway's.
    pub others: Course,
    /// Somebody else answers for the pod's own address.
    pub own_claimed: bool,
}

/// Counts for the person who reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Frames that were looked at.
    pub frames: usize,
    /// Requests for the gateway.
    pub asked: usize,
    /// The gateway's replies.
    pub replies: usize,
    /// The longest run of requests about a second apart without a reply.
    pub burst: usize,
    /// Packets of the pod.
    pub sent: usize,
    /// Packets to it.
    pub back: usize,
}

/// Questions and answers of one kind, as they come.
struct Track {
    /// The shortest wait that is a silence.
    silent: u64,
    /// Open since, and how many.
    open: Option<(u64, u64, usize)>,
    /// Silences: length, ended.
    silences: Vec<(u64, bool)>,
    /// Answers that came soon, in order with the silences.
    order: Vec<bool>,
    slowest: u64,
    burst: usize,
}

impl Track {
    const fn new(silent: u64) -> Track {
        Track { silent, open: None, silences: Vec::new(), order: Vec::new(), slowest: 0, burst: 0 }
    }

    fn ask(&mut self, t: u64) {
        let (from, _, count) = self.open.unwrap_or((t, t, 0));
        self.open = Some((from, t, count + 1));
        self.burst = self.burst.max(count + 1);
    }

    fn answer(&mut self, t: u64) {
        let Some((from, last, _)) = self.open.take() else { return };
        if t - from > self.silent {
            self.silences.push((t - from, true));
            self.order.push(false);
        }
        self.slowest = self.slowest.max(t - last);
        self.order.push(true);
    }

    /// What is open at the end is a silence when it lasted long enough, or was asked twice.
    fn end(&mut self, end: u64) {
        let Some((from, last, count)) = self.open.take() else { return };
        if end - from > self.silent && (count > 1 || end - last > self.silent) {
            self.silences.push((end - from, false));
            self.order.push(false);
        } else if self.order.is_empty() && count > 0 {
            // asked at the very end of what was seen, or once only
            self.order.push(false);
        }
    }

    fn course(&self) -> Course {
        let mut turns = self.order.clone();
        turns.dedup();
        match turns[..] {
            [] => Course::None,
            [true] => Course::Fine,
            [false] => Course::Never,
            [false, true] => Course::Late,
            [true, false] => Course::Lost,
            [true, false, true] => Course::Interrupted,
            _ => Course::Mixed,
        }
    }

    fn silence(&self) -> Option<Span> {
        self.silences.iter().filter(|s| s.1).map(|s| Span::from_ns(s.0)).max()
    }
}

/// Whom the pod asked alone, in vain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Nobody.
    None,
    /// The only MAC that was ever the gateway's, as far as is to be seen.
    Known,
    /// One that is not the gateway's any more: another speaks for it.
    Old,
}

/// What a pass over the frames gathers.
struct Pass {
    gateway: Track,
    packets: Track,
    host_asks: Track,
    others: Track,
    macs: BTreeSet<Mac>,
    host_macs: BTreeSet<Mac>,
    sent_to: BTreeSet<Mac>,
    /// Since when a request to one MAC waits.
    unicast_open: Option<u64>,
    /// MACs that were asked so more than once.
    probed: BTreeSet<Mac>,
    six: bool,
    past_the_pod: bool,
    unreachable: bool,
    own: BTreeSet<IpAddr>,
    own_claimed: bool,
    counts: Counts,
}

/// Reads the features of frames; `end` is when the watching ended.
pub(super) fn look(frames: &[HeardFrame], end: u64) -> (Look, Counts) {
    let pod = pod_mac(frames);
    let mut p = Pass::new();
    // whose address is whose is known before the first frame is judged
    for f in frames {
        if Some(f.src) == pod {
            match f.kind {
                FrameTells::Ask { sender: own, .. } if !is_probe(own) => p.own.insert(own),
                FrameTells::Claim { about, .. } => p.own.insert(about),
                FrameTells::Ip { src, .. } => p.own.insert(src),
                _ => false,
            };
        } else {
            p.host_macs.insert(f.src);
        }
    }
    for f in frames {
        p.counts.frames += 1;
        if Some(f.src) == pod { p.pod_sent(f) } else { p.host_sent(f, pod) }
    }
    p.finish(end)
}

impl Pass {
    fn new() -> Pass {
        let asked = || Track::new(SILENT);
        Pass {
            gateway: asked(),
            packets: Track::new(UNHEARD),
            host_asks: asked(),
            others: asked(),
            macs: BTreeSet::new(),
            host_macs: BTreeSet::new(),
            sent_to: BTreeSet::new(),
            unicast_open: None,
            probed: BTreeSet::new(),
            six: false,
            past_the_pod: false,
            unreachable: false,
            own: BTreeSet::new(),
            own_claimed: false,
            counts: Counts::default(),
        }
    }

    fn pod_sent(&mut self, f: &HeardFrame) {
        match f.kind {
            FrameTells::Ask { sender, target } if is_gateway(target) && !is_probe(sender) => {
                self.counts.asked += 1;
                self.six |= target.is_ipv6();
                self.gateway.ask(f.t);
                if !f.dst.is_group() {
                    let first = *self.unicast_open.get_or_insert(f.t);
                    if f.t - first > REPEATED {
                        self.probed.insert(f.dst);
                    }
                }
            }
            FrameTells::Ask { sender, .. } if is_probe(sender) => {}
            FrameTells::Ask { .. } => self.others.ask(f.t),
            FrameTells::Tell { about, .. } if self.own.contains(&about) => self.host_asks.answer(f.t),
            FrameTells::Ip { .. } => {
                self.counts.sent += 1;
                self.sent_to.insert(f.dst);
                self.packets.ask(f.t);
            }
            FrameTells::Tell { .. } | FrameTells::Claim { .. } => {}
        }
    }

    fn host_sent(&mut self, f: &HeardFrame, pod: Option<Mac>) {
        let elsewhere = |dst: Mac| !dst.is_group() && pod.is_some_and(|p| p != dst);
        match f.kind {
            FrameTells::Tell { about, mac } if is_gateway(about) => {
                self.counts.replies += 1;
                self.macs.insert(mac);
                self.unicast_open = None;
                self.gateway.answer(f.t);
            }
            FrameTells::Tell { about, .. } => {
                self.own_claimed |= self.own.contains(&about);
                self.others.answer(f.t);
            }
            FrameTells::Claim { about, .. } => self.own_claimed |= self.own.contains(&about),
            FrameTells::Ask { sender, .. } if is_probe(sender) => {}
            FrameTells::Ask { .. } => {
                self.past_the_pod |= elsewhere(f.dst);
                self.host_asks.ask(f.t);
            }
            FrameTells::Ip { unreachable, .. } => {
                self.counts.back += 1;
                self.unreachable |= unreachable;
                self.past_the_pod |= elsewhere(f.dst);
                if !unreachable && !elsewhere(f.dst) {
                    self.packets.answer(f.t);
                }
            }
        }
    }

    fn finish(mut self, end: u64) -> (Look, Counts) {
        for c in [&mut self.gateway, &mut self.packets, &mut self.host_asks, &mut self.others] {
            c.end(end);
        }
        self.counts.burst = self.gateway.burst;
        let mac = match (self.macs.len(), self.macs.first()) {
            (0, _) => Holder::None,
            (1, Some(&Mac::CALICO)) => Holder::Calico,
            (1, _) => Holder::Other,
            _ => Holder::Several,
        };
        let others = || self.macs.iter().chain(&self.host_macs).any(|m| !self.probed.contains(m));
        let probe = match self.probed.is_empty() {
            true => Probe::None,
            false if others() => Probe::Old,
            false => Probe::Known,
        };
        let look = Look {
            gateway: self.gateway.course(),
            gateway_silence: self.gateway.silence(),
            mac,
            held_back: self.gateway.slowest > HELD_BACK,
            probe,
            six: self.six,
            packets: self.packets.course(),
            packets_silence: self.packets.silence(),
            // a MAC that answers for the gateway may send nothing else
            to_nobody: self.sent_to.iter().any(|m| !self.host_macs.contains(m) && !self.macs.contains(m)),
            past_the_pod: self.past_the_pod,
            unreachable: self.unreachable,
            host_asks: self.host_asks.course(),
            others: self.others.course(),
            own_claimed: self.own_claimed,
        };
        (look, self.counts)
    }
}
