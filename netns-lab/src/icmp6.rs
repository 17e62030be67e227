//! Which ICMPv6 messages a raw socket takes in (RFC 3542, section 3.2).

use crate::errno::Errno;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _};

/// `ICMPV6_FILTER`, which libc does not name.
const ICMPV6_FILTER: libc::c_int = 1;

/// Lets a raw ICMPv6 socket take in messages of these types only. A raw socket without a filter is
/// woken by every neighbour solicitation and router advertisement of its namespace.
///
/// # Errors
/// What setsockopt(2) says, for instance of a socket of another family.
pub fn only_icmp6(socket: impl AsFd, types: &[u8]) -> Result<(), Errno> {
    // a bit that is set keeps the type out
    let mut filter = [u32::MAX; 8];
    for kind in types {
        filter[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    }
    // SAFETY: the pointer and the length describe `filter`, which the kernel only reads during the
    // call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_ICMPV6,
            ICMPV6_FILTER,
            (&raw const filter).cast(),
            size_of::<[u32; 8]>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(Errno::last()) }
}
