//! What is done to a step.

use crate::near::WordError;
use netns_lab::Errno;
use netns_lab::supervise::{Kind, Message};
use std::fmt;
use std::str::FromStr;

/// What is done to one step of a plugin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutAction {
    /// It fails with this error, and the kernel does not see it.
    Fail(Errno),
    /// The plugin and its children are killed before it.
    KillBefore,
    /// The plugin and its children are killed when the kernel has carried it out.
    KillAfter,
    /// The plugin and its children are killed as by `KillAfter`, the pod's namespace goes, and GC is all
    /// that comes.
    Orphan,
    /// It waits, while a client in the pod asks for the gateway.
    Hold,
    /// It waits until another pod's ADD by the same plugins is over.
    OtherFirst,
    /// What it did is undone when ADD is over.
    Undo,
}

impl CutAction {
    /// The same word for all that differ in a value only.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            CutAction::Fail(_) => "fail",
            CutAction::KillBefore => "kill-before",
            CutAction::KillAfter => "kill-after",
            CutAction::Orphan => "orphan",
            CutAction::Hold => "hold",
            CutAction::OtherFirst => "other-first",
            CutAction::Undo => "undo",
        }
    }
}

impl fmt::Display for CutAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CutAction::Fail(errno) => write!(f, "fail {}", errno.name()),
            other => f.write_str(other.word()),
        }
    }
}

impl FromStr for CutAction {
    type Err = WordError;

    fn from_str(text: &str) -> Result<CutAction, WordError> {
        if let Some(name) = text.strip_prefix("fail ") {
            let errno =
                Errno::from_name(name).ok_or_else(|| format!("{name:?} is no error of the kernel"))?;
            return Ok(CutAction::Fail(errno));
        }
        let all = [
            CutAction::KillBefore,
            CutAction::KillAfter,
            CutAction::Orphan,
            CutAction::Hold,
            CutAction::OtherFirst,
            CutAction::Undo,
        ];
        all.into_iter().find(|action| action.word() == text).ok_or_else(|| {
            format!(
                "{text:?} is no action: fail ERROR, kill-before, kill-after, orphan, hold, other-first, undo"
            )
            .into()
        })
    }
}

/// Whether a request changes something that outlives it: the network, a sysctl, a file.
pub(super) fn changes(kind: &Kind) -> bool {
    match kind {
        Kind::Netlink { messages, .. } => messages.iter().any(|it| it.changes && !it.frame),
        Kind::Sysctl { .. }
        | Kind::Open { .. }
        | Kind::Name { .. }
        | Kind::ReplaceTable { .. }
        | Kind::Other { .. } => true,
        _ => false,
    }
}

/// Whether what a request does can be taken back alone.
pub(super) fn can_be_undone(kind: &Kind) -> bool {
    match kind {
        Kind::Netlink { protocol: NETFILTER, messages } => {
            messages.iter().any(|message| MAKES_NFT.contains(&message.kind))
        }
        Kind::Netlink { messages, .. } => messages.iter().any(|message| message.undo.is_some()),
        Kind::Sysctl { .. } => true,
        Kind::Open { flags, .. } => flags & O_CREAT != 0,
        Kind::ReplaceTable { option, .. } => *option == SET_REPLACE,
        _ => false,
    }
}

/// `O_CREAT` of open(2).
const O_CREAT: u32 = 0o100;
/// `IPT_SO_SET_REPLACE`, and that of IPv6; see include/uapi/linux/netfilter_ipv4/ip_tables.h.
const SET_REPLACE: u32 = 64;
/// `NETLINK_NETFILTER`.
pub(super) const NETFILTER: i32 = 12;
/// `NFT_MSG_NEWTABLE`, `NEWCHAIN` and `NEWRULE` of `NFNL_SUBSYS_NFTABLES`; see
/// include/uapi/linux/netfilter/nf_tables.h.
const MAKES_NFT: [u16; 3] = [0xa00, 0xa03, 0xa06];

/// Whether a request may fail for a reason of its own, so that it is a step though it changes
/// nothing that outlives the plugin.
pub(super) fn may_fail(kind: &Kind) -> bool {
    changes(kind)
        || matches!(
            kind,
            Kind::OpenSysctl { .. } | Kind::Enter { .. } | Kind::NewNamespaces { .. } | Kind::Exec { .. }
        )
}

/// Errors that the kernel can give there. None of them says something about the network that is
/// not so, as `EEXIST` for what is not there would: a plugin may rely on what it is told.
pub(super) fn errors(kind: &Kind) -> Vec<Errno> {
    match kind {
        Kind::Netlink { protocol: 0, messages } => route_errors(messages),
        Kind::Netlink { .. } => vec![ENOMEM, Errno::EBUSY],
        Kind::Sysctl { .. } => vec![Errno::EINVAL],
        Kind::Open { .. } => vec![Errno::ENOSPC, Errno::EACCES],
        Kind::OpenSysctl { .. } | Kind::Name { call: "unlink" | "rmdir", .. } => vec![Errno::EROFS],
        Kind::Name { .. } | Kind::NewNamespaces { .. } => vec![Errno::ENOSPC],
        Kind::Exec { .. } | Kind::ReplaceTable { .. } => vec![ENOMEM],
        _ => vec![Errno::EPERM],
    }
}

/// `ENOMEM` and `ENOBUFS`, which have no names in `netns_lab`.
const ENOMEM: Errno = Errno::from_raw(12);
const ENOBUFS: Errno = Errno::from_raw(105);
/// `RTM_NEWLINK` and `RTM_SETLINK`; see include/uapi/linux/rtnetlink.h.
const LINK: [u16; 2] = [16, 19];

fn route_errors(messages: &[Message]) -> Vec<Errno> {
    if messages.iter().any(|message| LINK.contains(&message.kind)) {
        vec![ENOMEM, Errno::EBUSY]
    } else {
        vec![ENOBUFS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for text in [
            "fail ENOMEM",
            "fail EBUSY",
            "kill-before",
            "kill-after",
            "orphan",
            "hold",
            "other-first",
            "undo",
        ] {
            assert_eq!(text.parse::<CutAction>().expect(text).to_string(), text);
        }
        assert!("fail EVIL".parse::<CutAction>().is_err() && "kill".parse::<CutAction>().is_err());
    }
}
