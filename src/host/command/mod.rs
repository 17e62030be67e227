//! Changes as the commands an operator would type, in both directions: scenario files are
//! written in them, timelines and failing test states are printed in them.
//!
//! The grammar is the part of iproute2, sysctl(8) and nft(8) that [`Mutation`] can say. Two
//! things have no command of their own and are written `lab ...`: neighbour entries of other
//! namespaces, and a noticed carrier change is `ip link set DEV carrier on|off`, which real
//! iproute2 has for devices that allow it.

mod parse;
mod print;
mod tool;
mod ways;

pub(super) use print::{Dst, Table};
pub use tool::Tool;

use crate::host::apply::mutation::Mutation;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// Why a text is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{command}`: {why}")]
pub struct CommandError {
    /// The text.
    pub command: String,
    /// What is wrong.
    pub why: String,
}

/// The changes that one command line makes, in their order: `sysctl -w` takes several keys.
pub type Changes = SmallVec<[Mutation; 1]>;

/// A command line.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Command {
    /// The model knows what it does.
    Known(Changes),
    /// It does not: a kernel can be asked, by the program itself.
    Unknown(Tool),
}

impl FromStr for Command {
    type Err = CommandError;
    fn from_str(text: &str) -> Result<Command, CommandError> {
        match changes(text) {
            Ok(changes) => Ok(Command::Known(changes)),
            Err(e) => Tool::new(text, &e.why).map(Command::Unknown),
        }
    }
}

/// The changes that a command line makes.
pub fn changes(text: &str) -> Result<Changes, CommandError> {
    parse::commands(text).map_err(|why| CommandError { command: text.to_owned(), why })
}

impl FromStr for Mutation {
    type Err = CommandError;
    fn from_str(text: &str) -> Result<Mutation, CommandError> {
        let mut changes = changes(text)?;
        match (changes.pop(), changes.is_empty()) {
            (Some(change), true) => Ok(change),
            _ => Err(CommandError { command: text.to_owned(), why: "it makes several changes".into() }),
        }
    }
}

impl Serialize for Mutation {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mutation {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Mutation, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) {
        let m: Mutation = text.parse().unwrap();
        assert_eq!(m.to_string(), text);
        assert_eq!(m.to_string().parse::<Mutation>().unwrap(), m);
    }

    #[test]
    fn commands_print_as_they_are_typed() {
        for text in [
            "sysctl -w net.ipv4.conf.cali0.proxy_arp=1",
            "ip link add cali0 type veth",
            "ip link add cali0 address ee:ee:ee:ee:ee:ee type veth",
            "ip link del cali0",
            "ip link set cali0 up",
            "ip link set cali0 address ee:ee:ee:ee:ee:ee",
            "ip link set cali0 arp off",
            "ip link set cali0 master br0",
            "ip link set cali0 nomaster",
            "ip link set cali0 carrier off",
            "ip addr add 10.42.0.7/32 dev eth0",
            "ip addr add 169.254.1.1/32 scope host dev lo",
            "ip addr add fd00:10::7/128 dev eth0 nodad",
            "ip addr del 10.42.0.7/32 dev eth0",
            "ip addr del 10.42.0.7 dev eth0",
            "ip addr del 10.42.0.7 peer 10.42.0.1/32 dev eth0",
            "ip addr replace 10.42.0.7/32 dev eth0",
            "ip addr add 10.42.0.7 peer 10.42.0.1/32 dev eth0",
            "ip addr add 10.42.0.7/24 metric 50 dev eth0 noprefixroute",
            "ip route add default via 192.168.77.1 dev up0",
            "ip route add 10.42.0.7 dev cali0 scope link",
            "ip route replace blackhole 10.42.0.0/26 proto bird",
            "ip route del default",
            "ip route add 0.0.0.0 via 192.168.77.1",
            "ip route add default nexthop via 192.168.77.1 dev up0 weight 1 nexthop dev up1 weight 2",
            "ip route add throw 169.254.0.0/16 metric 5 table 100",
            "ip -6 route add default via fe80::ecee:eeff:feee:eeee dev eth0",
            "ip rule add priority 100 from 10.42.0.7 iif cali0 lookup 100",
            "ip rule add priority 101 not fwmark 0x100000/0x100000 unreachable",
            "ip rule del priority 0 lookup local",
            "ip rule del priority 100",
            "ip rule del prohibit",
            "ip rule add from 10.42.0.7 lookup 100",
            "ip rule add to 10.42.0.0/16",
            "ip rule add priority 5 lookup main suppress_prefixlength 0",
            "ip rule add priority 100 goto 200",
            "ip rule add priority 100 iif cali0 nop",
            "ip rule add priority 100 l3mdev",
            "ip rule add priority 5 tos 0x10 oif up0 uidrange 0-1000 ipproto tcp sport 1-9 dport 80 lookup 7",
            "ip rule add ipproto 99 lookup main suppress_ifgroup 3",
            "ip -6 rule add fwmark 0x1/0xff tos 0xb8 goto 40000",
            "ip rule flush",
            "ip -6 rule flush",
            "ip -6 rule add priority 100 unreachable",
            "ip -6 rule add iif cali0 prohibit",
            "ip -6 rule add to ff02::/16 lookup 100",
            "ip -6 route add default dev up0 table 100",
            "ip addr flush dev eth0",
            "ip -4 addr flush dev eth0",
            "ip -6 addr flush dev eth0",
            "ip route flush dev cali0",
            "ip route flush 10.42.0.0/16 table 100 proto bird",
            "ip -6 route flush default dev eth0",
            "ip route append 10.9.0.0/16 dev up0 metric 5",
            "ip route prepend blackhole 10.9.0.0/16",
            "ip route change 10.9.0.0/16 dev up0 metric 5",
            "ip neigh change 169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee nud stale",
            "nft add rule arp filter input iifname cali* drop",
            "ip neigh add 169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee nud permanent",
            "ip neigh replace 10.42.0.7 dev cali0 lladdr 02:00:5e:00:53:10 nud noarp extern_learn",
            "ip neigh del 169.254.1.1 dev eth0",
            "ip neigh flush dev eth0",
            "ip neigh add proxy 169.254.1.1 dev cali0",
            "nft add rule arp filter output oifname cali0 arp operation reply arp saddr ip 10.42.0.7 drop",
            "nft add rule arp filter input drop",
            "lab neighbours-elsewhere 1024",
        ] {
            round_trip(text);
        }
    }

