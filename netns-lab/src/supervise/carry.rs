//! What is done about a request once the rules have spoken.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    Answer, Fate, Kind, Scope, Then, Verdict,
    listener::Reply,
    read::Means,
    run::{Call, Doomed, Held, Run},
    tracee,
};
use crate::Errno;

/// How long a process that is to be killed after a request may take to show that the request is
/// over, by making another.
const AFTER_WITHIN: Duration = Duration::from_secs(1);

impl Run<'_> {
    pub(super) fn carry_out(&mut self, record: usize, call: Call, verdict: Verdict) -> io::Result<()> {
        match verdict {
            Verdict::LetGo => self.let_go(record, call),
            Verdict::Fail(errno) => {
                let waits = self.reply(call.id, Reply::Fail(errno))?;
                self.settle(record, if waits { Fate::Failed(errno) } else { Fate::Gone });
                Ok(())
            }
            Verdict::Hold { at_most, then } => {
                let until = at_most.and_then(|time| Instant::now().checked_add(time));
                self.held.push(Held { record, call, until, then });
                Ok(())
            }
            Verdict::KillBefore(scope) => {
                self.settle(record, Fate::KilledBefore);
                let process = self.processes.handle(call.tid);
                self.kill(scope, process);
                Ok(())
            }
            Verdict::KillAfter(scope) => self.kill_after(record, call, scope),
        }
    }

    pub(super) fn release(&mut self, record: usize, call: Call, then: Then) {
        let verdict = match then {
            Then::LetGo => Verdict::LetGo,
            Then::Fail(errno) => Verdict::Fail(errno),
            Then::Kill(scope) => Verdict::KillBefore(scope),
            Then::KillAfter(scope) => Verdict::KillAfter(scope),
        };
        if let Err(error) = self.carry_out(record, call, verdict) {
            tracing::warn!(%error, "a held request could not be answered");
            self.settle(record, Fate::Gone);
        }
    }

    fn let_go(&mut self, record: usize, call: Call) -> io::Result<()> {
        if let Some(result) = self.write_in_place(&call) {
            self.write_answer(record, &result);
            let reply = match result {
                Ok(length) => Reply::Done(length as i64),
                Err(errno) => Reply::Fail(errno),
            };
            self.reply(call.id, reply)?;
            self.settle(record, Fate::LetGo);
            return Ok(());
        }
        self.follow(record, call.tid, call.means);
        let waits = self.reply(call.id, Reply::Continue)?;
        self.settle(record, if waits { Fate::LetGo } else { Fate::Gone });
        Ok(())
    }

    fn kill_after(&mut self, record: usize, call: Call, scope: Scope) -> io::Result<()> {
        let process = self.processes.handle(call.tid);
        if let Some(result) = self.write_in_place(&call) {
            self.write_answer(record, &result);
            self.settle(record, Fate::KilledAfter);
            self.kill(scope, process);
            return Ok(());
        }
        if let Some(sent) = self.send_in_place(record, &call) {
            match (sent, call.means) {
                // the kernel has answered by now
                (Ok(_), means) => {
                    self.follow(record, call.tid, means);
                    let found = self.answers.before_next(call.tid);
                    self.note(found);
                }
                (refused @ Err(_), _) => self.write_answer(record, &refused),
            }
            self.settle(record, Fate::KilledAfter);
            self.kill(scope, process);
            return Ok(());
        }
        self.follow(record, call.tid, call.means);
        let until = Instant::now() + AFTER_WITHIN;
        let pid = self.records[record].request.pid;
        let waits = self.reply(call.id, Reply::Continue)?;
        self.settle(record, if waits { Fate::KilledAfter } else { Fate::Gone });
        self.doomed.push(Doomed { tid: call.tid, pid, scope, process, until });
        Ok(())
    }

    /// Makes a write to /proc/sys/net in the thread's place, if that comes to the same.
    fn write_in_place(&mut self, call: &Call) -> Option<Result<usize, Errno>> {
        let Means::Write { fd, bytes, offset } = &call.means else { return None };
        if !tracee::has_our_rights(call.tid) {
            return None;
        }
        let copy = self.processes.copy(call.tid, *fd)?;
        let waits = self.listener.as_ref().is_some_and(|it| it.is_waiting(call.id));
        waits.then(|| tracee::write_for(&copy, bytes, *offset))
    }

    /// Sends a netlink request in the thread's place, if that comes to the same. What the kernel
    /// asks of the sender, its rights, and of the socket, its namespace, is as if the thread had.
    fn send_in_place(&mut self, record: usize, call: &Call) -> Option<Result<usize, Errno>> {
        let Means::Socket(socket, datagrams) = &call.means else { return None };
        let Kind::Netlink { messages, .. } = &self.records[record].request.kind else { return None };
        if !messages.iter().all(|it| it.anybodys) || !tracee::has_our_rights(call.tid) {
            return None;
        }
        let waits = self.listener.as_ref().is_some_and(|it| it.is_waiting(call.id));
        // one that is not taken ends it, and is an error if it is the first
        let mut sent = datagrams.iter().map(|bytes| tracee::send_for(&socket.fd, bytes));
        waits.then(|| {
            let first = sent.next().unwrap_or(Ok(0));
            let rest = sent.take_while(Result::is_ok).count();
            tracing::trace!(datagrams = rest + 1, "sent in a thread's place");
            first
        })
    }

    fn write_answer(&mut self, record: usize, result: &Result<usize, Errno>) {
        let answer = match result {
            Ok(_) => Answer::Done,
            Err(errno) => Answer::Refused { errno: *errno, kernel_says: None },
        };
        self.note(vec![(record, answer)]);
    }

    fn follow(&mut self, record: usize, tid: i32, means: Means) {
        let request = &self.records[record].request;
        match (means, &request.kind) {
            (Means::Socket(socket, _), Kind::Netlink { messages, .. }) => {
                self.answers.await_socket(record, tid, socket, messages);
            }
            _ => self.answers.await_thread(record, request),
        }
    }
}
