//! Neighbour solicitations and advertisements as bytes (RFC 4861 sections 4.3, 4.4 and 4.6; the
//! nonce of RFC 7527), as far as the kernel looks at them (ndisc_parse_options).

use super::{Ends, ip_parts};
use crate::addr::Mac;
use crate::packet::IpBytes;
use smallvec::SmallVec;
use smoltcp::wire::{Icmpv6Packet, IpProtocol};
use std::net::Ipv6Addr;

/// ICMPv6 type of a solicitation.
pub const TYPE_SOLICIT: u8 = 135;
/// ICMPv6 type of an advertisement.
pub const TYPE_ADVERT: u8 = 136;
/// Every hop limit but this one has crossed a router, so it was not sent on this link.
pub const HOP_LIMIT: u8 = 255;
/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Where an IPv6 header has its hop limit.
const HOP_LIMIT_AT: usize = 7;
/// Type, code, checksum, flags, target.
const ND_LEN: usize = 24;
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
const OPTION_NONCE: u8 = 14;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

/// The group an address's solicitations go to (RFC 4291 section 2.7.1).
#[must_use]
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let o = target.octets();
    let low = u16::from_be_bytes([o[14], o[15]]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(o[13]), low)
}

/// True for a solicited-node group, whosever it is.
#[must_use]
pub fn is_solicited_node(group: Ipv6Addr) -> bool {
    group.octets()[..13] == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]
}

/// A neighbour solicitation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Solicit {
    /// Who is asked for.
    pub target: Ipv6Addr,
    /// Source link-layer address option.
    pub source: Option<Mac>,
    /// Nonce option: tells a test of one's own from a rival's.
    pub nonce: Option<[u8; 6]>,
}

/// A neighbour advertisement.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Advert {
    /// Who is advertised.
    pub target: Ipv6Addr,
    /// R: the sender routes.
    pub router: bool,
    /// S: it answers a solicitation.
    pub solicited: bool,
    /// O: it replaces what is known.
    pub replace: bool,
    /// Target link-layer address option.
    pub mac: Option<Mac>,
}

/// A message of neighbour discovery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NdMessage {
    /// Who has it?
    Solicit(Solicit),
    /// I have it.
    Advert(Advert),
}

/// A message with what its packet says of the way it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NdPacket {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Hop limit.
    pub hop_limit: u8,
    /// What it says.
    pub message: NdMessage,
}

/// The message in an IPv6 packet without extension headers, if it is one, and a sound one.
#[must_use]
pub fn in_packet(ip: &[u8]) -> Option<NdPacket> {
    let (Ends::V6(src, dst), IpProtocol::Icmpv6, icmp) = ip_parts(ip)? else { return None };
    let message = parse(src, dst, icmp)?.ok()?;
    Some(NdPacket { src, dst, hop_limit: ip[HOP_LIMIT_AT], message })
}

/// [`TYPE_SOLICIT`] or [`TYPE_ADVERT`], where an IPv6 packet without extension headers holds such a
/// message, sound or not.
#[must_use]
pub fn type_in(ip: &[u8]) -> Option<u8> {
    let (Ends::V6(..), IpProtocol::Icmpv6, icmp) = ip_parts(ip)? else { return None };
    icmp.first().copied().filter(|kind| matches!(*kind, TYPE_SOLICIT | TYPE_ADVERT))
}

/// Why a message is put aside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NdFault {
    /// Shorter than its fixed part.
    Truncated,
    /// ICMPv6 code other than 0.
    Code(u8),
    /// The checksum is wrong.
    Checksum,
    /// An option of length 0, or longer than what is left.
    Option,
    /// A link-layer address option that is not for Ethernet.
    LinkLayerLength,
}

impl NdFault {
    /// In words.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            NdFault::Truncated => "the message is cut short",
            NdFault::Code(_) => "its ICMPv6 code is not 0",
            NdFault::Checksum => "its checksum is wrong",
            NdFault::Option => "an option is cut short",
            NdFault::LinkLayerLength => "its link-layer address is not an Ethernet address",
        }
    }
}

