//! What runs in the pod, as plain data: the model runs it, and so does the live lab with real
//! sockets. Durations that are left out of a file take the tool's own defaults.

use crate::time::Span;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A client of the pod.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(tag = "client", rename_all = "kebab-case")]
pub enum ClientSpec {
    /// `ping` of iputils.
    Ping(PingSpec),
    /// An application that dials a TCP port, and perhaps dials again.
    TcpConnect(ConnectSpec),
    /// An application with an open TCP connection.
    TcpStream(StreamSpec),
    /// An application that sends datagrams: a resolver, a sender of telemetry.
    Udp(UdpSpec),
    /// `arping` of iputils.
    Arping(ArpingSpec),
}

impl ClientSpec {
    /// The word scenario files use.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            ClientSpec::Ping(_) => "ping",
            ClientSpec::TcpConnect(_) => "tcp-connect",
            ClientSpec::TcpStream(_) => "tcp-stream",
            ClientSpec::Udp(_) => "udp",
            ClientSpec::Arping(_) => "arping",
        }
    }
}

/// `ping -i INTERVAL [-c COUNT] [-w DEADLINE] [-s SIZE] TO`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingSpec {
    /// The address that is pinged.
    pub to: IpAddr,
    /// Pause between two echoes, in whole milliseconds. ping sleeps on a coarse kernel timer
    /// while nothing comes back, so that "a second" is up to 1.032 s then.
    #[serde(default = "second")]
    pub interval: Span,
    /// It ends when so many echoes were sent and answered, or were reported unreachable.
    #[serde(default)]
    pub count: Option<u32>,
    /// It ends after that time, and as soon as any error was reported.
    #[serde(default)]
    pub deadline: Option<Span>,
    /// The identifier of its echoes.
    #[serde(default = "one")]
    pub ident: u16,
    /// Bytes of data in an echo.
    #[serde(default = "ping_size")]
    pub size: u16,
}

impl PingSpec {
    /// `ping TO`.
    #[must_use]
    pub fn to(to: IpAddr) -> PingSpec {
        PingSpec { to, interval: second(), count: None, deadline: None, ident: 1, size: ping_size() }
    }
}

/// Dials a TCP port until it is answered; a connection is closed as soon as it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectSpec {
    /// The address and port at the other end.
    pub to: SocketAddr,
    /// Pause between a failed attempt and the next; without it there is one attempt.
    #[serde(default)]
    pub retry: Option<Span>,
    /// The application's own patience with one attempt, over which it says "i/o timeout".
    #[serde(default)]
    pub timeout: Option<Span>,
    /// It gives up after so many attempts.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// So many connections are dialled one right after the other.
    #[serde(default = "one_lane")]
    pub parallel: u32,
}

impl ConnectSpec {
    /// One blocking connect().
    #[must_use]
    pub fn once(to: SocketAddr) -> ConnectSpec {
        ConnectSpec { to, retry: None, timeout: None, attempts: None, parallel: 1 }
    }
}

/// A TCP connection that writes at intervals and expects an echo of every write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSpec {
    /// The address and port at the other end.
    pub to: SocketAddr,
    /// Time between two writes.
    #[serde(default = "second")]
    pub interval: Span,
    /// Bytes of one write. A write that follows one not yet acknowledged waits for it (RFC 896),
    /// as with a socket without TCP_NODELAY.
    #[serde(default = "stream_size")]
    pub size: u16,
    /// So many writes.
    #[serde(default)]
    pub count: Option<u32>,
    /// Time from the connection's establishment to the first write.
    #[serde(default)]
    pub delay: Span,
}

impl StreamSpec {
    /// A write a second.
    #[must_use]
    pub fn to(to: SocketAddr) -> StreamSpec {
        StreamSpec { to, interval: second(), size: stream_size(), count: None, delay: Span::ZERO }
    }
}

