//! Whatever answers at the other end of a real interface.

use super::model::is_answer;
use super::{Answerer, AnswererFrame, AskError};
use crate::time::Span;
use netns_lab::{Netns, PacketError, PacketOptions, PacketSocket, RecvBatch, monotonic_ns};
use std::time::Duration;

/// When enough answers were heard, the wire is listened to for so much longer: a second answerer
/// is about as quick as the first.
const LINGER: Span = Span::from_ms(30);

/// The far end of an interface's wire, through a packet socket.
#[derive(Debug)]
pub struct WireAnswerer {
    socket: PacketSocket,
    batch: RecvBatch,
}

impl WireAnswerer {
    /// Opens the wire of an interface.
    pub fn open(netns: &Netns, dev: &str) -> Result<WireAnswerer, PacketError> {
        // what this end's own kernel says is no answer
        let options = PacketOptions::new().ignore_outgoing(true).promiscuous(true);
        let socket = PacketSocket::open(netns, dev, &options)?;
        Ok(WireAnswerer { socket, batch: RecvBatch::default() })
    }

    fn fail(&self, error: &PacketError) -> AskError {
        let why = match error {
            PacketError::LinkDown { .. } => format!("{error}; set the interface up first"),
            _ => error.to_string(),
        };
        AskError { whom: format!("the far end of {}", self.socket.dev()), why }
    }

    /// Throws away what is there already: it answers nothing that is asked from now on.
    fn drain(&mut self) -> Result<(), AskError> {
        loop {
            match self.socket.try_recv(&mut self.batch) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(PacketError::Dropped { .. }) => {}
                Err(e) => return Err(self.fail(&e)),
            }
        }
    }
}

impl Answerer for WireAnswerer {
    fn ask(
        &mut self,
        frames: &[Vec<u8>],
        patience: Span,
        enough: usize,
    ) -> Result<Vec<AnswererFrame>, AskError> {
        self.drain()?;
        let start_ns = monotonic_ns();
        for frame in frames {
            self.socket.send(frame).map_err(|e| self.fail(&e))?;
        }
        let mut end_ns = monotonic_ns() + patience.as_ns();
        let (mut heard, mut answers) = (Vec::new(), 0);
        loop {
            let now_ns = monotonic_ns();
            if now_ns >= end_ns {
                return Ok(heard);
            }
            let left = Duration::from_nanos(end_ns - now_ns);
            self.socket.recv(&mut self.batch, Some(left)).map_err(|e| self.fail(&e))?;
            let read_ns = monotonic_ns();
            for frame in self.batch.frames() {
                let at_ns = frame.time.map_or(read_ns, |t| t.monotonic_ns);
                answers += usize::from(is_answer(frame.bytes));
                let after = Span::from_ns(at_ns.saturating_sub(start_ns));
                heard.push(AnswererFrame { after, bytes: frame.bytes.to_vec() });
            }
            if enough > 0 && answers >= enough {
                end_ns = end_ns.min(monotonic_ns() + LINGER.as_ns());
            }
        }
    }
}
