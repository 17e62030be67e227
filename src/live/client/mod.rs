//! The pod's clients with real sockets: what [`crate::pod`] models, done by the kernel.
//!
//! Sockets are opened by the thread that lives in the pod's namespace and used from anywhere.
//! `ping` and `arping` are threads that block in the kernel as the tools do, because how long
//! they sleep there shows; the others are tasks.

mod arping;
mod connect;
mod ping;
mod stream;
mod udp;

use crate::pod::{ClientSpec, Failure};
use crate::scenario::ClientPlan;
use crate::time::Time;
use crate::trace::{ClientNews, Failed};
use netns_lab::{Netns, monotonic_ns};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

/// News from a client.
pub(super) struct Message {
    pub(super) at: Time,
    pub(super) client: usize,
    /// Which of its lives: a pod that is made anew starts its clients anew.
    pub(super) life: u32,
    pub(super) what: ClientReport,
}

/// What a client tells.
pub(super) enum ClientReport {
    News(ClientNews),
    /// It is done, with what it sent and what was answered.
    Finished,
}

/// What every client needs.
#[derive(Clone)]
pub(super) struct Context {
    netns: Arc<Netns>,
    client: usize,
    life: u32,
    zero_ns: u64,
    tx: UnboundedSender<Message>,
    sent: Arc<AtomicU32>,
}

impl Context {
    fn now(&self) -> Time {
        Time(monotonic_ns().saturating_sub(self.zero_ns))
    }

    fn report(&self, at: Time, what: ClientReport) {
        // nobody listens any more only when the run is over
        let _ = self.tx.send(Message { at, client: self.client, life: self.life, what });
    }

    /// Begins an attempt and gives it its number.
    fn began(&self) -> (u32, Time) {
        let (at, number) = (self.now(), self.sent.fetch_add(1, Ordering::Relaxed) + 1);
        self.report(at, ClientReport::News(ClientNews::Try { seq: number }));
        (number, at)
    }

    fn answered(&self, seq: u32, began: Time) {
        let at = self.now();
        self.report(at, ClientReport::News(ClientNews::Success { seq, took: at.since(began) }));
    }

    fn failed(&self, seq: u32, failed: Failed) {
        self.report(self.now(), ClientReport::News(ClientNews::Failure { seq, failed }));
    }

    fn finished(&self) {
        self.report(self.now(), ClientReport::Finished);
    }
}

/// A running client; dropping it ends it.
pub(super) struct Running {
    task: Option<JoinHandle<()>>,
    stop: Option<Box<dyn FnOnce() + Send>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if let Some(stop) = self.stop.take() {
            stop();
        }
    }
}

/// Starts a client for its `life`th time.
pub(super) fn start(
    netns: &Arc<Netns>,
    (client, life): (usize, u32),
    plan: &ClientPlan,
    zero_ns: u64,
    tx: UnboundedSender<Message>,
) -> Running {
    let cx =
        Context { netns: Arc::clone(netns), client, life, zero_ns, tx, sent: Arc::new(AtomicU32::new(0)) };
    let task = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| Running {
        task: Some(tokio::spawn(future)),
        stop: None,
    };
    match plan.spec() {
        ClientSpec::Ping(spec) => ping::start(cx, spec),
        ClientSpec::Arping(spec) => arping::start(cx, spec),
        ClientSpec::TcpConnect(spec) => task(Box::pin(connect::run(cx, spec))),
        ClientSpec::TcpStream(spec) => task(Box::pin(stream::run(cx, spec))),
        ClientSpec::Udp(spec) => task(Box::pin(udp::run(cx, spec))),
    }
}

/// An error as the model knows it, where it does.
fn failed_by(error: &io::Error) -> Failed {
    use crate::pod::SocketError as S;
    let known = match error.raw_os_error() {
        Some(nix::libc::ENETUNREACH) => S::Enetunreach,
        Some(nix::libc::EHOSTUNREACH) => S::Ehostunreach,
        Some(nix::libc::ECONNREFUSED) => S::Econnrefused,
        Some(nix::libc::ECONNRESET) => S::Econnreset,
        Some(nix::libc::ETIMEDOUT) => S::Etimedout,
        Some(nix::libc::EACCES) => S::Eacces,
        Some(nix::libc::EINVAL) => S::Einval,
        Some(nix::libc::ENOBUFS) => S::Enobufs,
        Some(nix::libc::EADDRNOTAVAIL) => S::Eaddrnotavail,
        _ => return other(error),
    };
    Failed::Known(Failure::Socket(known))
}

/// The words of an error that the model has no value for.
#[expect(clippy::needless_pass_by_value, reason = "errors and words alike, for map_err")]
fn other(error: impl ToString) -> Failed {
    Failed::Other(error.to_string())
}

/// The application lost patience.
const TIMED_OUT: Failed = Failed::Known(Failure::Patience);

/// Opens a socket in the pod's namespace.
async fn open<T: Send + 'static>(
    cx: &Context,
    make: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    cx.netns.exec_async(make).await.map_err(io::Error::other)?
}
