//! The supervisor's loop.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::ExitStatus,
    time::Instant,
};

use libc::seccomp_notif;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    Answer, Command, Ended, Fate, Kind, Outcome, Record, Request, Rules, Scope, SuperviseError, Then,
    Verdict,
    answers::{Answers, Found},
    board::Said,
    listener::{Listener, Reply},
    output::{Inlet, Outlet},
    read::{self, Asked, Means, Seen},
    rules::Order,
    start::{self, Started, Tree},
    tracee::{self, Processes},
};
use crate::{NetnsId, clock::monotonic_ns};

/// A request that waits for its time or for an order.
pub(super) struct Held {
    pub(super) record: usize,
    pub(super) call: Call,
    pub(super) until: Option<Instant>,
    pub(super) then: Then,
}

/// A waiting system call.
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) tid: i32,
    pub(super) means: Means,
}

/// A process that is to be killed when its request is over.
pub(super) struct Doomed {
    pub(super) tid: i32,
    pub(super) pid: i32,
    pub(super) scope: Scope,
    pub(super) process: Option<OwnedFd>,
    pub(super) until: Instant,
}

pub(super) struct Run<'a> {
    pub(super) command: &'a Command,
    pub(super) rules: &'a mut dyn Rules,
    pub(super) tree: Tree,
    pub(super) listener: Option<Listener>,
    pub(super) input: Inlet,
    pub(super) output: Outlet,
    pub(super) errors: Outlet,
    pub(super) processes: Processes,
    pub(super) answers: Answers,
    pub(super) records: Vec<Record>,
    pub(super) held: Vec<Held>,
    pub(super) doomed: Vec<Doomed>,
    /// Files below /proc/sys that were opened for writing, and from which namespace.
    pub(super) opened: Vec<(i32, String, NetnsId)>,
    pub(super) status: Option<ExitStatus>,
    pub(super) ended: Ended,
    pub(super) ended_ns: u64,
    pub(super) deadline: Option<Instant>,
    pub(super) linger_until: Option<Instant>,
    pub(super) left_behind: bool,
    pub(super) alone: bool,
}

pub(super) fn run(command: &Command, rules: &mut dyn Rules) -> Result<Outcome, SuperviseError> {
    let broken = |what, source| SuperviseError::Broken { program: command.program.clone(), what, source };
    let Started { tree, listener, main, input, output, errors, page } = start::start(command)?;
    drop(main);
    let limit = command.output_bytes_max;
    let mut run = Run {
        command,
        rules,
        tree,
        listener: Some(Listener::new(listener)),
        input: Inlet::new(input, command.input.clone()).map_err(|e| broken("its standard input", e))?,
        output: Outlet::new(output, limit).map_err(|e| broken("its standard output", e))?,
        errors: Outlet::new(errors, limit).map_err(|e| broken("its standard error", e))?,
        processes: Processes::default(),
        answers: Answers::default(),
        records: Vec::new(),
        held: Vec::new(),
        doomed: Vec::new(),
        opened: Vec::new(),
        status: None,
        ended: Ended::ByItself,
        ended_ns: 0,
        deadline: command.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        linger_until: None,
        left_behind: false,
        alone: false,
    };
    while !run.alone {
        run.turn().map_err(|e| broken("waiting for requests", e))?;
    }
    if let Some(failure) = start::failure(command, page.board()) {
        return Err(failure);
    }
    Ok(run.finish())
}

