//! From a system call that waits to what it asks for.

use std::path::PathBuf;

use libc::{c_long, seccomp_notif};

use super::{
    Kind, filter,
    netlink::{self, Look},
    tracee::{self, Descriptor, NetlinkSocket, Processes},
};
use crate::{Errno, NetnsId};

/// The most arguments of a program that are read.
const ARGUMENTS_MAX: usize = 256;

/// The most datagrams of one sendmmsg(2) (`UIO_MAXIOV`): the kernel sends no more.
const DATAGRAMS_MAX: u64 = 1024;
/// The most that is read of all of them, in bytes. The rest is seen, and not read.
const CALL_BYTES_MAX: usize = 16 * tracee::MESSAGE_BYTES_MAX;

/// What a system call comes to.
pub(super) enum Seen {
    /// Nothing that concerns anybody.
    Nothing,
    /// The process reads this netlink socket.
    Receive(NetlinkSocket),
    /// A request.
    Request(Asked),
}

/// A request as it was read, with what is needed to follow it.
pub(super) struct Asked {
    pub(super) kind: Kind,
    /// `None`: the thread's own.
    pub(super) netns: Option<NetnsId>,
    pub(super) means: Means,
}

/// How a request can be followed up.
pub(super) enum Means {
    /// It is the kernel's alone.
    Nothing,
    /// Its answer comes back on this socket, to which it would send these datagrams: one, but for sendmmsg(2).
    Socket(NetlinkSocket, Vec<Vec<u8>>),
    /// It is a write to a file below /proc/sys/net, which can be made in the thread's place.
    Write { fd: i32, bytes: Vec<u8>, offset: Option<i64> },
    /// It is refused, whatever the rules say.
    Refuse(Errno),
}

impl Asked {
    fn plain(kind: Kind) -> Seen {
        Seen::Request(Self { kind, netns: None, means: Means::Nothing })
    }
}

/// The bytes that a call passes, read only when somebody wants them.
enum Bytes {
    Flat(u64, u64),
    Pieces(u64, u64),
    Message(u64),
    Messages(u64, u64),
    /// They never are in the process's memory.
    Elsewhere(u64),
}

impl Bytes {
    fn read(&self, tid: i32) -> Vec<u8> {
        self.datagrams(tid).concat()
    }

    /// What is sent, datagram by datagram: where one ends and the next begins the bytes do not say.
    fn datagrams(&self, tid: i32) -> Vec<Vec<u8>> {
        match *self {
            Self::Flat(at, length) => {
                vec![tracee::read(tid, at, usize::try_from(length).unwrap_or(usize::MAX))]
            }
            Self::Pieces(at, count) => vec![tracee::read_pieces(tid, at, count)],
            Self::Message(at) => vec![tracee::read_message(tid, at, tracee::MESSAGE_BYTES_MAX)],
            Self::Messages(at, count) => {
                let mut room = CALL_BYTES_MAX;
                let places = 0..count.min(DATAGRAMS_MAX);
                let one = |place| {
                    // struct mmsghdr on 64 bits: a struct msghdr of 56 bytes and a length, padded
                    let bytes =
                        tracee::read_message(tid, at + 64 * place, room.min(tracee::MESSAGE_BYTES_MAX));
                    room -= bytes.len();
                    bytes
                };
                places.map(one).collect()
            }
            Self::Elsewhere(_) => Vec::new(),
        }
    }
}

/// Names the interfaces and namespaces of a message, by way of the socket and the thread.
pub(super) struct Lookup<'a> {
    pub(super) tid: i32,
    pub(super) socket: &'a NetlinkSocket,
    pub(super) named: &'a [(NetnsId, String)],
}

