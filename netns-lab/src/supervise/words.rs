//! Requests in the words of ip(8), sysctl(8) and a shell.

use std::fmt::{self, Write};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{InfoData, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};

use super::{
    Kind,
    netlink::{Look, Mode, peer, target},
};
use crate::{
    MacAddr,
    rtnl::{Address, Names, Neighbour, Route, Rule},
};

/// A whole request. Several messages of one system call are parted by semicolons, and the ends
/// of a batch are left out.
pub(super) fn kind(f: &mut fmt::Formatter<'_>, kind: &Kind) -> fmt::Result {
    match kind {
        Kind::Netlink { messages, .. } => {
            let shown = messages.iter().filter(|message| messages.len() == 1 || !message.frame);
            if messages.iter().all(|message| message.frame) {
                return f.write_str("nft batch without content");
            }
            for (place, message) in shown.enumerate() {
                write!(f, "{}{}", if place == 0 { "" } else { "; " }, message.words)?;
            }
            Ok(())
        }
        Kind::Sysctl { path, value } => write!(f, "sysctl -w {}={value}", path.replace('/', ".")),
        Kind::OpenSysctl { path } => write!(f, "open /proc/sys/{path} for writing"),
        Kind::Open { path, .. } => write!(f, "open {} for writing", path.display()),
        Kind::Name { call, paths } => {
            f.write_str(call)?;
            paths.iter().try_for_each(|path| write!(f, " {}", path.display()))
        }
        Kind::Enter { descriptor, .. } => write!(f, "setns {descriptor}"),
        Kind::NewNamespaces { call, flags } => {
            f.write_str(call)?;
            namespaces(*flags).try_for_each(|name| write!(f, " {name}"))
        }
        Kind::Exec { program, arguments } => {
            write!(f, "exec {}", program.display())?;
            arguments.iter().skip(1).try_for_each(|argument| write!(f, " {}", quoted(argument)))
        }
        Kind::DeviceIoctl { command, device } => match ioctl(*command) {
            Some((name, _)) => write!(f, "ioctl {name} {device}"),
            None => write!(f, "ioctl {command:#x} {device}"),
        },
        Kind::ReplaceTable { v6, option, table } => {
            let family = if *v6 { "ip6tables" } else { "iptables" };
            let what = if *option == 64 { "replace table" } else { "set counters of table" };
            write!(f, "{family} (legacy): {what} {table}")
        }
        Kind::Other { call, length: 0 } => f.write_str(call),
        Kind::Other { call, length } => write!(f, "{call}, {length} bytes"),
        Kind::Foreign { architecture, number } => {
            write!(f, "system call {number} of another architecture ({architecture:#x})")
        }
    }
}

const NAMESPACES: [(i32, &str); 7] = [
    (libc::CLONE_NEWNET, "net"),
    (libc::CLONE_NEWNS, "mnt"),
    (libc::CLONE_NEWPID, "pid"),
    (libc::CLONE_NEWUSER, "user"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
];

/// The namespaces that flags of clone(2) name.
pub(super) fn namespaces(flags: u32) -> impl Iterator<Item = &'static str> {
    NAMESPACES.into_iter().filter(move |(bit, _)| flags & (*bit as u32) != 0).map(|(_, name)| name)
}

/// An argument as a shell wants it, where it needs that.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,+@%!".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// Names of the commands about interfaces that one meets, and whether they only ask; numbers
/// from include/uapi/linux/sockios.h.
pub(super) fn ioctl(command: u32) -> Option<(&'static str, bool)> {
    Some(match command {
        0x890b => ("SIOCADDRT", false),
        0x890c => ("SIOCDELRT", false),
        0x8910 => ("SIOCGIFNAME", true),
        0x8912 => ("SIOCGIFCONF", true),
        0x8913 => ("SIOCGIFFLAGS", true),
        0x8914 => ("SIOCSIFFLAGS", false),
        0x8915 => ("SIOCGIFADDR", true),
        0x8916 => ("SIOCSIFADDR", false),
        0x891b => ("SIOCGIFNETMASK", true),
        0x891c => ("SIOCSIFNETMASK", false),
        0x8921 => ("SIOCGIFMTU", true),
        0x8922 => ("SIOCSIFMTU", false),
        0x8923 => ("SIOCSIFNAME", false),
        0x8924 => ("SIOCSIFHWADDR", false),
        0x8927 => ("SIOCGIFHWADDR", true),
        0x8933 => ("SIOCGIFINDEX", true),
        // gets and sets: which one is in a structure that it points to
        0x8946 => ("SIOCETHTOOL", false),
        0x8953 => ("SIOCDARP", false),
        0x8955 => ("SIOCSARP", false),
        0x89a0 => ("SIOCBRADDBR", false),
        0x89a1 => ("SIOCBRDELBR", false),
        0x89a2 => ("SIOCBRADDIF", false),
        0x89a3 => ("SIOCBRDELIF", false),
        _ => return None,
    })
}

