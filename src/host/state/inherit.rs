//! What a new namespace has from the machine: the IPv4 switches `all` and `default` of its first
//! namespace (devinet_init_net; those of IPv6 start afresh), and for every new device the
//! neighbour parameters of the machine's `neigh.default` (neigh_parms_alloc), of which a namespace
//! has no copy of its own.

use super::HostState;
use super::conf::{Conf4, Scope, SysctlKey};
use crate::host::apply::mutation::Mutation;

impl HostState {
    /// What the machine's own namespace hands on to one made now, as the writes that would lead
    /// there.
    #[must_use]
    pub fn handed_on(&self) -> Vec<Mutation> {
        let mut new = HostState::new();
        let mut writes = Vec::new();
        let scopes = [Scope::All, Scope::Default];
        let keys = scopes.into_iter().flat_map(|s| Conf4::ALL.iter().map(move |k| SysctlKey::Conf4(s, *k)));
        for key in keys {
            let Some(value) = self.sysctl(&key).filter(|v| new.sysctl(&key) != Some(*v)) else { continue };
            let write = Mutation::Sysctl { key, value };
            // a write to `all` may set others, which then need no write of their own
            if new.apply(&write).is_ok() {
                writes.push(write);
            }
        }
        writes
    }

    /// Takes over what is the kernel's and not a namespace's: the neighbour parameters of new
    /// devices, and how many entries there are.
    pub(crate) fn share_kernel(&mut self, machine: &HostState) {
        (self.default_neigh4, self.default_neigh6) = (machine.default_neigh4, machine.default_neigh6);
        for link in &mut self.links {
            (link.neigh4, link.neigh6) = (self.default_neigh4, self.default_neigh6);
        }
        self.neighbours_elsewhere = machine.neighbours_elsewhere;
        for limit in super::conf::Global::OF_KERNEL {
            self.globals[limit as usize] = machine.globals[limit as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_namespace_takes_the_switches_of_ipv4_and_no_others() {
        let mut node = HostState::new();
        for write in [
            "sysctl -w net.ipv4.ip_forward=1",
            "sysctl -w net.ipv4.conf.default.rp_filter=1",
            "sysctl -w net.ipv6.conf.all.forwarding=1",
            "sysctl -w net.ipv4.neigh.default.mcast_solicit=10",
            "lab neighbours-elsewhere 200",
        ] {
            node.apply(&write.parse().unwrap()).unwrap();
        }
        let said: Vec<String> = node.handed_on().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            ["sysctl -w net.ipv4.conf.all.forwarding=1", "sysctl -w net.ipv4.conf.default.rp_filter=1"]
        );
        let mut pod = HostState::new();
        pod.share_kernel(&node);
        pod.apply(&"ip link add eth0 type veth".parse().unwrap()).unwrap();
        let read = |key: &str| pod.sysctl(&key.parse().unwrap()).unwrap();
        assert_eq!(read("net.ipv4.neigh.eth0.mcast_solicit"), 10);
        assert_eq!(pod.neighbours_elsewhere(), 200);
    }
}
