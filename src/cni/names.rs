//! What requests are called: `cni.` and what is done, where, and to what, in the words of ip(8) and
//! sysctl(8), but only those that tell one request from another.
//!
//! | request | name |
//! |---|---|
//! | `ip link add eth0 type veth ...` | `cni.link-add pod eth0` |
//! | `ip link set veth1a2b up` | `cni.link-up node host-end` |
//! | `ip address add 10.88.0.2/24 ... dev eth0` | `cni.addr-add pod eth0 10.88.0.2/24` |
//! | `ip route append default via 10.88.0.1 dev eth0` | `cni.route-append pod default via 10.88.0.1 dev eth0` |
//! | `sysctl -w net.ipv4.conf.veth1a2b.proxy_arp=1` | `cni.sysctl node net.ipv4.conf.host-end.proxy_arp` |
//! | `nft add rule ip nat POSTROUTING` | `cni.nft-add node rule ip nat POSTROUTING` |
//! | `exec /usr/lib/cni/host-local` | `cni.exec node host-local` |
//!
//! The host end of the pod's veth is called so, whatever its own name, which may be another each time;
//! an interface that is made for the pod under another name is `pod-end`.
//! The requests of DEL have `del` in front: `cni.del link-del pod eth0`. A call with several messages has the
//! names of all of them, parted by semicolons, and is meant by each.

use super::Verb;
use crate::control::Shapes;
use crate::control::alike::numbered;
use netns_lab::NetnsId;
use netns_lab::supervise::{Kind, Request};
use std::collections::BTreeMap;

/// The names of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepName {
    /// With its number, if it is not the first of that name.
    pub name: String,
    /// The name without its number.
    pub plain: String,
    /// Without, and with the interfaces' own names.
    pub own: String,
    /// As ip(8), sysctl(8) or a shell would take it, with the namespace in front if that is the pod's.
    pub words: String,
    /// It changes nothing of the network: it asks, opens a file, goes into a namespace.
    pub quiet: bool,
}

/// Names the requests of one verb, in their order.
#[derive(Clone, Debug)]
pub struct Namer {
    verb: Verb,
    node: NetnsId,
    pod: NetnsId,
    ends: Ends,
    seen: BTreeMap<String, usize>,
    shapes: Shapes,
}

/// The two ends of the pod's veth.
#[derive(Clone, Debug)]
struct Ends {
    ifname: String,
    host_end: Option<String>,
    /// What the pod's interface is called before it has its name.
    pod_end: Option<String>,
}

/// What the pod's veth's other end is called.
const HOST_END: &str = "host-end";
/// What the pod's interface is called while it has another name.
const POD_END: &str = "pod-end";

impl Namer {
    /// For a plugin that is to give the pod the interface `ifname`; `host_end` is what an earlier run
    /// has shown of the other end.
    #[must_use]
    pub fn new(verb: Verb, node: NetnsId, pod: NetnsId, ifname: &str, host_end: Option<&str>) -> Namer {
        let ends = Ends { ifname: ifname.to_owned(), host_end: host_end.map(str::to_owned), pod_end: None };
        Namer { verb, node, pod, ends, seen: BTreeMap::new(), shapes: Shapes::default() }
    }

    /// Calls what differs from pod to pod by these.
    #[must_use]
    pub fn with_shapes(self, shapes: Shapes) -> Namer {
        Namer { shapes, ..self }
    }

    /// The own name of the veth's other end, if the plugin has made one.
    #[must_use]
    pub fn host_end(&self) -> Option<&str> {
        self.ends.host_end.as_deref()
    }

    /// Names the next request.
    pub fn name(&mut self, request: &Request) -> StepName {
        let text = request.to_string();
        self.ends.learn(&text);
        let place = request.netns.and_then(|netns| self.place(netns)).unwrap_or("elsewhere");
        let own = match &request.kind {
            // of several pods each has a label of its own
            Kind::Enter { netns: Some(netns), descriptor, .. } => {
                format!("setns {}", self.place(*netns).unwrap_or(descriptor))
            }
            kind => words_of(kind, &text, place),
        };
        let own = [self.front(), own].concat();
        let plain = self.shapes.of(self.ends.in_roles(&own));
        let name = numbered(&plain, &mut self.seen);
        let words = if place == "pod" { format!("[pod] {text}") } else { text };
        StepName { name, plain, own, words, quiet: is_quiet(request) }
    }

    fn place(&self, netns: NetnsId) -> Option<&'static str> {
        let places = [(self.node, "node"), (self.pod, "pod")];
        places.into_iter().find(|(it, _)| *it == netns).map(|(_, name)| name)
    }

    fn front(&self) -> String {
        match self.verb {
            Verb::Add => "cni.".into(),
            verb => format!("cni.{} ", verb.word().to_lowercase()),
        }
    }
}

