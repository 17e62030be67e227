//! What is in a namespace's nf_tables.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    nftables::{ChainMessage, NfTablesMessage, RuleMessage, SetMessage, TableMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::NftError;
use crate::{Netns, supervise::netfilter};

/// Tables, chains, rules and sets of all families, each as a line such as
/// `rule ip nat POSTROUTING handle 5`. A rule's expressions are not told, and neither are elements
/// of sets; a handle is never given twice. Rules of the old iptables (`xtables`) are elsewhere.
///
/// # Errors
/// [`NftError::Socket`]. A kernel without nf_tables has nothing.
pub fn ruleset(netns: &Netns) -> Result<Vec<String>, NftError> {
    let mut lines = Vec::new();
    listed(netns, &mut |message| lines.extend(netfilter::subject(message)))?;
    Ok(lines)
}

/// Every table, chain, rule and set of a namespace, as the kernel tells it.
pub(super) fn listed(
    netns: &Netns,
    take: &mut (dyn FnMut(&NetfilterMessage) + Send),
) -> Result<(), NftError> {
    let label = netns.label();
    let listed = netns.exec(|| -> io::Result<()> {
        let asked = [
            NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() }),
            NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() }),
            NfTablesMessage::GetRule(RuleMessage { attributes: Vec::new() }),
            NfTablesMessage::GetSet(SetMessage { attributes: Vec::new() }),
        ];
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        asked.into_iter().try_for_each(|question| dump(&socket, question, take))
    })?;
    match listed {
        Err(e) if e.raw_os_error() == Some(libc::EPROTONOSUPPORT) => Ok(()),
        other => other.map_err(|source| NftError::Socket { label: label.to_owned(), source }),
    }
}

/// On the namespace's thread: one question, and all of its answers.
fn dump(
    socket: &Socket,
    question: NfTablesMessage,
    take: &mut (dyn FnMut(&NetfilterMessage) + Send),
) -> io::Result<()> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let mut message = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::from(NetfilterMessage::new(header, NetfilterMessageInner::NfTables(question))),
    );
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    loop {
        let (answer, _) = socket.recv_from_full()?;
        let mut rest = &answer[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            let length = message.header.length as usize;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(inner) => take(&inner),
                _ => {}
            }
            rest = rest.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
        }
    }
}