/// Reads an ICMPv6 message; `None` when it is something else than neighbour discovery between
/// hosts.
#[must_use]
pub fn parse(src: Ipv6Addr, dst: Ipv6Addr, icmp: &[u8]) -> Option<Result<NdMessage, NdFault>> {
    let kind = *icmp.first()?;
    matches!(kind, TYPE_SOLICIT | TYPE_ADVERT).then(|| parse_nd(kind, src, dst, icmp))
}

fn parse_nd(kind: u8, src: Ipv6Addr, dst: Ipv6Addr, icmp: &[u8]) -> Result<NdMessage, NdFault> {
    if !Icmpv6Packet::new_unchecked(icmp).verify_checksum(&src, &dst) {
        return Err(NdFault::Checksum);
    }
    let code = *icmp.get(1).ok_or(NdFault::Truncated)?;
    if code != 0 {
        return Err(NdFault::Code(code));
    }
    let target: [u8; 16] = icmp.get(8..ND_LEN).and_then(|b| b.try_into().ok()).ok_or(NdFault::Truncated)?;
    let target = Ipv6Addr::from(target);
    let options = Options::parse(&icmp[ND_LEN..])?;
    if kind == TYPE_SOLICIT {
        let source = options.mac(OPTION_SOURCE)?;
        return Ok(NdMessage::Solicit(Solicit { target, source, nonce: options.nonce() }));
    }
    let mac = options.mac(OPTION_TARGET)?;
    let flag = |bit| icmp[4] & bit != 0;
    Ok(NdMessage::Advert(Advert {
        target,
        router: flag(FLAG_ROUTER),
        solicited: flag(FLAG_SOLICITED),
        replace: flag(FLAG_OVERRIDE),
        mac,
    }))
}

/// The options of a message: type and content, type and length not counted.
struct Options<'a>(SmallVec<[(u8, &'a [u8]); 4]>);

impl<'a> Options<'a> {
    fn parse(mut rest: &'a [u8]) -> Result<Options<'a>, NdFault> {
        let mut options = SmallVec::new();
        while !rest.is_empty() {
            let len = usize::from(*rest.get(1).ok_or(NdFault::Option)?) * 8;
            if len == 0 || len > rest.len() {
                return Err(NdFault::Option);
            }
            options.push((rest[0], &rest[2..len]));
            rest = &rest[len..];
        }
        Ok(Options(options))
    }

    /// The first option of that type counts; later ones are ignored.
    fn first(&self, kind: u8) -> Option<&'a [u8]> {
        self.0.iter().find(|(k, _)| *k == kind).map(|o| o.1)
    }

    fn mac(&self, kind: u8) -> Result<Option<Mac>, NdFault> {
        let Some(content) = self.first(kind) else { return Ok(None) };
        content.try_into().map(|m| Some(Mac(m))).map_err(|_| NdFault::LinkLayerLength)
    }

    fn nonce(&self) -> Option<[u8; 6]> {
        self.first(OPTION_NONCE).and_then(|content| content.try_into().ok())
    }
}

/// A solicitation as an IPv6 packet.
#[must_use]
pub fn solicit_packet(src: Ipv6Addr, dst: Ipv6Addr, ns: &Solicit) -> IpBytes {
    let options = [(OPTION_SOURCE, ns.source.map(|m| m.0)), (OPTION_NONCE, ns.nonce)];
    packet(src, dst, TYPE_SOLICIT, 0, ns.target, &options)
}

/// An advertisement as an IPv6 packet.
#[must_use]
pub fn advert_packet(src: Ipv6Addr, dst: Ipv6Addr, na: &Advert) -> IpBytes {
    let bit = |on, bit| if on { bit } else { 0 };
    let flags =
        bit(na.router, FLAG_ROUTER) | bit(na.solicited, FLAG_SOLICITED) | bit(na.replace, FLAG_OVERRIDE);
    packet(src, dst, TYPE_ADVERT, flags, na.target, &[(OPTION_TARGET, na.mac.map(|m| m.0))])
}

