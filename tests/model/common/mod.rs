//! A node as Calico sets it up, to be changed by the commands an operator would type.

pub(crate) mod pair;

use arplab::addr::Mac;
use arplab::choice::First;
use arplab::host::{
    Decision, HostState, IfIndex, LinkChange, LinkKind, Mutation, Processed, Reason, Request, decide, process,
};
use arplab::neigh::KernelClock;
use arplab::stack::{Note, Output, Stack};
use arplab::time::{Span, Time};
use arplab::wire::{Arp, Cast};
use std::net::Ipv4Addr;

pub(crate) const POD_MAC: Mac = Mac([2, 0, 0x0a, 0x41, 0, 2]);
pub(crate) const POD: &str = "10.65.0.2";
pub(crate) const GATEWAY: &str = "169.254.1.1";

/// Everything up; the uplink, the way to two pods, the switches of Calico's plugin and Felix.
pub(crate) const CALICO: [&str; 15] = [
    "ip link set lo up",
    "ip link set cali0 address ee:ee:ee:ee:ee:ee",
    "ip link set cali0 up",
    "ip link set cali1 up",
    "ip link set up0 up",
    "ip addr add 192.168.77.2/24 dev up0",
    "ip route add 10.65.0.2 dev cali0 scope link",
    "ip route add 10.65.0.3 dev cali1 scope link",
    "ip route add default via 192.168.77.1 dev up0",
    "sysctl net.ipv4.ip_forward=1",
    "sysctl net.ipv4.conf.cali0.route_localnet=1",
    "sysctl net.ipv4.neigh.cali0.proxy_delay=0",
    "sysctl net.ipv4.conf.cali0.proxy_arp=1",
    "sysctl net.ipv4.conf.cali0.forwarding=1",
    "sysctl net.ipv4.conf.cali0.rp_filter=1",
];

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.filter_map(|d| char::from_digit(u32::from(d), 16)).collect()
}

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(crate) fn change(text: &str) -> Mutation {
    text.parse().unwrap()
}

/// The state of a node, with the carrier of its veths following their near ends.
#[derive(Clone)]
pub(crate) struct Node(pub(crate) HostState);

impl Node {
    pub(crate) fn bare() -> Node {
        let mut state = HostState::new();
        for name in ["cali0", "cali1", "up0"] {
            let veth = Mutation::LinkAdd { name: name.parse().unwrap(), kind: LinkKind::Veth, mac: None };
            state.apply(&veth).unwrap();
        }
        Node(state)
    }

    pub(crate) fn calico() -> Node {
        Node::bare().with(&CALICO)
    }

    pub(crate) fn with(mut self, commands: &[&str]) -> Node {
        for command in commands {
            self.run(command);
        }
        self
    }

    pub(crate) fn run(&mut self, command: &str) {
        if let Err(refused) = self.try_run(command) {
            panic!("{refused}");
        }
    }

    pub(crate) fn try_run(&mut self, command: &str) -> Result<(), arplab::host::Refused> {
        let change = change(command);
        self.0.apply(&change)?;
        if let Mutation::LinkSet { dev, change: LinkChange::Up(on) } = change
            && self.0.link_named(dev).is_some_and(|l| l.kind() == LinkKind::Veth)
        {
            self.0.apply(&Mutation::LinkSet { dev, change: LinkChange::Carrier(on) })?;
        }
        Ok(())
    }

    pub(crate) fn index(&self, name: &str) -> IfIndex {
        self.0.link_named(name.parse().unwrap()).unwrap().index()
    }

    /// A broadcast request on cali0.
    pub(crate) fn request(&self, sender: &str, target: &str) -> Request {
        let arp = Arp::request(POD_MAC, ip(sender), ip(target));
        let (dev, cast) = (self.index("cali0"), Cast::Broadcast);
        Request { dev, cast, arp, sender_known: false, again: false, leg: 0 }
    }

    pub(crate) fn outcome(&self, sender: &str, target: &str) -> Processed {
        process(&self.0, &self.request(sender, target))
    }

    /// What the pod gets when it asks for the gateway: nothing, or why not.
    pub(crate) fn gateway(&self) -> Option<Reason> {
        self.asked(POD, GATEWAY)
    }

    pub(crate) fn asked(&self, sender: &str, target: &str) -> Option<Reason> {
        decide(&self.0, &self.request(sender, target)).reason()
    }

    /// The code of the reason, `answered` without one.
    pub(crate) fn code(&self, sender: &str, target: &str) -> &'static str {
        self.asked(sender, target).map_or("answered", |r| r.pointer().code)
    }

    pub(crate) fn routes(&self, table: u32) -> Vec<String> {
        let name = |r: &arplab::host::Route| {
            let hops = r.hops.iter().map(|h| {
                let mark = if h.dead {
                    " dead"
                } else if h.linkdown {
                    " linkdown"
                } else {
                    ""
                };
                format!(" {}{mark}", self.0.name_of(h.dev))
            });
            format!("{} {}{}", r.kind.name(), r.dst, hops.collect::<String>())
        };
        self.0.table(table).iter().map(name).collect()
    }
}

/// A node at work, with a clock.
pub(crate) struct Live {
    pub(crate) stack: Stack,
    pub(crate) now: Time,
    pub(crate) dev: IfIndex,
}

impl Live {
    pub(crate) fn new(node: Node) -> Live {
        let dev = node.index("cali0");
        let stack = Stack::new(node.0, KernelClock::new(250, 0), &mut First);
        Live { stack, now: Time(1_000_000), dev }
    }

    pub(crate) fn run(&mut self, command: &str) {
        self.stack.apply(self.now, &change(command), &mut First).unwrap();
    }

    pub(crate) fn arp(&mut self, arp: &Arp, to: Mac) {
        self.stack.receive(self.now, self.dev, &arp.frame(to, arp.sha), &mut First);
    }

    pub(crate) fn ask(&mut self, sender: &str) {
        self.arp(&Arp::request(POD_MAC, ip(sender), ip(GATEWAY)), Mac::BROADCAST);
    }

    /// Lets time pass and returns the ARP replies sent, and the reasons for silence.
    pub(crate) fn wait(&mut self, span: Span) -> (Vec<Arp>, Vec<Reason>) {
        let end = self.now + span;
        let (mut replies, mut reasons) = (Vec::new(), Vec::new());
        loop {
            while let Some(output) = self.stack.poll_output() {
                match output {
                    Output::Transmit { frame, .. } => {
                        if let Ok(arp) = Arp::parse(&frame[14..]) {
                            replies.push(arp);
                        }
                    }
                    Output::Note(Note::Judged { decision: Decision::Silent(reason), .. }) => {
                        reasons.push(reason);
                    }
                    _ => {}
                }
            }
            match self.stack.poll_timeout().filter(|t| *t <= end) {
                Some(next) => {
                    self.now = self.now.max(next);
                    self.stack.handle_timeout(self.now, &mut First);
                }
                None => break,
            }
        }
        self.now = end;
        (replies, reasons)
    }

    pub(crate) fn entry(&self, address: &str) -> Option<String> {
        let entry = self.stack.neighbours().get(self.dev, address.parse().unwrap())?;
        Some(format!("{} {}", entry.state(), entry.lladdr().map(|m| m.to_string()).unwrap_or_default()))
    }
}