/// An rtnetlink message as ip(8) would take it.
pub(super) fn route(message: &RouteNetlinkMessage, mode: Mode, names: &Names, look: &mut dyn Look) -> String {
    use RouteNetlinkMessage as M;
    let verb = mode.verb();
    let known =
        match message {
            M::NewLink(link) if link.header.index == 0 && mode != Mode::Change => {
                Some(add_link(link, names, look))
            }
            M::NewLink(link) | M::SetLink(link) => Some(set_link(link, names, look)),
            M::DelLink(link) => Some(format!("ip link del {}", device(link, names))),
            M::GetLink(link) => Some(show("link", named(link, names).map(|name| format!("dev {name}")))),
            M::NewAddress(address) => Address::from_message(address, names)
                .map(|address| format!("ip address {verb} {}", bare(&address))),
            M::DelAddress(address) => Address::from_message(address, names)
                .map(|address| format!("ip address del {}", bare(&address))),
            M::GetAddress(_) => Some("ip address show".into()),
            M::NewRoute(route) => {
                Route::from_message(route, names).map(|route| format!("ip route {verb} {route}"))
            }
            M::DelRoute(route) => {
                Route::from_message(route, names).map(|route| format!("ip route del {}", loose(&route)))
            }
            M::GetRoute(route) => {
                let one =
                    Route::from_message(route, names).filter(|_| route.header.destination_prefix_length > 0);
                Some(one.map_or("ip route show".into(), |route| {
                    format!("ip route get {}", route.destination.addr())
                }))
            }
            M::NewNeighbour(entry) => {
                Neighbour::from_message(entry, names).map(|entry| format!("ip neighbour {verb} {entry}"))
            }
            M::DelNeighbour(entry) => {
                Neighbour::from_message(entry, names).map(|entry| format!("ip neighbour del {entry}"))
            }
            M::GetNeighbour(_) => Some("ip neighbour show".into()),
            M::NewRule(rule) => Rule::from_message(rule).map(|rule| format!("ip rule add {rule}")),
            M::DelRule(rule) => Rule::from_message(rule).map(|rule| format!("ip rule del {rule}")),
            M::GetRule(_) => Some("ip rule show".into()),
            M::NewNsId(_) => Some("ip netns set".into()),
            M::GetNsId(_) => Some("ip netns list-id".into()),
            _ => None,
        };
    known.unwrap_or_else(|| by_name(message))
}

/// A route to be deleted, of which kind, protocol and scope may be left open.
fn loose(route: &Route) -> String {
    let text = route.to_string().replace(" proto 0", "").replace(" scope nowhere", "");
    text.strip_prefix("0 ").map_or(text.clone(), str::to_owned)
}

/// The name of a type of rtnetlink message.
pub(super) fn route_type(kind: u16) -> String {
    let objects = [
        "LINK",
        "ADDR",
        "ROUTE",
        "NEIGH",
        "RULE",
        "QDISC",
        "TCLASS",
        "TFILTER",
        "ACTION",
        "PREFIX",
        "MULTICAST",
        "ANYCAST",
        "NEIGHTBL",
        "NDUSEROPT",
        "ADDRLABEL",
        "DCB",
        "NETCONF",
        "MDB",
        "NSID",
        "STATS",
        "CACHEREPORT",
        "CHAIN",
        "NEXTHOP",
        "LINKPROP",
        "VLAN",
        "NEXTHOPBUCKET",
        "TUNNEL",
    ];
    let verb = ["NEW", "DEL", "GET", "SET"][usize::from(kind % 4)];
    let object = kind.checked_sub(16).and_then(|past| objects.get(usize::from(past / 4)));
    object.map_or_else(|| format!("rtnetlink message type {kind}"), |object| format!("RTM_{verb}{object}"))
}

/// The name of what the words do not reach to.
fn by_name(message: &RouteNetlinkMessage) -> String {
    let debug = format!("{message:?}");
    let name = debug.split(['(', ' ', '{']).next().unwrap_or_default();
    format!("rtnetlink {name}")
}

fn show(what: &str, which: Option<String>) -> String {
    which.map_or_else(|| format!("ip {what} show"), |which| format!("ip {what} show {which}"))
}

/// An address without the word that says of which family it is.
fn bare(address: &Address) -> String {
    let text = address.to_string();
    text.split_once(' ').map_or(text.clone(), |(_, rest)| rest.to_owned())
}

