//! The world behind the node's uplink, on smoltcp: hosts that answer echo requests, ports that
//! accept connections and echo what is written, ports that echo datagrams.

use crate::packet::IpBytes;
use crate::time::Time;
use crate::wire;
use smallvec::SmallVec;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpListenEndpoint, IpProtocol, Ipv4Address, Ipv6Address};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// What exists out there.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct OutsideSpec {
    /// Hosts that exist: they answer echo requests and refuse ports they do not serve.
    pub hosts: Vec<IpAddr>,
    /// Ports that accept connections and echo.
    pub tcp: Vec<SocketAddr>,
    /// Ports that echo datagrams.
    pub udp: Vec<SocketAddr>,
}

impl OutsideSpec {
    /// True when somebody lives at the address.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        self.hosts.contains(&ip) || self.tcp.iter().chain(&self.udp).any(|a| a.ip() == ip)
    }
}

/// What answers behind the uplink.
pub trait Outside {
    /// A packet came out of the uplink; `local` when it was for the node itself.
    fn handle_packet(&mut self, now: Time, packet: &[u8], local: bool);
    /// The next packet it sends.
    fn poll_packet(&mut self) -> Option<IpBytes>;
    /// When [`Outside::handle_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Time>;
    /// Runs what is due.
    fn handle_timeout(&mut self, now: Time);
}

/// Bytes of a TCP or UDP buffer: a few datagrams; the services only echo small writes.
const BUFFER: usize = 2048;
/// Connections kept at once. A scenario opens at most some hundreds; beyond this the oldest
/// closed ones have been cleared away long since, and new ones are refused by silence.
const CONNECTIONS_MAX: usize = 1024;

/// The outside world on a smoltcp interface.
pub struct SmoltcpOutside {
    spec: OutsideSpec,
    iface: Interface,
    sockets: SocketSet<'static>,
    tcp: Vec<(SocketAddr, SocketHandle)>,
    /// What new connections, by client and server, were answered with.
    accepted: Vec<((SocketAddr, SocketAddr), IpBytes)>,
    udp: Vec<SocketHandle>,
    wire: IpDevice,
    due: Option<Time>,
}

