//! `tcp-stream` with a real socket.

use super::{Context, connect, failed_by, other};
use crate::pod::StreamSpec;
use crate::trace::Failed;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(super) async fn run(cx: Context, spec: StreamSpec) {
    let socket = match connect::socket(&cx, spec.to).await {
        Ok(socket) => socket.connect(spec.to).await,
        Err(e) => Err(e),
    };
    match socket {
        Ok(stream) => talk(&cx, &spec, stream).await,
        Err(e) => {
            let (number, _) = cx.began();
            cx.failed(number, failed_by(&e));
        }
    }
    cx.finished();
}

/// Writes at its times and books an echo when all of its bytes are back.
async fn talk(cx: &Context, spec: &StreamSpec, stream: tokio::net::TcpStream) {
    let size = usize::from(spec.size.max(1));
    let (mut reader, mut writer) = stream.into_split();
    let first = Instant::now() + Duration::from(spec.delay);
    let mut times = interval_at(first, Duration::from(spec.interval).max(Duration::from_millis(1)));
    times.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut waiting = VecDeque::new();
    let (mut sent, mut back) = (0, 0);
    let mut buffer = [0; 4096];
    while spec.count.is_none_or(|n| sent < n) || !waiting.is_empty() {
        tokio::select! {
            _ = times.tick(), if spec.count.is_none_or(|n| sent < n) => {
                waiting.push_back(cx.began());
                sent += 1;
                if let Err(e) = writer.write_all(&vec![b'x'; size]).await {
                    return fail(cx, &waiting, &failed_by(&e));
                }
            }
            read = reader.read(&mut buffer) => match read {
                Ok(0) => return fail(cx, &waiting, &other("the other side closed the connection")),
                Ok(n) => {
                    back += n;
                    while back >= size {
                        back -= size;
                        if let Some((number, began)) = waiting.pop_front() {
                            cx.answered(number, began);
                        }
                    }
                }
                Err(e) => return fail(cx, &waiting, &failed_by(&e)),
            },
        }
    }
}

fn fail(cx: &Context, waiting: &VecDeque<(u32, crate::time::Time)>, failed: &Failed) {
    for (number, _) in waiting {
        cx.failed(*number, failed.clone());
    }
}
