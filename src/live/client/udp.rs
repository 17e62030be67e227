//! `udp` with a real socket.

use super::{Context, TIMED_OUT, failed_by, open};
use crate::pod::UdpSpec;
use crate::time::{Span, Time};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

/// The shortest time between two sends.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
/// The number of the request stands in its first bytes.
const NUMBER_LEN: usize = 4;

pub(super) async fn run(cx: Context, spec: UdpSpec) {
    let socket = open(&cx, move || {
        let any = if spec.to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(spec.to)?;
        socket.set_nonblocking(true)?;
        if spec.recverr {
            if spec.to.is_ipv6() {
                setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            }
        }
        Ok(socket)
    })
    .await
    .and_then(UdpSocket::from_std);
    match socket {
        Ok(socket) => match spec.timeout {
            Some(patience) => ask_and_wait(&cx, &spec, patience, &socket).await,
            None => ask(&cx, &spec, &socket).await,
        },
        Err(e) => {
            let (number, _) = cx.began();
            cx.failed(number, failed_by(&e));
        }
    }
    cx.finished();
}

/// A request, with its number in the first bytes.
fn request(spec: &UdpSpec, number: u32) -> Vec<u8> {
    let mut data = vec![0; usize::from(spec.size).max(NUMBER_LEN)];
    data[..NUMBER_LEN].copy_from_slice(&number.to_be_bytes());
    data
}

/// The number of the request that this answers.
fn number_of(answer: &[u8]) -> Option<u32> {
    answer.first_chunk::<NUMBER_LEN>().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Sends, waits for the answer, sends again: at its time after an answer or an error, at once when
/// none came.
async fn ask_and_wait(cx: &Context, spec: &UdpSpec, patience: Span, socket: &UdpSocket) {
    let mut next = Instant::now();
    for _ in 0..spec.count.unwrap_or(u32::MAX) {
        tokio::time::sleep_until(next).await;
        let (number, began) = cx.began();
        next = Instant::now() + Duration::from(spec.interval).max(INTERVAL_MIN);
        // the call returns the error of an earlier datagram and sends nothing
        if let Err(e) = socket.send(&request(spec, number)).await {
            cx.failed(number, failed_by(&e));
            continue;
        }
        match tokio::time::timeout(patience.into(), answer_to(number, socket)).await {
            Ok(Ok(())) => {
                cx.answered(number, began);
                if spec.once {
                    return;
                }
            }
            Ok(Err(e)) => cx.failed(number, failed_by(&e)),
            Err(_) => {
                cx.failed(number, TIMED_OUT);
                next = Instant::now();
            }
        }
    }
}

/// Reads until the answer to that request. What answers an earlier one has come too late.
async fn answer_to(number: u32, socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        let n = socket.recv(&mut buffer).await?;
        if number_of(&buffer[..n]) == Some(number) {
            return Ok(());
        }
    }
}

/// Sends at its times; what comes back names the request it answers.
async fn ask(cx: &Context, spec: &UdpSpec, socket: &UdpSocket) {
    let mut waiting: BTreeMap<u32, Time> = BTreeMap::new();
    let mut next = Instant::now();
    let mut sent = 0;
    let mut buffer = vec![0; 65_535];
    loop {
        let more = spec.count.is_none_or(|n| sent < n);
        if !more && waiting.is_empty() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {
                if !more {
                    return;
                }
                let (number, began) = cx.began();
                sent += 1;
                next += Duration::from(spec.interval).max(INTERVAL_MIN);
                match socket.send(&request(spec, number)).await {
                    Ok(_) => { waiting.insert(number, began); }
                    Err(e) => cx.failed(number, failed_by(&e)),
                }
            }
            got = socket.recv(&mut buffer) => match got {
                Ok(n) => {
                    let number = number_of(&buffer[..n]);
                    if let Some((number, began)) = number.and_then(|n| waiting.remove_entry(&n)) {
                        cx.answered(number, began);
                        if spec.once {
                            return;
                        }
                    }
                }
                // an ICMP error speaks of some earlier datagram; the oldest is as good as any
                Err(e) => {
                    if let Some((number, _)) = waiting.pop_first() {
                        cx.failed(number, failed_by(&e));
                    } else {
                        tracing::debug!(%e, "an error about nothing that waits");
                    }
                }
            },
        }
    }
}