impl Run<'_> {
    /// Waits for news of any kind, and deals with it.
    fn turn(&mut self) -> io::Result<()> {
        let timeout = self.patience();
        let ready = {
            let sources: [Option<(BorrowedFd<'_>, PollFlags)>; 6] = [
                self.listener.as_ref().map(|it| (it.as_fd(), PollFlags::POLLIN)),
                Some((self.tree.control.as_fd(), PollFlags::POLLIN)),
                self.output.fd().map(|fd| (fd, PollFlags::POLLIN)),
                self.errors.fd().map(|fd| (fd, PollFlags::POLLIN)),
                self.input.fd().map(|fd| (fd, PollFlags::POLLOUT)),
                self.command.lever.as_ref().map(|it| (it.as_fd(), PollFlags::POLLIN)),
            ];
            wait(&sources, timeout)?
        };
        if ready[0].contains(PollFlags::POLLIN) {
            self.hear()?;
        } else if !ready[0].is_empty() {
            // nobody is left whom the filter could stop
            self.listener = None;
        } else if !ready[1].is_empty() {
            // Only then: a process that asked something has not ended.
            self.keeper_says()?;
        }
        for (place, outlet) in [(2, &mut self.output), (3, &mut self.errors)] {
            if !ready[place].is_empty() {
                outlet.drain();
            }
        }
        if !ready[4].is_empty() {
            self.input.feed();
        }
        if !ready[5].is_empty() {
            self.obey();
        }
        self.mind_time();
        Ok(())
    }

    /// Until the next moment at which something is due.
    fn patience(&self) -> PollTimeout {
        let holds = self.held.iter().filter_map(|held| held.until);
        let dooms = self.doomed.iter().map(|doomed| doomed.until);
        let next = holds.chain(dooms).chain(self.deadline).chain(self.linger_until).min();
        let Some(next) = next else { return PollTimeout::NONE };
        let left = next.saturating_duration_since(Instant::now());
        PollTimeout::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
    }

    fn keeper_says(&mut self) -> io::Result<()> {
        match self.tree.listen()? {
            Some(Said::Ended(status)) => {
                self.ended_ns = monotonic_ns();
                self.status = Some(ExitStatus::from_raw(status));
                self.linger_until = Instant::now().checked_add(self.command.linger);
            }
            Some(Said::Alone) | None => self.alone = true,
            Some(Said::Listening | Said::Failed) => {}
        }
        Ok(())
    }

    fn obey(&mut self) {
        let orders = self.command.lever.as_ref().map(super::Lever::take).unwrap_or_default();
        for order in orders {
            match order {
                Order::End => self.end(Ended::Told),
                Order::Release(number, then) => {
                    let place = self.held.iter().position(|held| held.record + 1 == number);
                    if let Some(place) = place {
                        let held = self.held.remove(place);
                        self.release(held.record, held.call, then);
                    }
                }
            }
        }
    }

    fn end(&mut self, why: Ended) {
        if self.status.is_none() {
            self.ended = why;
        }
        self.tree.kill();
    }

    fn mind_time(&mut self) {
        let now = Instant::now();
        let passed = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        while let Some(place) = self.held.iter().position(|held| passed(held.until)) {
            let held = self.held.remove(place);
            self.release(held.record, held.call, held.then);
        }
        while let Some(place) = self.doomed.iter().position(|doomed| doomed.until <= now) {
            let doomed = self.doomed.remove(place);
            self.kill(doomed.scope, doomed.process);
        }
        if passed(self.deadline) {
            self.deadline = None;
            self.end(Ended::TimedOut);
        }
        if passed(self.linger_until) {
            self.linger_until = None;
            self.left_behind = true;
            self.tree.kill();
        }
    }

    /// One system call that waits.
    fn hear(&mut self) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let Some(asked) = listener.receive()? else { return Ok(()) };
        let at_ns = monotonic_ns();
        let tid = asked.pid.cast_signed();
        if let Some(doomed) = self.take_doomed(tid) {
            let found = self.answers.before_next(tid);
            self.note(found);
            self.kill(doomed.scope, doomed.process);
            return Ok(());
        }
        let seen = read::read(&asked, &mut self.processes, &self.command.names);
        if !self.listener.as_ref().is_some_and(|it| it.is_waiting(asked.id)) {
            // killed meanwhile: what was read may be anything
            return Ok(());
        }
        match seen {
            // it comes no further, since it is about to be killed
            Seen::Nothing | Seen::Receive(_) if self.is_doomed(tid) => {}
            Seen::Nothing => {
                self.reply(asked.id, Reply::Continue)?;
            }
            Seen::Receive(socket) => {
                let found = self.answers.before_reading(&socket);
                self.note(found);
                self.reply(asked.id, Reply::Continue)?;
            }
            Seen::Request(request) => return self.consider(&asked, at_ns, request),
        }
        Ok(())
    }

    /// The doom that this thread has come back to. Other threads of a doomed process wait for it.
    fn take_doomed(&mut self, tid: i32) -> Option<Doomed> {
        let place = self.doomed.iter().position(|doomed| doomed.tid == tid)?;
        Some(self.doomed.remove(place))
    }

    /// Whether this thread's process is to be killed when a request of another thread is over.
    fn is_doomed(&mut self, tid: i32) -> bool {
        !self.doomed.is_empty() && {
            let pid = self.processes.pid_of(tid);
            self.doomed.iter().any(|doomed| doomed.pid == pid)
        }
    }

    fn consider(&mut self, asked: &seccomp_notif, at_ns: u64, it: Asked) -> io::Result<()> {
        let tid = asked.pid.cast_signed();
        let found = self.answers.before_next(tid);
        self.note(found);
        let number = self.records.len() + 1;
        let request = self.describe(number, at_ns, tid, it.netns, it.kind);
        let verdict = match it.means {
            Means::Refuse(errno) => Verdict::Fail(errno),
            _ => self.rules.decide(&request),
        };
        self.records.push(Record {
            request,
            fate: Fate::Waiting,
            decided_ns: at_ns,
            answer: Answer::Unknown,
        });
        let call = Call { id: asked.id, tid, means: it.means };
        // One whose process is about to be killed waits for that.
        let pid = self.records[number - 1].request.pid;
        if self.doomed.iter().any(|doomed| doomed.pid == pid) {
            return Ok(());
        }
        self.carry_out(number - 1, call, verdict)
    }

    fn describe(
        &mut self,
        number: usize,
        at_ns: u64,
        tid: i32,
        netns: Option<NetnsId>,
        kind: Kind,
    ) -> Request {
        let pid = self.processes.pid_of(tid);
        let thread_netns = tracee::netns_of_thread(tid);
        let mut netns = netns.or(thread_netns);
        match &kind {
            Kind::OpenSysctl { path } => {
                if let Some(here) = thread_netns {
                    self.opened.push((pid, path.clone(), here));
                }
            }
            Kind::Sysctl { path, .. } => {
                let known = |same: bool| {
                    let mut opened = self.opened.iter().rev();
                    opened.find(|(by, what, _)| what == path && (!same || *by == pid)).map(|it| it.2)
                };
                netns = known(true).or_else(|| known(false)).or(netns);
            }
            _ => {}
        }
        let program = if number == 1 {
            let name = self.command.program.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        } else {
            tracee::name_of(pid)
        };
        Request { number, at_ns, pid, tid, program, thread_netns, netns, kind }
    }

    pub(super) fn note(&mut self, found: Vec<Found>) {
        for (record, answer) in found {
            self.rules.answered(&self.records[record].request, &answer);
            self.records[record].answer = answer;
        }
    }

    pub(super) fn settle(&mut self, record: usize, fate: Fate) {
        let record = &mut self.records[record];
        record.fate = fate;
        record.decided_ns = monotonic_ns();
    }

    pub(super) fn reply(&self, id: u64, reply: Reply) -> io::Result<bool> {
        self.listener.as_ref().map_or(Ok(false), |listener| listener.reply(id, reply))
    }

    pub(super) fn kill(&mut self, scope: Scope, process: Option<OwnedFd>) {
        match (scope, process) {
            (Scope::Process, Some(process)) => start::kill(&process),
            // Without a descriptor it has ended already.
            (Scope::Process, None) => {}
            (Scope::All, _) => self.end(Ended::Told),
        }
    }

    fn finish(mut self) -> Outcome {
        let found = self.answers.at_end();
        self.note(found);
        let now = monotonic_ns();
        for record in &mut self.records {
            if record.fate == Fate::Waiting {
                (record.fate, record.decided_ns) = (Fate::Gone, now);
            }
        }
        let started_ns = self.records.first().map_or(now, |first| first.decided_ns);
        Outcome {
            status: self.status,
            ended: self.ended,
            left_behind: self.left_behind,
            stdout: self.output.finish(),
            stderr: self.errors.finish(),
            records: self.records,
            started_ns,
            ended_ns: if self.ended_ns == 0 { now } else { self.ended_ns },
        }
    }
}

/// Waits until one of the sources is ready, the time is over, or a signal came.
fn wait(
    sources: &[Option<(BorrowedFd<'_>, PollFlags)>; 6],
    timeout: PollTimeout,
) -> io::Result<[PollFlags; 6]> {
    let mut polled: Vec<PollFd<'_>> =
        sources.iter().flatten().map(|(fd, events)| PollFd::new(*fd, *events)).collect();
    match poll(&mut polled, timeout) {
        Ok(_) => {}
        Err(nix::errno::Errno::EINTR) => return Ok([PollFlags::empty(); 6]),
        Err(errno) => return Err(errno.into()),
    }
    let mut events = polled.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
    Ok(std::array::from_fn(|place| {
        sources[place].as_ref().and_then(|_| events.next()).unwrap_or(PollFlags::empty())
    }))
}
