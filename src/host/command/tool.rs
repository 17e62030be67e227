//! Commands that a person types and the model has no term for. They are kept as they are, for the
//! program that they name, and only a kernel can be asked what they do.

use super::CommandError;
use core::fmt;
use std::sync::Arc;

/// Programs whose whole effect is on the network of the namespace that they run in.
const PROGRAMS: [&str; 10] =
    ["ip", "bridge", "tc", "nft", "iptables", "ip6tables", "arptables", "sysctl", "arp", "route"];

/// What ip(8) can be asked about and the namespace is the only one to feel. The rest never ends, or
/// reaches elsewhere.
const IP_OBJECTS: [&str; 20] = [
    "address",
    "addr",
    "a",
    "addrlabel",
    "link",
    "l",
    "maddress",
    "maddr",
    "mroute",
    "mrule",
    "neighbour",
    "neigh",
    "n",
    "nexthop",
    "ntable",
    "route",
    "r",
    "rule",
    "ru",
    "tunnel",
];

/// Words that lead out of the namespace, into files, or to a program that never ends.
const LEADS_OUT: [&str; 13] = [
    "netns",
    "link-netns",
    "link-netnsid",
    "exec",
    "monitor",
    "include",
    "xdp",
    "xdpgeneric",
    "xdpdrv",
    "xdpoffload",
    "bpf",
    "save",
    "restore",
];

/// A command line that the model has no term for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tool {
    words: Arc<[String]>,
    why: Arc<str>,
}

impl Tool {
    /// The command line, split as a shell splits it. `why` is what the model's own grammar says of it.
    /// Programs that do more than change the network of their namespace, and forms of a program that
    /// lead out of it, are refused: a scenario file is no script.
    pub fn new(text: &str, why: &str) -> Result<Tool, CommandError> {
        let refuse = |why: String| CommandError { command: text.to_owned(), why };
        let words = shlex::split(text).ok_or_else(|| refuse("a quotation mark is not closed".into()))?;
        let words = match redirected(&words) {
            Some(write) => write,
            None => words,
        };
        let program = words.first().map_or("", String::as_str);
        if !PROGRAMS.contains(&program) {
            return Err(refuse(why.to_owned()));
        }
        if let Some(word) = words.iter().find(|w| is_shells(w)) {
            return Err(refuse(format!("{word:?} is a shell's, and there is none")));
        }
        if let Some(word) = words[1..].iter().find(|w| leads_out(program, w)) {
            return Err(refuse(format!("{word:?} leads out of the namespace, or never ends")));
        }
        let options = words[1..].iter().take_while(|w| w.starts_with('-')).count();
        let object = words.get(1 + options).map_or("", String::as_str);
        if program == "ip" && !IP_OBJECTS.contains(&object) {
            return Err(refuse(why.to_owned()));
        }
        let of_net = |w: &String| w.starts_with('-') || is_net_write(w);
        if program == "sysctl" && !(words.len() > 1 && words[1..].iter().all(of_net)) {
            return Err(refuse(why.to_owned()));
        }
        Ok(Tool { words: words.into(), why: why.into() })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.words[0]
    }

    /// Its arguments.
    #[must_use]
    pub fn args(&self) -> &[String] {
        &self.words[1..]
    }

    /// What of it the model does not know.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.words.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            if word.is_empty() || word.contains(char::is_whitespace) {
                write!(f, "{space}'{word}'")?;
            } else {
                write!(f, "{space}{word}")?;
            }
        }
        Ok(())
    }
}

/// `echo VALUE > /proc/sys/net/...` is what `sysctl -w` does.
fn redirected(words: &[String]) -> Option<Vec<String>> {
    let (value, path) = super::parse::redirection(words.iter().map(String::as_str))?;
    Some(vec!["sysctl".to_owned(), "-w".to_owned(), format!("{path}={value}")])
}

/// A write of a key below `net`, which is what a namespace has of its own.
fn is_net_write(word: &str) -> bool {
    let net = word.starts_with("net.") || word.starts_with("net/");
    net && word.contains('=') && !word.contains("..")
}

fn is_shells(word: &str) -> bool {
    matches!(word, "|" | "||" | "&" | "&&" | ";" | ">" | ">>" | "<" | "2>" | "2>&1")
        || word.contains(['\n', '\0', '`'])
        || word.contains("$(")
        || (word.ends_with(';') && word.len() > 1)
}

fn leads_out(program: &str, word: &str) -> bool {
    let options: &[&str] = match program {
        "ip" | "bridge" | "tc" => &["-b", "-n", "-net", "-force"],
        "nft" => &["-f", "-i", "-D", "--file", "--interactive", "--define"],
        "arp" => &["-f", "--file"],
        "iptables" | "ip6tables" | "arptables" => &["-M", "--modprobe", "--set-counters-file"],
        _ => &["-p", "--load", "--system", "-f"],
    };
    // ip(8) takes any beginning of its options
    let option = options.iter().any(|o| if o.len() > 2 { word.starts_with(o) } else { word == *o });
    let batch = matches!(program, "ip" | "bridge" | "tc") && word.starts_with("-ba");
    option || batch || LEADS_OUT.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_the_namespace_is_taken() {
        for text in [
            "ip nexthop add id 1 blackhole",
            "ip -6 route add 2001:db8::/64 encap seg6 mode encap segs fc00::1 dev eth0",
            "iptables -I INPUT -j DROP",
            "nft add table inet 'my table'",
            "bridge fdb add 02:00:00:00:00:01 dev br0",
            "sysctl -w net.ipv4.icmp_ratemask=0 net.ipv4.icmp_ratelimit=0",
        ] {
            assert_eq!(Tool::new(text, "?").unwrap().to_string(), text);
        }
        let write = Tool::new("echo 1 > /proc/sys/net/ipv4/conf/eth0/log_martians", "?").unwrap();
        assert_eq!(write.to_string(), "sysctl -w net/ipv4/conf/eth0/log_martians=1");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for text in [
            "rm -rf /",
            "sh -c 'ip link'",
            "ip netns add x",
            "ip link set eth0 netns 1",
            "ip -n other link set lo up",
            "ip -netns other link set lo up",
            "ip -b commands",
            "ip -batch commands",
            "ip monitor",
            "ip vrf exec red true",
            "ip xfrm state flush",
            "ip rout add default",
            "ip link set eth0 xdp obj prog.o",
            "tc filter add dev eth0 ingress bpf da obj prog.o",
            "nft -f rules",
            "iptables --modprobe=/bin/sh -L",
            "sysctl -p /etc/sysctl.conf",
            "sysctl -w kernel.panic=1",
            "sysctl -w net/../kernel/panic=1",
            "sysctl net.ipv4.ip_forward",
            "ip link set lo up; rm x",
            "ip link | sh",
            "ip link set 'lo",
        ] {
            assert!(Tool::new(text, "the model's own reason").is_err(), "{text}");
        }
    }
}
