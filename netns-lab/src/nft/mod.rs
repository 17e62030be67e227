//! Dropping ARP packets inside the kernel, through nf_tables' family `arp`; and what a namespace
//! has in nf_tables of all families.
//!
//! Speaks nfnetlink itself, so that neither the program nft(8) nor a library is needed. Each
//! rule sits alone in a table of its own, made and removed in one transaction: removing it is
//! removing the table, and nothing else in the namespace is touched.

mod list;
mod message;
mod object;
mod rule;

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

pub use list::ruleset;
pub use object::{NftObject, delete, objects};
pub use rule::{ArpDrop, ArpHook, ArpOperation};

use crate::{
    Errno, ExecError, Netns,
    rtnl::{explanation, name_fault},
};
use message::{Attributes, HEADER_BYTES, Kind};

/// Length of an answer in which the kernel could put all that this module asks.
const ANSWER_BYTES: usize = 16 * 1024;
/// `NLMSG_ERROR`, which is also the acknowledgement.
const NLMSG_ERROR: u16 = 2;

/// A rule could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The kernel refused it.
    #[error(
        "the kernel refused `{asked}` in namespace `{label}`: {errno}{}; {}",
        .kernel_says.as_deref().map(|says| format!(", \"{says}\"")).unwrap_or_default(),
        advice(*.errno)
    )]
    Refused {
        /// The request, in the language of nft(8).
        asked: String,
        /// The namespace's label.
        label: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own explanation, if any.
        kernel_says: Option<String>,
    },
    /// The rule makes no sense and was not sent.
    #[error("`{asked}` makes no sense: {why}")]
    Invalid {
        /// The request.
        asked: String,
        /// What is wrong with it.
        why: String,
    },
    /// No netfilter socket, or no answer on it.
    #[error("cannot speak to nf_tables in namespace `{label}`: {source}; {}", advice(Errno::of(.source)))]
    Socket {
        /// The namespace's label.
        label: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The namespace's thread could not do it.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

pub(crate) fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => {
            "it takes CAP_NET_ADMIN: run as root, or call netns_lab::rootless::enter() at the start of main"
        }
        Errno::EOPNOTSUPP => "this kernel has no nf_tables of family arp (CONFIG_NF_TABLES_ARP)",
        Errno::ENOENT => "there is none such, or a part of nf_tables is missing from this kernel",
        _ if errno.raw() == libc::EPROTONOSUPPORT => {
            "this kernel has no nfnetlink (CONFIG_NETFILTER_NETLINK)"
        }
        _ if errno.raw() == libc::EAFNOSUPPORT => {
            "this kernel has no nf_tables of family arp (CONFIG_NF_TABLES_ARP)"
        }
        Errno::EINVAL => "this kernel has no nf_tables (CONFIG_NF_TABLES), or does not know an expression",
        _ => "see nft(8)",
    }
}

/// A rule that is in force. It stays when this is dropped, and goes with the namespace.
#[derive(Debug)]
pub struct InstalledArpDrop {
    table: String,
}

impl ArpDrop {
    /// Puts the rule into force in `netns`.
    ///
    /// # Errors
    /// [`NftError::Refused`] with what is missing: rights, or a part of the kernel.
    pub fn install(&self, netns: &Netns) -> Result<InstalledArpDrop, NftError> {
        // The names need only differ within a namespace; within a process is simpler.
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let table = format!("netns-lab-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let asked = format!("nft add rule arp {table} {self}");
        if let Some(why) = name_fault(&self.dev) {
            return Err(NftError::Invalid { asked, why });
        }
        let changes = [
            (Kind::NewTable, Self::table(&table)),
            (Kind::NewChain, self.chain(&table)),
            (Kind::NewRule, self.rule(&table)),
        ];
        transact(netns, &asked, &changes)?;
        Ok(InstalledArpDrop { table })
    }
}

impl InstalledArpDrop {
    /// Name of the table that holds the rule, as `nft list ruleset` shows it.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Takes the rule out of `netns`, which must be the namespace that it was put into.
    ///
    /// # Errors
    /// [`NftError::Refused`], with `ENOENT` if somebody else has removed it.
    pub fn remove(self, netns: &Netns) -> Result<(), NftError> {
        let asked = format!("nft delete table arp {}", self.table);
        transact(netns, &asked, &[(Kind::DeleteTable, ArpDrop::table(&self.table))])
    }
}

/// Does all of the changes, or none.
fn transact(netns: &Netns, asked: &str, changes: &[(Kind, Attributes)]) -> Result<(), NftError> {
    let batch = batch(changes);
    let label = netns.label();
    let outcome = netns.exec(|| exchange(&batch, changes.len()))?;
    match outcome.map_err(|source| NftError::Socket { label: label.to_owned(), source })? {
        None => Ok(()),
        Some((errno, kernel_says)) => {
            Err(NftError::Refused { asked: asked.to_owned(), label: label.to_owned(), errno, kernel_says })
        }
    }
}

fn batch(changes: &[(Kind, Attributes)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    message::push(&mut bytes, Kind::BatchBegin, 0, &Attributes::new());
    for (sequence, (kind, attributes)) in (1..).zip(changes) {
        message::push(&mut bytes, *kind, sequence, attributes);
    }
    message::push(&mut bytes, Kind::BatchEnd, 0, &Attributes::new());
    bytes
}

type Refusal = Option<(Errno, Option<String>)>;

/// On the namespace's thread: sends the batch and reads the answers. The kernel has given all of
/// them by the time that send(2) returns, so nothing here waits.
fn exchange(batch: &[u8], wanted: usize) -> io::Result<Refusal> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    socket.set_non_blocking(true)?;
    socket.send(batch, 0)?;
    let mut acknowledged = 0;
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    while acknowledged < wanted {
        answer.clear();
        socket.recv(&mut answer, 0)?;
        for one in answers(&answer) {
            match one {
                (Errno::NONE, _) => acknowledged += 1,
                refusal => return Ok(Some(refusal)),
            }
        }
    }
    Ok(None)
}

/// The acknowledgements and errors in a datagram.
fn answers(mut bytes: &[u8]) -> Vec<(Errno, Option<String>)> {
    let mut found = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(message) = bytes.get(..length).filter(|_| length >= HEADER_BYTES) else { break };
        let kind = rest.first_chunk().map(|kind| u16::from_ne_bytes(*kind));
        if let Some((code, after)) = message[HEADER_BYTES..].split_first_chunk()
            && kind == Some(NLMSG_ERROR)
        {
            found.push((Errno::from_raw(i32::from_ne_bytes(*code)), explanation(after)));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> Vec<u8> {
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(NLMSG_ERROR.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend(code.to_ne_bytes());
        bytes.resize(36, 0);
        bytes
    }

    #[test]
    fn answers_are_told_apart() {
        let bytes = [error(0), error(-libc::ENOENT)].concat();
        assert_eq!(answers(&bytes), [(Errno::NONE, None), (Errno::ENOENT, None)]);
        assert_eq!(answers(&bytes[..40]), [(Errno::NONE, None)]);
        assert_eq!(answers(&[0; 40]), []);
    }
}
