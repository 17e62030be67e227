//! What a live run tells while it goes on: its report line by line, its capture frame by frame.

use super::capture::CaptureFile;
use super::fail::Fail;
use super::output::Report;
use super::run::{Args, head};
use crate::live::Audience;
use crate::scenario::Scenario;
use crate::trace::{Capture, Follow, PcapError, Trace, write_json_of};
use std::io::Write;
use std::ops::Range;

/// The audience of a run.
pub(super) struct Teller<'a> {
    args: &'a Args,
    scenario: &'a Scenario,
    out: &'a mut Report,
    follow: Option<Follow>,
    told: Result<(), Fail>,
    flow: Option<Flow>,
}

/// A capture that somebody reads while it is written.
struct Flow {
    file: CaptureFile,
    state: FlowState,
}

enum FlowState {
    Opened(Box<dyn Write>),
    Begun(Capture<Box<dyn Write>>),
    /// Its reader has gone, or it cannot be written.
    Over(Result<(), PcapError>),
}

impl Teller<'_> {
    /// Opens the capture, if somebody reads it while it is written.
    pub(super) fn new<'a>(
        args: &'a Args,
        scenario: &'a Scenario,
        out: &'a mut Report,
        capture: Option<CaptureFile>,
    ) -> Result<Teller<'a>, Fail> {
        let open = |file: CaptureFile| Ok::<_, Fail>(Flow { state: FlowState::Opened(file.open()?), file });
        let flow = capture.map(open).transpose()?;
        Ok(Teller { args, scenario, out, follow: None, told: Ok(()), flow })
    }

    /// What is left to tell when the run is over; whether all could be told.
    pub(super) fn end(mut self, trace: &Trace) -> Result<(), Fail> {
        if let (Ok(()), Some(follow)) = (&self.told, &mut self.follow) {
            let text = follow.end(trace);
            self.told = self.out.write_all(text.as_bytes()).map_err(Fail::from);
        }
        let flowed = self.flow.map_or(Ok(()), Flow::end);
        self.told.and(flowed)
    }

    fn tell(&mut self, trace: &Trace, fresh: Range<usize>) -> Result<(), Fail> {
        if self.args.json {
            write_json_of(trace, fresh, self.out)?;
        } else {
            if self.follow.is_none() {
                head(self.scenario, trace, self.out)?;
                let follow = Follow::new(&trace.plan, self.out.style(self.args.full));
                self.out.write_all(follow.head().as_bytes())?;
                self.follow = Some(follow);
            }
            if let Some(follow) = &mut self.follow {
                self.out.write_all(follow.hear(trace, fresh).as_bytes())?;
            }
        }
        Ok(self.out.flush()?)
    }
}

impl Audience for Teller<'_> {
    fn hear(&mut self, trace: &Trace, fresh: Range<usize>) {
        if let Some(flow) = &mut self.flow {
            flow.hear(trace, fresh.clone());
        }
        if self.told.is_ok() {
            self.told = self.tell(trace, fresh);
        }
    }
}

impl Flow {
    fn hear(&mut self, trace: &Trace, fresh: Range<usize>) {
        let state = core::mem::replace(&mut self.state, FlowState::Over(Ok(())));
        let begun = match state {
            FlowState::Opened(out) => Capture::begin(trace, out),
            FlowState::Begun(capture) => Ok(capture),
            over @ FlowState::Over(_) => {
                self.state = over;
                return;
            }
        };
        let went_on = begun.and_then(|mut capture| {
            capture.go_on(trace, fresh)?;
            Ok(capture)
        });
        self.state = match went_on {
            Ok(capture) => FlowState::Begun(capture),
            Err(e) => FlowState::Over(Err(e)),
        };
    }

    fn end(self) -> Result<(), Fail> {
        match self.state {
            // its reader has seen enough
            FlowState::Over(Err(e)) if e.is_broken_pipe() => Ok(()),
            FlowState::Over(Err(e)) => Err(self.file.fail(&e)),
            _ => Ok(()),
        }
    }
}
