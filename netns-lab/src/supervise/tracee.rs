//! Looking into a thread that waits in a system call: its memory, descriptors and namespaces.
//!
//! Whatever is read is the thread's own only if the call still waits afterwards
//! ([`Listener::is_waiting`](super::listener::Listener::is_waiting)).

use std::{
    collections::{HashMap, HashSet},
    fs, io, mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        linux::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

use crate::{Errno, NetnsId};

/// The longest path or word that is read, in bytes (`PATH_MAX`).
const TEXT_BYTES_MAX: usize = 4096;
/// The most that is read of one system call, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most pieces of one system call (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;
/// Memory is read in steps that end with a page, since the next page may not be there.
const PAGE_BYTES: usize = 4096;
/// The namespace of a socket; see include/uapi/linux/sockios.h.
const SIOCGSKNS: libc::c_ulong = 0x894c;
/// A descriptor of a thread and not of a process, Linux 6.9; see pidfd_open(2).
const PIDFD_THREAD: libc::c_int = libc::O_EXCL;

/// A netlink socket of a process, held by a descriptor of our own.
#[derive(Debug)]
pub(super) struct NetlinkSocket {
    pub(super) fd: OwnedFd,
    /// The socket's number, by which it is known whoever uses it.
    pub(super) inode: u64,
    pub(super) protocol: i32,
    pub(super) netns: Option<NetnsId>,
}

/// What a descriptor of a thread is.
#[derive(Debug)]
pub(super) enum Descriptor {
    /// A file below /proc/sys; the path below it.
    Sysctl(String),
    Netlink(NetlinkSocket),
    /// Any other, or one that could not be looked at.
    Other,
}

/// Processes that were met, by thread.
#[derive(Debug, Default)]
pub(super) struct Processes {
    threads: HashMap<i32, Process>,
    /// Sockets that are of another family.
    plain: HashSet<u64>,
}

/// A process, held by a descriptor so that its number cannot mean another.
#[derive(Debug)]
struct Process {
    pid: i32,
    fd: OwnedFd,
}

impl Processes {
    /// The process of a thread; 0 if the thread is gone.
    pub(super) fn pid_of(&mut self, tid: i32) -> i32 {
        self.process(tid).map_or(0, |process| process.pid)
    }

    fn process(&mut self, tid: i32) -> Option<&Process> {
        let known = self
            .threads
            .get(&tid)
            .is_some_and(|process| Path::new(&format!("/proc/{}/task/{tid}", process.pid)).exists());
        if !known {
            let pid = thread_group(tid)?;
            let fd = open_process(pid)?;
            self.threads.insert(tid, Process { pid, fd });
        }
        self.threads.get(&tid)
    }

    /// A descriptor of the thread's process, to kill it by.
    pub(super) fn handle(&mut self, tid: i32) -> Option<OwnedFd> {
        self.process(tid)?.fd.try_clone().ok()
    }

    /// A copy of a descriptor of a thread; see pidfd_getfd(2).
    pub(super) fn copy(&mut self, tid: i32, fd: i32) -> Option<OwnedFd> {
        let process = self.process(tid)?;
        let got = pidfd_getfd(&process.fd, fd);
        // A thread may have left the table of its process (`CLONE_FILES`).
        got.or_else(|| pidfd_getfd(&open_thread(tid)?, fd))
    }

    /// What a descriptor of a thread is.
    pub(super) fn descriptor(&mut self, tid: i32, fd: i32) -> Descriptor {
        let Some(link) = link(tid, fd) else { return Descriptor::Other };
        let text = link.to_string_lossy();
        if let Some((_, path)) = text.split_once("/proc/sys/") {
            return Descriptor::Sysctl(path.to_owned());
        }
        let number = text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        let Some(inode) = number.and_then(|number| number.parse().ok()) else { return Descriptor::Other };
        if self.plain.contains(&inode) {
            return Descriptor::Other;
        }
        let Some(copy) = self.copy(tid, fd) else { return Descriptor::Other };
        if option(&copy, libc::SO_DOMAIN) != Some(libc::AF_NETLINK) {
            self.plain.insert(inode);
            return Descriptor::Other;
        }
        let protocol = option(&copy, libc::SO_PROTOCOL).unwrap_or(-1);
        let netns = netns_of_socket(&copy);
        Descriptor::Netlink(NetlinkSocket { fd: copy, inode, protocol, netns })
    }
}

fn thread_group(tid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}

fn open_process(pid: i32) -> Option<OwnedFd> {
    open_pidfd(pid, 0)
}

fn open_thread(tid: i32) -> Option<OwnedFd> {
    open_pidfd(tid, PIDFD_THREAD)
}

fn open_pidfd(number: i32, flags: libc::c_int) -> Option<OwnedFd> {
    // SAFETY: takes no memory; the descriptor that it returns is nobody else's.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, number, flags);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as RawFd))
    }
}