impl core::fmt::Debug for SmoltcpOutside {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SmoltcpOutside").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// The device between the node's stack and the interface: packets that the stack let through.
#[derive(Debug, Default)]
struct IpDevice {
    rx: VecDeque<IpBytes>,
    tx: VecDeque<IpBytes>,
}

impl phy::Device for IpDevice {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, _: Instant) -> Option<(RxToken, TxToken<'_>)> {
        let packet = self.rx.pop_front()?;
        Some((RxToken(packet), TxToken(&mut self.tx)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        Some(TxToken(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = 1500;
        caps
    }
}

struct RxToken(IpBytes);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct TxToken<'a>(&'a mut VecDeque<IpBytes>);

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet: IpBytes = SmallVec::from_elem(0, len);
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

/// smoltcp counts microseconds; rounding down keeps its clock from running ahead.
fn instant(now: Time) -> Instant {
    Instant::from_micros(i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX))
}

impl SmoltcpOutside {
    /// A world with that in it. The seed makes sequence numbers repeatable.
    #[must_use]
    pub fn new(spec: OutsideSpec, seed: u64) -> SmoltcpOutside {
        let mut wire = IpDevice::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut iface = Interface::new(config, &mut wire, instant(Time::ZERO));
        // any_ip takes what is routed through an own address: the router's, which stands for all
        let (own4, own6) =
            (Ipv4Address::new(198, 51, 100, 1), Ipv6Address::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 1));
        iface.update_ip_addrs(|addrs| {
            // two of the default eight places are needed
            let _ = addrs.push(IpCidr::new(own4.into(), 32));
            let _ = addrs.push(IpCidr::new(own6.into(), 128));
        });
        iface.set_any_ip(true);
        let routes = iface.routes_mut();
        let _ = routes.add_default_ipv4_route(own4);
        let _ = routes.add_default_ipv6_route(own6);
        let mut sockets = SocketSet::new(Vec::new());
        let udp = spec.udp.iter().map(|at| sockets.add(udp_socket(*at))).collect();
        SmoltcpOutside { spec, iface, sockets, tcp: Vec::new(), accepted: Vec::new(), udp, wire, due: None }
    }

    /// A SYN needs a socket that listens when it comes; each connection takes one.
    fn make_listener(&mut self, packet: &[u8]) {
        let Some((ends, IpProtocol::Tcp, payload)) = wire::ip_parts(packet) else { return };
        let Some(segment) = wire::segment(payload) else { return };
        let at = SocketAddr::new(ends.dst(), segment.dst_port);
        if segment.control != wire::SegmentFlag::Syn || !self.spec.tcp.contains(&at) {
            return;
        }
        let from = SocketAddr::new(ends.src(), segment.src_port);
        let sockets = &self.sockets;
        let taken = self.tcp.iter().any(|(_, h)| is_from(sockets.get(*h), from));
        let listening =
            self.tcp.iter().any(|(a, h)| *a == at && sockets.get::<tcp::Socket<'_>>(*h).is_listening());
        if taken || listening || self.tcp.len() >= CONNECTIONS_MAX {
            return;
        }
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        if socket.listen(IpListenEndpoint { addr: Some(at.ip().into()), port: at.port() }).is_ok() {
            self.tcp.push((at, self.sockets.add(socket)));
        }
    }

    /// A SYN that comes again is answered again as before, with the same sequence number, as Linux
    /// does; smoltcp's socket would not.
    fn repeat_answer(&mut self, packet: &[u8]) -> bool {
        let Some(asked) = connection(packet, false) else { return false };
        let half_open = |h: &SocketHandle| {
            let s = self.sockets.get::<tcp::Socket<'_>>(*h);
            s.state() == tcp::State::SynReceived && is_from(s, asked.0)
        };
        if !self.tcp.iter().any(|(_, h)| half_open(h)) {
            return false;
        }
        let again = self.accepted.iter().find(|(c, _)| *c == asked).map(|(_, answer)| answer.clone());
        self.wire.tx.extend(again);
        true
    }

    /// Keeps the answers to new connections.
    fn keep_answers(&mut self) {
        for packet in &self.wire.tx {
            let Some((to, from)) = connection(packet, true) else { continue };
            self.accepted.retain(|(c, _)| *c != (to, from));
            if self.accepted.len() >= CONNECTIONS_MAX {
                self.accepted.remove(0);
            }
            self.accepted.push(((to, from), packet.clone()));
        }
    }

    fn serve(&mut self, now: Time) {
        loop {
            let polled = self.iface.poll(instant(now), &mut self.wire, &mut self.sockets);
            let echoed = self.echo_tcp() | self.echo_udp();
            if polled == smoltcp::iface::PollResult::None && !echoed {
                break;
            }
        }
        let wait = self.iface.poll_at(instant(now), &self.sockets);
        // round up, so that a timer of smoltcp is never asked for before its microsecond
        self.due = wait
            .map(|at| Time(u64::try_from(at.total_micros()).unwrap_or(0) * 1_000).max(Time(now.0 + 1_000)));
    }

    fn echo_tcp(&mut self) -> bool {
        let mut busy = false;
        let sockets = &mut self.sockets;
        self.tcp.retain(|(_, handle)| {
            let socket = sockets.get_mut::<tcp::Socket<'_>>(*handle);
            while socket.can_recv() && socket.can_send() {
                let mut data = [0; BUFFER];
                let room = (socket.send_capacity() - socket.send_queue()).min(BUFFER);
                let Ok(n) = socket.recv_slice(&mut data[..room]) else { break };
                busy |= socket.send_slice(&data[..n]).is_ok_and(|sent| sent > 0);
                if n == 0 {
                    break;
                }
            }
            if socket.state() == tcp::State::CloseWait && socket.send_queue() == 0 {
                socket.close();
                busy = true;
            }
            let gone = !socket.is_open() || socket.state() == tcp::State::TimeWait;
            if gone {
                sockets.remove(*handle);
            }
            !gone
        });
        busy
    }

    fn echo_udp(&mut self) -> bool {
        let mut busy = false;
        for handle in &self.udp {
            let socket = self.sockets.get_mut::<udp::Socket<'_>>(*handle);
            while socket.can_recv() && socket.can_send() {
                let Ok((data, meta)) = socket.recv() else { break };
                let data = data.to_vec();
                busy |= socket.send_slice(&data, meta).is_ok();
            }
        }
        busy
    }
}

fn is_from(socket: &tcp::Socket<'_>, from: SocketAddr) -> bool {
    socket.remote_endpoint().is_some_and(|r| (IpAddr::from(r.addr), r.port) == (from.ip(), from.port()))
}

/// Client and server of a packet that asks for a connection, or of one that accepts it.
fn connection(packet: &[u8], accepts: bool) -> Option<(SocketAddr, SocketAddr)> {
    let (ends, IpProtocol::Tcp, payload) = wire::ip_parts(packet)? else { return None };
    let s = wire::segment(payload)?;
    let (from, to) = (SocketAddr::new(ends.src(), s.src_port), SocketAddr::new(ends.dst(), s.dst_port));
    (s.control == wire::SegmentFlag::Syn && s.ack.is_some() == accepts).then_some(if accepts {
        (to, from)
    } else {
        (from, to)
    })
}

fn udp_socket(at: SocketAddr) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; BUFFER]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    // fails only for port 0, which no scenario can name
    let _ = socket.bind(IpListenEndpoint { addr: Some(at.ip().into()), port: at.port() });
    socket
}