impl Ends {
    /// A pair is made: the end that is not the pod's is the host end. Or an interface is made for the
    /// pod, under whatever name.
    fn learn(&mut self, text: &str) {
        let Some(rest) = text.strip_prefix("ip link add ") else { return };
        let first = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
        let Some((end, peer)) = rest.split_once(" type veth peer name ") else {
            if rest.contains(" netns pod") && first(rest) != self.ifname {
                self.pod_end = Some(first(rest));
            }
            return;
        };
        let (end, peer) = (first(end), first(peer));
        let far = if peer == self.ifname || peer.is_empty() { end } else { peer };
        if far != self.ifname {
            self.host_end = Some(far);
        }
    }

    /// The ends by what they are. In a sysctl's key one is one of the parts.
    fn in_roles(&self, own: &str) -> String {
        let role = |word: &str| {
            let is = |end: &Option<String>| end.as_deref() == Some(word);
            if is(&self.host_end) { Some(HOST_END) } else { is(&self.pod_end).then_some(POD_END) }
        };
        // names of interfaces hold none of these, but for a dot, which none of the plugins gives them
        let parts = own.split_inclusive([' ', '.', '/', ';']).map(|part| {
            let word = part.trim_end_matches([' ', '.', '/', ';']);
            role(word).map_or_else(|| part.to_owned(), |role| part.replace(word, role))
        });
        parts.collect()
    }
}

fn is_quiet(request: &Request) -> bool {
    let dull = matches!(
        request.kind,
        Kind::OpenSysctl { .. }
            | Kind::Open { .. }
            | Kind::Name { .. }
            | Kind::Enter { .. }
            | Kind::NewNamespaces { .. }
    );
    dull || request.is_question()
}

fn words_of(kind: &Kind, text: &str, place: &str) -> String {
    match kind {
        Kind::Netlink { messages, .. } => {
            let mut names: Vec<String> = Vec::new();
            let content = messages.iter().filter(|m| !m.frame || messages.iter().all(|m| m.frame));
            for name in content.map(|m| netlink(&m.words, place)) {
                // a batch may say the same of a hundred rules
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names.join("; ")
        }
        Kind::Sysctl { path, .. } => format!("sysctl {place} {}", path.replace('/', ".")),
        Kind::OpenSysctl { path } => format!("open {place} /proc/sys/{path}"),
        Kind::Open { path, .. } => format!("open {place} {}", path.display()),
        Kind::Enter { descriptor, .. } => format!("setns {descriptor}"),
        Kind::Exec { program, .. } => {
            let file = program.file_name().unwrap_or_default();
            format!("exec {place} {}", file.to_string_lossy())
        }
        _ => match text.split_once(' ') {
            Some((verb, rest)) => format!("{verb} {place} {rest}"),
            None => format!("{text} {place}"),
        },
    }
}

/// A netlink message: `ip OBJECT VERB ...` or `nft VERB ...`, or something without words.
fn netlink(words: &str, place: &str) -> String {
    let mut tokens = words.split(' ');
    match (tokens.next(), tokens.next(), tokens.next()) {
        (Some("ip" | "bridge"), Some("link"), Some("set")) => link_set(tokens, place),
        (Some("ip"), Some(object), Some(verb)) => {
            let object = if object == "address" { "addr" } else { object };
            let rest = tokens.collect::<Vec<_>>();
            let rest = match object {
                "link" => rest.iter().copied().find(|word| *word != "dev").unwrap_or_default().to_owned(),
                "addr" => address(&rest),
                _ => until_attributes(&rest),
            };
            format!("{object}-{verb} {place} {rest}").trim_end().to_owned()
        }
        (Some("nft"), Some(verb), Some(what)) => {
            let rest: Vec<_> = [what].into_iter().chain(tokens).collect();
            format!("nft-{verb} {place} {}", rest.join(" "))
        }
        _ => {
            let name = words.split(',').next().unwrap_or_default().replace(' ', "-");
            format!("{} {place}", name.to_lowercase())
        }
    }
}

/// What is done to a link: the one that tells most of the attributes that are set.
fn link_set<'a>(mut tokens: impl Iterator<Item = &'a str>, place: &str) -> String {
    let dev = tokens.next().unwrap_or_default();
    let rest: Vec<&str> = tokens.collect();
    let verbs = [
        ("netns", "move"),
        ("name", "name"),
        ("master", "master"),
        ("nomaster", "nomaster"),
        ("address", "mac"),
        ("up", "up"),
        ("down", "down"),
        ("mtu", "mtu"),
    ];
    let verb = verbs.iter().find(|(word, _)| rest.contains(word)).map_or("set", |(_, verb)| verb);
    format!("link-{verb} {place} {dev}")
}

