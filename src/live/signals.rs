//! Ctrl-C and its like.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A wish of the user or the system that the program end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// SIGINT: Ctrl-C.
    Int,
    /// SIGTERM: a polite kill(1).
    Term,
}

/// Both signals.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on none is missed.
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one. Dropping the future loses nothing.
    pub(super) async fn come(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::Int,
            _ = self.terminate.recv() => Interrupt::Term,
        }
    }
}

/// Does something on a thread of its own each time that one of the signals comes, while this
/// program blocks elsewhere. From its return on they no longer end the program by themselves.
///
/// Call it after a user namespace was entered: that wants a process with one thread.
pub fn on_interrupt(mut then: impl FnMut(Interrupt) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::listen()?
    };
    let serve = move || {
        runtime.block_on(async {
            loop {
                then(signals.come().await);
            }
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(serve).map(drop)
}
