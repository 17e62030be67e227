//! What a client reports as it happens, and the line a person would see.

use super::outcome::Failure;
use super::spec::ClientSpec;
use crate::addr::Mac;
use crate::time::Span;
use core::fmt;

/// A client of a pod, by the order in which they were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u32);

/// Something a client did or saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// It began an attempt.
    Began {
        /// Which, from 1.
        number: u32,
        /// Of which of the connections dialled in parallel.
        lane: u32,
    },
    /// TCP's timer asked for a retransmission (what tracepoint tcp:tcp_retransmit_skb shows).
    Retransmit {
        /// Of which of the connections dialled in parallel.
        lane: u32,
        /// False when the segment's first copy still waits for the neighbour, so that none is
        /// added.
        sent: bool,
    },
    /// An attempt was answered.
    Answered {
        /// The attempt, from 1.
        number: u32,
        /// Of which of the connections dialled in parallel.
        lane: u32,
        /// From its beginning.
        rtt: Span,
        /// It had been answered before.
        duplicate: bool,
        /// The MAC that answered an `arping`.
        mac: Option<Mac>,
    },
    /// An attempt failed.
    Failed {
        /// The attempt, from 1.
        number: u32,
        /// Of which of the connections dialled in parallel.
        lane: u32,
        /// What its caller was told.
        failure: Failure,
    },
    /// It is done.
    Finished,
}

/// An event as the tool would print it; empty for what no tool prints.
pub struct ToolLine<'a>(pub &'a ClientSpec, pub ClientEvent);

impl fmt::Display for ToolLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (ClientSpec::Ping(spec), ClientEvent::Answered { number, rtt, duplicate, .. }) => {
                let dup = if duplicate { " (DUP!)" } else { "" };
                let (bytes, to) = (u32::from(spec.size) + 8, spec.to);
                write!(f, "{bytes} bytes from {to}: icmp_seq={number} time={}{dup}", Millis(rtt))
            }
            (
                ClientSpec::Ping(_),
                ClientEvent::Failed { number, failure: Failure::Icmp { from, why }, .. },
            ) => {
                write!(f, "From {from} icmp_seq={number} {}", why.text(from.is_ipv6()))
            }
            (ClientSpec::Ping(_), ClientEvent::Failed { number: 0, failure, .. }) => {
                write!(f, "ping: connect: {failure}")
            }
            (ClientSpec::Ping(_), ClientEvent::Failed { failure, .. }) => {
                write!(f, "ping: sendmsg: {failure}")
            }
            (ClientSpec::Arping(spec), ClientEvent::Answered { mac: Some(mac), rtt, .. }) => {
                write!(f, "Unicast reply from {} [{}]  {}", spec.target, Upper(mac), Millis(rtt))
            }
            (ClientSpec::TcpConnect(spec), ClientEvent::Answered { rtt, .. }) => {
                write!(f, "connect {}: connected after {}", spec.to, Millis(rtt))
            }
            (ClientSpec::TcpConnect(spec), ClientEvent::Failed { failure, .. }) => {
                write!(f, "connect {}: {failure}", spec.to)
            }
            (spec, ClientEvent::Answered { number, rtt, .. }) => {
                write!(f, "{} {number}: answered after {}", spec.kind(), Millis(rtt))
            }
            (spec, ClientEvent::Failed { number, failure, .. }) => {
                write!(f, "{} {number}: {failure}", spec.kind())
            }
            (_, ClientEvent::Began { .. } | ClientEvent::Retransmit { .. } | ClientEvent::Finished) => Ok(()),
        }
    }
}

/// A time as ping prints it: three digits that count.
struct Millis(Span);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_ns() / 1_000;
        let (ms, rest) = (us / 1_000, us % 1_000);
        match ms {
            0 => write!(f, "{ms}.{rest:03} ms"),
            1..10 => write!(f, "{ms}.{:02} ms", rest / 10),
            10..100 => write!(f, "{ms}.{} ms", rest / 100),
            _ => write!(f, "{ms} ms"),
        }
    }
}

/// A MAC as arping prints it.
struct Upper(Mac);

impl fmt::Display for Upper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().to_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{ArpingSpec, ConnectSpec, PingSpec, SocketError};
    use crate::wire::Unreachable;

    #[test]
    fn events_read_as_the_tools_print_them() {
        let ping = ClientSpec::Ping(PingSpec::to("198.51.100.10".parse().unwrap()));
        let line = |spec: &ClientSpec, event| ToolLine(spec, event).to_string();
        let answered = |us, duplicate| {
            let rtt = Span::from_us(us);
            ClientEvent::Answered { number: 4, lane: 0, rtt, duplicate, mac: Some(Mac::CALICO) }
        };
        assert_eq!(
            line(&ping, answered(183, false)),
            "64 bytes from 198.51.100.10: icmp_seq=4 time=0.183 ms"
        );
        assert_eq!(
            line(&ping, answered(2_052_321, true)),
            "64 bytes from 198.51.100.10: icmp_seq=4 time=2052 ms (DUP!)"
        );
        let failed = |failure| ClientEvent::Failed { number: 3, lane: 0, failure };
        let from = "10.65.0.2".parse().unwrap();
        assert_eq!(
            line(&ping, failed(Failure::Icmp { from, why: Unreachable::Host })),
            "From 10.65.0.2 icmp_seq=3 Destination Host Unreachable"
        );
        let error = Failure::Socket(SocketError::Enetunreach);
        assert_eq!(line(&ping, failed(error)), "ping: sendmsg: Network is unreachable");
        let dial = ClientSpec::TcpConnect(ConnectSpec::once("198.51.100.10:80".parse().unwrap()));
        let error = Failure::Socket(SocketError::Ehostunreach);
        assert_eq!(line(&dial, failed(error)), "connect 198.51.100.10:80: No route to host");
        let arping = ClientSpec::Arping(ArpingSpec::who_has("169.254.1.1".parse().unwrap()));
        assert_eq!(
            line(&arping, answered(612, false)),
            "Unicast reply from 169.254.1.1 [EE:EE:EE:EE:EE:EE]  0.612 ms"
        );
    }
}
