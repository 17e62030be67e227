//! Netlink messages that a process sent, taken apart.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
    route::RouteAttribute,
};

use super::{Undo, netfilter, words};
use crate::{NetnsId, rtnl::Names};

/// `RTM_GET*` is the third of each four types; see include/uapi/linux/rtnetlink.h.
const GET: u16 = 2;
/// `NETLINK_ROUTE` and `NETLINK_NETFILTER`.
const ROUTE: i32 = 0;
const NETFILTER: i32 = 12;

/// One netlink message.
#[derive(Clone, Default, Debug)]
pub struct Message {
    /// Its type (`RTM_NEWLINK` is 16, ...).
    pub kind: u16,
    /// Its flags (`NLM_F_*`).
    pub flags: u16,
    /// Its sequence number, by which the kernel's answer is known.
    pub sequence: u32,
    /// Its length in bytes, header included.
    pub length: usize,
    /// What it asks, as ip(8) or nft(8) would take it; by number and length if it could not be
    /// decoded.
    pub words: String,
    /// It asks for a change, and is not only a question.
    pub changes: bool,
    /// It was decoded.
    pub decoded: bool,
    /// It only says where a batch begins or ends.
    pub frame: bool,
    /// The namespace that a link is moved to, or made in, if that is another.
    pub moves_to: Option<NetnsId>,
    /// What would take it back, if that is known.
    pub undo: Option<Undo>,
    /// It means the same whoever sends it, since it names no descriptor or process of its sender.
    pub(super) anybodys: bool,
}

impl Message {
    /// Whether the kernel is asked for an answer even if all is well.
    pub(super) fn wants_answer(&self) -> bool {
        self.flags & NLM_F_ACK != 0 || !(self.changes || self.frame)
    }
}

/// What only the process's descriptors and the socket's namespace can tell.
pub(super) trait Look {
    /// The interface of that number in the socket's namespace.
    fn interface(&mut self, index: u32) -> Option<String>;
    /// The network namespace behind a descriptor of the process.
    fn netns_of_descriptor(&mut self, fd: i32) -> Option<NetnsId>;
    /// The network namespace of a process, by its number in the process's own namespace.
    fn netns_of_process(&mut self, pid: u32) -> Option<NetnsId>;
    /// A namespace's name for people.
    fn name(&self, netns: NetnsId) -> String;
}

/// Takes one datagram apart. What is too short for a header is one message of type 0.
pub(super) fn messages(protocol: i32, bytes: &[u8], look: &mut dyn Look) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut rest = bytes;
    if bytes.is_empty() {
        messages.push(unreadable(protocol, bytes));
    }
    while !rest.is_empty() {
        let Ok(header) = NetlinkBuffer::new_checked(rest) else {
            messages.push(unreadable(protocol, rest));
            break;
        };
        let length = (header.length() as usize).clamp(1, rest.len());
        messages.push(message(protocol, &rest[..length], &header, look));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

fn unreadable(protocol: i32, bytes: &[u8]) -> Message {
    let length = bytes.len();
    Message {
        kind: 0,
        flags: 0,
        sequence: 0,
        length,
        words: format!("{} message of {length} bytes without a header", protocol_name(protocol)),
        changes: true,
        decoded: false,
        frame: false,
        moves_to: None,
        undo: None,
        anybodys: false,
    }
}

fn message(protocol: i32, bytes: &[u8], header: &NetlinkBuffer<&[u8]>, look: &mut dyn Look) -> Message {
    let (kind, flags, sequence) = (header.message_type(), header.flags(), header.sequence_number());
    let length = bytes.len();
    let mut message = Message {
        kind,
        flags,
        sequence,
        length,
        words: format!("{} message type {kind}, {length} bytes", protocol_name(protocol)),
        changes: true,
        decoded: false,
        frame: false,
        moves_to: None,
        undo: None,
        anybodys: false,
    };
    match protocol {
        ROUTE => {
            if let Some(inner) = decode::<RouteNetlinkMessage>(bytes) {
                message.moves_to = moves_to(&inner, look);
                message.changes = changes(&inner);
                let names = names(&inner, look);
                message.words = words::route(&inner, Mode::of(flags), &names, look);
                message.undo = Undo::of(&inner, Mode::of(flags) != Mode::Change, &names);
                message.decoded = true;
                message.anybodys = is_anybodys(&inner);
            } else {
                message.changes = kind % 4 != GET;
                message.words = format!("{}, {length} bytes", words::route_type(kind));
            }
        }
        NETFILTER => {
            if let Some(inner) = decode::<NetfilterMessage>(bytes) {
                (message.words, message.changes) = netfilter::words(&inner, flags);
                message.frame = netfilter::is_frame(&inner);
                message.decoded = true;
                message.anybodys = true;
            }
        }
        _ => {}
    }
    message
}

fn decode<T: netlink_packet_core::NetlinkDeserializable>(bytes: &[u8]) -> Option<T> {
    match NetlinkMessage::<T>::deserialize(bytes).ok()?.payload {
        NetlinkPayload::InnerMessage(inner) => Some(inner),
        _ => None,
    }
}

/// A protocol's name without its prefix.
pub(super) fn protocol_name(protocol: i32) -> String {
    match protocol {
        ROUTE => "rtnetlink".into(),
        NETFILTER => "nfnetlink".into(),
        4 => "sock_diag".into(),
        6 => "xfrm".into(),
        9 => "audit".into(),
        15 => "uevent".into(),
        16 => "generic netlink".into(),
        other => format!("netlink protocol {other}"),
    }
}

fn changes(message: &RouteNetlinkMessage) -> bool {
    use RouteNetlinkMessage as M;
    !matches!(
        message,
        M::GetLink(_)
            | M::GetAddress(_)
            | M::GetAddrLabel(_)
            | M::GetNeighbour(_)
            | M::GetNeighbourTable(_)
            | M::GetRoute(_)
            | M::GetQueueDiscipline(_)
            | M::GetTrafficClass(_)
            | M::GetTrafficFilter(_)
            | M::GetTrafficAction(_)
            | M::GetTrafficChain(_)
            | M::GetStats(_)
            | M::GetNsId(_)
            | M::GetRule(_)
    )
}

/// Whether the kernel shall make, or overwrite, or change what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Add,
    Replace,
    Append,
    Change,
}