impl Look for Lookup<'_> {
    fn interface(&mut self, index: u32) -> Option<String> {
        tracee::interface_name(&self.socket.fd, index)
    }

    fn netns_of_descriptor(&mut self, fd: i32) -> Option<NetnsId> {
        tracee::netns_of_descriptor(self.tid, fd)
    }

    fn netns_of_process(&mut self, pid: u32) -> Option<NetnsId> {
        // The process sees a /proc of its own namespace, where the number is right.
        let path = format!("/proc/{}/root/proc/{pid}/ns/net", self.tid);
        tracee::netns_of_file(path.as_ref())
    }

    fn name(&self, netns: NetnsId) -> String {
        let known = self.named.iter().find(|(id, _)| *id == netns);
        known.map_or_else(|| netns.to_string(), |(_, name)| name.clone())
    }
}

/// Reads what a waiting thread asks.
pub(super) fn read(asked: &seccomp_notif, processes: &mut Processes, named: &[(NetnsId, String)]) -> Seen {
    let tid = asked.pid.cast_signed();
    let data = &asked.data;
    let a = data.args;
    if data.arch != filter::NATIVE || is_x32(data.nr) {
        let kind = Kind::Foreign { architecture: data.arch, number: data.nr };
        return Seen::Request(Asked {
            kind,
            netns: None,
            means: Means::Refuse(Errno::from_raw(libc::ENOSYS)),
        });
    }
    let fd = a[0] as i32;
    match c_long::from(data.nr) {
        libc::SYS_sendto => sent(tid, fd, &Bytes::Flat(a[1], a[2]), processes, named),
        libc::SYS_sendmsg => sent(tid, fd, &Bytes::Message(a[1]), processes, named),
        libc::SYS_sendmmsg => sent(tid, fd, &Bytes::Messages(a[1], a[2]), processes, named),
        libc::SYS_write => written(tid, fd, &Bytes::Flat(a[1], a[2]), None, processes, named),
        libc::SYS_pwrite64 => written(tid, fd, &Bytes::Flat(a[1], a[2]), Some(a[3]), processes, named),
        libc::SYS_writev => written(tid, fd, &Bytes::Pieces(a[1], a[2]), None, processes, named),
        libc::SYS_pwritev | libc::SYS_pwritev2 => {
            written(tid, fd, &Bytes::Pieces(a[1], a[2]), Some(a[3]), processes, named)
        }
        // out, in: the file that is written to comes first in one and third in the other
        libc::SYS_sendfile => written(tid, fd, &Bytes::Elsewhere(a[3]), None, processes, named),
        libc::SYS_splice => written(tid, a[2] as i32, &Bytes::Elsewhere(a[4]), None, processes, named),
        libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg => match processes.descriptor(tid, fd) {
            Descriptor::Netlink(socket) => Seen::Receive(socket),
            _ => Seen::Nothing,
        },
        libc::SYS_openat => opened(tid, fd, a[1], a[2] as u32),
        libc::SYS_openat2 => match tracee::read_number(tid, a[2]) {
            Some(flags) if flags as u32 & filter::OPEN_TO_WRITE != 0 => opened(tid, fd, a[1], flags as u32),
            _ => Seen::Nothing,
        },
        libc::SYS_setns => entered(tid, fd, a[1] as u32, named),
        libc::SYS_unshare => Asked::plain(Kind::NewNamespaces { call: "unshare", flags: a[0] as u32 }),
        libc::SYS_clone => Asked::plain(Kind::NewNamespaces { call: "clone", flags: a[0] as u32 }),
        libc::SYS_clone3 => cloned(tid, a[0]),
        libc::SYS_execve => executed(tid, libc::AT_FDCWD, a[0], a[1]),
        libc::SYS_execveat => executed(tid, fd, a[1], a[2]),
        libc::SYS_ioctl => device_ioctl(tid, a[1] as u32, a[2]),
        libc::SYS_setsockopt => replaced(tid, a),
        libc::SYS_bpf => Asked::plain(Kind::Other { call: format!("bpf command {}", a[0]), length: 0 }),
        libc::SYS_io_uring_setup => {
            // What goes through such a ring is no system call, and would not be seen.
            let kind = Kind::Other { call: "io_uring_setup".into(), length: 0 };
            Seen::Request(Asked { kind, netns: None, means: Means::Refuse(Errno::from_raw(libc::ENOSYS)) })
        }
        other => names(tid, other, a),
    }
}

