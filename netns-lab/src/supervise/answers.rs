//! The kernel's answers to requests that it carried out itself.
//!
//! A system call that is let go does not come back to the supervisor, so its result is not seen.
//! What is known, and how:
//!
//! - netlink: the kernel puts its answer into the socket before sendmsg(2) returns. A copy of the
//!   descriptor is kept until then, and the answer is looked at (`MSG_PEEK`), not taken, when the
//!   process comes to read the socket, or when the thread makes its next request of any kind;
//! - of several messages of one call: the first refusal is the call's answer, with the message that it is for
//!   in its explanation; those around it may have been carried out. The answers to several datagrams, of
//!   sendmmsg(2), wait one behind the other, and each is seen when the process has read those before it;
//! - a message that asks for no acknowledgement, as those of nft batches: no error in the
//!   socket by then means that it was done;
//! - setns(2) and execve(2): the thread is elsewhere, or another program, at its next request;
//! - anything else: unknown.

use std::os::fd::AsRawFd;

use netlink_packet_core::{ErrorBuffer, NetlinkBuffer};
use nix::sys::socket::{MsgFlags, recv};

use super::{
    Answer, Kind, Message, Request,
    tracee::{self, NetlinkSocket},
};
use crate::{Errno, NetnsId, rtnl::explanation};

const NLMSG_ERROR: u16 = 2;
/// The error carries the header of the request only, and not the whole of it.
const NLM_F_CAPPED: u16 = 0x100;
const HEADER_BYTES: usize = 16;
/// How much of an answer is looked at. The kernel makes the parts of a dump as large as the
/// largest buffer that anybody read the socket with, so a larger one would have the process get
/// more at a time than it has room for. Up to one page it makes no difference.
const LOOK_BYTES: usize = 3584;

/// A request whose answer is awaited.
#[derive(Debug)]
pub(super) struct Open {
    /// Its place among the records.
    pub(super) record: usize,
    tid: i32,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Socket {
        socket: NetlinkSocket,
        sequences: Vec<Awaited>,
    },
    Enters(NetnsId),
    /// The program that the thread ran before.
    Runs(std::path::PathBuf),
}

#[derive(Clone, Debug)]
struct Awaited {
    sequence: u32,
    wanted: bool,
    /// What was asked, where a call asks several things.
    words: Option<String>,
}

/// All requests whose answer is awaited.
#[derive(Debug, Default)]
pub(super) struct Answers {
    open: Vec<Open>,
}

/// An answer that became known, and the record it is for.
pub(super) type Found = (usize, Answer);

impl Answers {
    /// Follows a netlink request on a copy of its socket.
    pub(super) fn await_socket(
        &mut self,
        record: usize,
        tid: i32,
        socket: NetlinkSocket,
        messages: &[Message],
    ) {
        let several = messages.iter().filter(|message| !message.frame).count() > 1;
        let awaited = |message: &Message| Awaited {
            sequence: message.sequence,
            wanted: message.wants_answer(),
            words: several.then(|| message.words.clone()),
        };
        let sequences = messages.iter().map(awaited).collect();
        self.open.push(Open { record, tid, way: Way::Socket { socket, sequences } });
    }

    /// Follows a request that shows in the thread's next one.
    pub(super) fn await_thread(&mut self, record: usize, request: &Request) {
        let way = match &request.kind {
            Kind::Enter { netns: Some(netns), .. } => Way::Enters(*netns),
            Kind::Exec { .. } => Way::Runs(running(request.tid)),
            _ => return,
        };
        self.open.push(Open { record, tid: request.tid, way });
    }

    /// The process is about to read the socket: what it will find, if that is for a request of it.
    pub(super) fn before_reading(&mut self, socket: &NetlinkSocket) -> Vec<Found> {
        self.settle(
            |open| matches!(&open.way, Way::Socket { socket: it, .. } if it.inode == socket.inode),
            false,
        )
    }