impl Mode {
    fn of(flags: u16) -> Self {
        match (flags & NLM_F_CREATE != 0, flags & NLM_F_REPLACE != 0, flags & NLM_F_EXCL != 0) {
            (_, true, _) => Self::Replace,
            (true, false, true) => Self::Add,
            (true, false, false) => Self::Append,
            (false, false, _) => Self::Change,
        }
    }

    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Append => "append",
            Self::Change => "change",
        }
    }
}

fn names(message: &RouteNetlinkMessage, look: &mut dyn Look) -> Names {
    indices(message).into_iter().filter_map(|index| Some((index, look.interface(index)?))).collect()
}

/// The interfaces that a message names by number.
fn indices(message: &RouteNetlinkMessage) -> Vec<u32> {
    use RouteNetlinkMessage as M;
    let mut found = match message {
        M::NewLink(link) | M::DelLink(link) | M::GetLink(link) | M::SetLink(link) => {
            let attributes = link.attributes.iter().filter_map(|attribute| match attribute {
                LinkAttribute::Link(index) | LinkAttribute::Controller(index) => Some(*index),
                _ => None,
            });
            attributes.chain([link.header.index]).collect()
        }
        M::NewAddress(address) | M::DelAddress(address) | M::GetAddress(address) => {
            vec![address.header.index]
        }
        M::NewNeighbour(entry) | M::DelNeighbour(entry) | M::GetNeighbour(entry) => {
            vec![entry.header.ifindex]
        }
        M::NewRoute(route) | M::DelRoute(route) | M::GetRoute(route) => {
            let mut indices = Vec::new();
            for attribute in &route.attributes {
                match attribute {
                    RouteAttribute::Oif(index) | RouteAttribute::Iif(index) => indices.push(*index),
                    RouteAttribute::MultiPath(hops) => {
                        indices.extend(hops.iter().map(|hop| hop.interface_index));
                    }
                    _ => {}
                }
            }
            indices
        }
        M::NewQueueDiscipline(tc)
        | M::DelQueueDiscipline(tc)
        | M::GetQueueDiscipline(tc)
        | M::NewTrafficClass(tc)
        | M::DelTrafficClass(tc)
        | M::NewTrafficFilter(tc)
        | M::DelTrafficFilter(tc) => u32::try_from(tc.header.index).into_iter().collect(),
        _ => Vec::new(),
    };
    found.retain(|index| *index != 0);
    found
}

/// Where a message puts a link, if that is not the socket's own namespace.
fn moves_to(message: &RouteNetlinkMessage, look: &mut dyn Look) -> Option<NetnsId> {
    use RouteNetlinkMessage as M;
    let (M::NewLink(link) | M::SetLink(link)) = message else { return None };
    target(link, look).or_else(|| target(peer(link)?, look))
}

