//! Tables, chains and rules of any family, to be found and deleted again.

use std::{collections::BTreeSet, fmt};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner,
    nftables::{
        ChainAttribute, ChainMessage, DataAttribute, ExpressionAttribute, Expressions, Immediate,
        ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
        VerdictAttribute,
    },
    none::ControlMessage,
};

use super::{NftError, exchange, list};
use crate::{Netns, supervise::netfilter};

/// `NFNL_SUBSYS_NFTABLES`, which the ends of a batch name.
const SUBSYSTEM: u16 = 10;

/// A table, a chain or a rule. Shown as nft(8) names it: `rule ip nat POSTROUTING handle 5`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NftObject {
    /// `NFPROTO_*`.
    family: u8,
    table: String,
    chain: Option<String>,
    /// A rule's handle.
    rule: Option<u64>,
    /// Chains of the same table to which a rule jumps or goes.
    targets: BTreeSet<String>,
}

impl NftObject {
    fn of(message: &NetfilterMessage) -> Option<Self> {
        let NetfilterMessageInner::NfTables(inner) = &message.inner else { return None };
        let family = message.header.family.into();
        let (mut table, mut chain, mut rule, mut targets) = (None, None, None, BTreeSet::new());
        match inner {
            NfTablesMessage::NewTable(it) => {
                for attribute in &it.attributes {
                    if let TableAttribute::Name(name) = attribute {
                        table = Some(name.clone());
                    }
                }
            }
            NfTablesMessage::NewChain(it) => {
                for attribute in &it.attributes {
                    match attribute {
                        ChainAttribute::Table(name) => table = Some(name.clone()),
                        ChainAttribute::Name(name) => chain = Some(name.clone()),
                        _ => {}
                    }
                }
            }
            NfTablesMessage::NewRule(it) => {
                for attribute in &it.attributes {
                    match attribute {
                        RuleAttribute::Table(name) => table = Some(name.clone()),
                        RuleAttribute::Chain(name) => chain = Some(name.clone()),
                        RuleAttribute::Handle(number) => rule = Some(*number),
                        RuleAttribute::Expressions(list) => targets = jumps(list),
                        _ => {}
                    }
                }
            }
            _ => return None,
        }
        Some(Self { family, table: table?, chain, rule, targets })
    }

    /// What has to be deleted, and in this order, so that this goes.
    ///
    /// A table takes all that is in it along, a chain its rules. A chain that rules elsewhere jump to
    /// cannot go before them.
    #[must_use]
    pub fn with_what_needs_it(&self, there: &[Self]) -> Vec<Self> {
        let mut found = Vec::new();
        if let (Some(chain), None) = (&self.chain, self.rule) {
            let jumps = there.iter().filter(|it| {
                it.rule.is_some()
                    && (it.family, &it.table) == (self.family, &self.table)
                    && it.chain.as_ref() != Some(chain)
                    && it.targets.contains(chain)
            });
            found.extend(jumps.cloned());
        }
        found.push(self.clone());
        found
    }

    /// Whether it goes when `other` does.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let same_table = (self.family, &self.table) == (other.family, &other.table);
        same_table
            && match (&other.chain, other.rule) {
                (None, _) => self.chain.is_some(),
                (Some(chain), None) => self.rule.is_some() && self.chain.as_ref() == Some(chain),
                (Some(_), Some(_)) => false,
            }
    }

    fn deletion(&self) -> NetfilterMessage {
        let header = NetfilterHeader::new(self.family.into(), 0, 0);
        let table = self.table.clone();
        let inner = match (&self.chain, self.rule) {
            (None, _) => {
                NfTablesMessage::DeleteTable(TableMessage { attributes: vec![TableAttribute::Name(table)] })
            }
            (Some(chain), None) => NfTablesMessage::DeleteChain(ChainMessage {
                attributes: vec![ChainAttribute::Table(table), ChainAttribute::Name(chain.clone())],
            }),
            (Some(chain), Some(handle)) => NfTablesMessage::DeleteRule(RuleMessage {
                attributes: vec![
                    RuleAttribute::Table(table),
                    RuleAttribute::Chain(chain.clone()),
                    RuleAttribute::Handle(handle),
                ],
            }),
        };
        NetfilterMessage::new(header, NetfilterMessageInner::NfTables(inner))
    }
}

impl fmt::Display for NftObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = netfilter::family(self.family.into());
        match (&self.chain, self.rule) {
            (None, _) => write!(f, "table {family} {}", self.table),
            (Some(chain), None) => write!(f, "chain {family} {} {chain}", self.table),
            (Some(chain), Some(handle)) => write!(f, "rule {family} {} {chain} handle {handle}", self.table),
        }
    }
}

/// The chains that a rule's verdicts name.
fn jumps(list: &[ListAttribute<ExpressionAttribute>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for element in list {
        let ListAttribute::Element(attributes) = element else { continue };
        for attribute in attributes {
            let ExpressionAttribute::Data(Expressions::Immediate(parts)) = attribute else { continue };
            for part in parts {
                let Immediate::Data(DataAttribute::Verdict(verdict)) = part else { continue };
                found.extend(verdict.iter().filter_map(|it| match it {
                    VerdictAttribute::Chain(name) => Some(name.clone()),
                    _ => None,
                }));
            }
        }
    }
    found
}

/// Tables, chains and rules of all families, in the order in which the kernel lists them.
///
/// # Errors
/// [`NftError::Socket`]. A kernel without nf_tables has nothing.
pub fn objects(netns: &Netns) -> Result<Vec<NftObject>, NftError> {
    let mut found = Vec::new();
    list::listed(netns, &mut |message| found.extend(NftObject::of(message)))?;
    Ok(found)
}

/// Deletes all of them in this order, or none.
///
/// # Errors
/// [`NftError::Refused`], with `ENOENT` for what is gone already and `EBUSY` for a chain that rules elsewhere
/// jump to.
pub fn delete(netns: &Netns, objects: &[NftObject]) -> Result<(), NftError> {
    let mut bytes = Vec::new();
    push(&mut bytes, 0, control(ControlMessage::BatchBegin));
    for (sequence, object) in (1..).zip(objects) {
        push(&mut bytes, sequence, object.deletion());
    }
    push(&mut bytes, 0, control(ControlMessage::BatchEnd));
    let label = netns.label();
    let outcome = netns.exec(|| exchange(&bytes, objects.len()))?;
    match outcome.map_err(|source| NftError::Socket { label: label.to_owned(), source })? {
        None => Ok(()),
        Some((errno, kernel_says)) => {
            let asked: Vec<_> = objects.iter().map(|object| format!("nft delete {object}")).collect();
            let (asked, label) = (asked.join("; "), label.to_owned());
            Err(NftError::Refused { asked, label, errno, kernel_says })
        }
    }
}

fn control(message: ControlMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(0.into(), 0, SUBSYSTEM), NetfilterMessageInner::None(message))
}

fn push(bytes: &mut Vec<u8>, sequence: u32, message: NetfilterMessage) {
    let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
    // the ends of a batch are not acknowledged
    message.header.flags = NLM_F_REQUEST | if sequence == 0 { 0 } else { NLM_F_ACK };
    message.header.sequence_number = sequence;
    message.finalize();
    let begin = bytes.len();
    bytes.resize(begin + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[begin..begin + message.buffer_len()]);
}
