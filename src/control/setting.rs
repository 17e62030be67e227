//! Names and addresses of a run: which pod, which interface, which node.

use crate::addr::{IfName, Mac, VethEnds};
use sha1::{Digest, Sha1};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The made-up gateway of every Calico pod.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Names and addresses of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// The pod's Kubernetes namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The host end of the veth.
    pub cali: IfName,
    /// The pod end.
    pub eth: IfName,
    /// The pod's IPv4 address.
    pub pod_ip: Ipv4Addr,
    /// The pod's IPv6 address; `None` for a pod with IPv4 alone.
    pub pod_ip6: Option<Ipv6Addr>,
    /// The pod has IPv6 alone, and `pod_ip` is nobody's.
    pub only_ip6: bool,
    /// The MAC of the pod end.
    pub pod_mac: Mac,
    /// The pod's gateway: Calico's, or the one that another plugin gave it.
    pub gateway: Ipv4Addr,
    /// The node's way to the world.
    pub uplink: IfName,
    /// The node's own address on it.
    pub node_ip: Ipv4Addr,
    /// The node's router.
    pub router: Ipv4Addr,
    /// The node's and the router's IPv6 addresses.
    pub node_ip6: Ipv6Addr,
    /// The router's IPv6 address.
    pub router6: Ipv6Addr,
}

impl Setting {
    /// One of the pod's addresses.
    #[must_use]
    pub fn is_pod(&self, ip: std::net::IpAddr) -> bool {
        (ip == self.pod_ip && !self.only_ip6) || self.pod_ip6.is_some_and(|six| ip == six)
    }

    /// The default pod, `default/web-0` at 10.42.0.123.
    #[must_use]
    pub fn new(namespace: &str, pod: &str) -> Setting {
        let doc6 = |tail: u16| Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, tail);
        Setting {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            cali: Setting::host_end(namespace, pod),
            eth: IfName::literal("eth0"),
            pod_ip: Ipv4Addr::new(10, 42, 0, 123),
            pod_ip6: None,
            only_ip6: false,
            pod_mac: Mac([0x02, 0x00, 0x0a, 0x2a, 0x00, 0x7b]),
            gateway: GATEWAY,
            uplink: IfName::literal("up0"),
            node_ip: Ipv4Addr::new(198, 51, 100, 10),
            router: Ipv4Addr::new(198, 51, 100, 1),
            node_ip6: doc6(0x10),
            router6: doc6(1),
        }
    }

    /// The two ends of the pod's veth.
    #[must_use]
    pub fn ends(&self) -> VethEnds {
        VethEnds { cali: self.cali, eth: self.eth, pod_mac: self.pod_mac }
    }

    /// The name of a pod's host end: `cali` and the first 11 hexadecimal digits of SHA-1 over
    /// "namespace.pod", the same for every incarnation of the name
    /// (libcalico-go/lib/names, VethNameForWorkload).
    #[must_use]
    pub fn host_end(namespace: &str, pod: &str) -> IfName {
        let digest = Sha1::digest(format!("{namespace}.{pod}"));
        let first = digest.iter().take(6).fold(0_u64, |n, b| n << 8 | u64::from(*b));
        format!("cali{:011x}", first >> 4).parse().unwrap_or(IfName::literal("cali"))
    }

    /// Puts the run's names into a command of a scenario file: `{cali}`, `{eth}`, `{pod_ip}`,
    /// `{pod_ip6}`, `{pod_mac}`, `{uplink}`, `{node_ip}`, `{router}`, `{router6}`, `{gateway}`.
    #[must_use]
    pub fn expand(&self, command: &str) -> String {
        let mut text = command.to_owned();
        let pod_ip6 = self.pod_ip6.map(|ip| ip.to_string()).unwrap_or_default();
        let values: [(&str, String); 10] = [
            ("{cali}", self.cali.to_string()),
            ("{eth}", self.eth.to_string()),
            ("{pod_ip}", self.pod_ip.to_string()),
            ("{pod_ip6}", pod_ip6),
            ("{pod_mac}", self.pod_mac.to_string()),
            ("{uplink}", self.uplink.to_string()),
            ("{node_ip}", self.node_ip.to_string()),
            ("{router}", self.router.to_string()),
            ("{router6}", self.router6.to_string()),
            ("{gateway}", self.gateway.to_string()),
        ];
        for (name, value) in values {
            if text.contains(name) {
                text = text.replace(name, &value);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_end_names_are_calicos() {
        // printf default.web-0 | sha1sum
        assert_eq!(Setting::host_end("default", "web-0").as_str(), "cali0d7763386da");
    }

    #[test]
    fn commands_take_the_runs_names() {
        let s = Setting::new("default", "web-0");
        let text = s.expand("ip route add {pod_ip} dev {cali} scope link");
        assert_eq!(text, format!("ip route add 10.42.0.123 dev {} scope link", s.cali));
    }
}