fn pidfd_getfd(process: &OwnedFd, fd: i32) -> Option<OwnedFd> {
    // SAFETY: takes no memory; the descriptor that it returns is nobody else's.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as RawFd))
    }
}

fn option(socket: &OwnedFd, name: libc::c_int) -> Option<i32> {
    let mut value: libc::c_int = 0;
    let mut length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointers are to live numbers, and the length is that of the first.
    let got = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length)
    };
    (got == 0).then_some(value)
}

/// The network namespace in which a socket was opened. Takes CAP_NET_ADMIN there.
fn netns_of_socket(socket: &OwnedFd) -> Option<NetnsId> {
    // SAFETY: takes no memory; the descriptor that it returns is nobody else's.
    let file = unsafe {
        let fd = libc::ioctl(socket.as_raw_fd(), SIOCGSKNS);
        (fd >= 0).then(|| fs::File::from_raw_fd(fd))?
    };
    file.metadata().ok().map(|meta| identity(&meta))
}

fn identity(meta: &fs::Metadata) -> NetnsId {
    NetnsId { device: meta.st_dev(), inode: meta.st_ino() }
}

/// The namespace behind a file of /proc.
pub(super) fn netns_of_file(path: &Path) -> Option<NetnsId> {
    fs::metadata(path).ok().map(|meta| identity(&meta))
}

/// The name of an interface in a socket's namespace, whatever the socket's family.
pub(super) fn interface_name(socket: &OwnedFd, index: u32) -> Option<String> {
    // SAFETY: made of integers only.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index.cast_signed();
    // SAFETY: the pointer is to a live structure of the kind that the command wants.
    let got = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFNAME, &raw mut request) };
    if got != 0 {
        return None;
    }
    let name: Vec<u8> = request.ifr_name.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8(name).ok()
}

/// The network namespace that a thread is in.
pub(super) fn netns_of_thread(tid: i32) -> Option<NetnsId> {
    netns_of_file(format!("/proc/{tid}/ns/net").as_ref())
}

/// The network namespace behind a descriptor, if it is one.
pub(super) fn netns_of_descriptor(tid: i32, fd: i32) -> Option<NetnsId> {
    let text = link(tid, fd)?.to_string_lossy().into_owned();
    // A bind mount of a namespace shows its place in the file system.
    let meta = fs::metadata(format!("/proc/{tid}/fd/{fd}")).ok()?;
    let own = fs::metadata("/proc/thread-self/ns/net").ok()?;
    (text.starts_with("net:[") || meta.st_dev() == own.st_dev()).then(|| identity(&meta))
}

/// Where a descriptor leads, as /proc shows it.
pub(super) fn link(tid: i32, fd: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{tid}/fd/{fd}")).ok()
}

/// The name of a thread's process.
pub(super) fn name_of(tid: i32) -> String {
    fs::read_to_string(format!("/proc/{tid}/comm"))
        .map_or_else(|_| "?".into(), |name| name.trim_end().to_owned())
}

/// A path of a system call, made whole by the folder that it begins in.
pub(super) fn whole(tid: i32, folder: i32, path: PathBuf) -> PathBuf {
    if path.is_absolute() {
        return path;
    }
    let base = if folder == libc::AT_FDCWD {
        fs::read_link(format!("/proc/{tid}/cwd")).ok()
    } else {
        link(tid, folder)
    };
    base.map_or(path.clone(), |base| if path.as_os_str().is_empty() { base } else { base.join(path) })
}

