//! nfnetlink messages in the words of nft(8).

use std::fmt::Write;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_netfilter::{
    NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{
        ChainAttribute, ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage, SetAttribute,
        SetElementList, SetElementMessage, SetMessage, TableAttribute, TableMessage,
    },
    none::ControlMessage,
};

/// A message as nft(8) would take it, as far as table and chain go, and whether it changes
/// something. A rule's expressions are the kernel's machine code and are not turned back.
pub(super) fn words(message: &NetfilterMessage, flags: u16) -> (String, bool) {
    let family = family(message.header.family);
    match &message.inner {
        NetfilterMessageInner::None(ControlMessage::BatchBegin) => ("begin of a batch".into(), false),
        NetfilterMessageInner::None(ControlMessage::BatchEnd) => ("end of a batch".into(), false),
        NetfilterMessageInner::NfTables(inner) => {
            let (verb, what, changes) = nftables(&family, inner, flags);
            (format!("nft {verb} {what}"), changes)
        }
        other => {
            let subsystem = u8::from(message.subsys());
            // IPCTNL_MSG_CT_GET and its like are known by their numbers only.
            let word = match other {
                NetfilterMessageInner::Conntrack(_) => "conntrack".into(),
                NetfilterMessageInner::ULog(_) => "nflog".into(),
                // asks whether a match or target of iptables is there (NFNL_SUBSYS_NFT_COMPAT)
                _ if subsystem == 11 => return (format!("nft compat, family {family}"), false),
                _ => format!("nfnetlink subsystem {subsystem}"),
            };
            (format!("{word} message, family {family}"), true)
        }
    }
}

/// What a message about nf_tables is about: `rule ip nat POSTROUTING handle 5`.
pub(crate) fn subject(message: &NetfilterMessage) -> Option<String> {
    let NetfilterMessageInner::NfTables(inner) = &message.inner else { return None };
    Some(nftables(&family(message.header.family), inner, 0).1)
}

/// Whether a message only says where a batch begins or ends.
pub(super) fn is_frame(message: &NetfilterMessage) -> bool {
    use ControlMessage as C;
    matches!(message.inner, NetfilterMessageInner::None(C::BatchBegin | C::BatchEnd))
}

pub(crate) fn family(family: NetfilterProtoFamily) -> String {
    match family {
        NetfilterProtoFamily::Inet => "inet".into(),
        NetfilterProtoFamily::IPv4 => "ip".into(),
        NetfilterProtoFamily::IPv6 => "ip6".into(),
        NetfilterProtoFamily::ARP => "arp".into(),
        NetfilterProtoFamily::Bridge => "bridge".into(),
        NetfilterProtoFamily::NetDev => "netdev".into(),
        NetfilterProtoFamily::Unspec => "any".into(),
        other => u8::from(other).to_string(),
    }
}

/// The verb, the object, and whether it changes something.
fn nftables(family: &str, message: &NfTablesMessage, flags: u16) -> (&'static str, String, bool) {
    use NfTablesMessage as M;
    let rule_verb = if flags & NLM_F_REPLACE != 0 {
        "replace"
    } else if flags & (NLM_F_APPEND | NLM_F_CREATE) == NLM_F_CREATE {
        "insert"
    } else {
        "add"
    };
    match message {
        M::NewTable(it) => ("add", table(family, it), true),
        M::GetTable(it) => ("list", table(family, it), false),
        M::DeleteTable(it) => ("delete", table(family, it), true),
        M::NewChain(it) => ("add", chain(family, it), true),
        M::GetChain(it) => ("list", chain(family, it), false),
        M::DeleteChain(it) => ("delete", chain(family, it), true),
        M::NewRule(it) => (rule_verb, rule(family, it), true),
        M::GetRule(it) => ("list", rule(family, it), false),
        M::DeleteRule(it) => ("delete", rule(family, it), true),
        M::NewSet(it) => ("add", set(family, it), true),
        M::GetSet(it) => ("list", set(family, it), false),
        M::DeleteSet(it) => ("delete", set(family, it), true),
        M::NewSetElement(it) => ("add", element(family, it), true),
        M::GetSetElement(it) => ("list", element(family, it), false),
        M::DeleteSetElement(it) => ("delete", element(family, it), true),
        M::GetGen(_) => ("list", "ruleset generation".into(), false),
        M::NewObject(_) => ("add", format!("object {family}"), true),
        M::GetObject(_) => ("list", format!("object {family}"), false),
        M::DeleteObject(_) => ("delete", format!("object {family}"), true),
        M::NewFlowTable(_) => ("add", format!("flowtable {family}"), true),
        M::GetFlowTable(_) => ("list", format!("flowtable {family}"), false),
        M::DeleteFlowTable(_) => ("delete", format!("flowtable {family}"), true),
        other => ("message", format!("{family} {other:?}").chars().take(80).collect(), true),
    }
}

/// `kind family table name`, as far as they are given.
fn line(kind: &str, family: &str, parts: [Option<&str>; 2], handle: Option<u64>) -> String {
    let mut line = format!("{kind} {family}");
    for part in parts.into_iter().flatten() {
        line.push(' ');
        line.push_str(part);
    }
    if let Some(handle) = handle {
        let _ = write!(line, " handle {handle}");
    }
    line
}

fn table(family: &str, message: &TableMessage) -> String {
    let name = message.attributes.iter().find_map(|attribute| match attribute {
        TableAttribute::Name(name) => Some(name.as_str()),
        _ => None,
    });
    line("table", family, [name, None], None)
}

fn chain(family: &str, message: &ChainMessage) -> String {
    let (mut table, mut name, mut handle) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            ChainAttribute::Table(text) => table = Some(text.as_str()),
            ChainAttribute::Name(text) => name = Some(text.as_str()),
            ChainAttribute::Handle(number) => handle = Some(*number),
            _ => {}
        }
    }
    line("chain", family, [table, name], handle)
}

fn rule(family: &str, message: &RuleMessage) -> String {
    let (mut table, mut chain, mut handle) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Table(text) => table = Some(text.as_str()),
            RuleAttribute::Chain(text) => chain = Some(text.as_str()),
            RuleAttribute::Handle(number) => handle = Some(*number),
            _ => {}
        }
    }
    line("rule", family, [table, chain], handle)
}

fn set(family: &str, message: &SetMessage) -> String {
    let (mut table, mut name) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            SetAttribute::Table(text) => table = Some(text.as_str()),
            SetAttribute::Name(text) => name = Some(text.as_str()),
            _ => {}
        }
    }
    line("set", family, [table, name], None)
}

fn element(family: &str, message: &SetElementMessage) -> String {
    let (mut table, mut set) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            SetElementList::Table(text) => table = Some(text.as_str()),
            SetElementList::Set(text) => set = Some(text.as_str()),
            _ => {}
        }
    }
    line("element", family, [table, set], None)
}
