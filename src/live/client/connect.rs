//! `tcp-connect` with real sockets.

use super::{Context, TIMED_OUT, failed_by, open};
use crate::pod::ConnectSpec;
use crate::time::Span;
use crate::trace::Failed;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

pub(super) async fn run(cx: Context, spec: ConnectSpec) {
    let mut lanes = JoinSet::new();
    for _ in 0..spec.parallel.max(1) {
        lanes.spawn(lane(cx.clone(), spec));
    }
    while lanes.join_next().await.is_some() {}
    cx.finished();
}

/// One connection after the other, until one stands.
async fn lane(cx: Context, spec: ConnectSpec) {
    let mut tries = 0;
    loop {
        tries += 1;
        let (number, began) = cx.began();
        match attempt(&cx, &spec).await {
            Ok(stream) => {
                cx.answered(number, began);
                close(&stream);
                return;
            }
            Err(failed) => cx.failed(number, failed),
        }
        let Some(pause) = spec.retry.filter(|_| spec.attempts.is_none_or(|n| tries < n)) else { return };
        tokio::time::sleep(Duration::from(pause.max(Span::from_us(300)))).await;
    }
}

async fn attempt(cx: &Context, spec: &ConnectSpec) -> Result<TcpStream, Failed> {
    let socket = socket(cx, spec.to).await.map_err(|e| failed_by(&e))?;
    let dial = socket.connect(spec.to);
    let result = match spec.timeout {
        Some(patience) => match tokio::time::timeout(patience.into(), dial).await {
            Ok(result) => result,
            Err(_) => return Err(TIMED_OUT),
        },
        None => dial.await,
    };
    result.map_err(|e| failed_by(&e))
}

/// A socket of the pod's namespace, ready to dial.
pub(super) async fn socket(cx: &Context, to: SocketAddr) -> io::Result<TcpSocket> {
    let socket = open(cx, move || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })
    .await?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Closed by RST, as the model does: nothing lingers behind.
fn close(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}
