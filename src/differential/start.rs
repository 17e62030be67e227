//! What a new namespace of this machine starts with, as changes to an untouched one.
//!
//! A namespace copies `all` and `default` from the machine's first namespace, with the marks of
//! what was written to `default` there; those marks can only be found out by trying.

use crate::addr::IfName;
use crate::host::Mutation;
use crate::host::conf::{Conf4, NeighVar, Scope, SysctlKey};
use crate::namespace::StageError;
use netns_lab::Netns;
use netns_lab::rtnl::VethEnd;
use std::fs;

const PROBE: IfName = IfName::literal("probe0");

/// Reads a sysctl on the namespace's own thread.
pub(super) fn read(key: SysctlKey) -> Option<i32> {
    fs::read_to_string(format!("/proc/sys/{}", key.path())).ok()?.trim().parse().ok()
}

fn write(key: SysctlKey, value: i32) {
    // one that cannot be written reads back unchanged, which is all that matters here
    let _ = fs::write(format!("/proc/sys/{}", key.path()), value.to_string());
}

/// The changes that make an untouched state one of this machine.
pub(super) fn start() -> Result<Vec<Mutation>, StageError> {
    let netns = Netns::new("start")?;
    let ends = (VethEnd::new(PROBE.as_str()), VethEnd::new("probe1"));
    netns.blocking().add_veth(&ends.0, &ends.1)?;
    Ok(netns.exec(look)?)
}

fn look() -> Vec<Mutation> {
    let mut changes = Vec::new();
    for &key in Conf4::ALL {
        let all = SysctlKey::Conf4(Scope::All, key);
        changes.extend(differs(all, key.kernel_default()));
    }
    for &key in Conf4::ALL {
        let default = SysctlKey::Conf4(Scope::Default, key);
        let Some(value) = read(default) else { continue };
        if value != key.kernel_default() || is_given(default, SysctlKey::Conf4(Scope::Dev(PROBE), key), value)
        {
            changes.push(Mutation::Sysctl { key: default, value });
        }
    }
    for &key in NeighVar::ALL {
        // `default` is not there in a namespace, but an interface starts with it
        let value = read(SysctlKey::Neigh4(Scope::Dev(PROBE), key));
        if let Some(value) = value.filter(|v| *v != key.kernel_default()) {
            changes.push(Mutation::Sysctl { key: SysctlKey::Neigh4(Scope::Default, key), value });
        }
    }
    changes
}

fn differs(key: SysctlKey, untouched: i32) -> Option<Mutation> {
    read(key).filter(|v| *v != untouched).map(|value| Mutation::Sysctl { key, value })
}

/// An interface that follows neither way never will: `default` was written before it was made.
fn is_given(default: SysctlKey, probe: SysctlKey, value: i32) -> bool {
    let other = i32::from(value == 0);
    write(default, other);
    let followed = read(probe) == Some(other);
    write(default, value);
    // some keys never follow; for those there is no mark
    !followed && read(default) == Some(value) && follows(probe)
}

fn follows(probe: SysctlKey) -> bool {
    !matches!(
        probe,
        SysctlKey::Conf4(_, Conf4::Forwarding | Conf4::RouteLocalnet | Conf4::PromoteSecondaries)
    )
}
