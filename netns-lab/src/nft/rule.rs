//! An ARP filter rule, in nf_tables' own terms.

use std::{fmt, net::Ipv4Addr};

use super::message::Attributes;

/// Where ARP packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpHook {
    /// As they arrive, before the kernel considers them (`NF_ARP_IN`).
    Input,
    /// As they leave, answers by proxy included (`NF_ARP_OUT`). Frames of packet sockets do not
    /// come by.
    Output,
}

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// Who has?
    Request,
    /// Is at.
    Reply,
}

/// A rule that drops ARP packets on one interface; all conditions must hold.
///
/// It is printed in the language of nft(8).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ArpDrop {
    /// Whether it drops what arrives or what leaves.
    pub hook: ArpHook,
    /// Arriving or leaving by this interface, which need not exist yet. A star at the end stands
    /// for any rest of a name; a star alone is every interface.
    pub dev: String,
    /// Of this kind only.
    pub operation: Option<ArpOperation>,
    /// Saying that this is the sender's IP address.
    pub sender: Option<Ipv4Addr>,
    /// Asking about this IP address, or answering to it.
    pub target: Option<Ipv4Addr>,
}

impl ArpDrop {
    /// Drops all ARP packets at `hook` on `dev`.
    pub fn new(hook: ArpHook, dev: impl Into<String>) -> Self {
        Self { hook, dev: dev.into(), operation: None, sender: None, target: None }
    }

    /// Of this kind only.
    pub fn operation(mut self, operation: ArpOperation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// With this sender's IP address only.
    pub fn sender(mut self, sender: Ipv4Addr) -> Self {
        self.sender = Some(sender);
        self
    }

    /// With this target's IP address only.
    pub fn target(mut self, target: Ipv4Addr) -> Self {
        self.target = Some(target);
        self
    }

    /// `NFTA_TABLE_NAME`.
    pub(super) fn table(table: &str) -> Attributes {
        Attributes::new().text(1, table)
    }

    /// A base chain at the hook, at priority 0, which lets pass what no rule drops.
    pub(super) fn chain(&self, table: &str) -> Attributes {
        let number = match self.hook {
            ArpHook::Input => 0,
            ArpHook::Output => 1,
        };
        let hook = Attributes::new().number(1, number).number(2, 0);
        Attributes::new().text(1, table).text(3, CHAIN).nested(4, &hook).text(7, "filter")
    }

    /// The conditions and the verdict.
    pub(super) fn rule(&self, table: &str) -> Attributes {
        let mut list = Attributes::new();
        for expression in self.expressions() {
            // NFTA_LIST_ELEM
            list = list.nested(1, &expression);
        }
        Attributes::new().text(1, table).text(2, CHAIN).nested(4, &list)
    }

    fn expressions(&self) -> Vec<Attributes> {
        let mut list = Vec::new();
        list.extend(self.on_dev());
        // As nft(8) writes it, without a look at the hardware type. The kernel has checked the
        // lengths of the addresses by then (`arp_rcv()`), so the fields are where they belong.
        match self.operation {
            Some(ArpOperation::Request) => list.extend(field(6, &[0, 1])),
            Some(ArpOperation::Reply) => list.extend(field(6, &[0, 2])),
            None => {}
        }
        list.extend(self.sender.into_iter().flat_map(|ip| field(14, &ip.octets())));
        list.extend(self.target.into_iter().flat_map(|ip| field(24, &ip.octets())));
        list.push(drop_it());
        list
    }

    fn on_dev(&self) -> Vec<Attributes> {
        let key = match self.hook {
            ArpHook::Input => META_IIFNAME,
            ArpHook::Output => META_OIFNAME,
        };
        let load = expression("meta", &Attributes::new().number(1, REGISTER).number(2, key));
        if let Some(start) = self.dev.strip_suffix('*') {
            // as nft(8) does it: only so many bytes of the name are compared
            return if start.is_empty() { Vec::new() } else { vec![load, equals(start.as_bytes())] };
        }
        // The register holds the whole of IFNAMSIZ, zeros at the end.
        let mut name = [0; NAME_BYTES];
        for (to, from) in name.iter_mut().zip(self.dev.bytes().take(NAME_BYTES - 1)) {
            *to = from;
        }
        vec![load, equals(&name)]
    }
}

/// Name of the one chain in each table.
const CHAIN: &str = "drop";
/// `IFNAMSIZ`.
const NAME_BYTES: usize = 16;
/// `NFT_META_IIFNAME`, `NFT_META_OIFNAME`.
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
/// `NFT_REG_1`, of 16 bytes.
const REGISTER: u32 = 1;
/// `NFT_PAYLOAD_NETWORK_HEADER`: of an ARP packet, its beginning.
const NETWORK_HEADER: u32 = 1;

/// `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::new().text(1, name).nested(2, data)
}

/// Goes on only if the bytes at this offset of the ARP packet are these.
fn field(offset: u32, wanted: &[u8]) -> [Attributes; 2] {
    let length = wanted.len() as u32;
    let load =
        Attributes::new().number(1, REGISTER).number(2, NETWORK_HEADER).number(3, offset).number(4, length);
    [expression("payload", &load), equals(wanted)]
}

/// Goes on only if the register holds these bytes (`NFT_CMP_EQ`).
fn equals(wanted: &[u8]) -> Attributes {
    let value = Attributes::new().bytes(1, wanted);
    expression("cmp", &Attributes::new().number(1, REGISTER).number(2, 0).nested(3, &value))
}

/// The verdict `NF_DROP`, in the register for verdicts (0).
fn drop_it() -> Attributes {
    let verdict = Attributes::new().number(1, 0);
    expression("immediate", &Attributes::new().number(1, 0).nested(2, &Attributes::new().nested(2, &verdict)))
}

impl fmt::Display for ArpDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dev = match self.hook {
            ArpHook::Input => "iifname",
            ArpHook::Output => "oifname",
        };
        let mut words = Vec::new();
        // nft(8) has no name that is a star alone
        if self.dev != "*" {
            words.push(format!("{dev} \"{}\"", self.dev));
        }
        match self.operation {
            Some(ArpOperation::Request) => words.push("arp operation request".into()),
            Some(ArpOperation::Reply) => words.push("arp operation reply".into()),
            None => {}
        }
        words.extend(self.sender.map(|ip| format!("arp saddr ip {ip}")));
        words.extend(self.target.map(|ip| format!("arp daddr ip {ip}")));
        words.push("drop".into());
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_nft_takes_it() {
        let rule = ArpDrop::new(ArpHook::Output, "cali0")
            .operation(ArpOperation::Reply)
            .sender(Ipv4Addr::new(169, 254, 1, 1));
        assert_eq!(rule.to_string(), "oifname \"cali0\" arp operation reply arp saddr ip 169.254.1.1 drop");
        let all = ArpDrop::new(ArpHook::Input, "eth0").target(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(all.to_string(), "iifname \"eth0\" arp daddr ip 10.0.0.1 drop");
        assert_eq!(ArpDrop::new(ArpHook::Input, "cali*").to_string(), "iifname \"cali*\" drop");
        assert_eq!(ArpDrop::new(ArpHook::Input, "*").to_string(), "drop");
    }

    #[test]
    fn each_condition_is_a_load_and_a_comparison() {
        let bare = ArpDrop::new(ArpHook::Input, "eth0");
        assert_eq!(bare.expressions().len(), 2 + 1);
        let full =
            bare.operation(ArpOperation::Request).sender(Ipv4Addr::LOCALHOST).target(Ipv4Addr::LOCALHOST);
        assert_eq!(full.expressions().len(), 3 + 3 * 2);
    }
}
