//! What a client saw.

use crate::stack::SendError;
use crate::time::{Span, Time};
use crate::wire::Unreachable;
use core::fmt;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::net::IpAddr;

/// A socket's error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum SocketError {
    Enetunreach,
    Ehostunreach,
    Econnrefused,
    Econnreset,
    Etimedout,
    Eacces,
    Einval,
    Enobufs,
    Eaddrnotavail,
}

impl SocketError {
    /// The name of the error number.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SocketError::Enetunreach => "ENETUNREACH",
            SocketError::Ehostunreach => "EHOSTUNREACH",
            SocketError::Econnrefused => "ECONNREFUSED",
            SocketError::Econnreset => "ECONNRESET",
            SocketError::Etimedout => "ETIMEDOUT",
            SocketError::Eacces => "EACCES",
            SocketError::Einval => "EINVAL",
            SocketError::Enobufs => "ENOBUFS",
            SocketError::Eaddrnotavail => "EADDRNOTAVAIL",
        }
    }
    /// What strerror(3) says.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            SocketError::Enetunreach => "Network is unreachable",
            SocketError::Ehostunreach => "No route to host",
            SocketError::Econnrefused => "Connection refused",
            SocketError::Econnreset => "Connection reset by peer",
            SocketError::Etimedout => "Connection timed out",
            SocketError::Eacces => "Permission denied",
            SocketError::Einval => "Invalid argument",
            SocketError::Enobufs => "No buffer space available",
            SocketError::Eaddrnotavail => "Cannot assign requested address",
        }
    }

    /// What an ICMP "unreachable" means to a socket (icmp_err_convert).
    #[must_use]
    pub const fn of_icmp(why: Unreachable) -> SocketError {
        match why {
            Unreachable::Net => SocketError::Enetunreach,
            Unreachable::Host | Unreachable::Scope | Unreachable::Prohibited => SocketError::Ehostunreach,
            Unreachable::Port => SocketError::Econnrefused,
        }
    }
}

impl From<SendError> for SocketError {
    fn from(error: SendError) -> SocketError {
        match error {
            SendError::NetUnreachable => SocketError::Enetunreach,
            SendError::HostUnreachable => SocketError::Ehostunreach,
            SendError::Prohibited => SocketError::Eacces,
            SendError::Invalid => SocketError::Einval,
            SendError::NoBuffers => SocketError::Enobufs,
            SendError::AddressNotAvailable => SocketError::Eaddrnotavail,
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Failure {
    /// A system call returned an error.
    Socket(SocketError),
    /// ping was told that its echo went nowhere.
    Icmp {
        /// By whom.
        from: IpAddr,
        /// Which of the codes of destination unreachable.
        why: Unreachable,
    },
    /// The application lost patience.
    Patience,
}

impl Failure {
    /// The error number's name, or the words a person sees.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Failure::Socket(error) => error.name(),
            Failure::Icmp { from, why } => why.text(matches!(from, IpAddr::V6(_))),
            Failure::Patience => "i/o timeout",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Socket(error) => f.write_str(error.text()),
            Failure::Icmp { from, why } => write!(f, "From {from}: {}", why.text(from.is_ipv6())),
            Failure::Patience => f.write_str("i/o timeout"),
        }
    }
}

/// How far an attempt got.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    /// Nothing came back yet; at the end of a run this is a loss.
    Pending,
    /// Answered.
    Answered,
    /// Failed, audibly.
    Failed(Failure),
}

/// One echo, connection, write, datagram or request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attempt {
    /// Its number, from 1: ping's icmp_seq.
    pub number: u32,
    /// Which of the connections dialled in parallel, from 0.
    pub lane: u32,
    /// When it began.
    pub began: Time,
    /// When it was answered or failed.
    pub ended: Option<Time>,
    /// What became of it.
    pub fate: Fate,
}

impl Attempt {
    /// From beginning to end.
    #[must_use]
    pub fn took(&self) -> Option<Span> {
        self.ended.map(|t| t.since(self.began))
    }
}

/// The attempts of a client; a short run keeps them in place.
pub type Attempts = SmallVec<[Attempt; 4]>;

/// What a client saw.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outcome {
    /// When it was started.
    pub started: Option<Time>,
    /// When it ended of its own accord.
    pub ended: Option<Time>,
    /// Attempts made.
    pub sent: u32,
    /// Attempts answered.
    pub received: u32,
    /// Attempts that failed audibly.
    pub errors: u32,
    /// Answers beyond the first to one attempt.
    pub duplicates: u32,
    /// When the first answer came.
    pub first_success: Option<Time>,
    /// When the last answer came.
    pub last_success: Option<Time>,
    /// Each attempt, in the order they began.
    pub attempts: Attempts,
}

impl Outcome {
    /// Attempts of which nothing was heard.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.attempts.iter().filter(|a| a.fate == Fate::Pending).count() as u32
    }

    /// From the start to the first answer.
    #[must_use]
    pub fn delay(&self) -> Option<Span> {
        Some(self.first_success?.since(self.started?))
    }

    /// The failure of the last attempt that failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.attempts.iter().rev().find_map(|a| match a.fate {
            Fate::Failed(failure) => Some(failure),
            _ => None,
        })
    }

    /// The attempt that was answered first.
    #[must_use]
    pub fn first_answered(&self) -> Option<&Attempt> {
        self.attempts.iter().filter(|a| a.fate == Fate::Answered).min_by_key(|a| (a.ended, a.number))
    }

    pub(super) fn begin(&mut self, now: Time, lane: u32) -> u32 {
        self.sent += 1;
        let attempt = Attempt { number: self.sent, lane, began: now, ended: None, fate: Fate::Pending };
        self.attempts.push(attempt);
        self.sent
    }

    /// Books an answer; `None` when there was no such attempt. The flag tells a repeated answer.
    pub(super) fn answer(&mut self, now: Time, number: u32) -> Option<(Span, bool)> {
        let attempt = self.attempts.get_mut(number.checked_sub(1)? as usize)?;
        let rtt = now.since(attempt.began);
        if attempt.fate == Fate::Answered {
            self.duplicates += 1;
            return Some((rtt, true));
        }
        attempt.fate = Fate::Answered;
        attempt.ended = Some(now);
        self.received += 1;
        self.first_success.get_or_insert(now);
        self.last_success = Some(now);
        Some((rtt, false))
    }

    /// The oldest attempt of which nothing was heard yet.
    pub(super) fn oldest_pending(&self) -> Option<u32> {
        self.attempts.iter().find(|a| a.fate == Fate::Pending).map(|a| a.number)
    }

    /// Books a failure of an attempt that has not ended.
    pub(super) fn fail(&mut self, now: Time, number: u32, failure: Failure) -> bool {
        let Some(attempt) = number.checked_sub(1).and_then(|at| self.attempts.get_mut(at as usize)) else {
            return false;
        };
        if attempt.fate != Fate::Pending {
            return false;
        }
        attempt.fate = Fate::Failed(failure);
        attempt.ended = Some(now);
        self.errors += 1;
        true
    }
}
