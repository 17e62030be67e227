//! Links, addresses, routes, rules and neighbours of a namespace, through rtnetlink(7).
//!
//! [`Rtnl`] is the async handle, [`Blocking`] the same operations without async. Requests are
//! plain values ([`Route`], [`Neighbour`], ...) which print as ip(8) would write them; what a
//! dump returns are the same types, with interface names filled in.
//!
//! The crate rtnetlink changes its API several times a year, so this module is the only place
//! that knows it. Two of its habits are guarded against: a connection whose task has died ends
//! an answer as if it were complete (here every request waits for the explicit
//! acknowledgement), and its `NetworkNamespace` forks inside the runtime (not used).
//!
//! The kernel carries out a request within sendmsg(2), on the calling thread and, for changes
//! of links, under the one RTNL lock of the machine. A request to a "non-blocking" socket can
//! therefore hold its executor thread for milliseconds while namespaces are being taken down.

mod addr;
mod blocking;
mod dev;
mod error;
mod link;
mod link_change;
mod lookup;
mod neigh;
mod request;
mod route;
mod route_table;
mod route_terms;
mod route_wire;
mod rule;
mod veth;

use std::{
    os::fd::{FromRawFd, IntoRawFd},
    sync::Arc,
};

use netlink_sys::{Socket, TokioSocket, protocols::NETLINK_ROUTE};

pub use addr::Address;
pub use blocking::Blocking;
pub(crate) use blocking::Local;
pub use dev::Dev;
pub(crate) use dev::name_fault;
pub use error::RtnlError;
pub(crate) use error::explanation;
pub use link::{Link, OperState};
pub use link_change::LinkChange;
pub(crate) use lookup::index_here;
pub use neigh::{Neighbour, NudState};
pub(crate) use request::Names;
pub use route::{NextHop, Route};
pub use route_terms::{RouteKind, RouteProtocol, Scope, table};
pub use rule::{Rule, RuleAction};
pub use veth::VethEnd;

use crate::Netns;

/// An async rtnetlink handle of one namespace. Clones share the socket.
///
/// The socket was opened on the namespace's thread and belongs to the namespace for good; it is
/// driven by a task in the tokio runtime in which [`Rtnl::open`] was called, and may be used
/// from any other. That task ends when the last clone is dropped. An open handle keeps the
/// namespace alive.
#[derive(Clone, Debug)]
pub struct Rtnl {
    handle: rtnetlink::Handle,
    label: Arc<str>,
    /// Where the socket is driven.
    runtime: tokio::runtime::Handle,
    /// Held during a dump: the kernel does one at a time for a socket, and refuses others
    /// (`EBUSY`).
    dumping: Arc<tokio::sync::Mutex<()>>,
}

impl Rtnl {
    /// Opens a handle for `netns`, to be driven by the current tokio runtime.
    ///
    /// # Errors
    /// [`RtnlError::NoRuntime`] outside a runtime, [`RtnlError::Socket`] when out of
    /// descriptors.
    ///
    /// # Panics
    /// If the current runtime was built without `enable_io`.
    pub fn open(netns: &Netns) -> Result<Self, RtnlError> {
        let label: Arc<str> = netns.label().into();
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(RtnlError::NoRuntime { label: label.to_string() });
        }
        let socket = netns.exec(|| open_socket(&label))??;
        Ok(Self::drive(label, socket))
    }

    /// As [`Rtnl::open`], on a thread that is in the namespace already.
    fn open_here(label: &str) -> Result<Self, RtnlError> {
        let socket = open_socket(label)?;
        Ok(Self::drive(label.into(), socket))
    }

    fn drive(label: Arc<str>, socket: Socket) -> Self {
        // SAFETY: the descriptor was just released by `socket`, so it is open, a netlink
        // socket, and owned by nobody else.
        let socket = unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) };
        let (mut connection, handle, unsolicited) = rtnetlink::from_socket(socket);
        // Without these a dead connection looks like success: see the module's text.
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        // No multicast group is joined; dropping this lets the task end with the last handle.
        drop(unsolicited);
        let runtime = tokio::runtime::Handle::current();
        runtime.spawn(connection);
        Self { handle, label, runtime, dumping: Arc::default() }
    }
}

fn open_socket(label: &str) -> Result<Socket, RtnlError> {
    let open = || {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        // The kernel's explanation of an error, after a header instead of the whole request.
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        Ok(socket)
    };
    open().map_err(|source| RtnlError::Socket { label: label.to_owned(), source })
}
