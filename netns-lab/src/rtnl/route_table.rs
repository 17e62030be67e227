//! Whether a namespace has a routing table: `ip route flush` fails where it has not.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::io;

use crate::{Errno, Netns};

impl Netns {
    /// True when the kernel keeps that routing table here. It makes one when a route is put into it (in
    /// IPv6 also when a rule leads to it), and keeps it when the last route is gone.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub fn has_route_table(&self, v6: bool, table: u32) -> io::Result<bool> {
        self.exec(|| ask(v6, table)).map_err(io::Error::other)?
    }
}

/// A dump of one table; only with strict checking does the kernel heed which one (5.0 on).
fn ask(v6: bool, table: u32) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_netlink_get_strict_chk(true)?;
    let mut message = RouteMessage::default();
    message.header.address_family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    message.attributes.push(RouteAttribute::Table(table));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
    // the first message tells; the rest goes with the socket
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    let errno = match answer.payload {
        NetlinkPayload::Error(error) => Errno::from_raw(error.raw_code()),
        NetlinkPayload::Done(done) if done.code != 0 => Errno::from_raw(done.code),
        _ => return Ok(true),
    };
    if errno.raw().abs() == libc::ENOENT {
        return Ok(false);
    }
    Err(io::Error::other(format!("asking for routing table {table}: {errno}")))
}