/// Bytes of a thread's memory; fewer where a part of them is not there.
pub(super) fn read(tid: i32, address: u64, length: usize) -> Vec<u8> {
    let length = length.min(MESSAGE_BYTES_MAX);
    let mut bytes = vec![0; length];
    let Ok(base) = usize::try_from(address) else { return Vec::new() };
    let remote = [RemoteIoVec { base, len: length }];
    let got = process_vm_readv(Pid::from_raw(tid), &mut [io::IoSliceMut::new(&mut bytes)], &remote);
    bytes.truncate(got.unwrap_or(0));
    bytes
}

/// Text up to its closing zero.
pub(super) fn read_text(tid: i32, address: u64) -> Vec<u8> {
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < TEXT_BYTES_MAX {
        let step = PAGE_BYTES - (at as usize % PAGE_BYTES);
        let part = read(tid, at, step.min(TEXT_BYTES_MAX - text.len()));
        if let Some(end) = part.iter().position(|&byte| byte == 0) {
            text.extend(&part[..end]);
            return text;
        }
        if part.is_empty() {
            return text;
        }
        at += part.len() as u64;
        text.extend(part);
    }
    text
}

pub(super) fn read_path(tid: i32, address: u64) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(read_text(tid, address)).into()
}

/// The strings of a list that ends with a null pointer; at most `count_max`.
pub(super) fn read_words(tid: i32, address: u64, count_max: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut at = address;
    while words.len() < count_max {
        match read_number(tid, at) {
            None | Some(0) => break,
            Some(word) => words.push(String::from_utf8_lossy(&read_text(tid, word)).into_owned()),
        }
        at += 8;
    }
    words
}

/// A number of eight bytes.
pub(super) fn read_number(tid: i32, address: u64) -> Option<u64> {
    Some(u64::from_ne_bytes(read(tid, address, 8).try_into().ok()?))
}

/// What a list of pieces (`struct iovec`) points to, one after another.
pub(super) fn read_pieces(tid: i32, address: u64, count: u64) -> Vec<u8> {
    read_some_pieces(tid, address, count, MESSAGE_BYTES_MAX)
}

fn read_some_pieces(tid: i32, address: u64, count: u64, bytes_max: usize) -> Vec<u8> {
    let count = usize::try_from(count).unwrap_or(0).min(PIECES_MAX);
    let list = read(tid, address, count * 16);
    let mut bytes = Vec::new();
    for piece in list.chunks_exact(16) {
        let number = |at: usize| piece[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        let room = bytes_max - bytes.len();
        bytes.extend(read(tid, number(0), usize::try_from(number(8)).unwrap_or(0).min(room)));
    }
    bytes
}

/// The bytes of a message header (`struct msghdr`), at most so many: its list of pieces is the third field.
pub(super) fn read_message(tid: i32, address: u64, bytes_max: usize) -> Vec<u8> {
    // struct msghdr on 64 bits: name, namelen (padded), iov, iovlen.
    match (read_number(tid, address + 16), read_number(tid, address + 24)) {
        (Some(pieces), Some(count)) => read_some_pieces(tid, pieces, count, bytes_max),
        _ => Vec::new(),
    }
}

/// Whether a thread acts with the rights that this one has, so that doing something in its place
/// comes out as if it had done it.
pub(super) fn has_our_rights(tid: i32) -> bool {
    let of = |who: &str| {
        let status = fs::read_to_string(format!("/proc/{who}/status")).ok()?;
        let line = |field: &str| status.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned);
        let user = fs::read_link(format!("/proc/{who}/ns/user")).ok()?;
        Some((line("Uid:")?, line("Gid:")?, line("CapEff:")?, user))
    };
    let theirs = of(&tid.to_string());
    theirs.is_some() && theirs == of("thread-self")
}

/// Writes to a copy of a descriptor what its owner was about to write there.
pub(super) fn write_for(fd: &OwnedFd, bytes: &[u8], offset: Option<i64>) -> Result<usize, Errno> {
    let written = match offset {
        Some(offset) => nix::sys::uio::pwrite(fd, bytes, offset),
        None => nix::unistd::write(fd, bytes),
    };
    written.map_err(Errno::from)
}

/// Sends on a copy of a netlink socket what its owner was about to send to the kernel.
pub(super) fn send_for(socket: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    use nix::sys::socket::{MsgFlags, NetlinkAddr, sendto};
    sendto(socket.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map_err(Errno::from)
}