    #[test]
    fn other_spellings_are_understood() {
        for (typed, printed) in [
            ("sysctl net/ipv4/ip_forward=1", "sysctl -w net.ipv4.ip_forward=1"),
            ("ip link set dev cali0 down", "ip link set cali0 down"),
            ("ip addr add 10.42.0.7 dev eth0", "ip addr add 10.42.0.7/32 dev eth0"),
            ("ip route add 0.0.0.0/0 via 192.168.77.1", "ip route add default via 192.168.77.1"),
            ("ip rule add pref 9 table main", "ip rule add priority 9 lookup main"),
            ("ip rule add fwmark 0 unreachable", "ip rule add unreachable"),
            ("ip rule add not fwmark 0/0 unreachable", "ip rule add not unreachable"),
            ("ip rule add fwmark 0/0xff unreachable", "ip rule add fwmark 0x0/0xff unreachable"),
            ("ip rule add fwmark 5/0 unreachable", "ip rule add fwmark 0x5/0x0 unreachable"),
            ("ip r del default", "ip route del default"),
            ("ip a flush eth0", "ip addr flush dev eth0"),
            ("ip route flush exact 2001:db8::/64", "ip -6 route flush 2001:db8::/64"),
            ("echo 0 > /proc/sys/net/ipv4/ip_forward", "sysctl -w net.ipv4.ip_forward=0"),
            ("echo -n 0 >/proc/sys/net/ipv4/conf/a.b/proxy_arp", "sysctl -w net.ipv4.conf.a/b.proxy_arp=0"),
            ("arp -n -i eth0 -d 169.254.1.1", "ip neigh del 169.254.1.1 dev eth0"),
        ] {
            assert_eq!(typed.parse::<Mutation>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn one_line_can_make_several_changes() {
        let text = "sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.conf.cali0.proxy_arp=1";
        let told: Vec<String> = changes(text).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["sysctl -w net.ipv4.ip_forward=1", "sysctl -w net.ipv4.conf.cali0.proxy_arp=1"]);
        assert!(text.parse::<Mutation>().unwrap_err().why.contains("several"));
    }

    #[test]
    fn what_the_model_does_not_know_is_left_to_the_program() {
        assert!(matches!("ip link set lo up".parse(), Ok(Command::Known(_))));
        let Ok(Command::Unknown(tool)) = "ip nexthop add id 1 blackhole".parse() else { panic!() };
        assert_eq!((tool.program(), tool.args().len()), ("ip", 5));
        assert!(tool.why().contains("nexthop"));
        assert!("reboot".parse::<Command>().unwrap_err().why.contains("reboot"));
    }

    #[test]
    fn errors_name_the_word() {
        for (text, part) in [
            ("", "empty"),
            ("rm -rf /", "rm"),
            ("ip", "link"),
            ("ip route add", "destination"),
            ("ip route add 10.0.0.0/33 dev eth0", "10.0.0.0/33"),
            ("ip route add default via eth0", "eth0"),
            ("ip route add default via 10.0.0.1 frobnicate", "frobnicate"),
            ("ip rule add", "selector"),
            ("ip rule del", "selector"),
            ("ip route flush", "prefix"),
            ("ip -6 route append 2001:db8::/64 dev eth0", "IPv6"),
            ("ip rule add from 2001:db8::1 lookup 4", "family"),
            ("sysctl -w net.ipv4.ip_forward=1 net.ipv4.conf.all.frobnicate=1", "frobnicate"),
            ("arp -d 169.254.1.1", "-i INTERFACE"),
            ("echo 0", "/proc/sys"),
            ("sysctl -w net.ipv4.conf.cali0.proxy_arp", "="),
            ("sysctl -w net.ipv4.conf.cali0.proxy_arp=yes", "yes"),
            ("ip link set cali0 address ee", "ee"),
            ("ip -6 rule add from 10.0.0.1 lookup 4", "family"),
            ("ip -6 addr add 10.0.0.1/24 dev eth0", "family"),
            ("ip -4 route add 2001:db8::/64 dev eth0", "family"),
            ("ip -6 neigh add 10.0.0.1 dev eth0", "family"),
            ("ip rule add priority 9 tos 0x11 lookup 5", "ECN"),
            ("ip rule add priority 9 sport 9-1 lookup 5", "9-1"),
            ("ip rule add priority 9 uidrange 7 lookup 5", "FIRST-LAST"),
            ("ip -6 rule add priority 9 dport 80 lookup 5", "IPv4 only"),
            ("ip -6 addr add fd00::1/64 peer fd00::2 dev eth0", "peer"),
            ("ip rule replace priority 9 lookup main", "replace"),
            ("ip route add 10.8.0.0/16 nexthop via 10.0.0.7 table 100", "table"),
        ] {
            let e = text.parse::<Mutation>().unwrap_err();
            assert!(e.why.contains(part), "{text:?}: {}", e.why);
        }
    }
}
