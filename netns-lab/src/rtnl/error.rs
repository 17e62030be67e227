//! What a netlink request can come back with.

use std::io;

use netlink_packet_core::NlasIterator;

use crate::{Errno, ExecError};

/// An rtnetlink request failed. Every variant says what was asked, in the words of ip(8).
#[derive(Debug, thiserror::Error)]
pub enum RtnlError {
    /// The kernel refused the request.
    #[error(
        "the kernel refused `{asked}` in namespace `{label}`: {errno}{}{}",
        kernel_words(.kernel_says.as_deref()),
        advice(*.errno)
    )]
    Refused {
        /// The request.
        asked: String,
        /// The namespace's label.
        label: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own explanation (extended acknowledgement, since Linux 4.12), if any.
        kernel_says: Option<String>,
    },
    /// No interface of that name or index is in the namespace.
    #[error(
        "`{asked}`: there is no interface `{dev}` in namespace `{label}`; was it moved, renamed or deleted?"
    )]
    NoSuchDevice {
        /// The request.
        asked: String,
        /// The namespace's label.
        label: String,
        /// The interface looked for.
        dev: String,
    },
    /// The request contradicts itself and was not sent.
    #[error("`{asked}` makes no sense: {why}")]
    Invalid {
        /// The request.
        asked: String,
        /// What is wrong with it.
        why: String,
    },
    /// No netlink socket could be had.
    #[error("cannot open an rtnetlink socket in namespace `{label}`: {source}")]
    Socket {
        /// The namespace's label.
        label: String,
        /// What socket(2), bind(2) or setsockopt(2) said.
        source: io::Error,
    },
    /// [`Rtnl::open`](super::Rtnl::open) was called outside a tokio runtime.
    #[error(
        "an async rtnetlink handle for namespace `{label}` needs a tokio runtime with I/O enabled; \
         call it from async code, or use Netns::blocking()"
    )]
    NoRuntime {
        /// The namespace's label.
        label: String,
    },
    /// The task that drives the socket is gone, with the runtime in which the handle was opened.
    /// Whether the kernel carried out the request is unknown.
    #[error(
        "no answer to `{asked}` in namespace `{label}`: the runtime that drove this handle has ended; \
         open a handle in the current one"
    )]
    Closed {
        /// The request.
        asked: String,
        /// The namespace's label.
        label: String,
    },
    /// The kernel answered with something that cannot be understood.
    #[error("the answer to `{asked}` in namespace `{label}` cannot be understood: {what}")]
    Unexpected {
        /// The request.
        asked: String,
        /// The namespace's label.
        label: String,
        /// What came, or did not.
        what: String,
    },
    /// The namespace's thread could not run a blocking request.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

impl RtnlError {
    /// The kernel's error number, where the kernel refused.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::NoSuchDevice { .. } => Some(Errno::ENODEV),
            _ => None,
        }
    }

    /// It is there already (`EEXIST`).
    #[must_use]
    pub fn already_exists(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// It is not there: `ENODEV` for links, `ESRCH` for routes, `ENOENT` for rules and
    /// neighbours, `EADDRNOTAVAIL` for addresses.
    #[must_use]
    pub fn not_found(&self) -> bool {
        let gone = [Errno::ENODEV, Errno::ESRCH, Errno::ENOENT, Errno::EADDRNOTAVAIL];
        self.errno().is_some_and(|errno| gone.contains(&errno))
    }
}

fn kernel_words(says: Option<&str>) -> String {
    says.map(|says| format!(", \"{says}\"")).unwrap_or_default()
}

fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => {
            "; it takes CAP_NET_ADMIN: run as root, or call netns_lab::rootless::enter() at the start of main"
        }
        Errno::EEXIST => "; it is there already: delete it first, or use the replacing form",
        Errno::ESRCH | Errno::ENOENT | Errno::EADDRNOTAVAIL => "; there is none such",
        Errno::ENETUNREACH => "; the gateway is not reachable over that link: add a route to it, or onlink",
        Errno::ENETDOWN => "; set the link up first",
        Errno::EOPNOTSUPP => {
            "; this kernel or this device cannot do that: see netns_lab::capabilities::detect()"
        }
        _ => "",
    }
}

/// Length of the request's header that the kernel puts before its explanation.
const NLMSG_HEADER_BYTES: usize = 16;
/// `NLMSGERR_ATTR_MSG`.
const EXPLANATION: u16 = 1;

/// The kernel's explanation in an error message, from what follows the error number. The socket
/// has NETLINK_CAP_ACK set, so of the request only the header comes back, and then attributes;
/// see netlink(7).
pub(crate) fn explanation(after_number: &[u8]) -> Option<String> {
    let attributes = after_number.get(NLMSG_HEADER_BYTES..)?;
    let found = NlasIterator::new(attributes).flatten().find(|nla| nla.kind() == EXPLANATION)?;
    let text = String::from_utf8_lossy(found.value());
    Some(text.trim_end_matches('\0').to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_asked_why_it_failed_and_what_to_do() {
        let error = RtnlError::Refused {
            asked: "ip route add default via 10.0.0.1 dev eth0".into(),
            label: "pod".into(),
            errno: Errno::ENETUNREACH,
            kernel_says: Some("Nexthop has invalid gateway".into()),
        };
        assert_eq!(
            error.to_string(),
            "the kernel refused `ip route add default via 10.0.0.1 dev eth0` in namespace `pod`: \
             ENETUNREACH (Network is unreachable), \"Nexthop has invalid gateway\"; the gateway is not \
             reachable over that link: add a route to it, or onlink"
        );
    }

    #[test]
    fn finds_the_explanation_after_the_header() {
        let mut message = vec![0; NLMSG_HEADER_BYTES];
        assert_eq!(explanation(&message), None);
        for part in [[7_u16, 1], [u16::from_ne_bytes(*b"no"), 0]].as_flattened() {
            message.extend(part.to_ne_bytes());
        }
        assert_eq!(explanation(&message), Some("no".into()));
        assert_eq!(explanation(&message[..3]), None);
    }
}
