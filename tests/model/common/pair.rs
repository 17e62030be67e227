//! Host and pod, each a namespace at work, and the veth between them.

use super::POD_MAC;
use arplab::addr::Mac;
use arplab::choice::{ChoiceKind, Chooser, First};
use arplab::host::{HostState, IfIndex, LinkChange, LinkKind, Mutation, NsDecision, NsReason};
use arplab::neigh::KernelClock;
use arplab::stack::{Note, Output, Stack};
use arplab::time::{Span, Time};
use arplab::wire::{
    self, ETHERTYPE_IPV6, Ends,
    nd::{self, Advert, NdMessage, Solicit},
};
use std::net::Ipv6Addr;

pub(crate) fn ip6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

pub(crate) fn gateway() -> Ipv6Addr {
    Mac::CALICO.link_local()
}

/// Two namespaces and the veth between them.
pub(crate) struct Pair {
    pub(crate) stacks: [Stack; 2],
    pub(crate) devs: [IfIndex; 2],
    pub(crate) now: Time,
    /// Who sent which frame when.
    pub(crate) frames: Vec<(Time, usize, Vec<u8>)>,
    pub(crate) uplink: Vec<Vec<u8>>,
    pub(crate) delivered: Vec<(usize, Vec<u8>)>,
    pub(crate) silences: Vec<NsReason>,
}

pub(crate) const HOST: usize = 0;
pub(crate) const POD: usize = 1;

/// Draws the first of everything but what is asked for.
pub(crate) struct Pick(pub(crate) ChoiceKind, pub(crate) u64);

impl Chooser for Pick {
    fn choose(&mut self, kind: ChoiceKind, options: u64) -> u64 {
        if kind == self.0 { self.1.min(options - 1) } else { First.choose(kind, options) }
    }
}

impl Pair {
    /// Links down, MACs set, forwarding on the host.
    pub(crate) fn new() -> Pair {
        let mut host = HostState::new();
        let mut pod = HostState::new();
        let veth =
            |name: &str| Mutation::LinkAdd { name: name.parse().unwrap(), kind: LinkKind::Veth, mac: None };
        host.apply(&veth("cali0")).unwrap();
        host.apply(&veth("up0")).unwrap();
        pod.apply(&veth("eth0")).unwrap();
        let clock = KernelClock::new(250, 0);
        let devs = [("cali0", &host), ("eth0", &pod)]
            .map(|(name, state)| state.link_named(name.parse().unwrap()).unwrap().index());
        let up0 = host.link_named("up0".parse().unwrap()).unwrap().index();
        let mut stacks = [Stack::new(host, clock, &mut First), Stack::new(pod, clock, &mut First)];
        stacks[HOST].set_uplink(up0);
        let mut pair = Pair {
            stacks,
            devs,
            now: Time(1_000_000),
            frames: Vec::new(),
            uplink: Vec::new(),
            delivered: Vec::new(),
            silences: Vec::new(),
        };
        pair.run(HOST, "ip link set lo up");
        pair.run(HOST, "sysctl net.ipv6.conf.all.forwarding=1");
        pair.run(HOST, "ip link set cali0 address ee:ee:ee:ee:ee:ee");
        pair.run(POD, "ip link set lo up");
        pair.run(POD, &format!("ip link set eth0 address {POD_MAC}"));
        pair
    }

    /// As Calico leaves it.
    pub(crate) fn calico() -> Pair {
        let mut pair = Pair::new();
        pair.run(HOST, "sysctl net.ipv6.conf.cali0.accept_dad=0");
        pair.run(HOST, "sysctl net.ipv6.neigh.cali0.proxy_delay=0");
        pair.run(POD, "sysctl net.ipv6.conf.eth0.accept_dad=0");
        pair.up();
        pair.run(HOST, "ip link set up0 up");
        pair.run(HOST, "ip link set up0 carrier on");
        pair.run(HOST, "ip addr add fd00:77::2/64 dev up0 nodad");
        pair.run(HOST, "ip -6 route add default via fd00:77::1 dev up0");
        pair.run(HOST, "ip -6 route add fd00:65::2 dev cali0");
        pair.run(POD, "ip addr add fd00:65::2/128 dev eth0 nodad");
        pair.run(POD, &format!("ip -6 route add default via {} dev eth0", gateway()));
        pair
    }

