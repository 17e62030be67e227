//! `udp` with a real socket.

use super::{Context, open, text_of};
use crate::pod::UdpSpec;
use crate::time::Time;
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::Instant;

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
        Ok(socket) => ask(&cx, &spec, &socket).await,
        Err(e) => {
            let (number, _) = cx.began();
            cx.failed(number, text_of(&e));
        }
    }
    cx.finished();
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
                next += Duration::from(spec.interval).max(Duration::from_millis(1));
                let mut data = vec![0; usize::from(spec.size.max(4))];
                data[..4].copy_from_slice(&number.to_be_bytes());
                match socket.send(&data).await {
                    Ok(_) => { waiting.insert(number, began); }
                    Err(e) => cx.failed(number, text_of(&e)),
                }
            }
            got = socket.recv(&mut buffer) => match got {
                Ok(n) if n >= 4 => {
                    let number = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
                    if let Some(began) = waiting.remove(&number) {
                        cx.answered(number, began);
                        if spec.once {
                            return;
                        }
                    }
                }
                Ok(_) => {}
                // an ICMP error speaks of some earlier datagram; the oldest is as good as any
                Err(e) => {
                    if let Some((number, _)) = waiting.pop_first() {
                        cx.failed(number, text_of(&e));
                    } else {
                        tracing::debug!(%e, "an error about nothing that waits");
                    }
                }
            },
        }
    }
}