#[cfg(target_arch = "x86_64")]
fn is_x32(number: i32) -> bool {
    number.cast_unsigned() & filter::X32 != 0
}
#[cfg(not(target_arch = "x86_64"))]
fn is_x32(_number: i32) -> bool {
    false
}

fn sent(tid: i32, fd: i32, bytes: &Bytes, processes: &mut Processes, named: &[(NetnsId, String)]) -> Seen {
    match processes.descriptor(tid, fd) {
        Descriptor::Netlink(socket) => netlink(tid, socket, bytes, named),
        _ => Seen::Nothing,
    }
}

fn netlink(tid: i32, socket: NetlinkSocket, bytes: &Bytes, named: &[(NetnsId, String)]) -> Seen {
    let content = bytes.datagrams(tid);
    let protocol = socket.protocol;
    let kind = if let Bytes::Elsewhere(length) = bytes {
        let call = format!("{} message through a pipe", netlink::protocol_name(protocol));
        Kind::Other { call, length: usize::try_from(*length).unwrap_or(usize::MAX) }
    } else {
        let mut look = Lookup { tid, socket: &socket, named };
        let messages = content.iter().flat_map(|datagram| netlink::messages(protocol, datagram, &mut look));
        Kind::Netlink { protocol, messages: messages.collect() }
    };
    Seen::Request(Asked { kind, netns: socket.netns, means: Means::Socket(socket, content) })
}

fn written(
    tid: i32,
    fd: i32,
    bytes: &Bytes,
    offset: Option<u64>,
    processes: &mut Processes,
    named: &[(NetnsId, String)],
) -> Seen {
    match processes.descriptor(tid, fd) {
        Descriptor::Netlink(socket) => netlink(tid, socket, bytes, named),
        Descriptor::Sysctl(path) => {
            if let Bytes::Elsewhere(length) = bytes {
                let call = format!("/proc/sys/{path} written through a pipe");
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                return Asked::plain(Kind::Other { call, length });
            }
            let content = bytes.read(tid);
            let value = String::from_utf8_lossy(&content).trim_end().to_owned();
            // Other sysctls belong to namespaces of the writer and not of the descriptor.
            let means = if path.starts_with("net/") {
                Means::Write { fd, bytes: content, offset: offset.map(u64::cast_signed) }
            } else {
                Means::Nothing
            };
            Seen::Request(Asked { kind: Kind::Sysctl { path, value }, netns: None, means })
        }
        Descriptor::Other => Seen::Nothing,
    }
}

fn opened(tid: i32, folder: i32, path: u64, flags: u32) -> Seen {
    let path = tracee::whole(tid, folder, tracee::read_path(tid, path));
    let kind = match path.to_string_lossy().split_once("/proc/sys/") {
        Some((_, below)) => Kind::OpenSysctl { path: below.to_owned() },
        None if path.as_os_str() == "/dev/null" => return Seen::Nothing,
        None => Kind::Open { path, flags },
    };
    Asked::plain(kind)
}

fn entered(tid: i32, fd: i32, flags: u32, named: &[(NetnsId, String)]) -> Seen {
    let netns = tracee::netns_of_descriptor(tid, fd);
    let label = named.iter().find(|(id, _)| Some(*id) == netns).map(|(_, name)| name.clone());
    let shown = || tracee::link(tid, fd).map(|link| link.display().to_string());
    let descriptor = label.or_else(shown).unwrap_or_else(|| "?".into());
    Asked::plain(Kind::Enter { flags, netns, descriptor })
}

