// A smoltcp interface on a wire in memory: frames go in, frames come out, and the time is a number. Included by the
// scripts about smoltcp.
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet,
    Icmpv6Repr, IpCidr, IpProtocol, Ipv4Address, Ipv6Address, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};
use std::collections::VecDeque;

pub const OWN: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);

#[derive(Default)]
pub struct Wire {
    pub to: VecDeque<Vec<u8>>,
    pub from: VecDeque<Vec<u8>>,
}
pub struct Rx(Vec<u8>);
pub struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);
impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}
impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let r = f(&mut frame);
        self.0.push_back(frame);
        r
    }
}
impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;
    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        self.to.pop_front().map(|f| (Rx(f), Tx(&mut self.from)))
    }
    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.from))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut c = DeviceCapabilities::default();
        c.medium = Medium::Ethernet;
        c.max_transmission_unit = 1514;
        c
    }
}

/// An interface with one address, at 0 s.
pub fn host(address: &str) -> (Interface, Wire) {
    let mut wire = Wire::default();
    let mut iface = Interface::new(Config::new(OWN.into()), &mut wire, Instant::ZERO);
    let cidr: IpCidr = address.parse().unwrap();
    iface.update_ip_addrs(|a| a.push(cidr).unwrap());
    (iface, wire)
}

/// Hands the frame in at that second and returns what is sent upon it.
pub fn hear(i: &mut Interface, w: &mut Wire, s: &mut SocketSet, second: i64, frame: Vec<u8>) -> Vec<Vec<u8>> {
    w.to.push_back(frame);
    turn(i, w, s, second)
}

/// Lets the interface do what is due at that second.
pub fn turn(i: &mut Interface, w: &mut Wire, s: &mut SocketSet, second: i64) -> Vec<Vec<u8>> {
    for _ in 0..4 {
        i.poll(Instant::from_secs(second), w, s);
    }
    w.from.drain(..).collect()
}

fn ethernet(src: EthernetAddress, dst: EthernetAddress, kind: EthernetProtocol, len: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + len];
    EthernetRepr { src_addr: src, dst_addr: dst, ethertype: kind }.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame
}

pub fn arp(op: ArpOperation, sha: EthernetAddress, spa: Ipv4Address, tpa: Ipv4Address) -> Vec<u8> {
    let mut frame = ethernet(sha, EthernetAddress::BROADCAST, EthernetProtocol::Arp, 28);
    ArpRepr::EthernetIpv4 {
        operation: op,
        source_hardware_addr: sha,
        source_protocol_addr: spa,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: tpa,
    }
    .emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
    frame
}

pub fn ndp(mac: EthernetAddress, src: Ipv6Address, to: EthernetAddress, dst: Ipv6Address, what: NdiscRepr) -> Vec<u8> {
    let body = Icmpv6Repr::Ndisc(what);
    let ip = Ipv6Repr {
        src_addr: src,
        dst_addr: dst,
        next_header: IpProtocol::Icmpv6,
        payload_len: body.buffer_len(),
        hop_limit: 255,
    };
    let mut frame = ethernet(mac, to, EthernetProtocol::Ipv6, 40 + body.buffer_len());
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
    body.emit(&src, &dst, &mut Icmpv6Packet::new_unchecked(&mut frame[54..]), &Default::default());
    frame
}

/// What a frame is, in a word or two.
pub fn name(frame: &[u8]) -> String {
    let e = EthernetFrame::new_checked(frame).unwrap();
    let what = match e.ethertype() {
        EthernetProtocol::Arp => match ArpPacket::new_checked(e.payload()).unwrap().operation() {
            ArpOperation::Request => "ARP request".to_owned(),
            _ => "ARP reply".to_owned(),
        },
        EthernetProtocol::Ipv6 if frame[20] == 58 => {
            let ip = Ipv6Packet::new_checked(e.payload()).unwrap();
            let (src, dst) = (ip.src_addr(), ip.dst_addr());
            match Icmpv6Repr::parse(&src, &dst, &Icmpv6Packet::new_checked(ip.payload()).unwrap(), &Default::default()) {
                Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { .. })) => "solicitation".to_owned(),
                Ok(Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { flags, .. })) => format!(
                    "advertisement with{} override",
                    if flags.contains(NdiscNeighborFlags::OVERRIDE) { "" } else { "out" }
                ),
                _ => "other ICMPv6".to_owned(),
            }
        }
        _ => "datagram".to_owned(),
    };
    format!("{what} to {}", e.dst_addr())
}

pub fn names(frames: &[Vec<u8>]) -> String {
    if frames.is_empty() {
        return "nothing".to_owned();
    }
    frames.iter().map(|f| name(f)).collect::<Vec<_>>().join(", ")
}

/// One UDP socket on port 1000, with what sends a datagram from it.
pub fn client() -> (SocketSet<'static>, smoltcp::iface::SocketHandle) {
    use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 8], vec![0; 800]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.bind(1000).unwrap();
    let mut sockets = SocketSet::new(vec![]);
    let handle = sockets.add(socket);
    (sockets, handle)
}

pub fn send(sockets: &mut SocketSet, handle: smoltcp::iface::SocketHandle, to: &str) {
    let to: smoltcp::wire::IpAddress = to.parse().unwrap();
    sockets.get_mut::<smoltcp::socket::udp::Socket>(handle).send_slice(b"x", (to, 9)).unwrap();
}