    pub(crate) fn up(&mut self) {
        self.up_with(&mut First);
    }

    pub(crate) fn up_with(&mut self, chooser: &mut dyn Chooser) {
        for (side, name) in [(POD, "eth0"), (HOST, "cali0")] {
            self.run(side, &format!("ip link set {name} up"));
        }
        for (side, name) in [(POD, "eth0"), (HOST, "cali0")] {
            let change = Mutation::LinkSet { dev: name.parse().unwrap(), change: LinkChange::Carrier(true) };
            self.stacks[side].apply(self.now, &change, chooser).unwrap();
        }
        self.settle();
    }

    pub(crate) fn run(&mut self, side: usize, command: &str) {
        self.stacks[side].apply(self.now, &super::change(command), &mut First).unwrap();
        self.settle();
    }

    pub(crate) fn settle(&mut self) {
        loop {
            let next = self.stacks.iter_mut().enumerate().find_map(|(i, s)| s.poll_output().map(|o| (i, o)));
            let Some((side, output)) = next else { break };
            match output {
                Output::Transmit { dev, frame } if dev == self.devs[side] => {
                    self.frames.push((self.now, side, frame.to_vec()));
                    let to = 1 - side;
                    if self.stacks[to].state().link(self.devs[to]).unwrap().is_up() {
                        self.stacks[to].receive(self.now, self.devs[to], &frame, &mut First);
                    }
                }
                Output::Uplink { packet } => self.uplink.push(packet.to_vec()),
                Output::Deliver { packet, .. } => self.delivered.push((side, packet.to_vec())),
                Output::Note(Note::JudgedNs { decision: NsDecision::Silent(reason), .. }) => {
                    self.silences.push(reason);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn wait(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(next) = self.stacks.iter().filter_map(Stack::poll_timeout).min().filter(|t| *t <= end)
        {
            self.now = self.now.max(next);
            for stack in &mut self.stacks {
                stack.handle_timeout(self.now, &mut First);
            }
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn inject(&mut self, to: usize, src: &str, dst: Ipv6Addr, ns: &Solicit, eth: Mac) {
        let mut frame = eth.0.to_vec();
        frame.extend(POD_MAC.0);
        frame.extend(ETHERTYPE_IPV6.to_be_bytes());
        frame.extend(&nd::solicit_packet(ip6(src), dst, ns)[..]);
        self.stacks[to].receive(self.now, self.devs[to], &frame, &mut First);
        self.settle();
    }

    /// The pod's solicitation of an address, by multicast.
    pub(crate) fn ask(&mut self, target: &str) {
        let target = ip6(target);
        let ns = Solicit { target, source: Some(POD_MAC), nonce: None };
        let group = nd::solicited_node(target);
        self.inject(HOST, &POD_MAC.link_local().to_string(), group, &ns, Mac::ipv6_multicast(group));
    }

    /// Messages of neighbour discovery a side has sent.
    pub(crate) fn said(&self, side: usize) -> Vec<(Time, Ipv6Addr, Ipv6Addr, NdMessage)> {
        let read = |(at, from, frame): &(Time, usize, Vec<u8>)| {
            let (Ends::V6(src, dst), _, icmp) = wire::ip_parts(&frame[14..])? else { return None };
            let message = nd::parse(src, dst, icmp)?.ok()?;
            (*from == side).then_some((*at, src, dst, message))
        };
        self.frames.iter().filter_map(read).collect()
    }

    pub(crate) fn adverts(&self) -> Vec<Advert> {
        let advert = |m: NdMessage| match m {
            NdMessage::Advert(na) => Some(na),
            NdMessage::Solicit(_) => None,
        };
        self.said(HOST).into_iter().filter_map(|s| advert(s.3)).collect()
    }

    pub(crate) fn tentative(&self, side: usize) -> Vec<(bool, bool)> {
        let link = self.stacks[side].state().link(self.devs[side]).unwrap();
        link.addrs6().iter().map(|a| (a.tentative, a.dad_failed)).collect()
    }
}
