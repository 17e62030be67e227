//! The system calls of packet sockets, each behind a safe function.

use std::{
    ffi::c_int,
    io::IoSlice,
    mem::{MaybeUninit, size_of, zeroed},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use super::batch::{FRAMES_MAX, HEADROOM_BYTES, Slot, Taken};
use crate::Errno;

/// Plain values of the kernel's: any bytes are a valid one, and there is no padding to leak.
pub(super) trait Plain: Copy {}
impl Plain for c_int {}
impl Plain for libc::packet_mreq {}
impl Plain for libc::tpacket_stats {}

/// Sets an option of level `SOL_PACKET`; see packet(7).
pub(super) fn set_option<T: Plain>(fd: BorrowedFd<'_>, option: c_int, value: &T) -> Result<(), Errno> {
    // SAFETY: the pointer and the length describe `value`, which the kernel only reads during
    // the call.
    let outcome = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Reads an option of level `SOL_PACKET`.
pub(super) fn get_option<T: Plain>(fd: BorrowedFd<'_>, option: c_int) -> Result<T, Errno> {
    // SAFETY: T is plain, so that zeros are a value of it.
    let mut value: T = unsafe { zeroed() };
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `value`; the kernel writes no more than the
    // length, and whatever it writes is a value of a plain type.
    let outcome = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            ptr::from_mut(&mut value).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(value) } else { Err(Errno::last()) }
}

/// Binds to an interface; `protocol` is an ethertype or `ETH_P_ALL`, in host order.
pub(super) fn bind(fd: BorrowedFd<'_>, index: u32, protocol: u16) -> Result<(), Errno> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and the length describe `address`, which the kernel only reads.
    let outcome = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// The index of the interface that a socket is bound to; -1 once it has left the namespace.
pub(super) fn bound_index(fd: BorrowedFd<'_>) -> Result<i32, Errno> {
    // SAFETY: a plain C structure of integers, for which zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointer and the length describe `address`; the kernel writes no more than that.
    let outcome =
        unsafe { libc::getsockname(fd.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut length) };
    if outcome == 0 { Ok(address.sll_ifindex) } else { Err(Errno::last()) }
}

/// Fills as many slots as there are frames waiting, at most [`FRAMES_MAX`]; see recvmmsg(2).
pub(super) fn receive(fd: BorrowedFd<'_>, slots: &mut [Slot]) -> Result<usize, Errno> {
    let count = slots.len().min(FRAMES_MAX);
    // SAFETY: these are plain C structures of integers and pointers, for which zeros are valid.
    let mut messages: [libc::mmsghdr; FRAMES_MAX] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut vectors: [libc::iovec; FRAMES_MAX] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut senders: [libc::sockaddr_ll; FRAMES_MAX] = unsafe { zeroed() };
    for (index, slot) in slots.iter_mut().enumerate().take(count) {
        let room = &mut slot.buffer[HEADROOM_BYTES..];
        vectors[index] = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let header = &mut messages[index].msg_hdr;
        header.msg_name = ptr::from_mut(&mut senders[index]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        header.msg_iov = &raw mut vectors[index];
        header.msg_iovlen = 1;
        header.msg_control = slot.control.as_mut_ptr().cast();
        header.msg_controllen = slot.control.len() as _;
    }
    // SAFETY: the first `count` headers point to distinct live buffers of the lengths given,
    // borrowed mutably for the duration of the call; the timeout may be null.
    let received = unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            messages.as_mut_ptr(),
            count as u32,
            libc::MSG_DONTWAIT,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| Errno::last())?;
    for ((slot, message), sender) in slots.iter_mut().zip(&messages).zip(&senders).take(received) {
        #[allow(clippy::unnecessary_cast, reason = "musl has 32 bits here")]
        let control_length = message.msg_hdr.msg_controllen as usize;
        slot.taken =
            Taken { length: message.msg_len as usize, control_length, packet_type: sender.sll_pkttype };
    }
    Ok(received)
}

/// Sends frames until one is refused, at most [`FRAMES_MAX`], and says how many were taken; an
/// error is about the first. See sendmmsg(2).
pub(super) fn send(fd: BorrowedFd<'_>, frames: &[impl AsRef<[u8]>]) -> Result<usize, Errno> {
    let count = frames.len().min(FRAMES_MAX);
    let mut vectors = [const { MaybeUninit::<IoSlice<'_>>::uninit() }; FRAMES_MAX];
    // SAFETY: a plain C structure of integers and pointers, for which zeros are valid.
    let mut messages: [libc::mmsghdr; FRAMES_MAX] = unsafe { zeroed() };
    for ((frame, vector), message) in frames.iter().zip(&mut vectors).zip(&mut messages) {
        // IoSlice has the layout of struct iovec.
        let vector = vector.write(IoSlice::new(frame.as_ref()));
        message.msg_hdr.msg_iov = ptr::from_mut(vector).cast();
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers point to initialised vectors, and those to live frames;
    // the kernel writes to nothing but the lengths in the headers.
    let sent =
        unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| Errno::last())
}