fn packet(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    options: &[(u8, Option<[u8; 6]>)],
) -> IpBytes {
    let mut icmp: SmallVec<[u8; 48]> = SmallVec::new();
    icmp.extend_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
    icmp.extend_from_slice(&target.octets());
    for (option, content) in options {
        if let Some(content) = content {
            icmp.extend_from_slice(&[*option, 1]);
            icmp.extend_from_slice(content);
        }
    }
    Icmpv6Packet::new_unchecked(&mut icmp[..]).fill_checksum(&src, &dst);
    let mut bytes = Ends::V6(src, dst).packet(IpProtocol::Icmpv6, icmp.len(), |p| p.copy_from_slice(&icmp));
    bytes[HOP_LIMIT_AT] = HOP_LIMIT;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);
    const POD: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xaff, 0xfe41, 2);

    /// An advertisement as a 6.18 kernel sent it, behind its Ethernet header.
    const ADVERT: &str = "6000000000203afffe80000000000000eceeeefffeeeeeeefe8000000000000000000afffe410002\
                          88003077e0000000fe80000000000000eceeeefffeeeeeee0201eeeeeeeeeeee";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn an_advertisement_is_written_as_the_kernel_writes_it() {
        let na =
            Advert { target: HOST, router: true, solicited: true, replace: true, mac: Some(Mac::CALICO) };
        assert_eq!(advert_packet(HOST, POD, &na)[..], bytes(ADVERT)[..]);
        let read = parse(HOST, POD, &bytes(ADVERT)[40..]).unwrap().unwrap();
        assert_eq!(read, NdMessage::Advert(na));
    }

    #[test]
    fn a_solicitation_reads_back_with_and_without_options() {
        let group = solicited_node(HOST);
        assert!(is_solicited_node(group) && !is_solicited_node(ALL_NODES));
        for (source, nonce) in [(Some(Mac::CALICO), None), (None, Some([1, 2, 3, 4, 5, 6])), (None, None)] {
            let ns = Solicit { target: HOST, source, nonce };
            let packet = solicit_packet(POD, group, &ns);
            assert_eq!(parse(POD, group, &packet[40..]), Some(Ok(NdMessage::Solicit(ns))));
        }
    }

    #[test]
    fn a_message_of_one_byte_is_cut_short_though_its_checksum_is_right() {
        let read = |low| parse(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, low), POD, &[TYPE_SOLICIT]);
        let mut faults = (0..=u16::MAX).filter_map(|low| read(low)?.err());
        assert!(faults.any(|fault| fault == NdFault::Truncated));
    }

    #[test]
    fn damage_is_told_apart() {
        let good = bytes(ADVERT)[40..].to_vec();
        let fault = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut icmp = good.clone();
            change(&mut icmp);
            Icmpv6Packet::new_unchecked(&mut icmp[..]).fill_checksum(&HOST, &POD);
            parse(HOST, POD, &icmp).unwrap().unwrap_err()
        };
        assert_eq!(fault(&|b| b[1] = 1), NdFault::Code(1));
        assert_eq!(fault(&|b| b.truncate(20)), NdFault::Truncated);
        assert_eq!(fault(&|b| b[25] = 0), NdFault::Option);
        assert_eq!(fault(&|b| b[25] = 2), NdFault::Option);
        assert_eq!(
            fault(&|b| {
                b[25] = 2;
                b.extend([0; 8]);
            }),
            NdFault::LinkLayerLength
        );
        let mut icmp = good.clone();
        icmp[30] ^= 1;
        assert_eq!(parse(HOST, POD, &icmp), Some(Err(NdFault::Checksum)));
        assert_eq!(parse(HOST, POD, &[128, 0, 0, 0]), None);
        for len in 0..good.len() {
            let _ = parse(HOST, POD, &good[..len]);
        }
    }
}