/// Whether a message names no descriptor or process of its sender: those of links do where they
/// name a namespace or an eBPF program.
fn is_anybodys(message: &RouteNetlinkMessage) -> bool {
    use RouteNetlinkMessage as M;
    let plain = |link: &LinkMessage| {
        !link.attributes.iter().any(|attribute| {
            matches!(
                attribute,
                LinkAttribute::NetNsFd(_) | LinkAttribute::NetNsPid(_) | LinkAttribute::Xdp(_)
            )
        })
    };
    match message {
        M::NewLink(link) | M::SetLink(link) | M::DelLink(link) => plain(link) && peer(link).is_none_or(plain),
        M::NewAddress(_)
        | M::DelAddress(_)
        | M::NewRoute(_)
        | M::DelRoute(_)
        | M::NewRule(_)
        | M::DelRule(_)
        | M::NewNeighbour(_)
        | M::DelNeighbour(_) => true,
        _ => false,
    }
}

/// The other end of a veth that is to be made.
pub(super) fn peer(link: &LinkMessage) -> Option<&LinkMessage> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))) => Some(peer),
            _ => None,
        }),
        _ => None,
    })
}

/// The namespace that a link message names.
pub(super) fn target(link: &LinkMessage, look: &mut dyn Look) -> Option<NetnsId> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::NetNsFd(fd) => look.netns_of_descriptor(*fd),
        LinkAttribute::NetNsPid(pid) => look.netns_of_process(*pid),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows one interface, and nothing of namespaces.
    struct Blind;

    impl Look for Blind {
        fn interface(&mut self, index: u32) -> Option<String> {
            (index == 7).then(|| "eth0".into())
        }

        fn netns_of_descriptor(&mut self, _fd: i32) -> Option<NetnsId> {
            None
        }

        fn netns_of_process(&mut self, _pid: u32) -> Option<NetnsId> {
            None
        }

        fn name(&self, netns: NetnsId) -> String {
            netns.to_string()
        }
    }

    fn bytes(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = 16 + payload.len() as u32;
        let head =
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[9, 0, 0, 0, 0, 0, 0, 0]];
        [&head.concat(), payload].concat()
    }

    fn read(protocol: i32, bytes: &[u8]) -> Vec<Message> {
        messages(protocol, bytes, &mut Blind)
    }

    /// `struct ifinfomsg` of interface 7, to be set up.
    const UP: [u8; 16] = [0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0];

    #[test]
    fn several_messages_of_one_call_are_parted() {
        let sent = [bytes(16, NLM_F_ACK, &UP), bytes(17, NLM_F_ACK, &UP)].concat();
        let found = read(ROUTE, &sent);
        let words: Vec<_> = found.iter().map(|message| message.words.as_str()).collect();
        assert_eq!(words, ["ip link set eth0 up", "ip link del eth0"]);
        assert!(found.iter().all(|message| message.decoded && message.changes && message.sequence == 9));
    }

    #[test]
    fn what_cannot_be_decoded_has_number_and_length() {
        let short = read(ROUTE, &bytes(18, 0, &[0]));
        assert_eq!((short[0].words.as_str(), short[0].changes), ("RTM_GETLINK, 17 bytes", false));
        let generic = read(16, &bytes(29, 0, &[1, 1, 0, 0]));
        assert_eq!(generic[0].words, "generic netlink message type 29, 20 bytes");
        assert_eq!(read(ROUTE, &[1, 2, 3])[0].words, "rtnetlink message of 3 bytes without a header");
        assert_eq!(read(ROUTE, &bytes(9999, 0, &[])).len(), 1);
        assert_eq!(read(ROUTE, &[])[0].words, "rtnetlink message of 0 bytes without a header");
    }

    /// A process can send anything, and the supervisor must not fall over it.
    #[test]
    fn no_bytes_bring_it_down() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut draw = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..20_000 {
            let payload: Vec<u8> = (0..draw(80)).map(|_| draw(256) as u8).collect();
            let kind = if draw(2) == 0 { 16 + draw(100) as u16 } else { 0x0a00 + draw(30) as u16 };
            let mut sent = bytes(kind, draw(0x1000) as u16, &payload);
            if draw(3) == 0 {
                // a well-formed attribute of any type with what follows as its content
                let at = 16 + 4 * draw(8);
                let left = sent.len().saturating_sub(at);
                if left >= 4 {
                    sent[at..at + 2].copy_from_slice(&(left as u16).to_ne_bytes());
                    sent[at + 2..at + 4].copy_from_slice(&(draw(70) as u16).to_ne_bytes());
                }
            }
            sent.truncate(sent.len() - draw(3).min(sent.len()));
            for protocol in [ROUTE, NETFILTER] {
                assert!(!read(protocol, &sent).is_empty());
            }
        }
    }
}
