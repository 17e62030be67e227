//! Netlink messages for nf_tables, byte by byte.
//!
//! Numbers are from include/uapi/linux/netfilter/nf_tables.h and nfnetlink.h. All numbers within
//! attributes are in network order; headers are in host order.

/// Room for `struct nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;
const NLA_F_NESTED: u16 = 1 << 15;
const NFPROTO_UNSPEC: u8 = 0;
const NFPROTO_ARP: u8 = 3;
const NFNL_SUBSYS_NFTABLES: u16 = 10;

/// What a message asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// What follows happens together or not at all.
    BatchBegin,
    BatchEnd,
    NewTable,
    DeleteTable,
    NewChain,
    NewRule,
}

impl Kind {
    fn number(self) -> u16 {
        let nftables = |message: u16| NFNL_SUBSYS_NFTABLES << 8 | message;
        match self {
            Self::BatchBegin => 0x10,
            Self::BatchEnd => 0x11,
            Self::NewTable => nftables(0),
            Self::DeleteTable => nftables(2),
            Self::NewChain => nftables(3),
            Self::NewRule => nftables(6),
        }
    }

    fn flags(self) -> u16 {
        let request = libc::NLM_F_REQUEST as u16;
        let acknowledged = request | libc::NLM_F_ACK as u16;
        let create = libc::NLM_F_CREATE as u16;
        match self {
            Self::BatchBegin | Self::BatchEnd => request,
            Self::DeleteTable => acknowledged,
            Self::NewTable | Self::NewChain => acknowledged | create | libc::NLM_F_EXCL as u16,
            Self::NewRule => acknowledged | create | libc::NLM_F_APPEND as u16,
        }
    }
}

/// Appends a message about the ARP family.
pub(super) fn push(bytes: &mut Vec<u8>, kind: Kind, sequence: u32, attributes: &Attributes) {
    // Of a batch's ends the family is nobody's, and the last field names the subsystem.
    let (family, resource) = match kind {
        Kind::BatchBegin | Kind::BatchEnd => (NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES),
        _ => (NFPROTO_ARP, 0),
    };
    let length = HEADER_BYTES + 4 + attributes.0.len();
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(kind.number().to_ne_bytes());
    bytes.extend(kind.flags().to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // From the kernel's side the port is filled in.
    bytes.extend([0; 4]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend(&attributes.0);
}

/// Attributes one after another, each padded to a multiple of four bytes.
#[derive(Clone, Default, Debug)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        // Nothing here comes near the 64 KiB that the length can say.
        self.0.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.bytes(kind, &[value.as_bytes(), &[0]].concat())
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let inner = Attributes::new().number(2, 1);
        let outer = Attributes::new().text(1, "ab").nested(4, &inner);
        let mut wanted = vec![7_u8, 0, 1, 0, b'a', b'b', 0, 0];
        wanted.extend([12, 0, 4, 0x80, 8, 0, 2, 0, 0, 0, 0, 1]);
        if cfg!(target_endian = "little") {
            assert_eq!(outer.0, wanted);
        }
        assert_eq!(outer.0.len(), wanted.len());
    }

    #[test]
    fn a_message_says_its_length_and_family() {
        let mut bytes = Vec::new();
        push(&mut bytes, Kind::BatchBegin, 7, &Attributes::new());
        push(&mut bytes, Kind::NewTable, 8, &Attributes::new().text(1, "t"));
        assert_eq!(bytes.len(), 20 + 28);
        assert_eq!(bytes[16..20], [0, 0, 0, 10]);
        assert_eq!(bytes[20..24], 28_u32.to_ne_bytes());
        assert_eq!(bytes[24..26], 0x0a00_u16.to_ne_bytes());
        assert_eq!(bytes[36], NFPROTO_ARP);
    }
}