fn named(link: &LinkMessage, names: &Names) -> Option<String> {
    let by_name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    });
    if link.header.index == 0 { by_name } else { Some(names.dev(link.header.index).to_string()) }
}

fn device(link: &LinkMessage, names: &Names) -> String {
    named(link, names).unwrap_or_else(|| "?".into())
}

fn add_link(link: &LinkMessage, names: &Names, look: &mut dyn Look) -> String {
    let mut words = format!("ip link add {}", device(link, names));
    attributes(&mut words, link, names, look, true);
    if let Some((kind, data)) = kind_of(link) {
        let _ = write!(words, " type {kind}");
        if let Some(InfoData::MacVlan(options)) = data {
            for option in options {
                if let InfoMacVlan::Mode(mode) = option {
                    let _ = write!(words, " mode {}", format!("{mode:?}").to_lowercase());
                }
            }
        }
    }
    if let Some(peer) = peer(link) {
        let _ = write!(words, " peer name {}", device(peer, names));
        attributes(&mut words, peer, names, look, true);
    }
    words
}

fn kind_of(link: &LinkMessage) -> Option<(String, Option<&InfoData>)> {
    let infos = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })?;
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    });
    Some((kind, data))
}

fn set_link(link: &LinkMessage, names: &Names, look: &mut dyn Look) -> String {
    let tool = if link.header.interface_family == AddressFamily::Bridge { "bridge" } else { "ip" };
    let mut words = format!("{tool} link set {}", device(link, names));
    let before = words.len();
    attributes(&mut words, link, names, look, link.header.index == 0);
    if words.len() == before {
        words.push_str(" (nothing)");
    }
    words
}

/// What the attributes say. A name is left out where it is the one that the link is known by.
fn attributes(words: &mut String, link: &LinkMessage, names: &Names, look: &mut dyn Look, by_name: bool) {
    let mut unknown = 0;
    for attribute in &link.attributes {
        let written = match attribute {
            LinkAttribute::IfName(name) if !by_name => write!(words, " name {name}"),
            LinkAttribute::Address(bytes) => match MacAddr::from_slice(bytes) {
                Some(mac) => write!(words, " address {mac}"),
                None => write!(words, " address of {} bytes", bytes.len()),
            },
            LinkAttribute::Mtu(mtu) => write!(words, " mtu {mtu}"),
            LinkAttribute::TxQueueLen(length) => write!(words, " txqueuelen {length}"),
            LinkAttribute::Link(index) => write!(words, " link {}", names.dev(*index)),
            LinkAttribute::Controller(0) => write!(words, " nomaster"),
            LinkAttribute::Controller(index) => write!(words, " master {}", names.dev(*index)),
            LinkAttribute::IfAlias(alias) => write!(words, " alias {alias}"),
            LinkAttribute::Carrier(carrier) => write!(words, " carrier {}", on(*carrier != 0)),
            LinkAttribute::AfSpecBridge(_) => write!(words, " vlan or flags of the bridge"),
            LinkAttribute::ProtoInfoBridge(_) => write!(words, " flags of the bridge port"),
            // said elsewhere, or by their target
            LinkAttribute::IfName(_)
            | LinkAttribute::LinkInfo(_)
            | LinkAttribute::NetNsFd(_)
            | LinkAttribute::NetNsPid(_)
            | LinkAttribute::ExtMask(_) => Ok(()),
            _ => {
                unknown += 1;
                Ok(())
            }
        };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    if let Some(netns) = target(link, look) {
        let _ = write!(words, " netns {}", look.name(netns));
    }
    flags(words, link);
    if unknown > 0 {
        let _ = write!(words, " ({unknown} more)");
    }
}

fn flags(words: &mut String, link: &LinkMessage) {
    // A link that is made up has its flags without a mask.
    let (flags, mut mask) = (link.header.flags, link.header.change_mask);
    if mask.is_empty() {
        mask = flags;
    }
    if mask.contains(LinkFlags::Up) {
        words.push_str(if flags.contains(LinkFlags::Up) { " up" } else { " down" });
    }
    let switches = [
        (LinkFlags::Noarp, "arp", true),
        (LinkFlags::Promisc, "promisc", false),
        (LinkFlags::Allmulti, "allmulticast", false),
        (LinkFlags::Multicast, "multicast", false),
    ];
    for (flag, name, inverted) in switches {
        if mask.contains(flag) && mask != LinkFlags::all() {
            let _ = write!(words, " {name} {}", on(flags.contains(flag) != inverted));
        }
    }
}

fn on(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
