//! One attempt for each feature.

use super::{Feature, Status};
use crate::{
    Errno, Netns, NetnsError, PacketError, PacketOptions, PacketSocket, RtnlError, SysctlError,
    nft::{ArpDrop, ArpHook, NftError},
    rootless::{self, RootlessError},
    rtnl::VethEnd,
};

/// What is wrong and what to do.
struct Fault {
    reason: String,
    advice: String,
}

impl Fault {
    fn new(reason: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { reason: reason.into(), advice: advice.into() }
    }

    /// For errors that say all there is to say.
    fn unexpected(error: &impl std::error::Error) -> Self {
        Self::new(error.to_string(), "please report this")
    }
}

impl From<Result<(), Fault>> for Status {
    fn from(outcome: Result<(), Fault>) -> Self {
        match outcome {
            Ok(()) => Self::Available,
            Err(Fault { reason, advice }) => Self::Missing { reason, advice },
        }
    }
}

pub(super) fn all() -> Vec<(Feature, Status)> {
    let scratch = Netns::new("probe");
    Feature::ALL.map(|feature| (feature, one(feature, &scratch))).into()
}

fn one(feature: Feature, scratch: &Result<Netns, NetnsError>) -> Status {
    if feature == Feature::UserNamespaces {
        return user_namespaces().into();
    }
    match (scratch, feature) {
        (Ok(netns), feature) => in_scratch(feature, netns).into(),
        (Err(error), Feature::NetNamespaces) => Err(net_namespace_fault(error)).into(),
        (Err(_), _) => Status::Untried {
            reason: "it takes a network namespace".into(),
            advice: "settle that first".into(),
        },
    }
}

fn in_scratch(feature: Feature, netns: &Netns) -> Result<(), Fault> {
    match feature {
        // It is the scratch namespace; user namespaces are tried without.
        Feature::UserNamespaces | Feature::NetNamespaces => Ok(()),
        Feature::Sysctl => sysctl(netns),
        Feature::Veth => {
            let ends = (VethEnd::new("probe0"), VethEnd::new("probe1"));
            netns.blocking().add_veth(&ends.0, &ends.1).map_err(|error| link_fault(&error, "CONFIG_VETH"))
        }
        Feature::Bridge => {
            netns.blocking().add_bridge("probebr").map_err(|error| link_fault(&error, "CONFIG_BRIDGE"))
        }
        Feature::PacketSockets => packet_sockets(netns),
        Feature::Tap => tap(netns),
        Feature::NftArp => nft_arp(netns),
    }
}

fn user_namespaces() -> Result<(), Fault> {
    rootless::try_in_child().map_err(|error| match error {
        RootlessError::UserNamespace { errno, refusal } => {
            Fault::new(format!("unshare(CLONE_NEWUSER): {errno}, {}", refusal.reason()), refusal.advice())
        }
        RootlessError::Map { path, source, refusal, .. } => {
            Fault::new(format!("writing {path}: {source}, {}", refusal.reason()), refusal.advice())
        }
        RootlessError::NetNamespace { errno, refusal } => Fault::new(
            format!("unshare(CLONE_NEWNET) within: {errno}, {}", refusal.reason()),
            refusal.advice(),
        ),
        other @ (RootlessError::Threads { .. } | RootlessError::Join { .. }) => Fault::unexpected(&other),
    })
}

fn net_namespace_fault(error: &NetnsError) -> Fault {
    match error {
        NetnsError::Create { errno, .. } => {
            Fault::new(format!("unshare(CLONE_NEWNET): {errno}"), crate::netns::advise_create(*errno))
        }
        other => Fault::unexpected(other),
    }
}

fn link_fault(error: &RtnlError, option: &str) -> Fault {
    match error.errno() {
        Some(errno @ Errno::EOPNOTSUPP) => Fault::new(
            format!("RTM_NEWLINK: {errno}"),
            format!("use a kernel with {option}, or load its module"),
        ),
        Some(errno) => Fault::new(format!("RTM_NEWLINK: {errno}"), "run as root, or in a user namespace"),
        None => Fault::unexpected(error),
    }
}

/// Writes a switch of `lo` over with what it is.
fn sysctl(netns: &Netns) -> Result<(), Fault> {
    const KEY: &str = "net.ipv4.conf.lo.proxy_arp";
    let outcome = netns.sysctl().read(KEY).and_then(|value| netns.sysctl().write(KEY, value));
    outcome.map_err(|error| match error {
        SysctlError::Read { source, .. } => {
            Fault::new(format!("reading {KEY}: {source}"), crate::sysctl::advice(&source))
        }
        SysctlError::Write { source, .. } => {
            Fault::new(format!("writing {KEY}: {source}"), crate::sysctl::advice(&source))
        }
        other => Fault::unexpected(&other),
    })
}

fn packet_sockets(netns: &Netns) -> Result<(), Fault> {
    let opened = PacketSocket::open(netns, "lo", &PacketOptions::new().ignore_outgoing(true));
    opened.map(drop).map_err(|error| match error {
        PacketError::Open { step, source, .. } => {
            Fault::new(format!("{step}: {source}"), crate::packet::advice(&source))
        }
        other => Fault::unexpected(&other),
    })
}

#[cfg(feature = "tap")]
fn tap(netns: &Netns) -> Result<(), Fault> {
    use crate::{Tap, TapError};
    Tap::open(netns, "probetap").map(drop).map_err(|error| match error {
        TapError::Open { source, .. } => {
            Fault::new(format!("/dev/net/tun: {source}"), crate::tap::advice(&source))
        }
        other => Fault::unexpected(&other),
    })
}

#[cfg(not(feature = "tap"))]
fn tap(_netns: &Netns) -> Result<(), Fault> {
    Err(Fault::new("netns-lab was built without its feature tap", "build it with the feature"))
}

fn nft_arp(netns: &Netns) -> Result<(), Fault> {
    let rule = ArpDrop::new(ArpHook::Input, "lo").install(netns);
    rule.and_then(|rule| rule.remove(netns)).map_err(|error| match error {
        NftError::Refused { errno, .. } => {
            Fault::new(format!("making a table of family arp: {errno}"), crate::nft::advice(errno))
        }
        NftError::Socket { source, .. } => {
            Fault::new(format!("opening nfnetlink: {source}"), crate::nft::advice(Errno::of(&source)))
        }
        other => Fault::unexpected(&other),
    })
}