/// The flags are the first field of `struct clone_args`.
fn cloned(tid: i32, arguments: u64) -> Seen {
    let flags = tracee::read_number(tid, arguments).unwrap_or(0);
    if super::words::namespaces(flags as u32).next().is_none() {
        return Seen::Nothing;
    }
    Asked::plain(Kind::NewNamespaces { call: "clone3", flags: flags as u32 })
}

fn executed(tid: i32, folder: i32, path: u64, arguments: u64) -> Seen {
    let program = tracee::whole(tid, folder, tracee::read_path(tid, path));
    Asked::plain(Kind::Exec { program, arguments: tracee::read_words(tid, arguments, ARGUMENTS_MAX) })
}

fn device_ioctl(tid: i32, command: u32, argument: u64) -> Seen {
    // struct ifreq begins with the name, as far as the commands about interfaces go
    let name = tracee::read(tid, argument, libc::IFNAMSIZ);
    let name: Vec<u8> = name.into_iter().take_while(u8::is_ascii_graphic).collect();
    Asked::plain(Kind::DeviceIoctl { command, device: String::from_utf8_lossy(&name).into_owned() })
}

fn replaced(tid: i32, a: [u64; 6]) -> Seen {
    let v6 = match a[1] as i32 {
        libc::IPPROTO_IP => false,
        libc::IPPROTO_IPV6 => true,
        _ => return Seen::Nothing,
    };
    // IPT_SO_SET_REPLACE and IPT_SO_SET_ADD_COUNTERS; both structures begin with the table's name
    let option = a[2] as u32;
    if option > 65 {
        return Seen::Nothing;
    }
    let name: Vec<u8> = tracee::read(tid, a[3], 32).into_iter().take_while(|&byte| byte != 0).collect();
    Asked::plain(Kind::ReplaceTable { v6, option, table: String::from_utf8_lossy(&name).into_owned() })
}

/// Calls that make, move or take away names.
fn names(tid: i32, call: c_long, a: [u64; 6]) -> Seen {
    const HERE: i32 = libc::AT_FDCWD;
    let path = |folder: i32, at: u64| tracee::whole(tid, folder, tracee::read_path(tid, at));
    let raw = |at: u64| tracee::read_path(tid, at);
    let (call, paths): (&'static str, Vec<PathBuf>) = match call {
        libc::SYS_unlinkat if a[2] as i32 & libc::AT_REMOVEDIR != 0 => {
            ("rmdir", vec![path(a[0] as i32, a[1])])
        }
        libc::SYS_unlinkat => ("unlink", vec![path(a[0] as i32, a[1])]),
        libc::SYS_renameat2 | libc::SYS_renameat => {
            ("rename", vec![path(a[0] as i32, a[1]), path(a[2] as i32, a[3])])
        }
        libc::SYS_mkdirat => ("mkdir", vec![path(a[0] as i32, a[1])]),
        libc::SYS_linkat => ("link", vec![path(a[0] as i32, a[1]), path(a[2] as i32, a[3])]),
        libc::SYS_symlinkat => ("symlink", vec![raw(a[0]), path(a[1] as i32, a[2])]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => return opened(tid, HERE, a[0], a[1] as u32),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat => {
            return opened(tid, HERE, a[0], (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u32);
        }
        #[cfg(target_arch = "x86_64")]
        libc::SYS_unlink => ("unlink", vec![path(HERE, a[0])]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rmdir => ("rmdir", vec![path(HERE, a[0])]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir => ("mkdir", vec![path(HERE, a[0])]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_rename => ("rename", vec![path(HERE, a[0]), path(HERE, a[1])]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_link => ("link", vec![path(HERE, a[0]), path(HERE, a[1])]),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_symlink => ("symlink", vec![raw(a[0]), path(HERE, a[1])]),
        other => return Asked::plain(Kind::Other { call: format!("system call {other}"), length: 0 }),
    };
    let _ = HERE;
    Asked::plain(Kind::Name { call, paths })
}
