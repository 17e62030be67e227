//! `arping` with a real packet socket.

use super::{Context, Running, other};
use crate::addr::Mac;
use crate::pod::ArpingSpec;
use crate::time::Span;
use crate::trace::Failed;
use crate::wire::{Arp, ETHERTYPE_ARP, EthFrame};
use netns_lab::{PacketOptions, PacketSocket, RecvBatch};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DEV: &str = "eth0";
/// How long one sleep lasts at most, so that the end of the run is noticed.
const NAP: Duration = Duration::from_millis(50);
/// How long the last answer is waited for.
const LINGER: Span = Span::from_secs(1);

pub(super) fn start(cx: Context, spec: ArpingSpec) -> Running {
    let over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&over);
    let thread = std::thread::Builder::new().name("arping".into()).spawn(move || {
        if let Err(error) = run(&cx, &spec, &flag) {
            let (number, _) = cx.began();
            cx.failed(number, error);
        }
        cx.finished();
    });
    let stop = move || {
        over.store(true, Ordering::Relaxed);
        if let Ok(thread) = thread {
            let _ = thread.join();
        }
    };
    Running { task: None, stop: Some(Box::new(stop)) }
}

fn run(cx: &Context, spec: &ArpingSpec, over: &AtomicBool) -> Result<(), Failed> {
    let options = PacketOptions::new().ethertype(ETHERTYPE_ARP).ignore_outgoing(true);
    let socket = PacketSocket::open(&cx.netns, DEV, &options).map_err(other)?;
    let (mac, own) = identity(cx).map_err(other)?;
    let source = spec.source.unwrap_or(own);
    let mut batch = RecvBatch::default();
    // as iputils does: whoever answered last is asked alone from then on
    let mut known = Mac::BROADCAST;
    let mut sent = 0;
    let end = spec.deadline.map(|d| cx.now() + d);
    let in_time = |now| end.is_none_or(|end| now < end);
    while !over.load(Ordering::Relaxed) && spec.count.is_none_or(|n| sent < n) && in_time(cx.now()) {
        let (number, began) = cx.began();
        sent += 1;
        let frame = Arp::request(mac, source, spec.target).frame(known, mac);
        let mut waiting = match socket.send(&frame) {
            Ok(()) => Some((number, began)),
            Err(e) => {
                cx.failed(number, other(e));
                None
            }
        };
        let last = spec.count.is_some_and(|n| sent >= n);
        let until = cx.now() + if last { LINGER } else { spec.interval };
        let until = end.map_or(until, |end| end.min(until));
        while cx.now() < until && !over.load(Ordering::Relaxed) && !(last && waiting.is_none()) {
            let left = Duration::from(until.since(cx.now())).min(NAP);
            socket.recv(&mut batch, Some(left)).map_err(other)?;
            for frame in batch.frames() {
                let Some(answer) = answer(frame.bytes, spec.target, source, mac) else { continue };
                known = answer.sha;
                // an answer counts for the last request
                if let Some((number, began)) = waiting.take() {
                    cx.answered(number, began);
                    if spec.once {
                        return Ok(());
                    }
                }
            }
        }
    }
    Ok(())
}

/// recv_pack(): the target's, to us.
fn answer(frame: &[u8], target: Ipv4Addr, source: Ipv4Addr, mac: Mac) -> Option<Arp> {
    let arp = EthFrame::parse(frame).and_then(|eth| Arp::parse(eth.payload)).ok()?;
    (arp.spa == target && arp.tpa == source && arp.tha == mac).then_some(arp)
}

/// The pod end's MAC and address.
fn identity(cx: &Context) -> Result<(Mac, Ipv4Addr), netns_lab::RtnlError> {
    let blocking = cx.netns.blocking();
    let mac = blocking.link(DEV)?.mac.map_or(Mac::ZERO, |m| Mac(m.octets()));
    let ip = blocking.addresses()?.into_iter().find_map(|a| match (a.dev.name(), a.net.addr()) {
        (Some(DEV), std::net::IpAddr::V4(ip)) => Some(ip),
        _ => None,
    });
    Ok((mac, ip.unwrap_or(Ipv4Addr::UNSPECIFIED)))
}