impl Outside for SmoltcpOutside {
    fn handle_packet(&mut self, now: Time, packet: &[u8], local: bool) {
        let Some((ends, ..)) = wire::ip_parts(packet) else { return };
        if !local && !self.spec.has(ends.dst()) {
            return;
        }
        if self.repeat_answer(packet) {
            return;
        }
        self.make_listener(packet);
        self.wire.rx.push_back(SmallVec::from_slice(packet));
        self.serve(now);
        self.keep_answers();
    }

    fn poll_packet(&mut self) -> Option<IpBytes> {
        self.wire.tx.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.due
    }

    fn handle_timeout(&mut self, now: Time) {
        self.serve(now);
        // a server's own repetitions end after half a minute, and each SYN that comes again puts
        // them off: in the recordings a connection always comes up with a SYN of the client's
        self.wire.tx.retain(|p| connection(p, true).is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Ends, Payload, Segment, SegmentFlag};

    const POD: &str = "10.42.0.123";

    fn world() -> SmoltcpOutside {
        let spec = OutsideSpec {
            hosts: vec!["203.0.113.8".parse().unwrap()],
            tcp: vec!["10.43.51.131:9004".parse().unwrap()],
            udp: vec!["10.43.0.10:53".parse().unwrap()],
        };
        SmoltcpOutside::new(spec, 1)
    }

    fn to(dst: &str) -> Ends {
        Ends::new(POD.parse().unwrap(), dst.parse().unwrap()).unwrap()
    }

    fn replies(o: &mut SmoltcpOutside) -> Vec<IpBytes> {
        std::iter::from_fn(|| o.poll_packet()).collect()
    }

    #[test]
    fn known_hosts_answer_echo_and_unknown_ones_do_not() {
        let mut o = world();
        o.handle_packet(Time::ZERO, &wire::echo(to("203.0.113.8"), false, 1, 2, b"x"), false);
        let r = replies(&mut o);
        let want = Payload::Echo { reply: true, ident: 1, seq: 2, data: b"x" };
        assert_eq!(wire::parse(&r[0]), Some((to("203.0.113.8").reversed(), want)));
        o.handle_packet(Time::ZERO, &wire::echo(to("203.0.113.9"), false, 1, 2, b"x"), false);
        assert!(replies(&mut o).is_empty());
    }

    #[test]
    fn many_connections_are_accepted_at_once_and_echoed() {
        let mut o = world();
        for port in 40_000..40_300 {
            let syn = Segment {
                src_port: port,
                dst_port: 9004,
                control: SegmentFlag::Syn,
                seq: 5,
                ack: None,
                data: b"",
            };
            o.handle_packet(Time::ZERO, &wire::tcp(to("10.43.51.131"), &syn), false);
            let r = replies(&mut o);
            let Some((_, Payload::Tcp(s))) = wire::parse(&r[0]) else { panic!() };
            assert_eq!((s.control, s.ack), (SegmentFlag::Syn, Some(6)));
            let data =
                Segment { control: SegmentFlag::None, seq: 6, ack: Some(s.seq + 1), data: b"hi", ..syn };
            o.handle_packet(Time::ZERO, &wire::tcp(to("10.43.51.131"), &data), false);
            let all = replies(&mut o);
            let echoed =
                all.iter().any(|p| matches!(wire::parse(p), Some((_, Payload::Tcp(s))) if s.data == b"hi"));
            assert!(echoed);
            let rst = Segment { control: SegmentFlag::Rst, seq: 8, ack: None, data: b"", ..syn };
            o.handle_packet(Time::ZERO, &wire::tcp(to("10.43.51.131"), &rst), false);
        }
        assert!(o.tcp.len() < 3, "closed connections are cleared away");
    }

    #[test]
    fn ports_that_nobody_serves_refuse() {
        let mut o = world();
        let syn =
            Segment { src_port: 1, dst_port: 81, control: SegmentFlag::Syn, seq: 5, ack: None, data: b"" };
        o.handle_packet(Time::ZERO, &wire::tcp(to("203.0.113.8"), &syn), false);
        let r = replies(&mut o);
        assert!(matches!(wire::parse(&r[0]), Some((_, Payload::Tcp(s))) if s.control == SegmentFlag::Rst));
    }

    #[test]
    fn datagrams_are_echoed() {
        let mut o = world();
        o.handle_packet(Time::ZERO, &wire::udp(to("10.43.0.10"), 999, 53, b"q"), false);
        let r = replies(&mut o);
        assert!(matches!(wire::parse(&r[0]), Some((_, Payload::Udp { data: b"q", dst_port: 999, .. }))));
    }
}
