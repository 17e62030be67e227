//! Writes below `/proc/sys`, with what the kernel does along with them: some switches overwrite
//! others, and a write to `default` reaches interfaces that exist already.

use super::Fault;
use super::mutation::{Effects, Errno};
use crate::addr::IfName;
use crate::host::state::HostState;
use crate::host::state::conf::{Conf4, Conf6, Global, NeighVar, Scope, SysctlKey};
use crate::host::state::link::IfIndex;

const GONE: Fault = (Errno::Enoent, "there is no interface of that name, so no such file");

impl HostState {
    pub(in crate::host) fn set_sysctl(
        &mut self,
        key: SysctlKey,
        value: i32,
        fx: &mut Effects,
    ) -> Result<(), Fault> {
        if refuses(key, value) {
            // a file that is not there cannot be written to, whatever the value
            if let SysctlKey::Conf6(Scope::Dev(d), _)
            | SysctlKey::Neigh4(Scope::Dev(d), _)
            | SysctlKey::Neigh6(Scope::Dev(d), _) = key
            {
                self.link_for(d)?;
            }
            return Err((Errno::Einval, "the kernel does not take that value there"));
        }
        match key {
            SysctlKey::Global(Global::IpForward) | SysctlKey::Conf4(Scope::All, Conf4::Forwarding) => {
                self.forward_all(value);
            }
            SysctlKey::Global(g) => self.globals[g as usize] = value,
            SysctlKey::Conf4(scope, k) => self.set_conf4(scope, k, value)?,
            SysctlKey::Conf6(scope, k) => self.set_conf6(scope, k, value, fx)?,
            SysctlKey::Neigh4(Scope::Dev(d), k) => {
                let link = self.link_for(d)?;
                link.neigh4.set(k, value);
                link.given_neigh4 |= 1 << k as u32;
            }
            SysctlKey::Neigh4(_, k) => self.set_default_neigh4(k, value),
            SysctlKey::Neigh6(Scope::Dev(d), k) => {
                let link = self.link_for(d)?;
                link.neigh6.set(k, value);
                link.given_neigh6 |= 1 << k as u32;
            }
            SysctlKey::Neigh6(_, k) => self.set_default_neigh6(k, value),
        }
        Ok(())
    }

    fn link_for(&mut self, dev: IfName) -> Result<&mut crate::host::Link, Fault> {
        self.links.iter_mut().find(|l| l.name == dev).ok_or(GONE)
    }

    /// devinet_conf_proc(): a write to `default` also changes the interfaces where that key was
    /// never written and that never had an address, as the host ends of pods.
    fn set_conf4(&mut self, scope: Scope, key: Conf4, value: i32) -> Result<(), Fault> {
        let bit = 1 << key as u32;
        match scope {
            Scope::All => self.all4.set(key, value),
            Scope::Dev(d) => {
                let link = self.link_for(d)?;
                link.conf4.set(key, value);
                if follows_default(key) {
                    link.given4 |= bit;
                }
            }
            Scope::Default => {
                self.default4.set(key, value);
                if follows_default(key) {
                    self.default_given4 |= bit;
                    for link in self.links.iter_mut().filter(|l| l.given4 & bit == 0) {
                        link.conf4.set(key, value);
                    }
                }
            }
        }
        Ok(())
    }

    /// neigh_copy_dflt_parms(): the same for `net.ipv4.neigh.default`.
    fn set_default_neigh4(&mut self, key: NeighVar, value: i32) {
        self.default_neigh4.set(key, value);
        for link in self.links.iter_mut().filter(|l| l.given_neigh4 & (1 << key as u32) == 0) {
            link.neigh4.set(key, value);
        }
    }

    fn set_default_neigh6(&mut self, key: NeighVar, value: i32) {
        self.default_neigh6.set(key, value);
        for link in self.links.iter_mut().filter(|l| l.given_neigh6 & (1 << key as u32) == 0) {
            link.neigh6.set(key, value);
        }
    }

    fn set_conf6(&mut self, scope: Scope, key: Conf6, value: i32, fx: &mut Effects) -> Result<(), Fault> {
        match (scope, key) {
            (Scope::All, Conf6::Forwarding) => self.forward_all6(value),
            (Scope::All, Conf6::DisableIpv6) => self.disable_ipv6_all(value, fx),
            (Scope::All, k) => self.all6.set(k, value),
            (Scope::Default, k) => self.default6.set(k, value),
            (Scope::Dev(d), Conf6::DisableIpv6) => {
                let index = self.link_for(d)?.index;
                self.set_disable_ipv6(index, value, fx);
            }
            (Scope::Dev(d), k) => self.link_for(d)?.conf6.set(k, value),
        }
        Ok(())
    }