    /// The thread makes another request, so it is done with the ones before.
    pub(super) fn before_next(&mut self, tid: i32) -> Vec<Found> {
        // Others may have got where they wanted, and will not come back to tell.
        let mut found = self.settle(|open| open.tid != tid && !matches!(open.way, Way::Socket { .. }), false);
        found.extend(self.settle(|open| open.tid == tid, true));
        found
    }

    /// Nobody is left who could ask.
    pub(super) fn at_end(&mut self) -> Vec<Found> {
        let found = self.settle(|_| true, true);
        self.open.clear();
        found
    }

    fn settle(&mut self, concerns: impl Fn(&Open) -> bool, returned: bool) -> Vec<Found> {
        let mut found = Vec::new();
        self.open.retain_mut(|open| {
            if !concerns(open) {
                return true;
            }
            match open.look(returned) {
                Some(answer) => {
                    found.push((open.record, answer));
                    false
                }
                // a thread that was seen again tells no more later
                None => !returned || matches!(open.way, Way::Socket { .. }),
            }
        });
        found
    }
}

impl Open {
    /// What can be said now. `returned`: the system call has come back.
    fn look(&mut self, returned: bool) -> Option<Answer> {
        match &mut self.way {
            Way::Enters(netns) => (tracee::netns_of_thread(self.tid) == Some(*netns)).then_some(Answer::Done),
            Way::Runs(before) => {
                let now = running(self.tid);
                (!now.as_os_str().is_empty() && now != *before).then_some(Answer::Done)
            }
            Way::Socket { socket, sequences } => {
                let mut bytes = [0; LOOK_BYTES];
                let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
                let length = recv(socket.fd.as_raw_fd(), &mut bytes, flags).unwrap_or(0);
                if let Some(refused) = take_in(&bytes[..length], sequences) {
                    return Some(refused);
                }
                // Those that want no answer are done when the call has come back without an error.
                let left = sequences.iter().any(|awaited| awaited.wanted || !returned);
                (!left).then_some(Answer::Done)
            }
        }
    }
}

fn running(tid: i32) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default()
}

/// Strikes off what is answered well; an error is the whole request's answer.
fn take_in(bytes: &[u8], sequences: &mut Vec<Awaited>) -> Option<Answer> {
    let mut rest = bytes;
    while rest.len() >= HEADER_BYTES {
        let header = NetlinkBuffer::new(rest);
        let length = (header.length() as usize).clamp(HEADER_BYTES, rest.len());
        let sequence = header.sequence_number();
        if let Some(awaited) = sequences.iter().find(|awaited| awaited.sequence == sequence) {
            if header.message_type() == NLMSG_ERROR
                && let Some((errno, says)) = refusal(&rest[HEADER_BYTES..length], header.flags())
            {
                let kernel_says = match (&awaited.words, says) {
                    (None, says) => says,
                    (Some(words), None) => Some(format!("of `{words}`")),
                    (Some(words), Some(says)) => Some(format!("of `{words}`: {says}")),
                };
                return Some(Answer::Refused { errno, kernel_says });
            }
            sequences.retain(|awaited| awaited.sequence != sequence);
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// The error in an `NLMSG_ERROR`; `None` if it is an acknowledgement.
fn refusal(payload: &[u8], flags: u16) -> Option<(Errno, Option<String>)> {
    let error = ErrorBuffer::new_checked(payload).ok()?;
    let errno = Errno::from_raw(error.code()?.get());
    let request = error.payload();
    // After the number comes the request, whole or its header; after that the explanation.
    let whole = NetlinkBuffer::new_checked(request).map_or(0, |header| header.length() as usize);
    let skip = if flags & NLM_F_CAPPED != 0 { HEADER_BYTES } else { whole.next_multiple_of(4) };
    Some((errno, request.get(skip.saturating_sub(HEADER_BYTES)..).and_then(explanation)))
}
