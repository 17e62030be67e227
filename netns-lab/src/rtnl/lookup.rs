//! Finding an interface on the spot, without a runtime.

use std::io;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use super::Dev;

/// The index of an interface in the namespace of the calling thread; `ENODEV` if there is none.
///
/// if_nametoindex(3) would do the same, but makes the kernel look for a *module* of that name
/// when there is no such interface (`dev_load()`), which forks and takes milliseconds.
pub(crate) fn index_here(dev: &Dev) -> io::Result<u32> {
    let name = match dev {
        Dev::Index(index) => return Ok(*index),
        Dev::Name(name) => name,
    };
    let socket = Socket::new(NETLINK_ROUTE)?;
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.clone()));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(link));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    // The kernel has answered within send(2): there is nothing to wait for.
    let (answer, _kernel) = socket.recv_from_full()?;
    let decoded = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match decoded.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link.header.index),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel answered something else")),
    }
}
