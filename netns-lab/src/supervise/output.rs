//! What the command reads and writes on its standard descriptors.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// What a command wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// The beginning, up to the limit.
    pub bytes: Vec<u8>,
    /// How many bytes came after that and were thrown away.
    pub lost: u64,
}

/// The reading end of a pipe from the command.
#[derive(Debug)]
pub(super) struct Outlet {
    fd: Option<OwnedFd>,
    limit: usize,
    captured: Captured,
}

impl Outlet {
    pub(super) fn new(fd: OwnedFd, limit: usize) -> io::Result<Self> {
        unblock(&fd)?;
        Ok(Self { fd: Some(fd), limit, captured: Captured::default() })
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is there now, up to a few pipes full, so that requests get their turn.
    pub(super) fn drain(&mut self) {
        let mut buffer = [0; 16 * 1024];
        for _ in 0..64 {
            let Some(fd) = &self.fd else { return };
            match nix::unistd::read(fd, &mut buffer) {
                Ok(0) => self.fd = None,
                Ok(length) => self.keep(&buffer[..length]),
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return,
                Err(_) => self.fd = None,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.captured.bytes.len();
        let (kept, lost) = bytes.split_at(bytes.len().min(room));
        self.captured.bytes.extend(kept);
        self.captured.lost += lost.len() as u64;
    }

    pub(super) fn finish(mut self) -> Captured {
        // All writers are dead: what is left in the pipe is all that there will be.
        while self.fd.is_some() {
            let before = (self.captured.bytes.len(), self.captured.lost);
            self.drain();
            if before == (self.captured.bytes.len(), self.captured.lost) {
                break;
            }
        }
        self.captured
    }
}

/// The writing end of the command's standard input.
#[derive(Debug)]
pub(super) struct Inlet {
    fd: Option<OwnedFd>,
    rest: Vec<u8>,
}

impl Inlet {
    pub(super) fn new(fd: OwnedFd, bytes: Vec<u8>) -> io::Result<Self> {
        unblock(&fd)?;
        let mut inlet = Self { fd: Some(fd), rest: bytes };
        inlet.feed();
        Ok(inlet)
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Writes what there is room for, and closes the pipe after the last byte.
    pub(super) fn feed(&mut self) {
        while let Some(fd) = &self.fd {
            if self.rest.is_empty() {
                self.fd = None;
                return;
            }
            match nix::unistd::write(fd, &self.rest) {
                Ok(length) => drop(self.rest.drain(..length)),
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => return,
                // nobody wants it (EPIPE; programs in Rust ignore SIGPIPE)
                Err(_) => self.fd = None,
            }
        }
    }
}

fn unblock(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