    /// Writing a *changed* value to ip_forward overwrites `forwarding` everywhere
    /// (devinet_sysctl_forward, inet_forward_change).
    fn forward_all(&mut self, value: i32) {
        if self.all4.get(Conf4::Forwarding) == value {
            return;
        }
        self.all4.set(Conf4::Forwarding, value);
        self.default4.set(Conf4::Forwarding, value);
        for link in &mut self.links {
            link.conf4.set(Conf4::Forwarding, value);
        }
    }

    /// The IPv6 twin overwrites even when the value was the same (addrconf_fixup_forwarding).
    fn forward_all6(&mut self, value: i32) {
        self.all6.set(Conf6::Forwarding, value);
        self.default6.set(Conf6::Forwarding, value);
        for link in &mut self.links {
            link.conf6.set(Conf6::Forwarding, value);
        }
    }

    fn disable_ipv6_all(&mut self, value: i32, fx: &mut Effects) {
        self.all6.set(Conf6::DisableIpv6, value);
        self.default6.set(Conf6::DisableIpv6, value);
        let links: Vec<IfIndex> = self.links.iter().map(|l| l.index).collect();
        for index in links {
            self.set_disable_ipv6(index, value, fx);
        }
    }
}

/// Values out of the range that the file's handler allows (proc_dointvec_minmax and its like in
/// net/core/neighbour.c, net/ipv4/sysctl_net_ipv4.c, net/ipv6/addrconf.c). Most switches take
/// any number; all of these were written on 6.18.
fn refuses(key: SysctlKey, value: i32) -> bool {
    match key {
        SysctlKey::Neigh4(_, var) | SysctlKey::Neigh6(_, var) => {
            let counts = !matches!(
                var,
                NeighVar::DelayFirstProbeTime
                    | NeighVar::GcStaleTime
                    | NeighVar::ProxyDelay
                    | NeighVar::Locktime
            );
            counts && value < 0
        }
        SysctlKey::Global(Global::TcpSynRetries) => !(1..=127).contains(&value),
        SysctlKey::Global(Global::TcpSynLinearTimeouts) => !(0..=127).contains(&value),
        SysctlKey::Global(Global::IpForward) | SysctlKey::Conf4(..) => false,
        SysctlKey::Global(_) => value < 0,
        SysctlKey::Conf6(_, Conf6::AcceptUntrackedNa) => !(0..=2).contains(&value),
        SysctlKey::Conf6(_, Conf6::NdiscEvictNocarrier) => !(0..=1).contains(&value),
        SysctlKey::Conf6(..) => false,
    }
}

/// Keys written through devinet_conf_proc(); the others have handlers of their own that leave
/// existing interfaces alone.
fn follows_default(key: Conf4) -> bool {
    !matches!(key, Conf4::Forwarding | Conf4::RouteLocalnet | Conf4::PromoteSecondaries)
}

#[cfg(test)]
mod tests {
    use crate::host::HostState;

    #[test]
    fn values_that_the_kernel_refuses_are_refused() {
        let mut host = HostState::new();
        let (mut refused, mut taken) = (0, 0);
        for (key, bad, good) in [
            ("net.ipv4.neigh.lo.mcast_solicit", -1, 0),
            ("net.ipv4.neigh.lo.retrans_time_ms", -1, 0),
            ("net.ipv6.neigh.default.unres_qlen_bytes", -1, 0),
            ("net.ipv4.tcp_syn_retries", 0, 1),
            ("net.ipv4.tcp_syn_retries", 128, 127),
            ("net.ipv4.tcp_syn_linear_timeouts", 128, 127),
            ("net.ipv4.icmp_msgs_burst", -1, 0),
            ("net.ipv6.conf.lo.accept_untracked_na", 3, 2),
            ("net.ipv6.conf.lo.ndisc_evict_nocarrier", 2, 1),
        ] {
            let mut write = |value: i32| host.apply(&format!("sysctl -w {key}={value}").parse().unwrap());
            refused += i32::from(write(bad).is_err_and(|e| e.errno.number() == 22));
            taken += i32::from(write(good).is_ok());
        }
        // nobody keeps these two from being negative
        for key in ["net.ipv4.neigh.lo.proxy_delay", "net.ipv4.conf.lo.rp_filter"] {
            taken += i32::from(host.apply(&format!("sysctl -w {key}=-1").parse().unwrap()).is_ok());
        }
        assert_eq!((refused, taken), (9, 11));
    }
}