/// A connected UDP socket that sends requests and hopes for their echo.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdpSpec {
    /// The address and port at the other end.
    pub to: SocketAddr,
    /// Time between two sends.
    #[serde(default = "second")]
    pub interval: Span,
    /// So many requests.
    #[serde(default)]
    pub count: Option<u32>,
    /// How long each answer is waited for (SO_RCVTIMEO); the next request follows at once when it
    /// does not come. An answer that comes later is read by the wait for a later request, is seen
    /// to be of another one, and does not count. Without it requests leave at their times, nobody
    /// waits, and every answer counts.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// It sleeps in recv() between its sends and so hears of an error at once; else with its next
    /// call, which then sends nothing.
    #[serde(default)]
    pub listens: bool,
    /// IP_RECVERR: the socket hears of unreachable hosts, not only of refusing ones.
    #[serde(default)]
    pub recverr: bool,
    /// MSG_CONFIRM: every send vouches for the neighbour.
    #[serde(default)]
    pub confirm: bool,
    /// Bytes of a request, at least four.
    #[serde(default = "udp_size")]
    pub size: u16,
    /// It ends with the first answer.
    #[serde(default)]
    pub once: bool,
}

impl UdpSpec {
    /// A datagram a second.
    #[must_use]
    pub fn to(to: SocketAddr) -> UdpSpec {
        UdpSpec {
            to,
            interval: second(),
            count: None,
            timeout: None,
            listens: false,
            recverr: false,
            confirm: false,
            size: udp_size(),
            once: false,
        }
    }

    /// A resolver that asks again every `pause` until it is answered (resolv.conf: `timeout`).
    #[must_use]
    pub fn resolver(to: SocketAddr, pause: Span) -> UdpSpec {
        UdpSpec { interval: pause, timeout: Some(pause), once: true, ..UdpSpec::to(to) }
    }
}

/// `arping [-f] [-c COUNT] [-w DEADLINE] [-s SOURCE] TARGET`: requests past the neighbour table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArpingSpec {
    /// The address that is asked for.
    pub target: Ipv4Addr,
    /// Time between two requests.
    #[serde(default = "second")]
    pub interval: Span,
    /// So many requests.
    #[serde(default)]
    pub count: Option<u32>,
    /// The sender address; the pod's own when none is given, 0.0.0.0 is a probe (`arping -D`).
    #[serde(default)]
    pub source: Option<Ipv4Addr>,
    /// It ends so long after its start, whatever came back.
    #[serde(default)]
    pub deadline: Option<Span>,
    /// It ends with the first answer.
    #[serde(default)]
    pub once: bool,
}

impl ArpingSpec {
    /// `arping TARGET`.
    #[must_use]
    pub fn who_has(target: Ipv4Addr) -> ArpingSpec {
        ArpingSpec { target, interval: second(), count: None, source: None, deadline: None, once: false }
    }
}

fn second() -> Span {
    Span::from_secs(1)
}
fn one() -> u16 {
    1
}
fn one_lane() -> u32 {
    1
}
/// ping's default, DEFDATALEN.
fn ping_size() -> u16 {
    56
}
fn stream_size() -> u16 {
    64
}
fn udp_size() -> u16 {
    32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_a_client_and_slips_are_refused() {
        let read = |text: &str| serde_json::from_str::<ClientSpec>(text);
        let ping = read(r#"{"client":"ping","to":"198.51.100.10","interval":"500ms"}"#).unwrap();
        let wanted =
            PingSpec { interval: Span::from_ms(500), ..PingSpec::to("198.51.100.10".parse().unwrap()) };
        assert_eq!(ping, ClientSpec::Ping(wanted));
        let dial = read(r#"{"client":"tcp-connect","to":"198.51.100.10:80","retry":"1s"}"#).unwrap();
        assert_eq!(dial.kind(), "tcp-connect");
        assert_eq!(read(&serde_json::to_string(&dial).unwrap()).unwrap(), dial);
        assert!(read(r#"{"client":"ping","to":"198.51.100.10","intervall":"1s"}"#).is_err());
        assert!(read(r#"{"client":"pong","to":"198.51.100.10"}"#).is_err());
    }
}
