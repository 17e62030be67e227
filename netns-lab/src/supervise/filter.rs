//! Which system calls are seen: the seccomp filter, as a classic BPF program.
//!
//! The filter is written here with libc's own constants and macros. `seccompiler` writes filters
//! in Rust too, but as of 0.5 it has no action for a user notification; `libseccomp` has, and is
//! a C library that every user would have to install. The structures of the listener are in
//! `libc`.

use libc::{c_long, sock_filter};

/// Where `struct seccomp_data` has the number, the architecture and the arguments.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// Lower half of an argument: flags and commands are never larger.
fn argument(index: u32) -> u32 {
    16 + 8 * index + if cfg!(target_endian = "big") { 4 } else { 0 }
}

/// `AUDIT_ARCH_*` of this program; see include/uapi/linux/audit.h.
#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xc000_00b7;

/// The bit in the number of a system call of the x32 interface, which says that it is x86-64.
#[cfg(target_arch = "x86_64")]
pub(super) const X32: u32 = 0x4000_0000;

/// Namespaces that clone(2) can make.
const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

/// Flags of open(2) without which a file stays as it is.
pub(super) const OPEN_TO_WRITE: u32 = (libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC) as u32;

/// Always seen.
const SEEN: &[c_long] = &[
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_openat2,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_clone3,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_bpf,
    libc::SYS_io_uring_setup,
];

/// Always seen, where the architecture still has them.
#[cfg(target_arch = "x86_64")]
const SEEN_OLD: &[c_long] = &[
    libc::SYS_creat,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_symlink,
];
#[cfg(target_arch = "aarch64")]
const SEEN_OLD: &[c_long] = &[libc::SYS_renameat];

/// Seen if an argument has one of these bits.
const SEEN_BY_FLAGS: &[(c_long, u32, u32)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1, OPEN_TO_WRITE),
    (libc::SYS_openat, 2, OPEN_TO_WRITE),
    (libc::SYS_clone, 0, NEW_NAMESPACES),
];

/// Seen if an argument is in a range: commands of sockets (`SIOC*`), and the options by which
/// the old iptables replaces its tables.
const SEEN_BY_RANGE: &[(c_long, u32, u32, u32)] =
    &[(libc::SYS_ioctl, 1, 0x8900, 0x89ff), (libc::SYS_setsockopt, 2, 64, 67)];

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

fn statement(code: u32, value: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k: value }
}

/// Compares the number that was loaded last; `yes` and `no` are how many statements to skip.
fn compare(test: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}

/// The program. Whatever is of another architecture is seen too: its numbers mean other calls.
pub(super) fn program() -> Vec<sock_filter> {
    let notify = statement(RETURN, libc::SECCOMP_RET_USER_NOTIF);
    let allow = statement(RETURN, libc::SECCOMP_RET_ALLOW);
    let mut program = vec![statement(LOAD, ARCHITECTURE), compare(libc::BPF_JEQ, NATIVE, 1, 0), notify];
    program.push(statement(LOAD, NUMBER));
    #[cfg(target_arch = "x86_64")]
    program.extend([compare(libc::BPF_JGE, X32, 0, 1), notify]);
    for &number in SEEN.iter().chain(SEEN_OLD) {
        program.extend([compare(libc::BPF_JEQ, number as u32, 0, 1), notify]);
    }
    for &(number, index, bits) in SEEN_BY_FLAGS {
        program.extend([
            compare(libc::BPF_JEQ, number as u32, 0, 4),
            statement(LOAD, argument(index)),
            compare(libc::BPF_JSET, bits, 0, 1),
            notify,
            allow,
        ]);
    }
    for &(number, index, first, last) in SEEN_BY_RANGE {
        program.extend([
            compare(libc::BPF_JEQ, number as u32, 0, 5),
            statement(LOAD, argument(index)),
            compare(libc::BPF_JGE, first, 0, 2),
            compare(libc::BPF_JGT, last, 1, 0),
            notify,
            allow,
        ]);
    }
    program.push(allow);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do, for the few instructions that are used.
    fn verdict(architecture: u32, number: c_long, arguments: [u64; 6]) -> u32 {
        let program = program();
        let (mut at, mut loaded) = (0_usize, 0_u32);
        loop {
            let line = program[at];
            let code = u32::from(line.code);
            at += 1;
            let jump = |test: bool| usize::from(if test { line.jt } else { line.jf });
            if code == LOAD {
                loaded = match line.k {
                    NUMBER => number as u32,
                    ARCHITECTURE => architecture,
                    offset => arguments[(offset as usize - 16) / 8] as u32,
                };
            } else if code == RETURN {
                return line.k;
            } else {
                at += match code & 0xf0 {
                    libc::BPF_JEQ => jump(loaded == line.k),
                    libc::BPF_JGE => jump(loaded >= line.k),
                    libc::BPF_JGT => jump(loaded > line.k),
                    libc::BPF_JSET => jump(loaded & line.k != 0),
                    other => panic!("{other:#x}"),
                };
            }
        }
    }

    fn seen(number: c_long, arguments: [u64; 6]) -> bool {
        verdict(NATIVE, number, arguments) == libc::SECCOMP_RET_USER_NOTIF
    }

    #[test]
    fn what_changes_something_is_seen() {
        let none = [0; 6];
        for call in [libc::SYS_sendto, libc::SYS_execve, libc::SYS_setns, libc::SYS_write, libc::SYS_clone3] {
            assert!(seen(call, none), "{call}");
        }
        for call in [libc::SYS_read, libc::SYS_futex, libc::SYS_mmap, libc::SYS_close] {
            assert!(!seen(call, none), "{call}");
        }
    }

    #[test]
    fn flags_and_commands_decide() {
        let open = |flags: i32| seen(libc::SYS_openat, [0, 0, flags as u64, 0, 0, 0]);
        assert!(open(libc::O_WRONLY | libc::O_CLOEXEC) && open(libc::O_RDWR) && open(libc::O_CREAT));
        assert!(!open(libc::O_RDONLY | libc::O_CLOEXEC | libc::O_DIRECTORY));
        let clone = |flags: i32| seen(libc::SYS_clone, [flags as u32 as u64, 0, 0, 0, 0, 0]);
        assert!(clone(libc::CLONE_NEWNET | libc::SIGCHLD) && !clone(libc::CLONE_VM | libc::CLONE_THREAD));
        let ioctl = |command: u64| seen(libc::SYS_ioctl, [3, command, 0, 0, 0, 0]);
        assert!(ioctl(0x8914) && ioctl(0x8900) && ioctl(0x89ff) && !ioctl(0x5401) && !ioctl(0x8a00));
        let option = |name: u64| seen(libc::SYS_setsockopt, [3, 0, name, 0, 0, 0]);
        assert!(option(64) && option(67) && !option(2) && !option(68));
    }

    #[test]
    fn other_architectures_are_seen_whole() {
        assert_eq!(verdict(0x4000_0003, libc::SYS_read, [0; 6]), libc::SECCOMP_RET_USER_NOTIF);
        #[cfg(target_arch = "x86_64")]
        assert!(seen(c_long::from(X32), [0; 6]));
    }
}