/// `10.88.0.2/24 brd ... dev eth0` is told by interface and address.
fn address(words: &[&str]) -> String {
    let dev = words.iter().position(|word| *word == "dev").and_then(|at| words.get(at + 1));
    let net = words.first().copied().unwrap_or_default();
    dev.map_or_else(|| net.to_owned(), |dev| format!("{dev} {net}"))
}

/// A route, rule or neighbour without what only describes it.
fn until_attributes(words: &[&str]) -> String {
    let ends = ["proto", "scope", "src", "metric", "onlink", "nud", "lladdr", "PERMANENT"];
    let kept: Vec<&str> = words.iter().copied().take_while(|word| !ends.contains(word)).collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use netns_lab::supervise::Message;

    #[test]
    fn names_keep_what_tells_requests_apart() {
        let cases = [
            ("ip link add eth0 txqueuelen 0 type veth peer name veth1 netns node", "link-add pod eth0"),
            ("ip link set eth0 up", "link-up pod eth0"),
            ("ip link set eth0 address 02:00:00:00:00:01 up", "link-mac pod eth0"),
            ("ip link set veth1 netns node", "link-move pod veth1"),
            ("ip link del eth0", "link-del pod eth0"),
            ("ip link show dev eth0", "link-show pod eth0"),
            (
                "ip address add 10.88.0.2/24 brd 10.88.0.255 scope global dev eth0",
                "addr-add pod eth0 10.88.0.2/24",
            ),
            (
                "ip route append default via 10.88.0.1 dev eth0",
                "route-append pod default via 10.88.0.1 dev eth0",
            ),
            ("ip route add 10.88.0.1 dev eth0 scope link src 10.88.0.2", "route-add pod 10.88.0.1 dev eth0"),
            ("bridge link set veth1 flags of the bridge port", "link-set pod veth1"),
            ("nft add chain ip nat CNI-1", "nft-add pod chain ip nat CNI-1"),
            ("RTM_GETADDR, 32 bytes", "rtm_getaddr pod"),
        ];
        for (words, name) in cases {
            assert_eq!(netlink(words, "pod"), name);
        }
    }

    #[test]
    fn a_call_has_the_names_of_all_its_messages() {
        let message = |words: &str, frame| {
            let mut message = Message::default();
            (message.words, message.frame) = (words.into(), frame);
            message
        };
        let batch = |words: &[&str]| Kind::Netlink {
            protocol: 12,
            messages: words.iter().map(|it| message(it, it.ends_with("batch"))).collect(),
        };
        let of = |words: &[&str]| words_of(&batch(words), "", "node");
        assert_eq!(of(&["ip link set a up", "ip link del b"]), "link-up node a; link-del node b");
        let rules = ["begin of a batch", "nft add chain ip nat A", "nft add rule ip nat A"];
        assert_eq!(
            of(&[&rules[..], &rules[2..], &["end of a batch"]].concat()),
            "nft-add node chain ip nat A; nft-add node rule ip nat A"
        );
        assert_eq!(of(&["begin of a batch"]), "begin-of-a-batch node");
        let ends = Ends { ifname: "eth0".into(), host_end: Some("veth1".into()), pod_end: None };
        assert_eq!(
            ends.in_roles("cni.link-up node veth1; link-del node b"),
            "cni.link-up node host-end; link-del node b"
        );
    }

    #[test]
    fn the_host_end_is_called_so_in_keys_too() {
        let mut ends = Ends { ifname: "eth0".into(), host_end: None, pod_end: None };
        ends.learn("ip link add cali1 mtu 1500 type veth peer name eth0 netns pod");
        assert_eq!(ends.host_end.as_deref(), Some("cali1"));
        ends.learn("ip link add eth0 type veth peer name veth1 netns node");
        let key = ends.in_roles("cni.sysctl node net.ipv4.conf.veth1.proxy_arp");
        assert_eq!(key, "cni.sysctl node net.ipv4.conf.host-end.proxy_arp");
        assert_eq!(ends.in_roles("cni.link-up node veth1"), "cni.link-up node host-end");
        let file = ends.in_roles("cni.open node /proc/sys/net/ipv4/conf/veth1/proxy_arp");
        ends.learn("ip link add tmp7 link up0 txqueuelen 0 netns pod type macvlan mode bridge");
        assert_eq!(ends.in_roles("cni.link-name pod tmp7"), "cni.link-name pod pod-end");
        assert_eq!(file, "cni.open node /proc/sys/net/ipv4/conf/host-end/proxy_arp");
    }
}
